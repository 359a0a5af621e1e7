/**
 * The replicas of a configuration: what they inherit from its top level, and where they lie.
 *
 * @module
 */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import {
  parseReplicaConfig,
  REPLICA_KEYS,
  type ReplicaConfig as ReplicaKeys,
  type ReplicaSettings,
} from "pagestream/transports/store-from-url";
import { encodePath } from "pagestream/transports/store-kit";
import type { ReplicaConfig } from "./config.ts";
import type { ProgramSection, ReplicaSection } from "./schema.ts";

/** How replicas are encrypted. */
type Encryption = Pick<ReplicaConfig, "encryptionKeys" | "encryptionContext">;

/** What Litestream's top level does not pass on. */
const OWN: ReadonlySet<string> = new Set([
  "part-size",
  "concurrency",
  "host-key",
  "webdav-url",
  "webdav-username",
  "webdav-password",
]);

/** What a URL says itself. */
const OF_URL: ReadonlySet<string> = new Set(["bucket", "host"]);

/** Files that keys name. */
const PATHS = ["key-path", "sse-customer-key-path", "creds", "nkey", "client-cert", "client-key"];

/** The keys of a replica with those that it inherits; the replica's own go first. Keys of old releases are left out. */
export function inheritKeys(own: ReplicaSection, shared: ReplicaSection): ReplicaKeys {
  const { url, type } = own;
  const isS3 = type === "s3" || /^s3:/i.test(String(url));
  const inherited = Object.entries(shared).filter(
    ([key]) =>
      !OWN.has(key) && !(url !== undefined && OF_URL.has(key)) && (isS3 || key !== "skip-verify"),
  );
  const given = Object.entries(own).filter(([, value]) => value !== undefined);
  const all = [...inherited, ...given].filter(([key]) => Object.hasOwn(REPLICA_KEYS, key));
  return Object.fromEntries(all.map(([key, value]) => [key, canonical(key, value)]));
}

/** Durations were read already; `storeFromConfig` takes them as Go writes them. */
function canonical(key: string, value: unknown): unknown {
  if (REPLICA_KEYS[key as keyof ReplicaKeys] === "duration") return `${String(value)}ms`;
  if (key === "root-cas") return (value as readonly string[]).map(expandHome);
  return PATHS.includes(key) ? expandHome(String(value)) : value;
}

/**
 * The replica that keys describe.
 *
 * @throws {InvalidArgumentError} naming the key that is wrong.
 */
export function replicaOf(keys: ReplicaKeys, encryption: Encryption = {}): ReplicaConfig {
  const settings = parseReplicaConfig(keys);
  const { type } = settings;
  if (type !== "file") return { type, name: nameOf(settings), keys, ...encryption };
  const path = absolutePath(settings.path);
  const { url: _, ...rest } = keys;
  return { type, name: path, keys: { ...rest, type, path }, ...encryption };
}

/** What `pagestream` says of the encryption of all replicas. */
export function encryptionOf(section: ProgramSection = {}): Encryption {
  const keys = section["encryption-keys"]?.map((each) => {
    const [, id, path] = /^([^=]+=)(.+)$/s.exec(each) ?? [];
    return id === undefined || path === undefined ? each : id + absolutePath(path);
  });
  const context = section["encryption-context"];
  if (keys === undefined && context === undefined) return {};
  return { encryptionKeys: keys, encryptionContext: context };
}

/** The keys of a replica below that of a directory, for a database at a relative path. */
export function keysBelow(keys: ReplicaKeys, relative: string): ReplicaKeys {
  const { url, path = "", type = "file" } = keys;
  const below = relative.replaceAll("\\", "/");
  if (url !== undefined) {
    const [, place = "", query = ""] = /^([^?#]*)(.*)$/s.exec(url) ?? [];
    return { ...keys, url: `${place.replace(/\/+$/, "")}/${encodePath(below)}${query}` };
  }
  if (type === "file") return { ...keys, path: join(path, relative) };
  return { ...keys, path: path === "" ? below : `${path.replace(/\/+$/, "")}/${below}` };
}

/** What tells whether two replicas are one. */
export function placeOf({ keys, name }: ReplicaConfig): string {
  return `${keys.endpoint ?? ""} ${name}`;
}

/** A place without user info and query. */
function nameOf(settings: ReplicaSettings): string {
  switch (settings.type) {
    case "file":
      return settings.path;
    case "abs":
      return `abs://${join(settings.container, settings.path)}`;
    case "sftp":
      return `sftp://${settings.host}:${settings.port}/${settings.path.replace(/^\//, "")}`;
    case "webdav":
      return `${withoutUser(settings.url)}/${settings.path.replace(/^\/+/, "")}`;
    case "nats":
      return `${withoutUser(settings.server)}/${settings.bucket}`;
    case "http":
      return withoutUser(settings.url);
    default:
      return `${settings.type}://${join(settings.bucket, settings.path)}`;
  }
}

function withoutUser(url: string): string {
  return url
    .replace(/[?#].*$/s, "")
    .replace(/^(\w+:\/\/).*@/s, "$1")
    .replace(/\/+$/, "");
}

/** A path of a database or a directory: without `sqlite://`, with the home directory for `~`, absolute. */
export function absolutePath(path: string): string {
  return resolve(expandHome(path.replace(/^sqlite3?:\/\//, "")));
}

function expandHome(path: string): string {
  return /^~(?:[/\\]|$)/.test(path) ? join(homedir(), path.slice(1)) : path;
}
