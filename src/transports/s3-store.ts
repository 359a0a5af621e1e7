/**
 * An object store over a bucket in the manner of S3.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import { checkPutOptions } from "./body.ts";
import { keyPath } from "./location.ts";
import type { ObjectStore, PutResult, StoreCapabilities } from "./object-store.ts";
import { bodyParts, withFirst } from "./parts.ts";
import { checkKey, checkPrefix } from "./path-rules.ts";
import type { ProbedConditions } from "./probe.ts";
import type { S3Bucket, S3Dialect } from "./s3-bucket.ts";
import {
  checkConditions,
  isConditional,
  NO_CONDITIONS,
  probeBucket,
  putCompared,
  putSettled,
  unsupported,
} from "./s3-conditions.ts";
import { listObjects } from "./s3-listing.ts";
import { partSizeFor } from "./s3-multipart.ts";
import { getObject, headObject } from "./s3-reading.ts";
import type { S3Door } from "./s3-requests.ts";
import { deleteObject, deleteObjects, putParts, putPlain } from "./s3-writing.ts";

/** A store to make. */
export interface S3LikeOptions {
  readonly door: S3Door;
  readonly dialect: S3Dialect;
  /** The place as a URL, for messages. */
  readonly description: string;
  /** Path below which the keys lie. Slashes at its ends do not count. @default "" */
  readonly path?: string | undefined;
  /** Bytes of a part, which the caller has checked. @default 5 MiB, 8 MiB for bodies known to be above 100 MiB */
  readonly partSize?: number | undefined;
  /** Parts of one upload in flight. */
  readonly concurrency: number;
  /** Keys per page of a listing. @default what the server gives */
  readonly pageSize?: number | undefined;
  /** What is known of the server's conditions and need not be tried. */
  readonly conditions?: Partial<ProbedConditions> | undefined;
}

/** Makes a store. */
export function s3Like(options: S3LikeOptions): ObjectStore {
  const { door, dialect, description, partSize, pageSize, concurrency, conditions = {} } = options;
  const { prefix: root } = keyPath(options.path, description);
  const bucket: S3Bucket = { door, dialect, root, concurrency, bareTags: false };
  let capabilities: StoreCapabilities = {
    ...NO_CONDITIONS,
    ...conditions,
    metadataInList: false,
    rangedGet: true,
    watch: false,
  };
  let probing: Promise<StoreCapabilities> | undefined;

  const probe = async (signal: AbortSignal | undefined): Promise<StoreCapabilities> => {
    const known = Object.keys(NO_CONDITIONS).every((name) => name in conditions);
    const found = known ? {} : await probeBucket(bucket, signal);
    capabilities = { ...capabilities, ...found, ...conditions };
    return capabilities;
  };

  return {
    type: dialect.type,
    description,
    layout: dialect.layout,
    clockOffsetMs: () => door.client.clockOffsetMs,
    get capabilities() {
      return capabilities;
    },

    async probe(probeOptions) {
      probing ??= probe(probeOptions?.signal);
      try {
        return await probing;
      } catch (error) {
        probing = undefined;
        throw error;
      }
    },

    async get(key, getOptions = {}) {
      checkKey(key, "read");
      return await getObject(bucket, key, getOptions);
    },

    async put(key, body, putOptions = {}): Promise<PutResult> {
      checkKey(key, "write");
      checkPutOptions(key, putOptions);
      checkConditions(key, putOptions, capabilities);
      const { sizeBound, signal } = putOptions;
      const size = body instanceof Uint8Array ? body.length : sizeBound;
      const context = { operation: "write", object: key, signal };
      const parts = bodyParts(body, partSizeFor(size, partSize), context);
      const first = await parts.next();
      // An empty body is one part, too.
      if (first.done === true || first.value.last) {
        const bytes = first.value?.bytes ?? new Uint8Array();
        const put = (): Promise<PutResult> => putPlain(bucket, key, { ...putOptions, body: bytes });
        return await putSettled(bucket, key, { ...putOptions, put, large: false });
      }
      const all = withFirst(first.value, parts);
      const compared = isConditional(putOptions) && !capabilities.conditionalLarge;
      const putAll = compared ? putCompared : putParts;
      const put = (): Promise<PutResult> => putAll(bucket, key, { ...putOptions, parts: all });
      return await putSettled(bucket, key, { ...putOptions, put, large: true });
    },

    async head(key, headOptions) {
      checkKey(key, "look up");
      return await headObject(bucket, key, headOptions?.signal);
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkKey(key, "delete");
      throwIfAborted(deleteOptions?.signal, "delete objects of", description);
      await deleteObjects(bucket, keys, deleteOptions?.signal);
    },

    async deleteOne(key, deleteOptions = {}) {
      checkKey(key, "delete");
      if (deleteOptions.ifMatch !== undefined && !capabilities.conditionalDelete) {
        throw unsupported("delete", key, "to delete only a certain version of an object");
      }
      await deleteObject(bucket, key, deleteOptions);
    },

    list(listOptions = {}) {
      checkPrefix(listOptions.prefix ?? "", "list");
      checkPrefix(listOptions.startAfter ?? "", "list");
      return listObjects(door, { ...listOptions, root, pageSize });
    },
  };
}
