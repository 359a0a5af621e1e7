/**
 * Reading objects in the manner of S3: whole, in part, or only what is known of them.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import { byteRange } from "./body.ts";
import { PreconditionFailedError, StoreError } from "./errors.ts";
import type { HttpResponse } from "./http-response.ts";
import type { GetOptions, GetResult, ObjectInfo } from "./object-store.ts";
import { conditionHeaders, type S3Bucket } from "./s3-bucket.ts";
import { quoted } from "./s3-multipart.ts";

/** What is known of an object; a missing one is `NotFoundError`. */
export async function headObject(
  bucket: S3Bucket,
  key: string,
  signal?: AbortSignal,
): Promise<ObjectInfo> {
  const answer = await bucket.door.send({
    operation: "look up",
    object: key,
    key: bucket.root + key,
    method: "HEAD",
    headers: bucket.dialect.readHeaders,
    signal,
  });
  await answer.discard();
  const size = sizeHeader(answer);
  if (size === undefined) throw unclear(answer, "tells no size");
  return { key, size, ...described(bucket, answer) };
}

/** An object or a part of it. */
export async function getObject(
  bucket: S3Bucket,
  key: string,
  options: GetOptions,
): Promise<GetResult> {
  const { offset = 0, length, ifMatch, signal } = options;
  byteRange(0, options, key);
  if (length === 0) return await emptyPart(bucket, key, options);
  const ranged = offset > 0 || length !== undefined;
  const last = length === undefined ? "" : offset + length - 1;
  const answer = await bucket.door.send({
    operation: "read",
    object: key,
    key: bucket.root + key,
    method: "GET",
    headers: {
      ...bucket.dialect.readHeaders,
      ...conditionHeaders(bucket, { ifMatch }),
      ...(ranged ? { range: `bytes=${offset}-${last}` } : {}),
    },
    accept: [416],
    signal,
  });
  if (answer.status === 416 || answer.status === 204) {
    await answer.discard();
    return await emptyPart(bucket, key, options);
  }
  const known = described(bucket, answer);
  if (ifMatch !== undefined && known.etag !== quoted(ifMatch)) {
    await answer.body(undefined).cancel();
    throw changed(key);
  }
  if (answer.status === 206 && ranged) {
    const { size, start, end } = await contentRange(answer, options);
    return { ...known, size, body: answer.body(end - start) };
  }
  const size = answer.contentLength;
  if (answer.status !== 200 || size === undefined) {
    await answer.body(undefined).cancel();
    const what =
      size === undefined ? "tells no size" : `has the unexpected status ${answer.status}`;
    throw unclear(answer, what);
  }
  if (!ranged) return { ...known, size, body: answer.body() };
  // The server has no ranges, and sends all.
  const { start, end } = byteRange(size, options, key);
  return { ...known, size, body: cut(answer.body(), start, end - start) };
}

/** Nothing of an object that is there. */
async function emptyPart(
  bucket: S3Bucket,
  key: string,
  { ifMatch, signal }: GetOptions,
): Promise<GetResult> {
  throwIfAborted(signal, "read", key);
  const { size, etag, lastModified, metadata = {} } = await headObject(bucket, key, signal);
  if (ifMatch !== undefined && etag !== quoted(ifMatch)) throw changed(key);
  const body = new Blob([]).stream();
  return { size, etag, lastModified, metadata, body };
}

function described(
  bucket: S3Bucket,
  answer: HttpResponse,
): Required<Pick<GetResult, "etag" | "lastModified" | "metadata">> {
  const lastModified = new Date(answer.header("last-modified") ?? NaN);
  if (Number.isNaN(lastModified.getTime())) throw unclear(answer, "tells no time");
  return {
    etag: quoted(answer.header("etag") ?? ""),
    lastModified,
    metadata: answer.headersWith(bucket.dialect.metadataPrefix),
  };
}

function sizeHeader(answer: HttpResponse): number | undefined {
  const text = answer.header("content-length") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** What of which whole a 206 holds; anything but what was asked for is an error. */
async function contentRange(
  answer: HttpResponse,
  { offset = 0, length = Number.MAX_SAFE_INTEGER }: GetOptions,
): Promise<{ readonly size: number; readonly start: number; readonly end: number }> {
  const text = answer.header("content-range");
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(text ?? "");
  const [first, last, size] = (match ?? []).slice(1).map(Number) as [number, number, number];
  const { start, end } =
    match === null ? { start: 0, end: 0 } : byteRange(size, { offset, length }, "");
  if (match === null || first !== start || last !== end - 1) {
    await answer.body(undefined).cancel();
    const next =
      text === undefined
        ? "In a browser, let the CORS rule of the bucket expose Content-Range"
        : undefined;
    throw unclear(answer, `has the range ${text}, which is not what was asked for`, next);
  }
  return { size, start, end };
}

/** A stretch of a body. */
function cut(
  body: ReadableStream<Uint8Array>,
  skip: number,
  length: number,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let [toSkip, left] = [skip, length];
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        while (left > 0) {
          const { value } = await reader.read();
          if (value === undefined) break;
          const part = value.subarray(toSkip, toSkip + left);
          toSkip -= Math.min(toSkip, value.length);
          left -= part.length;
          if (part.length === 0) continue;
          controller.enqueue(part);
          return;
        }
        await reader.cancel();
        controller.close();
      },
      cancel: () => reader.cancel(),
    },
    { highWaterMark: 0 },
  );
}

/** The object is there, but not as the condition wants it. */
export function changed(key: string, operation = "read"): PreconditionFailedError {
  return new PreconditionFailedError({
    operation,
    object: key,
    what: "the object is not the version asked for, or exists already",
    next: "Read the object again and decide anew",
  });
}

function unclear(answer: HttpResponse, what: string, next?: string): StoreError {
  const { operation, object } = answer.request;
  return new StoreError({ operation, object, what: `the server's answer ${what}`, next });
}
