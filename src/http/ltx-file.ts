/**
 * An LTX file as it is, or a part of it: immutable, so that caches may keep it for ever.
 *
 * @module
 */
import type { Context } from "hono";
import { parseFileName } from "../ltx/file-name.ts";
import type { ObjectInfo } from "../transports/object-store.ts";
import { checkConditions, namesTag, parseRange, type RequestedRange } from "./conditions.ts";
import { entityTag } from "./listing.ts";
import type { Mounts } from "./mounted.ts";
import type { Parameter } from "./openapi.ts";
import { Refusal } from "./refusal.ts";
import type { Route } from "./route.ts";
import type { Slots } from "./slots.ts";

const YEAR_S = 31_536_000;

/** What routes that send something large share. */
export interface Sending {
  /** The replicas. */
  readonly mounts: Mounts;
  /** Bodies that are sent at a time. */
  readonly slots: Slots;
  /** `public`, or `private` where clients must prove who they are. */
  readonly scope: "public" | "private";
}

/** `Cache-Control` of what never changes. */
export function forEver(scope: Sending["scope"]): string {
  return `${scope}, max-age=${YEAR_S}, immutable`;
}

/** Parameters of the route of a file. */
export const FILE_PARAMETERS: readonly Parameter[] = [
  {
    name: "level",
    in: "path",
    description: "0 for files as they were written, 1 to 8 for merged ones, 9 for snapshots",
    schema: { type: "integer", minimum: 0, maximum: 9 },
  },
  {
    name: "name",
    in: "path",
    description: "First and last TXID, 16 hex digits each: `<min>-<max>.ltx`",
    schema: { type: "string", pattern: "^[0-9a-f]{16}-[0-9a-f]{16}\\.ltx$" },
  },
];

/** `GET /ltx/:level/:name`. */
export function ltxFileRoute(sending: Sending): Route {
  const bytes = { type: "string", contentEncoding: "binary" };
  return {
    method: "GET",
    path: "/ltx/:level/:name",
    operation: {
      operationId: "ltxFile",
      summary: "An LTX file of the replica, or a part of it",
      description:
        "What `httpStore` reads. A file never changes, so it may be cached for ever; a `Range` of one part is honoured.",
      parameters: FILE_PARAMETERS,
      answers: {
        200: { description: "The file", type: "application/octet-stream", schema: bytes },
        206: { description: "The part", type: "application/octet-stream", schema: bytes },
        304: { description: "The client has this version" },
      },
      refusals: ["BAD_REQUEST", "NOT_FOUND", "PRECONDITION_FAILED", "RANGE_NOT_SATISFIABLE"],
    },
    handle: (c) => answer(c, sending),
  };
}

async function answer(c: Context, { mounts, slots, scope }: Sending): Promise<Response> {
  const { replica } = await mounts.of(c);
  const key = keyOf(c, (span) => replica.key(span));
  const place = slots.take();
  try {
    const { store } = replica;
    const { signal } = c.req.raw;
    const cacheControl = forEver(scope);
    const isHead = c.req.method === "HEAD";
    const ifRange = c.req.header("if-range");
    let range = isHead ? undefined : parseRange(c.req.header("range"));
    const conditions = ["if-match", "if-none-match", "if-range"];
    const isConditional = conditions.some((name) => c.req.header(name) !== undefined);
    const needsHead = isHead || isConditional || (range !== undefined && "last" in range);
    const info = needsHead ? await store.head(key, { signal }) : undefined;
    if (info !== undefined) {
      const tag = describe(c, info, cacheControl);
      if (checkConditions(c, tag) === "unchanged") return c.body(null, 304);
      if (isHead) {
        c.header("content-length", String(info.size));
        return c.body(null);
      }
      if (ifRange !== undefined && !namesTag(ifRange, tag, { weak: false })) range = undefined;
    }
    const { offset, length } = partOf(range, info?.size ?? 0);
    const version = info === undefined || info.etag === "" ? undefined : info.etag;
    const got = await store.get(key, { offset, length, ifMatch: version, signal });
    const end = Math.min(got.size, length === undefined ? got.size : offset + length);
    if (range !== undefined && offset >= end) {
      await got.body.cancel();
      throw noSuchRange(got.size);
    }
    describe(c, got, cacheControl);
    if (range !== undefined) c.header("content-range", `bytes ${offset}-${end - 1}/${got.size}`);
    c.header("content-length", String(end - offset));
    return c.body(place.send(got.body), range === undefined ? 200 : 206);
  } finally {
    place.leave();
  }
}

/** The refusal of a range that a file of `size` bytes does not have. */
export function noSuchRange(size: number): Refusal {
  const headers = { "content-range": `bytes */${size}` };
  return new Refusal("RANGE_NOT_SATISFIABLE", "the file ends before this range", headers);
}

/** Where a range begins and how long it is, in a file of a size. */
export function partOf(
  range: RequestedRange | undefined,
  size: number,
): { readonly offset: number; readonly length: number | undefined } {
  if (range === undefined) return { offset: 0, length: undefined };
  if (!("last" in range)) return range;
  // The last 0 bytes are no range of any file.
  return { offset: Math.max(0, size - range.last), length: Math.min(size, range.last) };
}

function keyOf(
  c: Context,
  toKey: (span: { level: number; minTxid: bigint; maxTxid: bigint }) => string,
): string {
  const level = c.req.param("level") ?? "";
  const name = parseFileName(c.req.param("name") ?? "");
  if (!/^\d$/.test(level) || name === undefined) {
    throw new Refusal("NOT_FOUND", "no file of a replica has this name");
  }
  return toKey({ level: Number(level), minTxid: name.minTxid, maxTxid: name.maxTxid });
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
