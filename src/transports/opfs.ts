/**
 * A folder of the browser's own file system (OPFS) as an object store: a replica that stays in the browser.
 *
 * An object is written under a temporary name and then moved to its key, under a Web Lock of its file name, so that of
 * all tabs and workers of the origin one at a time compares and acts.
 *
 * @module
 */
import { throwIfAborted, UnsupportedError } from "../core/errors.ts";
import { bodyChunks, byteRange, checkPutOptions } from "./body.ts";
import { alreadyExists, NotFoundError, otherVersion, StoreError } from "./errors.ts";
import { emptyBody } from "./http-range.ts";
import { keyPath } from "./location.ts";
import { headerMetadata, isLtxKey, LTX_HEADER_SIZE } from "./ltx-time.ts";
import type { ListOptions, ObjectInfo, ObjectStore, StoreCapabilities } from "./object-store.ts";
import {
  fileError,
  openFolder,
  type OpfsCall,
  type OpfsEntry,
  opfsEntries,
  temporaryName,
} from "./opfs-folder.ts";
import { checkFileKey, tempName, walkTree } from "./tree-walk.ts";
import { webPlatform } from "./web-platform.ts";

/** Options of {@linkcode opfsStore}. */
export interface OpfsStoreOptions {
  /** Where in the folder the replica lies; made when it is first written to. @default "" */
  readonly path?: string | undefined;
  /** What messages call it. @default "opfs:" and the names of the folders */
  readonly description?: string | undefined;
}

const CAPABILITIES: StoreCapabilities = {
  conditionalPut: true,
  conditionalReplace: true,
  conditionalLarge: true,
  conditionalDelete: true,
  metadataInList: false,
  rangedGet: true,
  watch: false,
};

/**
 * Makes a store of a folder of OPFS, on a page or in a worker.
 *
 * Files have no metadata: `head` reads the time of an `.ltx` object from its header, other objects have none. What other
 * code than this changes in the folder meanwhile is not covered by the conditions.
 *
 * @example
 * ```ts ignore
 * import { replicate } from "pagestream";
 * import { opfsStore } from "pagestream/transports/opfs";
 *
 * const root = await navigator.storage.getDirectory();
 * const replication = await replicate(capture.source(db), opfsStore(root, { path: "replica" }));
 * ```
 */
export function opfsStore(
  directory: FileSystemDirectoryHandle,
  options: OpfsStoreOptions = {},
): ObjectStore {
  const { path, prefix } = keyPath(options.path, "opfs");
  const description =
    options.description ?? `opfs:${[directory.name, path].filter((name) => name !== "").join("/")}`;
  const swept = new Set<string>();

  const folderOf = (call: OpfsCall, key: string, create: boolean) =>
    openFolder(call, directory, { path: parentOf(prefix + key), create });

  const fileOf = async (call: OpfsCall, key: string): Promise<File | undefined> => {
    try {
      const folder = await folderOf(call, key, false);
      const handle = await folder?.getFileHandle(nameOf(key));
      return await handle?.getFile();
    } catch (error) {
      if (isNamed(error, "NotFoundError", "TypeMismatchError")) return undefined;
      throw fileError(error, call);
    }
  };

  const present = async (call: OpfsCall, key: string, ifMatch?: string): Promise<File> => {
    const file = await fileOf(call, key);
    if (file === undefined) throw missing(call);
    if (ifMatch !== undefined && ifMatch !== etagOf(file)) throw otherVersion(call);
    return file;
  };

  const describe = async (call: OpfsCall, key: string, file: File): Promise<ObjectInfo> => {
    const { size, lastModified } = file;
    const info = { key, size, etag: etagOf(file), lastModified: new Date(lastModified) };
    if (!isLtxKey(key)) return { ...info, metadata: {} };
    const header = await bytesOf(file.slice(0, LTX_HEADER_SIZE), call);
    return { ...info, metadata: headerMetadata(header) };
  };

  const remove = (call: OpfsCall, key: string, ifMatch?: string): Promise<void> =>
    locked(nameOf(key), async () => {
      const file = await fileOf(call, key);
      if (file === undefined) return;
      if (ifMatch !== undefined && ifMatch !== etagOf(file)) throw otherVersion(call);
      const folder = await folderOf(call, key, false);
      await folder?.removeEntry(nameOf(key)).catch((error: unknown) => {
        throw fileError(error, call);
      });
    });

  return {
    type: "opfs",
    description,
    capabilities: CAPABILITIES,
    layout: "directory",
    local: true,

    async get(key, getOptions = {}) {
      checkFileKey(key, "read");
      const { ifMatch, signal } = getOptions;
      const call = { operation: "read", object: key };
      throwIfAborted(signal, call.operation, key);
      const file = await present(call, key, ifMatch);
      const { start, end } = byteRange(file.size, getOptions, key);
      const body = start === end ? emptyBody() : bodyOf(file.slice(start, end), call, signal);
      const { size, lastModified } = file;
      return { body, size, etag: etagOf(file), lastModified: new Date(lastModified), metadata: {} };
    },

    async put(key, body, putOptions = {}) {
      checkFileKey(key, "write");
      checkPutOptions(key, putOptions);
      const { ifNoneMatch, ifMatch, signal } = putOptions;
      const call = { operation: "write", object: key };
      throwIfAborted(signal, call.operation, key);
      try {
        const folder = (await folderOf(call, key, true)) as FileSystemDirectoryHandle;
        const at = parentOf(prefix + key);
        if (!swept.has(at)) await sweep(folder);
        swept.add(at);
        const temp = tempName(webPlatform.randomBytes);
        return await locked(temp, async () => {
          const handle = await folder.getFileHandle(temp, { create: true });
          try {
            await writeFile(handle, bodyChunks(body, { ...call, signal }));
            throwIfAborted(signal, call.operation, key);
            return await locked(nameOf(key), async () => {
              const existing = await fileOf(call, key);
              if (ifNoneMatch !== undefined && existing !== undefined)
                throw alreadyExists(call.object);
              if (
                ifMatch !== undefined &&
                (existing === undefined || etagOf(existing) !== ifMatch)
              ) {
                throw otherVersion(call);
              }
              const file = await distinct(handle, existing);
              await move(handle, folder, { name: nameOf(key), call });
              return { etag: etagOf(file), lastModified: new Date(file.lastModified) };
            });
          } catch (error) {
            // What stopped the write is the error to tell of; the rest is swept up later.
            await folder.removeEntry(temp).catch(() => undefined);
            throw error;
          }
        });
      } catch (error) {
        throw isDomException(error) ? fileError(error, call) : error;
      }
    },

    async head(key, headOptions) {
      checkFileKey(key, "look up");
      throwIfAborted(headOptions?.signal, "look up", key);
      const call = { operation: "look up", object: key };
      return await describe(call, key, await present(call, key));
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkFileKey(key, "delete");
      for (const key of keys) {
        throwIfAborted(deleteOptions?.signal, "delete", key);
        await remove({ operation: "delete", object: key }, key);
      }
      throwIfAborted(deleteOptions?.signal, "delete objects of", description);
    },

    async deleteOne(key, deleteOptions = {}) {
      checkFileKey(key, "delete");
      throwIfAborted(deleteOptions.signal, "delete", key);
      await remove({ operation: "delete", object: key }, key, deleteOptions.ifMatch);
    },

    async *list(listOptions: ListOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
      const list = (folder: string): Promise<OpfsEntry[]> => {
        const call = { operation: "list", object: folder === "" ? description : folder };
        return opfsEntries(call, directory, parentOf(prefix + folder));
      };
      for await (const run of walkTree({ ...listOptions, list, description })) {
        const call = { operation: "list", object: description };
        const files = await Promise.all(run.map(({ key }) => fileOf(call, key)));
        for (const [i, { key }] of run.entries()) {
          const file = files[i];
          // Deleted since its folder was read.
          if (file === undefined) continue;
          const { size, lastModified } = file;
          yield { key, size, etag: etagOf(file), lastModified: new Date(lastModified) };
        }
      }
    },
  };
}

/** Lets one at a time of the origin's tabs and workers work on files of that name, in whatever folder. */
function locked<T>(name: string, work: () => Promise<T>): Promise<T> {
  // The type of the promise is that of the work; the library's own says it may be nested.
  return navigator.locks.request(`pagestream-opfs:${name}`, work) as Promise<T>;
}

/** Removes what writers that are gone have left: a writer holds the lock of its temporary name until it has ended. */
async function sweep(folder: FileSystemDirectoryHandle): Promise<void> {
  for await (const name of folder.keys()) {
    const temp = temporaryName(name);
    if (temp === undefined) continue;
    await navigator.locks.request(
      `pagestream-opfs:${temp}`,
      { ifAvailable: true },
      async (lock) => {
        if (lock !== null) await folder.removeEntry(name).catch(() => undefined);
      },
    );
  }
}

async function writeFile(
  handle: FileSystemFileHandle,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const writable = await handle.createWritable();
  try {
    for await (const chunk of chunks) await writable.write(chunk as Uint8Array<ArrayBuffer>);
    await writable.close();
  } catch (error) {
    await writable.abort().catch(() => undefined);
    throw error;
  }
}

/** The written file, with a tag unlike that of the file it replaces: times have milliseconds only. */
async function distinct(handle: FileSystemFileHandle, existing: File | undefined): Promise<File> {
  for (;;) {
    const file = await handle.getFile();
    if (existing === undefined || etagOf(existing) !== etagOf(file)) return file;
    const touch = await handle.createWritable({ keepExistingData: true });
    await touch.close();
  }
}

/** All browsers with OPFS rename its files so, replacing what has the name, though no standard says it yet. */
interface Movable {
  readonly move?: (parent: FileSystemDirectoryHandle, name: string) => Promise<void>;
}

async function move(
  handle: FileSystemFileHandle & Movable,
  folder: FileSystemDirectoryHandle,
  to: { readonly name: string; readonly call: OpfsCall },
): Promise<void> {
  if (handle.move !== undefined) return await handle.move(folder, to.name);
  throw new UnsupportedError({ ...to.call, what: "this browser cannot rename files of OPFS" });
}

function etagOf(file: File): string {
  return `${file.lastModified.toString(16)}-${file.size.toString(16)}`;
}

function parentOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf("/")));
}

function nameOf(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}

async function bytesOf(blob: Blob, call: OpfsCall): Promise<Uint8Array> {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (error) {
    throw fileError(error, call);
  }
}

function bodyOf(
  blob: Blob,
  call: OpfsCall,
  signal: AbortSignal | undefined,
): ReadableStream<Uint8Array> {
  const reader = blob.stream().getReader();
  let left = blob.size;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (signal?.aborted === true) await reader.cancel().catch(() => undefined);
        throwIfAborted(signal, call.operation, call.object);
        const { done, value } = await reader.read().catch((error: unknown) => {
          throw fileError(error, call);
        });
        if (!done) {
          left -= value.length;
          controller.enqueue(value);
        } else if (left === 0) {
          controller.close();
        } else {
          const what = "the file ended before the bytes that it had when it was opened";
          throw new StoreError({ ...call, what }, { retryable: true });
        }
      },
      cancel: () => reader.cancel(),
    },
    { highWaterMark: 0 },
  );
}

function isDomException(error: unknown): error is DOMException {
  return error instanceof DOMException;
}

function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return isDomException(error) && names.includes(error.name);
}

function missing(call: OpfsCall): NotFoundError {
  return new NotFoundError({ ...call, what: "there is no such file" });
}
