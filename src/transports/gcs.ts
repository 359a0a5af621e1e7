/**
 * A bucket of Google Cloud Storage, in Litestream's layout (`gs://`).
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { checkPutOptions } from "./body.ts";
import {
  deleteObject,
  generationMatch,
  getObject,
  headObject,
  listObjects,
} from "./gcs-objects.ts";
import { type GcsAccess, gcsRequests } from "./gcs-requests.ts";
import { CHUNK_UNIT, uploadObject } from "./gcs-upload.ts";
import type { ObjectMetadata, ObjectStore, StoreCapabilities } from "./object-store.ts";
import { inParallel } from "./parts.ts";
import { checkKey, checkPrefix } from "./path-rules.ts";

export type { AccessToken, TokenSource } from "./access-token.ts";
export {
  type GoogleCredentials,
  type GoogleMetadataOptions,
  googleMetadataServer,
  type GoogleServiceAccount,
  googleToken,
  type GoogleUser,
} from "./gcs-credentials.ts";
export type { GcsAccess } from "./gcs-requests.ts";
export type { Fetch, HttpOptions } from "./http-client.ts";

/** Options of {@linkcode gcsStore}. */
export interface GcsStoreOptions extends GcsAccess {
  /** Bytes of a chunk, a multiple of 262144; a larger body is sent chunk by chunk. @default 8388608 */
  readonly chunkSize?: number | undefined;
  /** Deletions under way at a time. @default 8 */
  readonly concurrency?: number | undefined;
  /** Objects per page of a listing, 1000 at most. @default 1000 */
  readonly pageSize?: number | undefined;
}

/** The service itself guarantees them. */
const CAPABILITIES: StoreCapabilities = {
  conditionalPut: true,
  conditionalReplace: true,
  conditionalLarge: true,
  conditionalDelete: true,
  metadataInList: true,
  rangedGet: true,
  watch: false,
};

const CHUNK_SIZE = 8 * 1024 * 1024;

/**
 * Makes a store of a bucket, which must exist, over the JSON interface. The tag of an object is its generation. With
 * neither `credentials` nor `token` its requests are anonymous: for public buckets, and for emulators.
 *
 * @example
 * ```ts
 * import { gcsStore } from "pagestream/transports/gcs";
 *
 * // A back end of yours gives the browser tokens for an hour.
 * const token = async () => {
 *   const { token, expiresAt } = await (await fetch("/storage-token")).json();
 *   return { token, expiresAt: new Date(expiresAt) };
 * };
 * const store = gcsStore({ bucket: "backups", path: "app", token });
 * console.log(store.description); // https://storage.googleapis.com/backups/app
 * ```
 */
export function gcsStore(options: GcsStoreOptions): ObjectStore {
  const { chunkSize = CHUNK_SIZE, concurrency = 8, pageSize = 1000 } = options;
  checkCount("chunkSize", chunkSize, { most: 2 ** 31, unit: CHUNK_UNIT });
  checkCount("concurrency", concurrency, { most: 1000 });
  checkCount("pageSize", pageSize, { most: 1000 });
  const requests = gcsRequests(options);

  return {
    type: "gs",
    description: requests.description,
    capabilities: CAPABILITIES,
    layout: "directory",
    clockOffsetMs: () => requests.client.clockOffsetMs,

    async get(key, getOptions) {
      checkKey(key, "read");
      return await getObject(requests, key, getOptions);
    },

    async put(key, body, putOptions = {}) {
      checkKey(key, "write");
      checkPutOptions(key, putOptions);
      const { ifNoneMatch, ifMatch, metadata = {}, signal } = putOptions;
      checkMetadata(key, metadata);
      const ifGenerationMatch = ifNoneMatch === undefined ? generationMatch(ifMatch) : "0";
      const upload = { key, ifGenerationMatch, metadata, chunkSize, signal };
      const { etag, lastModified } = await uploadObject(requests, body, upload);
      return { etag, lastModified };
    },

    async head(key, headOptions) {
      checkKey(key, "look up");
      return await headObject(requests, key, headOptions);
    },

    async delete(keys, { signal } = {}) {
      for (const key of keys) checkKey(key, "delete");
      const [only] = keys;
      if (keys.length === 1 && only !== undefined) {
        await deleteObject(requests, only, { signal });
        return;
      }
      await inParallel(keys, concurrency, async (key, ended) => {
        const either = signal === undefined ? ended : AbortSignal.any([signal, ended]);
        const context = { operation: "delete", object: key, signal: either };
        await requests.client.retry(context, () => deleteObject(requests, key, { signal: either }));
      });
    },

    async deleteOne(key, deleteOptions) {
      checkKey(key, "delete");
      await deleteObject(requests, key, deleteOptions);
    },

    async *list(listOptions = {}) {
      checkPrefix(listOptions.prefix ?? "", "list");
      yield* listObjects(requests, { ...listOptions, pageSize });
    },
  };
}

/** What a header can carry back: reading an object tells its metadata that way. */
function checkMetadata(key: string, metadata: ObjectMetadata): void {
  for (const [name, value] of Object.entries(metadata)) {
    if (/^[a-z0-9_-]+$/.test(name) && /^[!-~](?:[ -~]*[!-~])?$/.test(value)) continue;
    throw new InvalidArgumentError({
      operation: "write",
      object: key,
      what: `the metadata ${JSON.stringify(name)} would not come back as it is`,
      next: "Give names of small letters, digits, hyphens and underscores, and values of printable ASCII",
    });
  }
}

function checkCount(
  name: string,
  value: number,
  { most, unit = 1 }: { readonly most: number; readonly unit?: number },
): void {
  if (Number.isSafeInteger(value / unit) && value >= unit && value <= most) return;
  throw new InvalidArgumentError({
    operation: "use",
    object: `the option ${name} of a Google Cloud Storage store`,
    what: `${value} is no multiple of ${unit} up to ${most}`,
  });
}
