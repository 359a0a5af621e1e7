/**
 * Replicas in a bucket of Cloudflare R2 that is bound to a Worker: no keys, and no requests over the network of yours.
 *
 * @module
 */
import { isPagestreamError, throwIfAborted } from "../core/errors.ts";
import { type BodyContext, bodyChunks, byteRange, checkPutOptions } from "./body.ts";
import { conditionFailed, NotFoundError, StoreError } from "./errors.ts";
import { askedRange, emptyBody } from "./http-range.ts";
import { keyPath } from "./location.ts";
import type {
  GetOptions,
  GetResult,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutResult,
  StoreCapabilities,
} from "./object-store.ts";
import { type BodyPart, bodyParts, inParallel } from "./parts.ts";
import { checkKey, checkPrefix } from "./path-rules.ts";
import type { R2Bucket, R2Object } from "./r2-binding.ts";
import { unsupported } from "./s3-conditions.ts";
import { checkPartSize, partSizeFor } from "./s3-multipart.ts";

export type {
  R2Bucket,
  R2Conditional,
  R2GetOptions,
  R2ListOptions,
  R2MultipartUpload,
  R2Object,
  R2ObjectBody,
  R2Objects,
  R2PutOptions,
  R2UploadedPart,
} from "./r2-binding.ts";

/** Options of {@linkcode r2Store}. */
export interface R2StoreOptions {
  /** Path within the bucket. Slashes at its ends do not count. @default "" */
  readonly path?: string | undefined;
  /** Bytes of a part of a large stream; at least 5 MiB. @default 5 MiB, 8 MiB for bodies known to be above 100 MiB */
  readonly partSize?: number | undefined;
  /** Keys per page of a listing. @default 1000 */
  readonly pageSize?: number | undefined;
}

const CAPABILITIES: StoreCapabilities = {
  conditionalPut: true,
  conditionalReplace: true,
  // The binding takes no condition when an upload in parts is completed.
  conditionalLarge: false,
  conditionalDelete: false,
  metadataInList: true,
  rangedGet: true,
  watch: false,
};

/** Objects that one call deletes. */
const DELETE_BATCH = 1000;

/** Parts in flight: an invocation may have six connections open. */
const CONCURRENCY = 2;

/** Codes of R2 after which the same call may succeed: internal, unavailable, disconnected, too many writes to a key. */
const PASSING: readonly string[] = ["10001", "10043", "10054", "10058"];

/**
 * Makes a store in a bound bucket. Its layout is that of S3, so that the bucket can be read by `s3Store` and by
 * Litestream, too.
 *
 * @example
 * ```ts ignore
 * import { r2Store } from "pagestream/transports/r2";
 *
 * export default {
 *   async fetch(request, env) {
 *     const store = r2Store(env.BUCKET, { path: "app.db" });
 *     return Response.json(await store.head("0000/0000000000000001-0000000000000001.ltx"));
 *   },
 * };
 * ```
 */
export function r2Store(bucket: R2Bucket, options: R2StoreOptions = {}): ObjectStore {
  const { partSize, pageSize } = options;
  const { path, prefix: root, keyOf } = keyPath(options.path, "an R2 bucket");
  checkPartSize(partSize);

  const head = async (key: string, context: BodyContext): Promise<ObjectInfo> => {
    const object = await call(context, () => bucket.head(root + key));
    if (object === null) throw missing(context);
    return { ...described(object), key };
  };

  const emptyPart = async (key: string, { ifMatch, signal }: GetOptions): Promise<GetResult> => {
    const context = { operation: "read", object: key, signal };
    const { size, etag, lastModified, metadata = {} } = await head(key, context);
    if (ifMatch !== undefined && ifMatch !== etag) throw conditionFailed(context);
    return { size, etag, lastModified, metadata, body: emptyBody() };
  };

  const putOnce = async (key: string, bytes: Uint8Array, put: PutOptions): Promise<PutResult> => {
    const context = { operation: "write", object: key, signal: put.signal };
    const written = await call(context, () =>
      bucket.put(root + key, bytes, {
        ...metadataOf(put),
        ...(put.ifNoneMatch === undefined ? {} : { onlyIf: { etagDoesNotMatch: "*" } }),
        ...(put.ifMatch === undefined ? {} : { onlyIf: { etagMatches: put.ifMatch } }),
      }),
    );
    if (written === null) throw conditionFailed(context);
    return { etag: written.etag, lastModified: written.uploaded };
  };

  /** What is stored is compared before the last step and after it, which leaves a gap. */
  const putParts = async (
    key: string,
    parts: AsyncIterable<BodyPart>,
    put: PutOptions,
  ): Promise<PutResult> => {
    const context = { operation: "write", object: key, signal: put.signal };
    const upload = await call(context, () =>
      bucket.createMultipartUpload(root + key, metadataOf(put)),
    );
    let written: R2Object;
    try {
      const uploaded = await inParallel(parts, CONCURRENCY, ({ index, bytes }) =>
        call(context, () => upload.uploadPart(index + 1, bytes)),
      );
      await refuseContradiction(context, put);
      written = await call(context, () => upload.complete(uploaded));
    } catch (error) {
      // What it cannot remove, R2 removes after a week; the first error is the one to tell.
      await upload.abort().catch(() => undefined);
      throw error;
    }
    const { etag, uploaded: lastModified } = written;
    const conditional = put.ifNoneMatch !== undefined || put.ifMatch !== undefined;
    if (conditional && (await head(key, context)).etag !== etag) throw conditionFailed(context);
    return { etag, lastModified };
  };

  const refuseContradiction = async (context: BodyContext, put: PutOptions): Promise<void> => {
    const { ifNoneMatch, ifMatch } = put;
    if (ifNoneMatch === undefined && ifMatch === undefined) return;
    let etag: string | undefined;
    try {
      etag = (await head(context.object, context)).etag;
    } catch (error) {
      if (!isPagestreamError(error, "NOT_FOUND")) throw error;
    }
    if (etag !== ifMatch) throw conditionFailed(context);
  };

  return {
    type: "s3",
    description: ["an R2 bucket", path].filter(Boolean).join("/"),
    capabilities: CAPABILITIES,
    layout: "hex",

    async get(key, getOptions = {}) {
      checkKey(key, "read");
      const { ifMatch, signal } = getOptions;
      const asked = askedRange(getOptions, key);
      if (asked.length === 0) return await emptyPart(key, getOptions);
      const { offset, length } = asked;
      const range = length === undefined ? { offset } : { offset, length };
      const context = { operation: "read", object: key, signal };
      let object: Awaited<ReturnType<R2Bucket["get"]>>;
      try {
        object = await call(context, () =>
          bucket.get(root + key, {
            ...(asked.header === undefined ? {} : { range }),
            ...(ifMatch === undefined ? {} : { onlyIf: { etagMatches: ifMatch } }),
          }),
        );
      } catch (error) {
        // R2 refuses a range that begins past the end, and not everywhere with a code that says so.
        if (asked.header === undefined) throw error;
        const empty = await emptyPart(key, getOptions);
        if (offset < empty.size) throw error;
        return empty;
      }
      if (object === null) throw missing(context);
      if (object.body === undefined) throw conditionFailed(context);
      const { start, end } = byteRange(object.size, getOptions, key);
      const body = checkedBody(object.body, end - start, context);
      return { ...described(object), body };
    },

    async put(key, body, putOptions = {}) {
      checkKey(key, "write");
      checkPutOptions(key, putOptions);
      const { sizeBound, signal } = putOptions;
      throwIfAborted(signal, "write", key);
      // Bytes that are in memory anyway are one call, whatever their size.
      if (body instanceof Uint8Array) return await putOnce(key, body, putOptions);
      const context = { operation: "write", object: key, signal };
      const parts = bodyParts(body, partSizeFor(sizeBound, partSize), context);
      const first = await parts.next();
      if (first.done === true || first.value.last) {
        return await putOnce(key, first.value?.bytes ?? new Uint8Array(), putOptions);
      }
      const { value } = first;
      async function* all(): AsyncGenerator<BodyPart, void, undefined> {
        yield value;
        yield* parts;
      }
      try {
        return await putParts(key, all(), putOptions);
      } finally {
        await parts.return();
      }
    },

    async head(key, headOptions) {
      checkKey(key, "look up");
      return await head(key, { operation: "look up", object: key, signal: headOptions?.signal });
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkKey(key, "delete");
      const object = `${keys.length} objects`;
      const context = { operation: "delete", object, signal: deleteOptions?.signal };
      throwIfAborted(context.signal, context.operation, context.object);
      for (let at = 0; at < keys.length; at += DELETE_BATCH) {
        const some = keys.slice(at, at + DELETE_BATCH).map((key) => root + key);
        await call(context, () => bucket.delete(some));
      }
    },

    async deleteOne(key, deleteOptions = {}) {
      checkKey(key, "delete");
      if (deleteOptions.ifMatch !== undefined) {
        throw unsupported("delete", key, "to delete only a certain version of an object");
      }
      const context = { operation: "delete", object: key, signal: deleteOptions.signal };
      await call(context, () => bucket.delete(root + key));
    },

    async *list(listOptions = {}) {
      const { prefix = "", startAfter, signal } = listOptions;
      checkPrefix(prefix, "list");
      const context = { operation: "list", object: prefix || "all objects", signal };
      let cursor: string | undefined;
      for (;;) {
        const page = await call(context, () =>
          bucket.list({
            prefix: root + prefix,
            include: ["customMetadata"],
            ...(pageSize === undefined ? {} : { limit: pageSize }),
            ...(startAfter === undefined ? {} : { startAfter: root + startAfter }),
            ...(cursor === undefined ? {} : { cursor }),
          }),
        );
        for (const object of page.objects) {
          throwIfAborted(signal, context.operation, context.object);
          const key = keyOf(object.key);
          if (key !== undefined) yield { ...described(object), key };
        }
        if (!page.truncated) return;
        if (page.cursor === undefined || page.cursor === cursor) {
          const what = "a page is not the last one and does not say how to go on";
          throw new StoreError({ ...context, what });
        }
        cursor = page.cursor;
      }
    },
  };
}

/** Calls the binding once, and makes an error of ours from what it throws. */
async function call<Result>(context: BodyContext, run: () => Promise<Result>): Promise<Result> {
  const { operation, object, signal } = context;
  throwIfAborted(signal, operation, object);
  try {
    return await run();
  } catch (cause) {
    // Messages end in a code: "get: The requested range is not satisfiable (10039)".
    const code = /\((\d{5})\)/.exec(String(cause))?.[1];
    const what = code === undefined ? "R2 failed" : `R2 failed with code ${code}`;
    throw new StoreError(
      { operation, object, what, cause },
      { retryable: code === undefined || PASSING.includes(code) },
    );
  }
}

function described(object: R2Object): Omit<GetResult, "body"> {
  const { size, etag, uploaded, customMetadata } = object;
  return { size, etag, lastModified: uploaded, metadata: customMetadata ?? {} };
}

function metadataOf({ metadata }: PutOptions): { customMetadata: Record<string, string> } {
  return { customMetadata: { ...metadata } };
}

/** A body that the signal ends, and that is of the length it shall have or ends in an error. */
function checkedBody(
  body: ReadableStream<Uint8Array>,
  length: number,
  context: BodyContext,
): ReadableStream<Uint8Array> {
  const chunks = bodyChunks(body, context);
  let left = length;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { operation, object } = context;
        let next: IteratorResult<Uint8Array, void>;
        try {
          next = await chunks.next();
        } catch (cause) {
          if (isPagestreamError(cause)) throw cause;
          const what = "the transfer broke off";
          throw new StoreError({ operation, object, what, cause }, { retryable: true });
        }
        if (next.done !== true) left -= next.value.length;
        if (left < 0 || (next.done === true && left > 0)) {
          const what = `R2 sent ${length - left} of ${length} bytes`;
          throw new StoreError({ operation, object, what }, { retryable: true });
        }
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await chunks.return();
      },
    },
    { highWaterMark: 0 },
  );
}

function missing({ operation, object }: BodyContext): NotFoundError {
  return new NotFoundError({ operation, object, what: "there is no such object" });
}
