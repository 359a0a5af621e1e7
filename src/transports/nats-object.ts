/**
 * How JetStream keeps an object: subjects and the message that describes it, as Go and JavaScript clients write them.
 *
 * A bucket `B` is the stream `OBJ_B`. The bytes of an object are messages on `$O.B.C.<nuid>`, one per chunk; what is known
 * of it is one message on `$O.B.M.<name in base64>`. Whoever replaces an object writes chunks under a new nuid, then
 * that message, which removes its predecessor, and at last purges the old chunks.
 *
 * @module
 */
import { StoreError } from "./errors.ts";
import type { ObjectInfo, ObjectMetadata } from "./object-store.ts";

/** Where the objects of a bucket lie. */
export interface BucketNames {
  /** The stream. */
  readonly stream: string;
  /** Subject of the message that describes an object. */
  meta(key: string): string;
  /** Subjects of all those messages. */
  readonly allMeta: string;
  /** Subject of an object's chunks. */
  chunks(nuid: string): string;
}

/** Names in a bucket. */
export function bucketNames(bucket: string): BucketNames {
  return {
    stream: `OBJ_${bucket}`,
    meta: (key) => `$O.${bucket}.M.${base64Url(new TextEncoder().encode(key))}`,
    allMeta: `$O.${bucket}.M.>`,
    chunks: (nuid) => `$O.${bucket}.C.${nuid}`,
  };
}

/** An object as its message describes it. */
export interface NatsObject {
  readonly key: string;
  /** Sequence of the message in the stream, by which conditions are told. */
  readonly seq: number;
  /** When the server stored the message. */
  readonly time: Date;
  /** Names the chunks. */
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  /** Digest of all bytes as the message has it; another algorithm's is kept as it is. */
  readonly digest: string;
  /** Only a marker that the object was deleted. */
  readonly deleted: boolean;
  /** Stands for another object. */
  readonly link: boolean;
  readonly metadata: ObjectMetadata;
}

/** The JSON of the message. */
interface Wire {
  readonly name: string;
  readonly bucket: string;
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  readonly mtime?: string;
  readonly digest?: string;
  readonly deleted?: boolean;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  readonly options?: { readonly max_chunk_size?: number; readonly link?: unknown };
}

/** What {@linkcode encodeObject} writes. */
export interface NewObject {
  readonly key: string;
  readonly bucket: string;
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  /** SHA-256 of all bytes. */
  readonly sha256: Uint8Array;
  readonly chunkSize: number;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  readonly metadata: ObjectMetadata | undefined;
}

/** The message that describes a new object. */
export function encodeObject(object: NewObject): string {
  const { metadata = {} } = object;
  // Go looks headers up by their exact spelling.
  const headers = Object.entries(metadata).map(([name, value]) => [canonical(name), [value]]);
  const wire: Wire = {
    name: object.key,
    ...(headers.length > 0 ? { headers: Object.fromEntries(headers) } : {}),
    options: { max_chunk_size: object.chunkSize },
    bucket: object.bucket,
    nuid: object.nuid,
    size: object.size,
    mtime: new Date(object.nowMs).toISOString(),
    chunks: object.chunks,
    digest: digestText(object.sha256),
  };
  return JSON.stringify(wire);
}

/** A stored message. */
export interface StoredMessage {
  readonly data: Uint8Array;
  readonly seq: number;
  readonly time: Date;
}

/** Reads the message that describes an object. */
export function decodeObject({ data, seq, time }: StoredMessage, operation: string): NatsObject {
  const wire = parse(data);
  if (wire === undefined) {
    throw new StoreError({
      operation,
      object: `message ${seq} of the bucket`,
      what: "it does not describe an object",
      next: "Keep other programs from publishing to the subjects of the bucket",
    });
  }
  return {
    key: wire.name,
    seq,
    time,
    nuid: wire.nuid,
    size: wire.size,
    chunks: wire.chunks,
    digest: wire.digest ?? "",
    deleted: wire.deleted === true,
    link: wire.options?.link !== undefined && wire.options.link !== null,
    metadata: metadataOf(wire.headers ?? {}),
  };
}

function parse(data: Uint8Array): Wire | undefined {
  let value: Partial<Wire> | null;
  try {
    value = JSON.parse(new TextDecoder().decode(data)) as Partial<Wire> | null;
  } catch {
    return undefined;
  }
  const { name, nuid = "", size = 0, chunks = 0, headers } = value ?? {};
  const isCount = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) >= 0;
  const valid =
    typeof name === "string" &&
    typeof nuid === "string" &&
    // It becomes part of a subject.
    /^\w*$/.test(nuid) &&
    isCount(size) &&
    isCount(chunks) &&
    (headers === undefined || headers === null || typeof headers === "object");
  return valid ? ({ ...value, nuid, size, chunks } as Wire) : undefined;
}

function metadataOf(headers: NonNullable<Wire["headers"]>): ObjectMetadata {
  const metadata: Record<string, string> = {};
  for (const [name, values] of Object.entries(headers ?? {})) {
    const first = Array.isArray(values) ? (values[0] as unknown) : undefined;
    if (typeof first === "string") metadata[name.toLowerCase()] = first;
  }
  return metadata;
}

/** What the contract tells of an object. */
export function infoOf(object: NatsObject): ObjectInfo {
  return {
    key: object.key,
    size: object.size,
    etag: etagOf(object),
    lastModified: new Date(object.time),
    metadata: object.metadata,
  };
}

/** The version tag: the sequence decides, the nuid tells buckets apart that were made anew under one name. */
export function etagOf({ seq, nuid }: Pick<NatsObject, "seq" | "nuid">): string {
  return `${seq}-${nuid}`;
}

/** The digest of an object's message. */
export function digestText(sha256: Uint8Array): string {
  return `SHA-256=${base64Url(sha256)}`;
}

/** `litestream-timestamp` as `Litestream-Timestamp`. */
function canonical(name: string): string {
  return name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => {
    return dash + letter.toUpperCase();
  });
}

/** Base64 for URLs, with padding. */
function base64Url(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_");
}
