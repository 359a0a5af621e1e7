/**
 * Reading objects in the manner of S3: whole, in part, or only what is known of them.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import { conditionFailed, StoreError } from "./errors.ts";
import { type AskedRange, askedRange, emptyRange, rangedBody } from "./http-range.ts";
import type { HttpResponse } from "./http-response.ts";
import type { GetOptions, GetResult, ObjectInfo } from "./object-store.ts";
import { conditionHeaders, type S3Bucket } from "./s3-bucket.ts";
import { etagOf, quoted } from "./s3-multipart.ts";

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
  const { ifMatch, signal } = options;
  const asked = askedRange(options, key);
  if (asked.length === 0) return await emptyPart(bucket, key, { ...options, asked });
  const range = asked.header === undefined ? {} : { range: asked.header };
  const answer = await bucket.door.send({
    operation: "read",
    object: key,
    key: bucket.root + key,
    method: "GET",
    headers: {
      ...bucket.dialect.readHeaders,
      ...conditionHeaders(bucket, { ifMatch }),
      ...range,
    },
    accept: [416],
    signal,
  });
  if (answer.status === 416) {
    await answer.discard();
    return await emptyPart(bucket, key, { ...options, asked });
  }
  let known: Described;
  try {
    known = described(bucket, answer);
    checkVersion(key, known.etag, ifMatch);
  } catch (error) {
    await answer.discard();
    throw error;
  }
  const part = await rangedBody(answer, asked);
  return part === undefined
    ? await emptyPart(bucket, key, { ...options, asked })
    : { ...known, ...part };
}

/** Nothing of an object that is there. */
async function emptyPart(
  bucket: S3Bucket,
  key: string,
  { ifMatch, signal, asked }: GetOptions & { readonly asked: AskedRange },
): Promise<GetResult> {
  throwIfAborted(signal, "read", key);
  const info = await headObject(bucket, key, signal);
  checkVersion(key, info.etag, ifMatch);
  return emptyRange(info, asked);
}

/** Servers that ignore the condition of a read tell the version; one that is hidden proves nothing. */
function checkVersion(key: string, etag: string, ifMatch: string | undefined): void {
  if (ifMatch === undefined) return;
  if (etagOf(etag, { operation: "read", object: key }) !== quoted(ifMatch))
    throw conditionFailed({ operation: "read", object: key });
}

type Described = Pick<GetResult, "etag" | "lastModified" | "metadata">;

function described(bucket: S3Bucket, answer: HttpResponse): Described {
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

function unclear(answer: HttpResponse, what: string): StoreError {
  const { operation, object } = answer.request;
  return new StoreError({ operation, object, what: `the server's answer ${what}` });
}
