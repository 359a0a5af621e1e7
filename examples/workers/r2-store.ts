// A store in an R2 bucket that is bound to the Worker. Bodies are collected in memory, as the binding must know their size.
import { UnsupportedError } from "pagestream";
import {
  type BodyContext,
  bodyChunks,
  byteRange,
  checkKey,
  checkPrefix,
  checkPutOptions,
  collectBody,
  NotFoundError,
  type ObjectInfo,
  type ObjectStore,
  PreconditionFailedError,
  StoreError,
  throwIfAborted,
} from "pagestream/transports/store-kit";

/** What of `R2Object` is used here; `@cloudflare/workers-types` has all of it. */
interface StoredObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly uploaded: Date;
  readonly customMetadata?: Record<string, string>;
  /** Missing where a condition of `get` failed. */
  readonly body?: ReadableStream<Uint8Array>;
}

/** What of `R2Bucket` is used here. */
export interface Bucket {
  head(key: string): Promise<StoredObject | null>;
  get(key: string, options?: object): Promise<StoredObject | null>;
  put(key: string, value: Uint8Array, options?: object): Promise<StoredObject | null>;
  delete(keys: string | string[]): Promise<void>;
  list(options?: object): Promise<{ objects: StoredObject[]; truncated: boolean; cursor?: string }>;
}

/** Objects that R2 deletes in one call. */
const DELETED_AT_ONCE = 1000;

/** The bucket as a store; `prefix` ends with a slash or is empty. */
export function r2Store(bucket: Bucket, prefix = ""): ObjectStore {
  const infoOf = (object: StoredObject): ObjectInfo => ({
    key: object.key.slice(prefix.length),
    size: object.size,
    etag: object.etag,
    lastModified: object.uploaded,
    metadata: object.customMetadata ?? {},
  });
  const find = async (key: string, context: BodyContext): Promise<ObjectInfo> => {
    const object = await call(context, () => bucket.head(prefix + key));
    if (object === null) throw new NotFoundError({ ...context, what: "R2 has no such object" });
    return infoOf(object);
  };
  return {
    type: "r2",
    description: `an R2 bucket below "${prefix}"`,
    capabilities: {
      conditionalPut: true,
      conditionalReplace: true,
      conditionalLarge: true,
      conditionalDelete: false,
      metadataInList: true,
      rangedGet: true,
      watch: false,
    },
    async get(key, options = {}) {
      checkKey(key, "read");
      byteRange(0, options, key);
      const { offset = 0, length, ifMatch, signal } = options;
      const context = { operation: "read", object: key, signal };
      if (offset > 0 || length !== undefined) {
        // R2 refuses a range that is empty or begins past the end.
        const info = await find(key, context);
        const { start, end } = byteRange(info.size, options, key);
        if (ifMatch !== undefined && ifMatch !== info.etag) throw changed(context);
        if (start === end) return { ...info, metadata: info.metadata!, body: new Blob().stream() };
      }
      const object = await call(context, () =>
        bucket.get(prefix + key, {
          ...(offset > 0 || length !== undefined ? { range: { offset, length } } : {}),
          ...(ifMatch === undefined ? {} : { onlyIf: { etagMatches: ifMatch } }),
        }),
      );
      if (object === null) throw new NotFoundError({ ...context, what: "R2 has no such object" });
      if (object.body === undefined) throw changed(context);
      const info = infoOf(object);
      return { ...info, metadata: info.metadata!, body: streamOf(object.body, context) };
    },
    async put(key, body, options = {}) {
      checkKey(key, "write");
      checkPutOptions(key, options);
      const { ifNoneMatch, ifMatch, metadata = {}, signal } = options;
      const context = { operation: "write", object: key, signal };
      const bytes = await collectBody(body, context);
      const onlyIf = {
        ...(ifNoneMatch === undefined ? {} : { etagDoesNotMatch: "*" }),
        ...(ifMatch === undefined ? {} : { etagMatches: ifMatch }),
      };
      const written = await call(context, () =>
        bucket.put(prefix + key, bytes, { customMetadata: { ...metadata }, onlyIf }),
      );
      if (written === null) throw changed(context);
      return { etag: written.etag, lastModified: written.uploaded };
    },
    async head(key, options = {}) {
      checkKey(key, "look up");
      return await find(key, { operation: "look up", object: key, signal: options.signal });
    },
    async delete(keys, options = {}) {
      for (const key of keys) checkKey(key, "delete");
      const context = { operation: "delete", object: "objects", signal: options.signal };
      throwIfAborted(context.signal, context.operation, context.object);
      for (let at = 0; at < keys.length; at += DELETED_AT_ONCE) {
        const some = keys.slice(at, at + DELETED_AT_ONCE).map((key) => prefix + key);
        await call(context, () => bucket.delete(some));
      }
    },
    async deleteOne(key, options = {}) {
      checkKey(key, "delete");
      const context = { operation: "delete", object: key, signal: options.signal };
      if (options.ifMatch !== undefined) {
        throw new UnsupportedError({ ...context, what: "R2 deletes without conditions" });
      }
      await call(context, () => bucket.delete(prefix + key));
    },
    async *list({ prefix: below = "", startAfter, signal } = {}) {
      checkPrefix(below, "list");
      const context = { operation: "list", object: below, signal };
      let cursor: string | undefined;
      do {
        const page = await call(context, () =>
          bucket.list({
            prefix: prefix + below,
            include: ["customMetadata"],
            ...(startAfter === undefined ? {} : { startAfter: prefix + startAfter }),
            ...(cursor === undefined ? {} : { cursor }),
          }),
        );
        for (const object of page.objects) {
          throwIfAborted(signal, "list", below);
          yield infoOf(object);
        }
        cursor = page.truncated ? page.cursor : undefined;
      } while (cursor !== undefined);
    },
  };
}

/** Calls the binding; what it throws is worth another try. */
async function call<Result>(context: BodyContext, run: () => Promise<Result>): Promise<Result> {
  throwIfAborted(context.signal, context.operation, context.object);
  try {
    return await run();
  } catch (cause) {
    throw new StoreError({ ...context, what: "R2 failed", cause }, { retryable: true });
  }
}

function changed(context: BodyContext): PreconditionFailedError {
  return new PreconditionFailedError({ ...context, what: "the object is another version" });
}

/** A body that the signal ends, and whose errors say what was read. */
function streamOf(
  body: ReadableStream<Uint8Array>,
  context: BodyContext,
): ReadableStream<Uint8Array> {
  const chunks = bodyChunks(body, context);
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await call(context, () => chunks.next());
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => void (await chunks.return()),
  });
}
