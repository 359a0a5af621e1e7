/**
 * A bucket of Google Cloud Storage by HMAC keys, over the interface that resembles S3.
 *
 * @module
 */
import { HttpClient, type HttpOptions } from "./http-client.ts";
import { keyPath } from "./location.ts";
import type { ObjectStore } from "./object-store.ts";
import { s3Address } from "./s3-address.ts";
import { credentialCache } from "./s3-credentials.ts";
import { checkPartSize } from "./s3-multipart.ts";
import { s3Door } from "./s3-requests.ts";
import { s3Signer } from "./s3-signing.ts";
import { s3Like } from "./s3-store.ts";
import { webPlatform } from "./web-platform.ts";

/** Options of {@linkcode gcsHmacStore}. */
export interface GcsHmacOptions extends HttpOptions {
  /** Name of the bucket; it must exist. */
  readonly bucket: string;
  /** Folder of the replica in the bucket. @default the bucket itself */
  readonly path?: string | undefined;
  /** Access id of the HMAC key. */
  readonly accessKeyId: string;
  /** Its secret. */
  readonly secretAccessKey: string;
  /** Address of the service. @default "https://storage.googleapis.com" */
  readonly endpoint?: string | undefined;
  /** Bytes of a part of a large object, at least 5 MiB. @default 5242880 */
  readonly partSize?: number | undefined;
  /** Requests under way at a time within one call. @default 5 */
  readonly concurrency?: number | undefined;
  /** Objects per page of a listing. @default 1000, by the server */
  readonly pageSize?: number | undefined;
}

/**
 * Makes a store of a bucket, for where there is nothing but an HMAC key. It reads and writes the same objects as `gcsStore`
 * and can do less: on writes Google ignores the conditions of this interface, which `probe` finds out, and a list tells
 * no times.
 *
 * @example
 * ```ts
 * import { gcsHmacStore } from "pagestream/transports/gcs-hmac";
 *
 * const store = gcsHmacStore({
 *   bucket: "backups",
 *   path: "app",
 *   accessKeyId: "GOOG1EXAMPLE",
 *   secretAccessKey: "secret",
 * });
 * console.log(store.description); // https://storage.googleapis.com/backups/app
 * ```
 */
export function gcsHmacStore(options: GcsHmacOptions): ObjectStore {
  const { bucket, path, accessKeyId, secretAccessKey, partSize, pageSize } = options;
  const { endpoint = "https://storage.googleapis.com", concurrency = 5 } = options;
  const { platform = webPlatform } = options;
  const address = s3Address({ bucket, endpoint, forcePathStyle: true });
  checkPartSize(partSize);
  const credentials = credentialCache({ accessKeyId, secretAccessKey }, platform);
  const { description } = address;
  return s3Like({
    door: s3Door(new HttpClient(options), s3Signer({ address, credentials, platform })),
    dialect: {
      type: "gs",
      layout: "directory",
      // Of the two families of headers the one that belongs to this kind of signature: they must not be mixed.
      metadataPrefix: "x-amz-meta-",
      writeHeaders: {},
      partHeaders: {},
      readHeaders: {},
      deleteBatch: 1,
      contentMd5: false,
    },
    description: [description, keyPath(path, description).path].filter(Boolean).join("/"),
    path,
    partSize,
    pageSize,
    concurrency,
  });
}
