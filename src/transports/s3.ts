/**
 * Replicas in S3 and the many services that speak like it.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { HttpClient } from "./http-client.ts";
import { keyPath } from "./location.ts";
import type { ObjectStore } from "./object-store.ts";
import { s3Address, type S3AddressOptions } from "./s3-address.ts";
import { credentialCache, fromUser } from "./s3-credentials.ts";
import { checkPartSize } from "./s3-multipart.ts";
import { s3ObjectHeaders, type S3Options } from "./s3-options.ts";
import { s3Door } from "./s3-requests.ts";
import {
  presign,
  type S3SignedRequest,
  type S3Signer,
  s3Signer,
  type S3SignRequest,
} from "./s3-signing.ts";
import { s3Like } from "./s3-store.ts";
import { webPlatform } from "./web-platform.ts";

export type { ProbedConditions } from "./probe.ts";
export type { S3AddressOptions } from "./s3-address.ts";
export { envCredentials, type S3CredentialProvider, type S3Credentials } from "./s3-credentials.ts";
export type { S3Options } from "./s3-options.ts";
export type { S3SignedRequest, S3SignRequest } from "./s3-signing.ts";

/** Objects that one request deletes. */
const DELETE_BATCH = 1000;

/**
 * Makes a store in a bucket. No request is sent before the first call.
 *
 * @example
 * ```ts
 * import { s3Store } from "pagestream/transports/s3";
 *
 * const store = s3Store({
 *   bucket: "backups",
 *   path: "app",
 *   region: "eu-central-1",
 *   credentials: { accessKeyId: "AKEXAMPLE", secretAccessKey: "secret" },
 * });
 * console.log(store.description); // s3://backups/app
 * ```
 */
export function s3Store(options: S3Options): ObjectStore {
  const { path, partSize, pageSize, conditions } = options;
  const address = s3Address(options);
  const { provider, description } = address;
  const headers = s3ObjectHeaders(options, address);
  checkPartSize(partSize);
  const concurrency = options.concurrency ?? provider.concurrency;
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    const what = "it is not a whole number of at least 1";
    throw new InvalidArgumentError({ operation: "use", object: "concurrency", what });
  }
  return s3Like({
    door: s3Door(new HttpClient(options), signerOf(options)),
    dialect: {
      type: "s3",
      layout: "hex",
      metadataPrefix: "x-amz-meta-",
      writeHeaders: headers.write,
      partHeaders: headers.part,
      readHeaders: headers.read,
      // The keys of one request for many are in its body, which a back end that signs does not see.
      deleteBatch: options.sign === undefined ? DELETE_BATCH : 1,
      contentMd5: options.requireContentMD5 ?? provider.contentMd5,
    },
    description: [description, keyPath(path, description).path].filter(Boolean).join("/"),
    path,
    partSize,
    pageSize,
    concurrency,
    conditions,
  });
}

function signerOf(options: S3Options): S3Signer {
  const { credentials, sign, signPayload, platform = webPlatform } = options;
  if ((credentials === undefined) === (sign === undefined)) {
    throw new InvalidArgumentError({
      operation: "use",
      object: options.bucket,
      what: "there must be either credentials or a function sign",
    });
  }
  if (sign === undefined) {
    return s3Signer({
      address: s3Address(options),
      credentials: credentialCache(credentials!, platform),
      platform,
      signPayload,
    });
  }
  return {
    skewMs: 0,
    async sign({ method, key, query, headers }) {
      const object = key ?? options.bucket;
      const signed = await fromUser(() => sign({ method, key, query, headers }), {
        operation: "sign",
        object,
        platform,
      });
      if (typeof signed?.url !== "string" || typeof signed.headers !== "object") {
        const what = "the function sign returned no address with headers";
        throw new InvalidArgumentError({ operation: "sign", object, what });
      }
      return { ...signed, remedy: () => undefined };
    },
  };
}

/** A request to sign in advance. */
export interface S3PresignRequest extends S3SignRequest {
  /** How long the address works, in seconds, up to a week. */
  readonly expiresInS: number;
}

/**
 * Signs a request in advance, for somebody without keys: the address alone lets them send it, with exactly the headers
 * returned. `key` is the whole key, path included.
 *
 * @example
 * ```ts
 * import { presignS3 } from "pagestream/transports/s3";
 *
 * const credentials = { accessKeyId: "AKEXAMPLE", secretAccessKey: "secret" };
 * const { url } = await presignS3(
 *   { bucket: "backups", region: "eu-central-1", credentials },
 *   { method: "GET", key: "app.db/0000/0000000000000001-0000000000000001.ltx", expiresInS: 60 },
 * );
 * ```
 */
export async function presignS3(
  options: Pick<S3Options, keyof S3AddressOptions | "credentials" | "platform">,
  request: S3PresignRequest,
): Promise<S3SignedRequest> {
  const { credentials, platform = webPlatform } = options;
  if (credentials === undefined) {
    const what = "there are no credentials";
    throw new InvalidArgumentError({ operation: "sign for", object: options.bucket, what });
  }
  return await presign(request, {
    address: s3Address(options),
    credentials: credentialCache(credentials, platform),
    platform,
    expiresInS: request.expiresInS,
  });
}
