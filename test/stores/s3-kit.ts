/**
 * Buckets on the S3 servers of the tests.
 *
 * @module
 */
import { AwsClient } from "aws4fetch";
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

/** Keys for a quarter of an hour that open one path of the bucket, as a server gives them to its pages. */
export async function sessionKeys(
  { endpoint, bucket, credentials }: ReturnType<typeof s3Options>,
  path: string,
): Promise<S3Credentials> {
  const allow = (action: string, resource: string): unknown => ({
    Effect: "Allow",
    Action: `s3:${action}`,
    Resource: `arn:aws:s3:::${bucket}${resource}`,
  });
  const policy = {
    Version: "2012-10-17",
    Statement: [allow("*Object", `/${path}/*`), allow("ListBucket", "")],
  };
  const query = new URLSearchParams({
    Action: "GetFederationToken",
    Version: "2011-06-15",
    Name: "page",
    DurationSeconds: "900",
    Policy: JSON.stringify(policy),
  });
  const { accessKeyId, secretAccessKey } = credentials;
  const keys = { accessKeyId, secretAccessKey };
  const client = new AwsClient({ ...keys, service: "sts", region: "us-east-1" });
  const response = await client.fetch(`${endpoint}/?${query}`, { method: "POST" });
  const text = await response.text();
  const field = (name: string): string => {
    const found = new RegExp(`<${name}>([^<]+)</`).exec(text)?.[1];
    if (found === undefined) throw new Error(text);
    return found;
  };
  return {
    accessKeyId: field("AccessKeyId"),
    secretAccessKey: field("SecretAccessKey"),
    sessionToken: field("SessionToken"),
  };
}
