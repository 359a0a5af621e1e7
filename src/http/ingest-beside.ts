/**
 * The small objects that a writer keeps beside the levels: its lease, the pointer, and what an adoption left.
 *
 * @module
 */
import type { Context } from "hono";
import { isPagestreamError } from "../core/errors.ts";
import { ADOPTED_KEY } from "../replica/adopted.ts";
import { LEASE_KEY } from "../replica/lease-object.ts";
import { decodePointer, POINTER_KEY } from "../replica/pointer.ts";
import type { ObjectInfo, ObjectStore } from "../transports/object-store.ts";
import { namesTag } from "./conditions.ts";
import { type BodyLimits, receiveSmall } from "./ingest-body.ts";
import { entityTag } from "./listing.ts";
import { Refusal } from "./refusal.ts";

/** An object beside the levels. */
export interface BesideObject {
  readonly key: string;
  /** Names it in operations: `Lease` gives `getLease` and `putLease`. */
  readonly word: string;
  /** What it is, for the document. */
  readonly summary: string;
  /** Whether bytes can be it. */
  readonly isSound: (bytes: Uint8Array) => boolean;
  /** Whether it is replaced only by who names the version, and stays. */
  readonly isGuarded: boolean;
}

const TXID = /^[0-9a-f]{16}$/;

/** All that a client may keep beside the levels. */
export const BESIDE: readonly BesideObject[] = [
  {
    key: LEASE_KEY,
    word: "Lease",
    summary: "the lease, by which writers know of each other",
    isSound: (bytes) => {
      const { generation, expires_at } = parse(bytes);
      return Number.isSafeInteger(generation) && !Number.isNaN(Date.parse(String(expires_at)));
    },
    isGuarded: true,
  },
  {
    key: POINTER_KEY,
    word: "Pointer",
    summary: "the pointer, a hint for those who follow",
    isSound: (bytes) => decodePointer(bytes) !== undefined,
    isGuarded: false,
  },
  {
    key: ADOPTED_KEY,
    word: "Adopted",
    summary: "what retention keeps since an earlier state was adopted",
    isSound: (bytes) => {
      const { txids } = parse(bytes);
      return Array.isArray(txids) && txids.every((each) => TXID.test(String(each)));
    },
    isGuarded: false,
  },
];

/** Bytes of which none of them has more. */
const MAX_BYTES = 16 << 10;

/** Answers with an object as it is. */
export async function getBeside(
  c: Context,
  { key }: BesideObject,
  store: ObjectStore,
): Promise<Response> {
  const { signal } = c.req.raw;
  const found = await store.get(key, { length: MAX_BYTES, signal });
  const bytes = await new Response(found.body as ReadableStream<Uint8Array<ArrayBuffer>>).bytes();
  describe(c, { ...found, key });
  c.header("content-type", "application/json");
  c.header("content-length", String(bytes.length));
  return c.body(bytes);
}

/** Writes an object, by the conditions of the request. */
export async function putBeside(
  c: Context,
  { key, isSound, isGuarded }: BesideObject,
  { store, limits }: { readonly store: ObjectStore; readonly limits: BodyLimits },
): Promise<Response> {
  const [ifNoneMatch, ifMatch] = [c.req.header("if-none-match"), c.req.header("if-match")];
  if (isGuarded && ifNoneMatch === undefined && ifMatch === undefined) {
    throw new Refusal("BAD_REQUEST", "this object is written with If-Match or If-None-Match");
  }
  const bytes = await receiveSmall(c, { ...limits, maxBytes: MAX_BYTES });
  if (!isSound(bytes)) throw new Refusal("INVALID_FILE", "these bytes are no such object");
  const { signal } = c.req.raw;
  try {
    const condition =
      ifMatch === undefined
        ? { ifNoneMatch: ifNoneMatch === undefined ? undefined : ("*" as const) }
        : { ifMatch: await versionOf(store, key, ifMatch) };
    const put = await store.put(key, bytes, { ...condition, signal });
    describe(c, { ...put, key, size: bytes.length });
    return c.body(null, ifNoneMatch === undefined ? 200 : 201);
  } catch (error) {
    if (!isPagestreamError(error, "PRECONDITION_FAILED")) throw error;
    throw otherVersion();
  }
}

/** The store's own tag of the version that a client names. */
async function versionOf(store: ObjectStore, key: string, ifMatch: string): Promise<string> {
  try {
    const info = await store.head(key);
    if (namesTag(ifMatch, entityTag(info), { weak: false })) return info.etag;
  } catch (error) {
    if (!isPagestreamError(error, "NOT_FOUND")) throw error;
  }
  throw otherVersion();
}

/** What is said when a condition does not hold. */
export function otherVersion(): Refusal {
  return new Refusal("PRECONDITION_FAILED", "another version is there");
}

/** Tells the version of an object; never kept by caches. */
export function describe(
  c: Context,
  info: Pick<ObjectInfo, "key" | "etag" | "size" | "lastModified">,
): void {
  c.header("cache-control", "no-store");
  c.header("etag", entityTag(info));
  c.header("last-modified", info.lastModified.toUTCString());
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(new TextDecoder().decode(bytes))) as Record<string, unknown>;
  } catch {
    return {};
  }
}
