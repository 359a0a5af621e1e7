/**
 * A store in memory: for tests, examples, and replicas that need not outlive the process.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { byteRange, checkPutOptions, collectBody } from "./body.ts";
import { alreadyExists, NotFoundError, otherVersion } from "./errors.ts";
import type {
  GetResult,
  ListOptions,
  ObjectInfo,
  ObjectMetadata,
  ObjectStore,
  StoreCapabilities,
} from "./object-store.ts";
import { checkKey, checkPrefix } from "./path-rules.ts";

/** Options of {@linkcode memoryStore}. */
export interface MemoryStoreOptions {
  /** What messages call it. @default "memory" */
  readonly description?: string | undefined;
  /** Whose clock dates the objects. @default the runtime's */
  readonly platform?: Pick<Platform, "clock"> | undefined;
}

interface StoredObject {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly etag: string;
  readonly lastModified: Date;
  readonly metadata: ObjectMetadata;
}

const CAPABILITIES: StoreCapabilities = {
  conditionalPut: true,
  conditionalReplace: true,
  conditionalLarge: true,
  conditionalDelete: true,
  metadataInList: true,
  rangedGet: true,
  watch: false,
};

/** Bytes per chunk of a body: large enough to cost nothing, small enough that a cancelled body was not copied whole. */
const CHUNK_SIZE = 1 << 20;

/**
 * Makes an empty store. It copies what it is given and what it hands out.
 *
 * @example
 * ```ts
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const store = memoryStore();
 * await store.put("ltx/0/a.ltx", new Uint8Array([1, 2, 3]), { ifNoneMatch: "*" });
 * const { size } = await store.head("ltx/0/a.ltx");
 * ```
 */
export function memoryStore(options: MemoryStoreOptions = {}): ObjectStore {
  const description = options.description ?? "memory";
  const now = (): number => options.platform?.clock.now() ?? Date.now();
  const objects = new Map<string, StoredObject>();
  let sorted: readonly string[] | undefined;
  let versions = 0;

  const find = (key: string, operation: string, ifMatch?: string): StoredObject => {
    const found = objects.get(key);
    if (found === undefined) {
      throw new NotFoundError({
        operation,
        object: key,
        what: `${description} holds no such object`,
      });
    }
    if (ifMatch !== undefined && ifMatch !== found.etag)
      throw otherVersion({ operation, object: key });
    return found;
  };
  const remove = (key: string): void => {
    if (objects.delete(key)) sorted = undefined;
  };

  return {
    type: "memory",
    description,
    capabilities: CAPABILITIES,
    layout: "directory",
    local: true,

    async get(key, getOptions): Promise<GetResult> {
      checkKey(key, "read");
      throwIfAborted(getOptions?.signal, "read", key);
      const { bytes, etag, lastModified, metadata } = find(key, "read", getOptions?.ifMatch);
      const { start, end } = byteRange(bytes.length, getOptions, key);
      const body = bodyOf(bytes.subarray(start, end), key, getOptions?.signal);
      return { body, size: bytes.length, etag, lastModified: new Date(lastModified), metadata };
    },

    async put(key, body, putOptions) {
      checkKey(key, "write");
      checkPutOptions(key, putOptions);
      const { ifNoneMatch, ifMatch, metadata, signal } = putOptions ?? {};
      const bytes = await collectBody(body, { operation: "write", object: key, signal });
      // From here on nothing waits, so the condition and the write are one step.
      const existing = objects.get(key);
      if (ifNoneMatch !== undefined && existing !== undefined) throw alreadyExists(key);
      if (ifMatch !== undefined && existing?.etag !== ifMatch)
        throw otherVersion({ operation: "write", object: key });
      const etag = `v${++versions}`;
      const lastModified = new Date(now());
      objects.set(key, { bytes, etag, lastModified, metadata: { ...metadata } });
      if (existing === undefined) sorted = undefined;
      return { etag, lastModified: new Date(lastModified) };
    },

    async head(key, headOptions) {
      checkKey(key, "look up");
      throwIfAborted(headOptions?.signal, "look up", key);
      return infoOf(key, find(key, "look up"));
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkKey(key, "delete");
      throwIfAborted(deleteOptions?.signal, "delete objects of", description);
      for (const key of keys) remove(key);
    },

    async deleteOne(key, deleteOptions) {
      checkKey(key, "delete");
      throwIfAborted(deleteOptions?.signal, "delete", key);
      const found = objects.get(key);
      const { ifMatch } = deleteOptions ?? {};
      if (found !== undefined && ifMatch !== undefined && ifMatch !== found.etag) {
        throw otherVersion({ operation: "delete", object: key });
      }
      remove(key);
    },

    async *list(listOptions: ListOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
      const { prefix = "", startAfter, signal } = listOptions;
      checkPrefix(prefix, "list");
      throwIfAborted(signal, "list", description);
      sorted ??= [...objects.keys()].sort();
      const keys = sorted;
      for (let i = firstAfter(keys, prefix, startAfter); i < keys.length; i++) {
        const key = keys[i] as string;
        if (!key.startsWith(prefix)) return;
        throwIfAborted(signal, "list", description);
        const object = objects.get(key);
        if (object !== undefined) yield infoOf(key, object);
      }
    },
  };
}

/** Index of the first key that is at least `prefix` and greater than `startAfter`. */
function firstAfter(
  keys: readonly string[],
  prefix: string,
  startAfter: string | undefined,
): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const key = keys[middle] as string;
    if (key < prefix || (startAfter !== undefined && key <= startAfter)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function infoOf(key: string, object: StoredObject): ObjectInfo {
  return {
    key,
    size: object.bytes.length,
    etag: object.etag,
    lastModified: new Date(object.lastModified),
    metadata: object.metadata,
  };
}

function bodyOf(
  bytes: Uint8Array<ArrayBuffer>,
  key: string,
  signal: AbortSignal | undefined,
): ReadableStream<Uint8Array> {
  let offset = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        throwIfAborted(signal, "read", key);
        if (offset < bytes.length) controller.enqueue(bytes.slice(offset, offset + CHUNK_SIZE));
        offset += CHUNK_SIZE;
        if (offset >= bytes.length) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}
