/**
 * The keys of a replica in Litestream's configuration, as an object: what its YAML gives.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { withScheme } from "./location.ts";
import { REPLICA_KEYS, type KeyKind, type ReplicaConfig } from "./replica-config-keys.ts";
import type { NatsSettings, ReplicaSettings, S3Settings, TlsSettings } from "./replica-settings.ts";
import { isReplicaUrl, parseReplicaUrl } from "./replica-url.ts";
import { similarName } from "./suggest.ts";

/** The key that `url` takes the place of. */
const HOST_KEYS: Readonly<Record<string, keyof ReplicaConfig | undefined>> = {
  s3: "bucket",
  gs: "bucket",
  abs: "bucket",
  oss: "bucket",
  nats: "bucket",
  sftp: "host",
  webdav: "webdav-url",
};

const TYPES = ["file", "s3", "gs", "abs", "sftp", "webdav", "nats", "oss"];

/**
 * Reads the keys of a replica.
 *
 * @throws {InvalidArgumentError} naming the key that is unknown, missing or wrong, never the value of one.
 */
export function parseReplicaConfig(config: ReplicaConfig): ReplicaSettings {
  checkKeys(config);
  const { url } = config;
  const located = url === undefined ? undefined : parseReplicaUrl(url, { form: "config" });
  const type = located?.type ?? config.type ?? "file";
  if (located !== undefined) {
    for (const key of ["path", HOST_KEYS[type]] as const) {
      if (key === undefined || config[key] === undefined) continue;
      throw refused(key, `cannot specify url & ${key} for a replica`, "Leave out one of them");
    }
  }
  if (config.path !== undefined && isReplicaUrl(config.path)) {
    throw refused("path", "it is a URL", "Give it as url");
  }
  return located === undefined ? fromKeys(type, config) : merged(located, config);
}

/** A place that keys alone name. */
function fromKeys(type: string, config: ReplicaConfig): ReplicaSettings {
  const { path = "" } = config;
  const need = (key: keyof ReplicaConfig): string => {
    const value = config[key];
    if (typeof value === "string" && value !== "") return value;
    throw refused(key, `${key} required for ${type} replica`);
  };
  switch (type) {
    case "file":
      return { type, path: need("path") };
    case "s3": {
      const parsed = accessPoint(need("bucket"));
      return merged({ type, bucket: parsed.bucket, path: joined(parsed.path, path) }, config);
    }
    case "gs":
      return { type, bucket: need("bucket"), path };
    case "abs":
      return merged({ type, container: need("bucket"), path }, config);
    case "oss":
      return merged({ type, bucket: need("bucket"), path, region: "cn-hangzhou" }, config);
    case "sftp": {
      const { host, port } = splitHost(need("host"));
      return merged({ type, host, port, user: need("user"), path: need("path") }, config);
    }
    case "webdav":
      return merged({ type, url: need("webdav-url"), path }, config);
    case "nats": {
      const server = `nats://${need("host")}`;
      return merged({ type, server, bucket: need("bucket") }, config);
    }
    default: {
      const similar = similarName(type, TYPES);
      const next =
        similar === undefined ? `Use one of ${TYPES.join(", ")}` : `Did you mean ${similar}`;
      throw refused("type", `${JSON.stringify(type.slice(0, 40))} is no type of replica`, next);
    }
  }
}

/** Keys come before what the URL says. */
function merged(place: ReplicaSettings, config: ReplicaConfig): ReplicaSettings {
  switch (place.type) {
    case "s3":
      return s3Settings(place, config);
    case "abs":
      return {
        ...place,
        accountName: config["account-name"] ?? place.accountName,
        accountKey: config["account-key"],
        sasToken: config["sas-token"]?.replace(/^\?/, ""),
        endpoint: config.endpoint,
        ...tlsSettings(config, undefined),
      };
    case "oss":
      return {
        ...place,
        region: (config.region ?? place.region).replace(/^oss-/, ""),
        endpoint: config.endpoint ?? place.endpoint,
        ...keyPair(config),
        partSize: parseSize(config["part-size"]),
        concurrency: config.concurrency,
        ...tlsSettings(config, undefined),
      };
    case "sftp":
      return {
        ...place,
        user: config.user ?? place.user,
        password: config.password ?? place.password,
        keyPath: config["key-path"],
        hostKey: config["host-key"],
        concurrentWrites: config["concurrent-writes"],
      };
    case "webdav":
      return {
        ...place,
        username: config["webdav-username"] ?? place.username,
        password: config["webdav-password"] ?? place.password,
        ...tlsSettings(config, undefined),
      };
    case "nats":
      return natsSettings(place, config);
    default:
      return place;
  }
}

function s3Settings(place: S3Settings, config: ReplicaConfig): S3Settings {
  const { endpoint } = config;
  const pathStyle = config["force-path-style"] ?? place.forcePathStyle;
  return {
    ...place,
    region: config.region ?? place.region,
    endpoint: endpoint === undefined ? place.endpoint : withScheme(endpoint),
    forcePathStyle: pathStyle ?? (endpoint === undefined ? undefined : true),
    ...tlsSettings(config, place.skipVerify),
    signPayload: config["sign-payload"] ?? place.signPayload,
    requireContentMD5: config["require-content-md5"] ?? place.requireContentMD5,
    partSize: parseSize(config["part-size"]) ?? place.partSize,
    concurrency: config.concurrency ?? place.concurrency,
    storageClass: config["storage-class"] ?? place.storageClass,
    ...keyPair(config),
    sseCustomerAlgorithm: config["sse-customer-algorithm"],
    sseCustomerKey: config["sse-customer-key"],
    sseCustomerKeyPath: config["sse-customer-key-path"],
    sseKmsKeyId: config["sse-kms-key-id"],
  };
}

/** `skipVerify` is what the URL says of it. */
function tlsSettings(config: ReplicaConfig, skipVerify: boolean | undefined): TlsSettings {
  const { "client-cert": clientCert, "client-key": clientKey } = config;
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    const missing = clientCert === undefined ? "client-cert" : "client-key";
    throw refused(missing, "client-cert and client-key must be given together");
  }
  return {
    skipVerify: config["skip-verify"] ?? skipVerify,
    rootCas: config["root-cas"],
    clientCert,
    clientKey,
  };
}

function natsSettings(place: NatsSettings, config: ReplicaConfig): NatsSettings {
  const { skipVerify, ...certificates } = tlsSettings(config, undefined);
  if (skipVerify === true) {
    throw refused(
      "skip-verify",
      "NATS has no such option",
      "Name the server's authority in root-cas",
    );
  }
  const { username, password, token, jwt, seed, creds, nkey, tls } = config;
  return {
    ...place,
    username,
    password,
    token,
    jwt,
    seed,
    creds,
    nkey,
    tls,
    ...certificates,
    timeoutMs: parseDuration(config.timeout),
  };
}

function keyPair(config: ReplicaConfig): Pick<S3Settings, "accessKeyId" | "secretAccessKey"> {
  const { "access-key-id": accessKeyId, "secret-access-key": secretAccessKey } = config;
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    const missing = accessKeyId === undefined ? "access-key-id" : "secret-access-key";
    throw refused(missing, "access-key-id and secret-access-key must be given together");
  }
  return { accessKeyId, secretAccessKey };
}

function checkKeys(config: ReplicaConfig): void {
  for (const [key, value] of Object.entries(config)) {
    if (key === "age") {
      const what = "Litestream encrypts with age no more, so the replica would be plain text";
      throw refused(key, what, "Leave it out, and encrypt in another way");
    }
    const kind = Object.hasOwn(REPLICA_KEYS, key)
      ? REPLICA_KEYS[key as keyof ReplicaConfig]
      : undefined;
    if (kind === undefined) {
      const similar = similarName(key, Object.keys(REPLICA_KEYS));
      const next = similar === undefined ? undefined : `Did you mean ${similar}`;
      throw refused(JSON.stringify(key.slice(0, 80)), "there is no such key of a replica", next);
    }
    if (value !== undefined) checkValue(key, kind, value);
  }
}

/** Least value of a number; of all others it is 0, which often means no limit. */
const LEAST: Readonly<Record<string, number>> = { concurrency: 1, "max-reconnects": -1 };

function checkValue(key: string, kind: KeyKind, value: unknown): void {
  const isText = typeof value === "string";
  switch (kind) {
    case "text":
      if (!isText) throw refused(key, "its value is no text", "Put it between quotes");
      return;
    case "texts":
      if (Array.isArray(value) && value.every((item) => typeof item === "string")) return;
      throw refused(key, "its value is no list of texts");
    case "flag":
      if (typeof value === "boolean") return;
      throw refused(key, "its value is neither true nor false");
    case "number":
      if (Number.isSafeInteger(value) && (value as number) >= (LEAST[key] ?? 0)) return;
      throw refused(key, "its value is no whole number that fits");
    case "size":
      if (parseSize(value) !== undefined) return;
      throw refused(key, "its value is no size", "Write it like 5MiB");
    case "duration":
      if (parseDuration(value) !== undefined) return;
      throw refused(key, "its value is no duration", "Write it like 10s");
  }
}

const UNITS = ["", "K", "M", "G", "T"];

/** Bytes: a number, or one with a unit of a thousand (`MB`) or of 1,024 (`MiB`). */
function parseSize(value: unknown): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT]?)(i?)B?)$/i.exec(String(value));
  if (match === null) return undefined;
  const [, number, unit = "", binary] = match;
  const bytes = Math.trunc(
    Number(number) * (binary === "" ? 1000 : 1024) ** UNITS.indexOf(unit.toUpperCase()),
  );
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function parseDuration(value: unknown): number | undefined {
  const text = String(value);
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) return undefined;
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    ms += Number(number) * (DURATION_MS[unit as string] as number);
  }
  return ms;
}

/** An ARN may have a path behind the name of the access point. */
function accessPoint(bucket: string): { readonly bucket: string; readonly path: string } {
  const match = /^(arn:.*?:accesspoint\/[^/]+)(?:\/(.*))?$/is.exec(bucket);
  return match === null
    ? { bucket, path: "" }
    : { bucket: match[1] as string, path: match[2] ?? "" };
}

function joined(...parts: readonly string[]): string {
  return parts
    .map((part) => part.replace(/^\/+|\/+$/g, ""))
    .filter((part) => part !== "")
    .join("/");
}

function splitHost(host: string): { readonly host: string; readonly port: number } {
  const match = /^(.+):(\d+)$/.exec(host);
  const port = Number(match?.[2] ?? 22);
  if (port < 1 || port > 65_535) throw refused("host", "its port is none");
  return { host: match?.[1] ?? host, port };
}

function refused(key: string, what: string, next?: string): InvalidArgumentError {
  return new InvalidArgumentError({ operation: "use", object: `the key ${key}`, what, next });
}
