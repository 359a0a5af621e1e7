/**
 * A directory as an object store: a replica on a local disk or a mounted share, in Litestream's file layout.
 *
 * An object is written under a temporary name, synced, given its time, and only then linked or renamed to its key, so
 * a reader sees it whole or not at all, and a power cut takes nothing that `put` has confirmed.
 *
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { resolve } from "node:path";
import {
  type GetOptions,
  type GetResult,
  InvalidArgumentError,
  type ObjectMetadata,
  type ObjectStore,
  type StoreCapabilities,
  UnsupportedError,
} from "pagestream";
import {
  alreadyExists,
  otherVersion,
  byteRange,
  checkKey,
  checkPutOptions,
  parseTimestamp,
  throwIfAborted,
  TIMESTAMP_METADATA,
} from "pagestream/transports/store-kit";
import { ended, storeError } from "./errors.ts";
import { callsFor, DIRECT_CALLS, type FileCalls } from "./file-calls.ts";
import {
  isMissing,
  listTree,
  locate,
  objectInfo,
  pathOf,
  READ_FLAGS,
  type Tree,
} from "./file-tree.ts";
import { openLocalReads } from "./local-reads.ts";
import { Directories, writeObject } from "./file-write.ts";

/** Options of {@linkcode fileStore}. */
export interface FileStoreOptions {
  /** What messages call it. @default the absolute path */
  readonly description?: string | undefined;
  /** Mode of files, less the umask. @default 0o600 */
  readonly fileMode?: number | undefined;
  /** Mode of directories, less the umask. @default 0o700 */
  readonly directoryMode?: number | undefined;
}

const CAPABILITIES: StoreCapabilities = {
  conditionalPut: true,
  conditionalReplace: false,
  conditionalLarge: true,
  conditionalDelete: false,
  metadataInList: true,
  rangedGet: true,
  watch: false,
};

const CHUNK_SIZE = 1 << 20;

/**
 * Makes a store of a directory, which need not exist yet.
 *
 * Of the metadata it keeps `litestream-timestamp` alone, to the millisecond, as the time of the file. Conditions other
 * than `ifNoneMatch` on `put` and `ifMatch` on `get` are refused with `UnsupportedError`.
 *
 * On a local file system of Linux, calls that take microseconds are made at once rather than by another thread, which would cost
 * more; syncs, reads and large writes, and every call on a share, are left to that.
 *
 * @example
 * ```ts
 * import { fileStore } from "@pagestream/node";
 *
 * const store = fileStore("/backup/app");
 * for await (const { key, size } of store.list({ prefix: "ltx/0/" })) console.log(key, size);
 * ```
 */
export function fileStore(path: string, options: FileStoreOptions = {}): ObjectStore {
  const { fileMode = 0o600, directoryMode = 0o700 } = options;
  const root = resolve(path);
  const description = options.description ?? root;
  const directories = new Directories(root, directoryMode);
  let made: Promise<FileCalls> | undefined;
  const calls = (): Promise<FileCalls> => (made ??= callsFor(root));
  const tree: Tree = { root, calls };

  const remove = async (key: string): Promise<void> => {
    const place = await locate(tree, key, "delete");
    if (place.stat === undefined || place.stat.isDirectory()) return;
    try {
      // Without a sync of the directory: a file that comes back after a power cut is deleted again.
      await (await calls()).unlink(place.path);
    } catch (error) {
      if (!isMissing(error)) throw storeError(error, "delete", key);
    }
  };

  return {
    type: "file",
    description,
    capabilities: CAPABILITIES,
    layout: "directory",
    local: true,

    async get(key, getOptions) {
      throwIfAborted(getOptions?.signal, "read", key);
      const handle = await openToRead(tree, key);
      try {
        return await openBody(handle, key, getOptions);
      } catch (error) {
        await handle.close();
        throw storeError(error, "read", key);
      }
    },

    async put(key, body, putOptions = {}) {
      const { ifNoneMatch, ifMatch, metadata, signal } = putOptions;
      checkPutOptions(key, putOptions);
      if (ifMatch !== undefined) throw unsupported("replace a version of", key);
      throwIfAborted(signal, "write", key);
      const timeMs = timeOf(metadata, key);
      const place = await locate(tree, key, "write");
      const createOnly = ifNoneMatch !== undefined;
      if (createOnly && place.stat !== undefined) throw alreadyExists(key);
      try {
        const stat = await writeObject({
          key,
          path: place.path,
          body,
          createOnly,
          timeMs,
          fileMode,
          calls: await calls(),
          directories,
          signal,
        });
        const { etag, lastModified } = objectInfo(key, stat, "write");
        return { etag, lastModified };
      } catch (error) {
        throw isFileError(error) ? storeError(error, "write", key) : error;
      }
    },

    async head(key, headOptions) {
      throwIfAborted(headOptions?.signal, "look up", key);
      const place = await locate(tree, key, "look up");
      return objectInfo(key, place.stat, "look up");
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkKey(key, "delete");
      for (const key of keys) {
        throwIfAborted(deleteOptions?.signal, "delete", key);
        await remove(key);
      }
    },

    async deleteOne(key, deleteOptions) {
      if (deleteOptions?.ifMatch !== undefined) throw unsupported("delete a version of", key);
      throwIfAborted(deleteOptions?.signal, "delete", key);
      await remove(key);
    },

    list: (listOptions) => listTree(tree, listOptions ?? {}),

    async localReads() {
      return (await calls()) === DIRECT_CALLS ? openLocalReads(root) : undefined;
    },
  };
}

/** Opens the file of a key. */
async function openToRead(tree: Tree, key: string): Promise<FileHandle> {
  if (constants.O_NOFOLLOW !== undefined) {
    const path = await pathOf(tree, key, "read");
    const handle = await open(path, READ_FLAGS).catch(() => undefined);
    if (handle !== undefined) return handle;
  }
  // Says what is wrong with it.
  const place = await locate(tree, key, "read");
  objectInfo(key, place.stat, "read");
  return await open(place.path, READ_FLAGS).catch((error: unknown) => {
    throw storeError(error, "read", key);
  });
}

/** Errors of Node's file calls; what the source of a body throws is the caller's own and passes unchanged. */
function isFileError(error: unknown): boolean {
  return error instanceof Error && "errno" in error && "syscall" in error;
}

function timeOf(metadata: ObjectMetadata | undefined, key: string): number | undefined {
  const text = metadata?.[TIMESTAMP_METADATA];
  if (text === undefined) return undefined;
  const ms = parseTimestamp(text);
  if (ms !== undefined) return ms;
  throw new InvalidArgumentError({
    operation: "write",
    object: key,
    what: `the metadata ${TIMESTAMP_METADATA} is no RFC 3339 time: ${JSON.stringify(text)}`,
    next: "Write it like 2026-11-20T12:00:00.678Z",
  });
}

function unsupported(operation: string, object: string): UnsupportedError {
  return new UnsupportedError({
    operation,
    object,
    what: "a file system cannot compare and act in one step",
    next: "Use a store whose capabilities say that it can, such as s3",
  });
}

/** Turns an open file into a result. The handle belongs to the body when this returns, to the caller when it throws. */
async function openBody(
  handle: FileHandle,
  key: string,
  options: GetOptions | undefined,
): Promise<GetResult> {
  // Of the handle, not of the path: that file may be another one by now.
  const info = objectInfo(key, await handle.stat({ bigint: true }), "read");
  if (options?.ifMatch !== undefined && options.ifMatch !== info.etag) {
    throw otherVersion({ operation: "read", object: key });
  }
  const { start, end } = byteRange(info.size, options, key);
  if (start === end) await handle.close();
  const body = bodyOf(handle, { start, end, key, signal: options?.signal });
  const { size, etag, lastModified, metadata = {} } = info;
  return { body, size, etag, lastModified, metadata };
}

interface BodyRange {
  readonly start: number;
  readonly end: number;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads on demand and closes the handle at the end, on cancellation and on failure. A stream of bytes: who brings memory
 * of his own gets it filled.
 */
function bodyOf(handle: FileHandle, range: BodyRange): ReadableStream<Uint8Array> {
  const { end, key, signal } = range;
  let offset = range.start;
  return new ReadableStream({
    type: "bytes",
    async start(controller) {
      if (offset === end) controller.close();
    },
    async pull(controller) {
      try {
        throwIfAborted(signal, "read", key);
        const request = controller.byobRequest;
        const view = request?.view as Uint8Array<ArrayBuffer> | null | undefined;
        const room = Math.min(view?.length ?? CHUNK_SIZE, end - offset);
        const bytes = view?.subarray(0, room) ?? new Uint8Array(room);
        await readExactly(handle, bytes, { offset, key });
        offset += room;
        if (offset === end) await handle.close();
        if (request === null) controller.enqueue(bytes);
        else request.respond(room);
        if (offset === end) controller.close();
      } catch (error) {
        await handle.close().catch(() => undefined);
        throw storeError(error, "read", key);
      }
    },
    cancel: () => handle.close(),
  });
}

async function readExactly(
  handle: FileHandle,
  bytes: Uint8Array,
  from: { readonly offset: number; readonly key: string },
): Promise<void> {
  const { offset, key } = from;
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, offset + done);
    if (bytesRead === 0) throw ended(key, offset + done);
    done += bytesRead;
  }
}
