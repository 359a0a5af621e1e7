/**
 * Writing and deleting objects in the manner of S3.
 *
 * @module
 */
import { md5 } from "@noble/hashes/legacy.js";
import { isPagestreamError } from "../core/errors.ts";
import { StoreError } from "./errors.ts";
import type { PutOptions, PutResult } from "./object-store.ts";
import { type BodyPart, inParallel } from "./parts.ts";
import { conditionHeaders, objectHeaders, type S3Bucket } from "./s3-bucket.ts";
import { etagOf, putMultipart } from "./s3-multipart.ts";
import { headObject } from "./s3-reading.ts";
import type { S3Request } from "./s3-requests.ts";
import { escapeXml, type XmlNode } from "./xml.ts";

/** Namespace of the documents that requests carry. */
const XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';

/** Codes of objects that another attempt may delete. */
const PASSING: readonly string[] = [
  "InternalError",
  "OperationAborted",
  "ServiceUnavailable",
  "SlowDown",
];

/** Writes an object with one request. */
export async function putPlain(
  bucket: S3Bucket,
  key: string,
  options: PutOptions & { readonly body: Uint8Array<ArrayBuffer> },
): Promise<PutResult> {
  const { body, metadata, signal } = options;
  const answer = await bucket.door.send({
    operation: "write",
    object: key,
    key: bucket.root + key,
    method: "PUT",
    headers: { ...objectHeaders(bucket, key, metadata), ...conditionHeaders(bucket, options) },
    body,
    signal,
  });
  await answer.discard();
  const date = Date.parse(answer.header("date") ?? "");
  const etag = etagOf(answer.header("etag"), answer.request);
  return { etag, lastModified: Number.isNaN(date) ? now(bucket) : new Date(date) };
}

/** Writes an object in parts. `beforeComplete` may end it at the last moment by throwing. */
export async function putParts(
  bucket: S3Bucket,
  key: string,
  options: PutOptions & {
    readonly parts: AsyncIterable<BodyPart>;
    readonly beforeComplete?: (() => Promise<void>) | undefined;
  },
): Promise<PutResult> {
  const { metadata, parts, beforeComplete, signal } = options;
  const target = {
    key: bucket.root + key,
    object: key,
    headers: objectHeaders(bucket, key, metadata),
    partHeaders: bucket.dialect.partHeaders,
    condition: conditionHeaders(bucket, options),
    concurrency: bucket.concurrency,
    beforeComplete,
    signal,
  };
  const etag = await putMultipart(bucket.door, target, parts);
  return { etag, lastModified: now(bucket) };
}

/** Whole seconds, as servers date objects. */
function now(bucket: S3Bucket): Date {
  return new Date(Math.floor(bucket.door.now() / 1000) * 1000);
}

/** Deletes an object, or that version of it; a missing one is no error. */
export async function deleteObject(
  bucket: S3Bucket,
  key: string,
  options: { readonly ifMatch?: string | undefined; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { ifMatch, signal } = options;
  try {
    const answer = await bucket.door.send({
      operation: "delete",
      object: key,
      key: bucket.root + key,
      method: "DELETE",
      headers: conditionHeaders(bucket, { ifMatch }),
      signal,
    });
    await answer.discard();
  } catch (error) {
    if (isPagestreamError(error, "NOT_FOUND")) return;
    // Some servers answer so for an object that is not there.
    if (isPagestreamError(error, "PRECONDITION_FAILED") && (await isMissing(bucket, key, signal))) {
      return;
    }
    throw error;
  }
}

async function isMissing(
  bucket: S3Bucket,
  key: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await headObject(bucket, key, signal);
    return false;
  } catch (error) {
    if (isPagestreamError(error, "NOT_FOUND")) return true;
    throw error;
  }
}

/** Deletes objects, as many at a time as the server takes. */
export async function deleteObjects(
  bucket: S3Bucket,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const { door, dialect } = bucket;
  const { deleteBatch } = dialect;
  const context = { operation: "delete", object: `${keys.length} objects`, signal };
  if (deleteBatch === 1) {
    await inParallel(keys, bucket.concurrency, (key) =>
      door.client.retry(context, () => deleteObject(bucket, key, { signal })),
    );
    return;
  }
  for (let at = 0; at < keys.length; at += deleteBatch) {
    const request = deleteRequest(bucket, keys.slice(at, at + deleteBatch), signal);
    const attempt = async (): Promise<void> =>
      checkDeleted(await door.sendForXml(request), request.object);
    if (at === 0) await attempt();
    else await door.client.retry(context, attempt);
  }
}

function deleteRequest(
  { dialect, root }: S3Bucket,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): S3Request {
  const objects = keys.map((key) => `<Object><Key>${escapeXml(root + key)}</Key></Object>`);
  const body = `<Delete ${XMLNS}><Quiet>true</Quiet>${objects.join("")}</Delete>`;
  const hash = md5(new TextEncoder().encode(body));
  return {
    operation: "delete",
    object: `${keys.length} objects`,
    method: "POST",
    query: { delete: "" },
    headers: {
      "content-type": "application/xml",
      ...(dialect.contentMd5 ? { "content-md5": btoa(String.fromCharCode(...hash)) } : {}),
    },
    body,
    signal,
  };
}

/** Throws what the server says of the keys that it did not delete. */
function checkDeleted(document: XmlNode, object: string): void {
  const codes = document.children("Error").map((each) => each.textOf("Code"));
  const failed = codes.filter((code) => code !== "NoSuchKey");
  const [first] = failed;
  if (first === undefined) return;
  // What a server may repeat of a request is not passed on.
  const code = /^[A-Za-z]{1,64}$/.test(first) ? first : "an error";
  throw new StoreError(
    {
      operation: "delete",
      object,
      what: `the server answered ${code} for ${failed.length} of them`,
      next: "Check whether the credentials allow to delete",
    },
    { retryable: failed.every((each) => PASSING.includes(each)) },
  );
}
