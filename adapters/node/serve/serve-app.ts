/**
 * One replica over HTTP, for reading: what `httpStore` asks for, and nothing else that the store holds.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { isPagestreamError, type ObjectInfo, type ObjectStore } from "pagestream";
import { namesTag, parseRange, type RequestedRange } from "./conditions.ts";
import { storeKey } from "./keys.ts";
import { entityTag, ServedListing } from "./listing.ts";
import { Slots } from "./slots.ts";

/** Options of {@linkcode serveApp}. */
export interface ServeOptions {
  /** What every request must bring as bearer token. @default anyone may read */
  readonly token?: string | undefined;
  /** Origins of pages that may read, or `*`. @default none */
  readonly corsOrigins?: readonly string[] | undefined;
  /** Files that are sent at a time; past it 503. @default 64 */
  readonly maxStreams?: number | undefined;
  /** Milliseconds a client may take for one piece of a file. @default 60000 */
  readonly stallMs?: number | undefined;
  /** For how many milliseconds a listing is told again. @default 1000 */
  readonly freshMs?: number | undefined;
  /** Milliseconds, from anywhere on. @default the clock */
  readonly now?: (() => number) | undefined;
  /** Gets each failure of the store, and what was asked for. */
  readonly onFailure?: ((error: unknown, path: string) => void) | undefined;
}

/** A file that is asked for. */
interface Asked {
  /** Its key in the store. */
  readonly key: string;
  readonly range: RequestedRange | undefined;
  /** The body as it is to be sent. */
  readonly send: (body: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>;
}

const YEAR_S = 31_536_000;
const INDEX_PATH = "/pagestream-index.json";
const READ_HEADERS = ["authorization", "range", "if-range", "if-match", "if-none-match"];
const TOLD_HEADERS = ["etag", "content-range", "accept-ranges", "content-length", "last-modified"];

/** Makes the routes over a store, whose layout may be any. */
export function serveApp(store: ObjectStore, options: ServeOptions = {}): Hono {
  const { token, corsOrigins = [], maxStreams = 64, stallMs = 60_000 } = options;
  const { freshMs = 1000, now = () => performance.now(), onFailure } = options;
  const { layout = "directory" } = store;
  const listing = new ServedListing(store, { freshMs, now });
  const slots = new Slots(maxStreams, { stallMs });
  // What asks for a token must not be kept where others read it.
  const scope = token === undefined ? "public" : "private";
  const forEver = `${scope}, max-age=${YEAR_S}, immutable`;
  const app = new Hono();

  if (corsOrigins.length > 0) {
    const origin = corsOrigins.includes("*") ? "*" : [...corsOrigins];
    const allowMethods = ["GET", "HEAD"];
    app.use(
      cors({ origin, allowMethods, allowHeaders: READ_HEADERS, exposeHeaders: TOLD_HEADERS }),
    );
  }
  app.use(async (c, next) => {
    c.header("x-content-type-options", "nosniff");
    if (token !== undefined && !bears(c, token)) {
      c.header("www-authenticate", 'Bearer realm="pagestream"');
      return told(c, 401, "a bearer token is needed");
    }
    if (c.req.method !== "GET" && c.req.method !== "HEAD") {
      c.header("allow", "GET, HEAD");
      return told(c, 405, "only GET and HEAD are known");
    }
    return await next();
  });

  app.get(INDEX_PATH, async (c) => {
    const prefix = c.req.query("prefix") ?? "";
    const page = await listing.index({ prefix, startAfter: c.req.query("startAfter") });
    return json(c, page);
  });
  app.get("/info", async (c) => json(c, await listing.info()));
  app.get("*", async (c) => {
    const path = decoded(new URL(c.req.url).pathname);
    if (path === undefined) return told(c, 400, "the path is not encoded as URLs are");
    const key = storeKey(layout, path.slice(1));
    if (key === undefined) return told(c, 404, "no file of a replica has this name");
    const release = slots.take();
    if (release === undefined) {
      c.header("retry-after", "1");
      return told(c, 503, "too many files are being sent");
    }
    const range = c.req.method === "GET" ? parseRange(c.req.header("range")) : undefined;
    let isSending = false;
    const send = (body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> => {
      isSending = true;
      return slots.hold(body, release);
    };
    try {
      return await answer(c, { key, range, send });
    } finally {
      if (!isSending) release();
    }
  });

  const answer = async (c: Context, asked: Asked): Promise<Response> => {
    const { signal } = c.req.raw;
    const { key, send } = asked;
    let { range } = asked;
    const header = (name: string): string | undefined => c.req.header(name);
    const [ifMatch, ifNoneMatch, ifRange] = ["if-match", "if-none-match", "if-range"].map(header);
    const isConditional = [ifMatch, ifNoneMatch, ifRange].some((each) => each !== undefined);
    const needsHead = c.req.method === "HEAD" || isConditional || (range && "last" in range);
    const info = needsHead === true ? await store.head(key, { signal }) : undefined;
    if (info !== undefined) {
      const tag = describe(c, info, forEver);
      if (ifMatch !== undefined && !namesTag(ifMatch, tag, { weak: false })) {
        return told(c, 412, "the file is another version");
      }
      if (ifNoneMatch !== undefined && namesTag(ifNoneMatch, tag, { weak: true })) {
        return c.body(null, 304);
      }
      if (c.req.method === "HEAD") {
        c.header("content-length", String(info.size));
        return c.body(null);
      }
      if (ifRange !== undefined && ifRange !== tag) range = undefined;
    }
    const { offset, length } = partOf(range, info?.size ?? 0);
    const version = info === undefined || info.etag === "" ? undefined : info.etag;
    const got = await store.get(key, { offset, length, ifMatch: version, signal });
    const end = Math.min(got.size, length === undefined ? got.size : offset + length);
    describe(c, got, forEver);
    if (range !== undefined) {
      if (offset >= end) {
        await got.body.cancel();
        c.header("content-range", `bytes */${got.size}`);
        return told(c, 416, "the file ends before this range");
      }
      c.header("content-range", `bytes ${offset}-${end - 1}/${got.size}`);
    }
    c.header("content-length", String(end - offset));
    return c.body(send(got.body), range === undefined ? 200 : 206);
  };

  app.onError((error, c) => {
    if (isPagestreamError(error, "NOT_FOUND")) return told(c, 404, "there is no such file");
    // A client that has gone is no failure.
    if (!c.req.raw.signal.aborted) onFailure?.(error, new URL(c.req.url).pathname);
    if (isPagestreamError(error, "PRECONDITION_FAILED")) {
      c.header("retry-after", "1");
      return told(c, 503, "the file was replaced meanwhile");
    }
    return told(c, 502, "the store could not be read");
  });
  return app;
}

/** Where a range begins and how long it is, in a file of a size. */
function partOf(
  range: RequestedRange | undefined,
  size: number,
): { readonly offset: number; readonly length: number | undefined } {
  if (range === undefined) return { offset: 0, length: undefined };
  if (!("last" in range)) return range;
  // The last 0 bytes are no range of any file.
  return { offset: Math.max(0, size - range.last), length: Math.min(size, range.last) };
}

/** Tells what is known of a file, and returns its tag. */
function describe(
  c: Context,
  info: Pick<ObjectInfo, "size" | "etag" | "lastModified">,
  cacheControl: string,
): string {
  const tag = entityTag(info);
  c.header("accept-ranges", "bytes");
  c.header("cache-control", cacheControl);
  c.header("content-type", "application/octet-stream");
  c.header("etag", tag);
  c.header("last-modified", info.lastModified.toUTCString());
  return tag;
}

/** An answer that is no file: never kept. */
function told(
  c: Context,
  status: 400 | 401 | 404 | 405 | 412 | 416 | 502 | 503,
  text: string,
): Response {
  c.header("cache-control", "no-store");
  return c.text(`${text}\n`, status);
}

function json(c: Context, value: object): Response {
  c.header("cache-control", "no-store");
  return c.json(value);
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

/** Whether a request brings the token; takes the same time whatever it brings. */
function bears(c: Context, token: string): boolean {
  const [, given = ""] = /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "") ?? [];
  const [a, b] = [given, token].map((each) => createHash("sha256").update(each).digest());
  return timingSafeEqual(a as Buffer, b as Buffer);
}
