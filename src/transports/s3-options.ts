/**
 * Options of a store in S3, and what follows from them.
 *
 * @module
 */
import { md5 } from "@noble/hashes/legacy.js";
import { InvalidArgumentError } from "../core/errors.ts";
import type { HttpOptions } from "./http-client.ts";
import type { ProbedConditions } from "./probe.ts";
import type { S3Address, S3AddressOptions } from "./s3-address.ts";
import type { S3Headers } from "./s3-bucket.ts";
import type { S3CredentialProvider, S3Credentials } from "./s3-credentials.ts";
import type { S3SignedRequest, S3SignRequest } from "./s3-signing.ts";

/** Options of `s3Store`. */
export interface S3Options extends S3AddressOptions, HttpOptions {
  /** Path within the bucket. Slashes at its ends do not count. @default "" */
  readonly path?: string | undefined;
  /** Keys, or a function that returns fresh ones and is called again shortly before they expire. */
  readonly credentials?: S3Credentials | S3CredentialProvider | undefined;
  /** Lets a back end sign each request, so that no key is here: for browsers. Instead of `credentials`. */
  readonly sign?: ((request: S3SignRequest) => Promise<S3SignedRequest>) | undefined;
  /** Whether the hash of each body is signed. Without it a change on the way goes unnoticed. @default true */
  readonly signPayload?: boolean | undefined;
  /** Whether requests that delete many objects carry Content-MD5. @default true, on Tigris false */
  readonly requireContentMD5?: boolean | undefined;
  /** Bytes of a part of a large object; at least 5 MiB. @default 5 MiB, 8 MiB for bodies known to be above 100 MiB */
  readonly partSize?: number | undefined;
  /** Parts of one upload in flight. @default 5, on R2 2 */
  readonly concurrency?: number | undefined;
  /** Keys per page of a listing. @default 1000, by the server */
  readonly pageSize?: number | undefined;
  /** Class of new objects, as the vendor names it. @default the bucket's */
  readonly storageClass?: string | undefined;
  /** Algorithm of encryption with a key of yours: `AES256`, which is the only one. @default "AES256" */
  readonly sseCustomerAlgorithm?: string | undefined;
  /** Key of yours for encryption on the server: 32 bytes in base64. It is sent with each request. */
  readonly sseCustomerKey?: string | undefined;
  /** MD5 of that key in base64. @default computed */
  readonly sseCustomerKeyMd5?: string | undefined;
  /** Key in AWS KMS that the server encrypts with. Not together with `sseCustomerKey`. */
  readonly sseKmsKeyId?: string | undefined;
  /** What is known of the server's conditions and shall not be tried. @default nothing: `probe` tries all */
  readonly conditions?: Partial<ProbedConditions> | undefined;
}

/** Headers of encryption and class. */
export interface S3ObjectHeaders {
  /** Of PUT and of the start of an upload in parts. */
  readonly write: S3Headers;
  /** Of each part. */
  readonly part: S3Headers;
  /** Of GET and HEAD. */
  readonly read: S3Headers;
}

/** Works out what requests carry for encryption and class; `InvalidArgumentError` where it cannot work. */
export function s3ObjectHeaders(options: S3Options, address: S3Address): S3ObjectHeaders {
  const { storageClass, sseKmsKeyId } = options;
  const customer = customerKeyHeaders(options, address);
  const write: Record<string, string> = { ...customer };
  if (storageClass !== undefined) write["x-amz-storage-class"] = storageClass;
  if (sseKmsKeyId !== undefined) {
    if (options.sseCustomerKey !== undefined) {
      refuse("sseKmsKeyId", "it cannot be together with sseCustomerKey", "Choose one of them");
    }
    write["x-amz-server-side-encryption"] = "aws:kms";
    write["x-amz-server-side-encryption-aws-kms-key-id"] = sseKmsKeyId;
  }
  return { write, part: customer, read: customer };
}

function customerKeyHeaders(options: S3Options, address: S3Address): S3Headers {
  const { sseCustomerAlgorithm = "AES256", sseCustomerKey, sseCustomerKeyMd5 } = options;
  if (sseCustomerKey === undefined) {
    if (sseCustomerKeyMd5 !== undefined || options.sseCustomerAlgorithm !== undefined) {
      refuse("sseCustomerAlgorithm or sseCustomerKeyMd5", "there is no sseCustomerKey");
    }
    return {};
  }
  if (sseCustomerAlgorithm !== "AES256") {
    refuse("sseCustomerAlgorithm", "it is not AES256, the only one there is");
  }
  const key = sseCustomerKey.trim();
  // 32 bytes have 43 characters and one to fill up.
  if (!/^[A-Za-z0-9+/]{43}=$/.test(key)) {
    refuse("sseCustomerKey", "it is not the base64 of 32 bytes");
  }
  if (!address.private) {
    refuse("sseCustomerKey", "the endpoint is not https, so the key could be read on the way");
  }
  const bytes = Uint8Array.from(atob(key), (character) => character.charCodeAt(0));
  const prefix = "x-amz-server-side-encryption-customer-";
  return {
    [`${prefix}algorithm`]: sseCustomerAlgorithm,
    [`${prefix}key`]: key,
    [`${prefix}key-md5`]: sseCustomerKeyMd5 ?? btoa(String.fromCharCode(...md5(bytes))),
  };
}

function refuse(object: string, what: string, next?: string): never {
  throw new InvalidArgumentError({ operation: "use", object, what, next });
}
