/**
 * A container of Azure Blob Storage, in Litestream's layout (`abs://`).
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { blobsDeleter, deleteBlob } from "./azure-batch.ts";
import { listBlobs } from "./azure-list.ts";
import { blobProperties, metadataHeaders, quoteTag } from "./azure-properties.ts";
import { getBlob, headBlob } from "./azure-read.ts";
import { type AzureAccess, azureRequests } from "./azure-requests.ts";
import { uploadBlob } from "./azure-upload.ts";
import { checkPutOptions } from "./body.ts";
import type { ObjectStore, StoreCapabilities } from "./object-store.ts";
import { checkKey, checkPrefix } from "./path-rules.ts";

export type { AccessToken, TokenSource } from "./access-token.ts";
export type { AzureAccess } from "./azure-requests.ts";
export {
  entraClientCredentials,
  type EntraClientOptions,
  managedIdentity,
  type ManagedIdentityOptions,
} from "./azure-tokens.ts";
export type { Fetch, HttpOptions } from "./http-client.ts";

/** Options of {@linkcode azureStore}. */
export interface AzureStoreOptions extends AzureAccess {
  /** Bytes of a block; a larger body is written block by block. @default 5242880 */
  readonly blockSize?: number | undefined;
  /** Requests under way at a time within one call. @default 4 */
  readonly concurrency?: number | undefined;
  /** Blobs per page of a listing, 5000 at most. @default 5000 */
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

const BLOCK_SIZE = 5 * 1024 * 1024;

/** Most bytes of a block, and most blocks of a blob. */
const MAX_BLOCK_SIZE = 4000 * 1024 * 1024;
const MAX_BLOCKS = 50_000;

/** What Litestream sets besides the metadata. */
const BLOB_HEADERS: Readonly<Record<string, string>> = {
  "x-ms-access-tier": "Hot",
  "x-ms-blob-content-type": "application/octet-stream",
};

/**
 * Makes a store of a container, which must exist. With none of `sasToken`, `accountKey` and `token` its requests are
 * anonymous, which a public container answers for readers.
 *
 * Of metadata it keeps `litestream-timestamp`, under Litestream's name for it on Azure, and names of small letters, digits
 * and underscores; others are refused with `InvalidArgumentError`.
 *
 * @example
 * ```ts
 * import { azureStore } from "pagestream/transports/azure";
 *
 * const store = azureStore({
 *   accountName: "example",
 *   container: "backups",
 *   path: "app",
 *   sasToken: "sv=2024-11-04&sr=c&sp=racwdl&se=2027-01-01T00:00:00Z&sig=c2lnbmF0dXJl",
 * });
 * console.log(store.description); // https://example.blob.core.windows.net/backups/app
 * ```
 */
export function azureStore(options: AzureStoreOptions): ObjectStore {
  const { blockSize = BLOCK_SIZE, concurrency = 4, pageSize = 5000 } = options;
  checkCount("blockSize", blockSize, MAX_BLOCK_SIZE);
  checkCount("concurrency", concurrency, 1000);
  checkCount("pageSize", pageSize, 5000);
  const requests = azureRequests(options);
  const deleteBlobs = blobsDeleter(requests, concurrency);

  return {
    type: "abs",
    description: requests.description,
    capabilities: CAPABILITIES,
    layout: "directory",
    clockOffsetMs: () => requests.client.clockOffsetMs,

    async get(key, getOptions) {
      checkKey(key, "read");
      return await getBlob(requests, key, getOptions);
    },

    async put(key, body, putOptions = {}) {
      checkKey(key, "write");
      checkPutOptions(key, putOptions);
      const { ifNoneMatch, ifMatch, metadata, sizeBound = 0, signal } = putOptions;
      const response = await uploadBlob(requests, body, {
        key,
        conditions: { "if-none-match": ifNoneMatch, "if-match": quoteTag(ifMatch) },
        headers: { ...BLOB_HEADERS, ...metadataHeaders(key, metadata) },
        blockSize: Math.max(blockSize, Math.ceil(sizeBound / MAX_BLOCKS)),
        concurrency,
        signal,
      });
      await response.discard();
      const { etag, lastModified } = blobProperties(response);
      return { etag, lastModified };
    },

    async head(key, headOptions) {
      checkKey(key, "look up");
      return await headBlob(requests, key, headOptions);
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkKey(key, "delete");
      await deleteBlobs(keys, deleteOptions?.signal);
    },

    async deleteOne(key, deleteOptions) {
      checkKey(key, "delete");
      await deleteBlob(requests, key, deleteOptions);
    },

    async *list(listOptions = {}) {
      checkPrefix(listOptions.prefix ?? "", "list");
      yield* listBlobs(requests, { ...listOptions, pageSize });
    },
  };
}

function checkCount(name: string, value: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return;
  throw new InvalidArgumentError({
    operation: "use",
    object: `the option ${name} of an Azure store`,
    what: `${value} is no whole number from 1 to ${most}`,
  });
}
