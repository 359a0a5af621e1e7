/**
 * Encryption over any store: what the store holds can be read and written only with the key, and nothing in it can be
 * changed, cut, renamed or put in without being noticed.
 *
 * @module
 */
import { isPagestreamError, throwIfAborted } from "../core/errors.ts";
import { concatBytes } from "../core/bytes.ts";
import { byteRange } from "./body.ts";
import { BodyTaker, openBody, sealBody } from "./encrypted-body.ts";
import {
  CHUNK_SIZE,
  chunkOffset,
  decodeHeader,
  HEADER_SIZE,
  plainSize,
  sealedSize,
} from "./encrypted-format.ts";
import { type EncryptionKeys, KeyRing, type OpenedObjectKey } from "./encrypted-keys.ts";
import { DecryptError } from "./errors.ts";
import { emptyBody } from "./http-range.ts";
import { isLtxKey } from "./ltx-time.ts";
import type {
  GetOptions,
  GetResult,
  ObjectInfo,
  ObjectStore,
  WatchOptions,
} from "./object-store.ts";
import type { Passing } from "./store-traits.ts";
import { formatTimestamp, parseTimestamp, TIMESTAMP_METADATA } from "./timestamp.ts";

export type { EncryptionKeys } from "./encrypted-keys.ts";

/** Opened keys that are remembered, so that each further range of an object costs one request. */
const REMEMBERED = 64;

/** How often a reading begins anew because the object was replaced between two requests. */
const TURNS = 3;

/**
 * Encrypts all that goes into a store and opens what comes out of it: AES-256-GCM in chunks of 64 KiB, by a random key per
 * object that is sealed by the user's key.
 *
 * Names, sizes, times and metadata stay visible. Sizes are told as they were before encryption. An object that is not
 * encrypted, was written with a key that is not given, was copied from another name or is not as it was written is a
 * `DecryptError`. Litestream cannot read such a replica.
 *
 * @example
 * ```ts
 * import { encryptedStore } from "pagestream/transports/encrypted";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const key = crypto.getRandomValues(new Uint8Array(32)); // kept where the replica is not
 * const store = encryptedStore(memoryStore(), { keys: { "2026": key }, keyId: "2026" });
 * await store.put("ltx/0/a.ltx", new Uint8Array([1, 2, 3]));
 * const { size } = await store.head("ltx/0/a.ltx"); // 3
 * ```
 */
export function encryptedStore(store: ObjectStore, options: EncryptionKeys): ObjectStore {
  const ring = new KeyRing(options);
  const remembered = new Map<string, OpenedObject>();

  const remember = (key: string, etag: string, opened: OpenedObject): void => {
    if (etag === "") return;
    remembered.set(`${etag} ${key}`, opened);
    if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value as string);
  };

  /** Takes the header from the beginning of a body. */
  const openHeader = async (
    key: string,
    got: GetResult,
    taker: BodyTaker,
  ): Promise<OpenedObject> => {
    try {
      const header = await taker.take(HEADER_SIZE);
      const opened = await ring.open(header, key);
      const size = plainSize(got.size);
      if (size === undefined) throw cut(key, got.size);
      remember(key, got.etag, { ...opened, size });
      return { ...opened, size };
    } catch (error) {
      await taker.cancel();
      throw error;
    }
  };

  const read = async (key: string, options: GetOptions): Promise<GetResult> => {
    const { offset = 0, ifMatch, signal } = options;
    const length = options.length ?? Number.MAX_SAFE_INTEGER - offset;
    const first = chunkOffset(Math.floor(offset / CHUNK_SIZE));
    const behind = chunkOffset(Math.ceil((offset + length) / CHUNK_SIZE));
    const isOpenEnded = options.length === undefined || !Number.isSafeInteger(behind);
    const until = (from: number): number | undefined => (isOpenEnded ? undefined : behind - from);
    const result = (got: GetResult, opened: OpenedObject, taker: BodyTaker): GetResult => {
      const { size, objectKey } = opened;
      const end = Math.min(size, offset + length);
      return { ...got, size, body: openBody(taker, { key, objectKey, size, start: offset, end }) };
    };

    const known = ifMatch === undefined ? undefined : remembered.get(`${ifMatch} ${key}`);
    if (known !== undefined && length > 0 && offset < known.size) {
      const got = await store.get(key, { offset: first, length: until(first), ifMatch, signal });
      return result(got, known, new BodyTaker(got.body));
    }
    // The header and the first chunks lie together.
    const isWhole = offset < CHUNK_SIZE && length > 0;
    const head = await store.get(key, {
      length: isWhole ? until(0) : HEADER_SIZE,
      ifMatch,
      signal,
    });
    const taker = new BodyTaker(head.body);
    const opened = await openHeader(key, head, taker);
    if (isWhole && (offset < opened.size || offset === 0)) return result(head, opened, taker);
    await taker.cancel();
    if (length === 0 || offset >= opened.size) {
      return { ...head, size: opened.size, body: emptyBody() };
    }
    const got = await store.get(key, {
      offset: first,
      length: until(first),
      ifMatch: head.etag === "" ? undefined : head.etag,
      signal,
    });
    return result(got, opened, new BodyTaker(got.body));
  };

  /** An object as a listing told of it, with its size before encryption; one that cannot be ours stays as it is. */
  const shown = (info: ObjectInfo): ObjectInfo => ({
    ...info,
    size: plainSize(info.size) ?? info.size,
  });
  const { watch } = store;

  return {
    type: store.type,
    description: `${store.description} (encrypted)`,
    encrypted: true,
    get capabilities() {
      return store.capabilities;
    },
    layout: store.layout,
    local: store.local,
    clockOffsetMs: () => store.clockOffsetMs?.(),
    ...(store.probe === undefined ? {} : { probe: store.probe.bind(store) }),
    ...(store.close === undefined ? {} : { close: store.close.bind(store) }),

    async get(key, getOptions = {}) {
      byteRange(Number.MAX_SAFE_INTEGER, getOptions, key);
      for (let turn = 1; ; turn++) {
        try {
          return await read(key, getOptions);
        } catch (error) {
          const isReplaced = isPagestreamError(error, "PRECONDITION_FAILED");
          if (!isReplaced || getOptions.ifMatch !== undefined || turn === TURNS) throw error;
        }
      }
    },

    async put(key, body, putOptions = {}) {
      const { metadata, signal, sizeBound } = putOptions;
      const context = { operation: "write", object: key, signal };
      throwIfAborted(signal, context.operation, key);
      const time = metadata?.[TIMESTAMP_METADATA];
      const timeMs = time === undefined ? undefined : parseTimestamp(time);
      const sealed = sealBody(body, await ring.create(key, timeMs), context);
      if (!(body instanceof Uint8Array)) {
        const bound = sizeBound === undefined ? undefined : sealedSize(sizeBound);
        return await store.put(key, sealed, { ...putOptions, sizeBound: bound });
      }
      const chunks: Uint8Array[] = [];
      for await (const chunk of sealed) chunks.push(chunk);
      return await store.put(key, concatBytes(chunks), putOptions);
    },

    async head(key, headOptions) {
      const info = shown(await store.head(key, headOptions));
      if (!isLtxKey(key) || info.metadata?.[TIMESTAMP_METADATA] !== undefined) return info;
      // Stores without metadata read the time from the file's header, and cannot read this one.
      const { body } = await store.get(key, { length: HEADER_SIZE, ...headOptions });
      const taker = new BodyTaker(body);
      const { timeMs } = decodeHeader(await taker.take(HEADER_SIZE), key);
      await taker.cancel();
      if (timeMs === undefined) return info;
      const metadata = { ...info.metadata, [TIMESTAMP_METADATA]: formatTimestamp(timeMs) };
      return { ...info, metadata };
    },

    delete: (keys, deleteOptions) => store.delete(keys, deleteOptions),
    deleteOne: (key, deleteOptions) => store.deleteOne(key, deleteOptions),

    async *list(listOptions) {
      for await (const info of store.list(listOptions)) yield shown(info);
    },
    ...(watch === undefined
      ? {}
      : {
          async *watch(watchOptions?: WatchOptions): AsyncGenerator<ObjectInfo, void, undefined> {
            for await (const info of watch.call(store, watchOptions)) yield shown(info);
          },
        }),
  } satisfies Passing;
}

/** What is known of an object once its header was opened. */
interface OpenedObject extends OpenedObjectKey {
  /** Plain size in bytes. */
  readonly size: number;
}

function cut(key: string, size: number): DecryptError {
  return new DecryptError(
    {
      operation: "decrypt",
      object: key,
      what: `no encrypted object has ${size} bytes: it was cut or added to`,
      next: "Look for another copy of it, or restore an earlier state",
    },
    { reason: "damaged" },
  );
}
