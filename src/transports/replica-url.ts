/**
 * The URLs by which Litestream names replicas.
 *
 * Litestream reads them in two ways that differ: `url` in its VFS and its control API, `config` in its configuration and on
 * its command line. What one of them would silently ignore is refused here, with what to write instead.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { withScheme } from "./location.ts";
import type {
  AzureSettings,
  OssSettings,
  ReplicaSettings,
  S3Settings,
  SftpSettings,
  WebdavSettings,
} from "./replica-settings.ts";
import { s3Location } from "./s3-url.ts";
import { UrlQuery } from "./url-query.ts";

/** Which of Litestream's two readings applies. */
export type UrlForm = "config" | "url";

/** Options of {@linkcode parseReplicaUrl}. */
export interface ParseReplicaUrlOptions {
  /** Which of the two readings. @default "url" */
  readonly form?: UrlForm | undefined;
  /**
   * `LITESTREAM_S3_ENDPOINT` is read from here in the form `url`. The library reads no environment itself.
   * @default {}
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/** The parts of a URL, decoded. */
interface UrlParts {
  readonly scheme: string;
  /** With port, without user info. */
  readonly host: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Cleaned: no empty and no dot segments; with its leading slash; empty where there is none. */
  readonly path: string;
  readonly query: UrlQuery;
  /** The URL without user info and query, for messages. */
  readonly shown: string;
}

const SCHEMES = [
  "file",
  "s3",
  "gs",
  "abs",
  "sftp",
  "nats",
  "webdav",
  "webdavs",
  "oss",
  "http",
  "https",
];

/** Whether a text is a URL, and not a path. */
export function isReplicaUrl(text: string): boolean {
  return /^\w+:\/\//.test(text);
}

/**
 * Reads a URL. Asks nobody anything; whether the place exists shows with the first request.
 *
 * @throws {InvalidArgumentError} naming what is wrong, never the user info or a value of the query.
 *
 * @example
 * ```ts
 * import { parseReplicaUrl } from "pagestream/transports/store-from-url";
 *
 * parseReplicaUrl("s3://backups/app?region=eu-central-1");
 * // { type: "s3", bucket: "backups", path: "app", region: "eu-central-1", … }
 * ```
 */
export function parseReplicaUrl(
  url: string,
  options: ParseReplicaUrlOptions = {},
): ReplicaSettings {
  const { form = "url", env = {} } = options;
  const parts = splitUrl(url, form);
  switch (parts.scheme) {
    case "file":
      // As Litestream has it: host and query do not count.
      return { type: "file", path: parts.path === "" ? "." : parts.path };
    case "s3":
      return s3Settings(parts, form, env);
    case "gs":
      refuseUserInfo(parts);
      parts.query.end();
      return {
        type: "gs",
        bucket: required(parts.host, "bucket", parts),
        path: relative(parts.path),
      };
    case "abs":
      return azureSettings(parts);
    case "sftp":
      return sftpSettings(parts, form);
    case "nats":
      return natsSettings(parts);
    case "webdav":
    case "webdavs":
      return webdavSettings(parts, form);
    case "oss":
      return ossSettings(parts);
    case "http":
    case "https":
      refuseUserInfo(parts);
      parts.query.end();
      return { type: "http", url: parts.shown };
    default:
      throw unknownScheme(parts);
  }
}

function s3Settings(
  parts: UrlParts,
  form: UrlForm,
  env: Readonly<Record<string, string | undefined>>,
): S3Settings {
  refuseUserInfo(parts);
  const { query } = parts;
  const place = s3Location(parts.host, relative(parts.path), parts.shown);
  const asked = query.text("endpoint");
  const fromEnv = form === "url" ? env["LITESTREAM_S3_ENDPOINT"] || undefined : undefined;
  const given = asked ?? (place.endpoint === undefined ? fromEnv : undefined);
  // Litestream's command passes over the names with hyphens, which its VFS reads: an address that works there works here.
  const pathStyle = query.boolean("forcePathStyle", "force-path-style");
  const settings: S3Settings = {
    type: "s3",
    bucket: place.bucket,
    path: place.path,
    region: query.text("region") ?? place.region,
    endpoint: given === undefined ? place.endpoint : withScheme(given),
    forcePathStyle: pathStyle ?? (given === undefined ? place.forcePathStyle : true),
    skipVerify: query.boolean("skipVerify", "skip-verify"),
    signPayload: query.boolean("signPayload", "sign-payload"),
    requireContentMD5: query.boolean("requireContentMD5", "require-content-md5"),
    partSize: query.integer("partSize", "part-size"),
    concurrency: query.integer("concurrency"),
    storageClass: query.text("storageClass", "storage-class"),
    ...(form === "url" ? encryption(query) : {}),
  };
  // Litestream's command would write without encryption and say nothing.
  const elsewhere = ENCRYPTION.flat().map((name) => [
    name,
    "Give it as a key of the configuration",
  ]);
  query.end(form === "url" ? {} : Object.fromEntries(elsewhere));
  return settings;
}

const ENCRYPTION = [
  ["sseCustomerAlgorithm", "sse-customer-algorithm"],
  ["sseCustomerKey", "sse-customer-key"],
  ["sseCustomerKeyMd5", "sse-customer-key-md5"],
  ["sseKmsKeyId", "sse-kms-key-id"],
] as const;

function encryption(query: UrlQuery): Partial<S3Settings> {
  return Object.fromEntries(ENCRYPTION.map((names) => [names[0], query.text(...names)]));
}

function azureSettings(parts: UrlParts): AzureSettings {
  if (parts.password !== undefined) {
    throw refused(
      parts,
      "it holds a password",
      "Give the account key or a SAS token apart from it",
    );
  }
  parts.query.end();
  return {
    type: "abs",
    accountName: parts.user,
    container: required(parts.host, "container", parts),
    path: relative(parts.path),
  };
}

function sftpSettings(parts: UrlParts, form: UrlForm): SftpSettings {
  const { host, port } = splitPort(parts);
  parts.query.end();
  return {
    type: "sftp",
    host: required(host, "host", parts),
    port: port ?? 22,
    user: required(parts.user ?? "", "user", parts),
    password: parts.password,
    path: form === "url" ? relative(parts.path) : parts.path,
  };
}

function natsSettings(parts: UrlParts): ReplicaSettings {
  const bucket = required(relative(parts.path).replace(/\/+$/, ""), "bucket", parts);
  if (bucket.includes("/")) {
    const what = "it names a path, but a bucket of NATS holds one database at its root";
    throw refused(parts, what, "Use a bucket of its own for each database");
  }
  parts.query.end();
  const server = `nats://${required(parts.host, "host", parts)}`;
  return { type: "nats", server, bucket, username: parts.user, password: parts.password };
}

function webdavSettings(parts: UrlParts, form: UrlForm): WebdavSettings {
  parts.query.end();
  const scheme = parts.scheme === "webdavs" ? "https" : "http";
  return {
    type: "webdav",
    url: `${scheme}://${required(parts.host, "host", parts)}`,
    path: form === "url" ? relative(parts.path) : parts.path,
    username: parts.user,
    password: parts.password,
  };
}

function ossSettings(parts: UrlParts): OssSettings {
  refuseUserInfo(parts);
  parts.query.end();
  const match = /^(.+?)\.oss-([^.]+?)(-internal)?\.aliyuncs\.com$/.exec(parts.host);
  const [, bucket = parts.host, region = "cn-hangzhou", internal] = match ?? [];
  return {
    type: "oss",
    bucket: required(bucket, "bucket", parts),
    path: relative(parts.path),
    region,
    endpoint: internal === undefined ? undefined : `https://oss-${region}-internal.aliyuncs.com`,
  };
}

/** Splits as Litestream does: an ARN is no host that a URL could have. */
function splitUrl(url: string, form: UrlForm): UrlParts {
  const match = /^(\w+):\/\/([^?#]*)(?:\?([^#]*))?/s.exec(url);
  if (match === null) {
    throw new InvalidArgumentError({
      operation: "use",
      object: "the replica URL",
      what: "it does not begin with a scheme and ://",
      next: "Write it like s3://bucket/path or file:///path",
    });
  }
  const [, scheme = "", rest = "", search = ""] = match;
  const arn = /^s3$/i.test(scheme) ? /^(arn:.*?:accesspoint\/[^/]+)(.*)$/is.exec(rest) : null;
  const [, authority = "", rawPath = ""] = arn ?? /^([^/]*)(.*)$/s.exec(rest) ?? [];
  const at = authority.lastIndexOf("@");
  const [rawHost, info] = [authority.slice(at + 1), at < 0 ? undefined : authority.slice(0, at)];
  // A password that is not encoded may end the authority early: then nothing is shown that could be a part of it.
  const hidden = at < 0 && url.includes("@");
  const shown = hidden ? `${scheme}://…` : `${scheme}://${rawHost}${rawPath}`;
  const decoded = (text: string): string => decode(text, shown);
  const colon = info?.indexOf(":") ?? -1;
  return {
    scheme: scheme.toLowerCase(),
    host: decoded(rawHost),
    user: info === undefined ? undefined : decoded(colon < 0 ? info : info.slice(0, colon)),
    password: info === undefined || colon < 0 ? undefined : decoded(info.slice(colon + 1)),
    path: cleanPath(decoded(rawPath)),
    query: new UrlQuery(search, { shown, form, hidden }),
    shown,
  };
}

/** Collapses `//`, `.` and `..` as Go's `path.Clean` does, and keeps the leading slash. */
function cleanPath(path: string): string {
  if (path === "") return "";
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  return `/${segments.join("/")}`;
}

function relative(path: string): string {
  return path.replace(/^\//, "");
}

function splitPort(parts: UrlParts): { readonly host: string; readonly port: number | undefined } {
  const match = /^(.*?)(?::(\d*))?$/s.exec(parts.host);
  const [, host = "", digits] = match ?? [];
  if (digits === undefined || digits === "") return { host, port: undefined };
  const port = Number(digits);
  if (port < 1 || port > 65_535) throw refused(parts, `${digits} is no port`);
  return { host, port };
}

function decode(text: string, shown: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    const what =
      "it holds a percent sign that two hex digits do not follow, or bytes that are no text";
    throw refused({ shown }, what, "Write %25 for a percent sign");
  }
}

function required(value: string, name: string, parts: UrlParts): string {
  if (value !== "") return value;
  throw refused(parts, `${name} required for ${parts.scheme} replica`, exampleOf(parts.scheme));
}

function exampleOf(scheme: string): string {
  const examples: Readonly<Record<string, string>> = {
    abs: "abs://ACCOUNT@CONTAINER/path",
    nats: "nats://HOST:4222/BUCKET",
    sftp: "sftp://USER@HOST/path",
    webdav: "webdav://HOST/path",
    webdavs: "webdavs://HOST/path",
  };
  return `Write it like ${examples[scheme] ?? `${scheme}://BUCKET/path`}`;
}

function refuseUserInfo(parts: UrlParts): void {
  if (parts.user === undefined) return;
  const what = "it holds a user or a key, which is not read from such a URL";
  throw refused(parts, what, "Give keys by the environment or as options");
}

function unknownScheme(parts: UrlParts): InvalidArgumentError {
  const next =
    parts.scheme === "gcs"
      ? `Write gs:// instead of gcs://`
      : `Use one of ${SCHEMES.map((scheme) => `${scheme}://`).join(", ")}`;
  return refused(parts, `${parts.scheme}:// is no store that is known`, next);
}

function refused(
  { shown }: Pick<UrlParts, "shown">,
  what: string,
  next?: string,
): InvalidArgumentError {
  return new InvalidArgumentError({ operation: "use", object: shown, what, next });
}
