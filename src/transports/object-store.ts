/**
 * The contract between a replica and the place it lives in: all that a back end implements.
 *
 * Keys are `/`-separated, relative to the path the store was made for, without a leading slash. Every store passes
 * `testObjectStore` of `pagestream/testing`.
 *
 * @module
 */

import type { BlockingReads } from "../core/page-source.ts";

/** What a store can do beyond plain reading and writing. A feature that needs a missing one refuses, it never weakens. */
export interface StoreCapabilities {
  /** `put` with `ifNoneMatch: "*"` creates atomically: of two racing writers one wins. */
  readonly conditionalPut: boolean;
  /** `put` with `ifMatch` replaces atomically. */
  readonly conditionalReplace: boolean;
  /** Conditions hold for objects of any size, multipart ones included. */
  readonly conditionalLarge: boolean;
  /** `deleteOne` honours `ifMatch`. */
  readonly conditionalDelete: boolean;
  /** `list` yields metadata, so that exact times cost no request per object. */
  readonly metadataInList: boolean;
  /** `get` honours `offset` and `length` without transferring the rest. */
  readonly rangedGet: boolean;
  /** The store can announce new objects: it has `watch`. */
  readonly watch: boolean;
}

/**
 * Key of the object that `probe` writes to learn which conditions are honoured: outside the folders of the levels, where
 * Litestream never looks. It stays, so that the next probe needs fewer requests and no permission to delete.
 */
export const PROBE_KEY = "pagestream-probe";

/** String metadata kept with an object. Names are lower case; every store keeps at least `litestream-timestamp`. */
export type ObjectMetadata = Readonly<Record<string, string>>;

/** What is known of an object without reading it. */
export interface ObjectInfo {
  /** Where it lies, relative to the path the store was made for. */
  readonly key: string;
  /** Size in bytes. */
  readonly size: number;
  /** Opaque version tag; empty where the store has none. */
  readonly etag: string;
  /** When the store received it, by the store's clock. */
  readonly lastModified: Date;
  /** Present where known: always from `head` and `get`, from `list` only with `metadataInList`. */
  readonly metadata?: ObjectMetadata | undefined;
}

/** Options of {@linkcode ObjectStore.get}. */
export interface GetOptions {
  /** First byte. @default 0 */
  readonly offset?: number | undefined;
  /** Number of bytes; to the end when left out. A range past the end is cut, or empty. */
  readonly length?: number | undefined;
  /** Read only this version, else `PreconditionFailedError`. */
  readonly ifMatch?: string | undefined;
  /** Ends the request, or the body under way, with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** A body and what came with it. */
export interface GetResult {
  /** The bytes asked for. A body cut short by the transport ends in an error, never quietly. */
  readonly body: ReadableStream<Uint8Array>;
  /** Size of the whole object in bytes, whatever range was asked for. */
  readonly size: number;
  /** Version tag of the object the bytes are of; empty where the store has none. */
  readonly etag: string;
  /** When the store received the object, by the store's clock. */
  readonly lastModified: Date;
  /** All that was put with the object; empty where nothing was. */
  readonly metadata: ObjectMetadata;
}

/** Options of {@linkcode ObjectStore.put}. */
export interface PutOptions {
  /** `"*"`: create only, else `PreconditionFailedError`. */
  readonly ifNoneMatch?: "*" | undefined;
  /** Replace only this version, else `PreconditionFailedError`. */
  readonly ifMatch?: string | undefined;
  /** Kept with the object; a later `put` replaces all of it. */
  readonly metadata?: ObjectMetadata | undefined;
  /** Upper bound in bytes of a streamed body, for stores that must know the length first. */
  readonly sizeBound?: number | undefined;
  /** Ends the upload with `AbortedError`; the key keeps what it had. */
  readonly signal?: AbortSignal | undefined;
}

/** What a store tells of an object it has written. */
export interface PutResult {
  /** Version tag for `ifMatch`; empty where the store has none. */
  readonly etag: string;
  /** When the store received it, by the store's clock. */
  readonly lastModified: Date;
}

/** Options of {@linkcode ObjectStore.list}. */
export interface ListOptions {
  /** Only keys that begin with this. @default "" */
  readonly prefix?: string | undefined;
  /** Only keys that sort after this one. */
  readonly startAfter?: string | undefined;
  /** Ends the iteration with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@linkcode ObjectStore.watch}. */
export interface WatchOptions {
  /** Only keys that begin with this. @default "" */
  readonly prefix?: string | undefined;
  /** Called once, when every later `put` will be announced: a listing begun after it leaves no gap. */
  readonly ready?: (() => void) | undefined;
  /** Ends the iteration with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** Blocking reads of what is on this machine: each takes microseconds. */
export interface LocalReads extends BlockingReads {
  /** Lets go of the files that are kept open: safe to call again. Nothing may be read afterwards. */
  close(): void;
}

/** A place for objects. Methods are safe to call concurrently. */
export interface ObjectStore {
  /** Scheme name as in Litestream: `file`, `s3`, `memory`. */
  readonly type: string;
  /** Where this is, for messages and logs: never a secret. */
  readonly description: string;
  /**
   * What is known for sure. The same for the life of the store once `probe`, where there is one, has resolved: the
   * engine calls that first and plans with the result.
   */
  readonly capabilities: StoreCapabilities;
  /**
   * Finds out which conditions the server really honours, and from then on says so in `capabilities`. A writer calls it
   * before its first write; a reader need not. It works once, later calls give the same answer.
   */
  probe?(options?: { readonly signal?: AbortSignal | undefined }): Promise<StoreCapabilities>;
  /**
   * How Litestream lays out keys on this kind of store: `ltx/<level decimal>/<name>`, or `<level %04x>/<name>` on
   * S3 and OSS. @default "directory"
   */
  readonly layout?: "directory" | "hex" | undefined;
  /** True where writing is local and cheap, so that commits need not be grouped for a second. @default false */
  readonly local?: boolean | undefined;
  /**
   * How far the server's clock is ahead of the runtime's, in milliseconds, as of its last answer; `undefined` before the
   * first one that told. Left out where no server tells.
   */
  clockOffsetMs?(): number | undefined;
  /** True where every object is encrypted before it gets there, and one that is not is refused. @default false */
  readonly encrypted?: boolean | undefined;
  /** Reads an object or a part of it; a missing key is `NotFoundError`. */
  get(key: string, options?: GetOptions): Promise<GetResult>;
  /** Writes a whole object; nothing is visible before the last byte. Bytes are not kept after the promise settles. */
  put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options?: PutOptions,
  ): Promise<PutResult>;
  /** What is known of an object; a missing key is `NotFoundError`. */
  head(key: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<ObjectInfo>;
  /** Removes objects; missing ones are no error. A key that could not be removed is. */
  delete(
    keys: readonly string[],
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<void>;
  /** Removes one object, or only that version of it; missing is no error. */
  deleteOne(
    key: string,
    options?: { readonly ifMatch?: string | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<void>;
  /** Objects in key order (by UTF-16 code unit; keys of a replica are ASCII). Ends with an error rather than short. */
  list(options?: ListOptions): AsyncIterable<ObjectInfo>;
  /**
   * Objects as they are put, in the order of their puts, from when the iteration begins until it is left; what was there
   * before is left out, and what is deleted again at once may be. The server tells of them, nothing is asked for
   * again and again. An object may be announced twice. Where the announcements can no longer be trusted to be complete,
   * it ends with an error: list, and watch again.
   */
  watch?(options?: WatchOptions): AsyncIterable<ObjectInfo>;
  /**
   * Begins to read in a way that blocks the thread for microseconds; `undefined` where that cannot be promised, as on a share.
   * What was read from once stays readable although it is deleted meanwhile, as far as files can be kept open.
   */
  localReads?(): Promise<LocalReads | undefined>;
  /** Lets go of the connection that the store holds, where it holds one; later calls fail with `ClosedError`. */
  close?(): Promise<void>;
}
