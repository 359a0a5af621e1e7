/**
 * Where a store on the web lies: the address of its service and the path of its keys, checked once.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { isKey } from "./path-rules.ts";

/**
 * The address of a service, without a slash at the end. `InvalidArgumentError` unless it is a URL of http or https
 * without user info, query and fragment, which would end up in messages.
 */
export function checkEndpoint(endpoint: string, store: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const plain =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    [url.username, url.password, url.search, url.hash].every((part) => part === "");
  if (plain) return url.href.replace(/\/+$/, "");
  throw new InvalidArgumentError({
    operation: "use",
    object: `the endpoint of ${store}`,
    what: "it is no address of http or https without user info, query and fragment",
    next: "Write it like https://storage.example.com",
  });
}

/** The keys of a store, and the names of its objects on the server. */
export interface KeyPath {
  /** The path, without slashes around it; may be empty. */
  readonly path: string;
  /** What every name on the server begins with: the path and a slash, or nothing. */
  readonly prefix: string;
  /** The key of a name on the server; `undefined` for a name that is no key below the path. */
  keyOf(name: string): string | undefined;
}

/** Checks the `path` option; slashes around it are dropped, as Litestream does. */
export function keyPath(path: string | undefined, store: string): KeyPath {
  const trimmed = (path ?? "").replace(/^\/+|\/+$/g, "");
  if (trimmed !== "" && !isKey(trimmed)) {
    throw new InvalidArgumentError({
      operation: "use",
      object: `the path of ${store}`,
      what: "it holds an empty segment, a dot segment, a backslash or a control character",
      next: "Write it like backups/app",
    });
  }
  const prefix = trimmed === "" ? "" : `${trimmed}/`;
  return {
    path: trimmed,
    prefix,
    keyOf(name) {
      const key = name.startsWith(prefix) ? name.slice(prefix.length) : "";
      return isKey(key) ? key : undefined;
    },
  };
}

/** A name as it stands in a URL: all but letters, digits and `-._~` encoded per byte of UTF-8. */
export function encodeName(name: string): string {
  return encodeURIComponent(name).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Like {@linkcode encodeName} for each segment of a path; the slashes stay. */
export function encodePath(path: string): string {
  return path.split("/").map(encodeName).join("/");
}

/** Parameters as they stand in a URL, in the order given; undefined ones are left out. */
export function encodeQuery(query: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(query)
    .flatMap(([name, value]) =>
      value === undefined ? [] : [`${encodeName(name)}=${encodeName(value)}`],
    )
    .join("&");
}

/** Whether a host is this machine or lies in a private network: what Litestream speaks plain HTTP to by default. */
export function isLocalHost(host: string): boolean {
  return (
    /^(?:localhost|127\.0\.0\.1|\[::1\])$/.test(host) ||
    /^(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.[\d.]+$/.test(host) ||
    /\.(?:local|localhost)$/.test(host)
  );
}

/** An endpoint with `https://` before it, or `http://` for a local host, where it has no scheme. */
export function withScheme(endpoint: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(endpoint)) return endpoint;
  const host = endpoint.replace(/[/?#].*$/s, "").replace(/:\d*$/, "");
  return `${isLocalHost(host.toLowerCase()) ? "http" : "https"}://${endpoint}`;
}
