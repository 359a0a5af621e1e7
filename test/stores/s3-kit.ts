/**
 * Buckets on the S3 servers of the tests.
 *
 * @module
 */
import { presignS3, type S3Credentials, type S3Options } from "pagestream/transports/s3";
import { part, type ServerAddress } from "../servers/server.ts";

/** Two parts. */
export const LARGE: number = 5 * 2 ** 20 + 1000;

/** How to reach a bucket of a server. */
export function s3Options(
  address: ServerAddress,
  bucket: string,
): S3Options & { readonly credentials: S3Credentials } {
  const credentials = {
    accessKeyId: part(address, "accessKeyId"),
    secretAccessKey: part(address, "secretAccessKey"),
  };
  return { bucket, endpoint: part(address, "endpoint"), credentials };
}

const made = new Map<string, Promise<void>>();

/** Makes a bucket, once. */
export function makeBucket(options: S3Options): Promise<void> {
  const name = `${options.endpoint}/${options.bucket}`;
  const making = made.get(name) ?? create(options);
  made.set(name, making);
  return making;
}

async function create(options: S3Options): Promise<void> {
  const { url } = await presignS3(options, { method: "PUT", expiresInS: 60 });
  const response = await fetch(url, { method: "PUT" });
  // Another file of the suite may have made it.
  if (!response.ok && response.status !== 409) throw new Error(await response.text());
}
