/**
 * Uploads in parts: nothing is visible before the last step, and a failure leaves nothing behind.
 *
 * @module
 */
import { md5 } from "@noble/hashes/legacy.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { InvalidArgumentError } from "../core/errors.ts";
import { isRetryable } from "../core/retry.ts";
import { StoreError } from "./errors.ts";
import type { HttpRequest } from "./http-response.ts";
import { type BodyPart, inParallel } from "./parts.ts";
import type { S3Door, S3Request } from "./s3-requests.ts";
import { escapeXml } from "./xml.ts";

/** Smallest part that servers take, and the size below which an object is one plain request. */
export const MIN_PART_SIZE: number = 5 * 1024 * 1024;

/** Parts that an upload can have. */
const MAX_PARTS = 10_000;

/** From here on larger parts save requests. */
const LARGE_SIZE = 100 * 1024 * 1024;

const LARGE_PART_SIZE = 8 * 1024 * 1024;

/** An upload. */
export interface MultipartTarget {
  /** The whole key. */
  readonly key: string;
  /** The key, as errors name it. */
  readonly object: string;
  /** Headers of the object: the same that a plain PUT has. */
  readonly headers: Readonly<Record<string, string>>;
  /** Headers of each part. */
  readonly partHeaders: Readonly<Record<string, string>>;
  /** Headers of the condition, which counts when the upload is completed. */
  readonly condition: Readonly<Record<string, string>>;
  /** Parts in flight. */
  readonly concurrency: number;
  /** Called when all parts are there; what it throws ends the upload. */
  readonly beforeComplete?: (() => Promise<void>) | undefined;
  /** Ends the upload. */
  readonly signal?: AbortSignal | undefined;
}

interface UploadedPart {
  readonly number: number;
  readonly etag: string;
}

/**
 * Size of the parts of a body: larger than asked for where its known size would need too many, always the same within an
 * upload, as some servers want it.
 */
export function partSizeFor(size: number | undefined, partSize: number | undefined): number {
  const wanted = partSize ?? ((size ?? 0) > LARGE_SIZE ? LARGE_PART_SIZE : MIN_PART_SIZE);
  const needed = Math.ceil((size ?? 0) / MAX_PARTS);
  return Math.max(wanted, needed);
}

/** Refuses a size of parts that no server takes. */
export function checkPartSize(partSize: number | undefined): void {
  if (partSize === undefined) return;
  if (Number.isSafeInteger(partSize) && partSize >= MIN_PART_SIZE) return;
  throw new InvalidArgumentError({
    operation: "use",
    object: `partSize ${partSize}`,
    what: `a part has at least ${MIN_PART_SIZE} bytes`,
  });
}

/** Uploads parts and makes an object of them; returns its tag. */
export async function putMultipart(
  door: S3Door,
  target: MultipartTarget,
  parts: AsyncIterable<BodyPart>,
): Promise<string> {
  const { key, object, headers, partHeaders, concurrency, signal } = target;
  const request = { operation: "write", object, key, signal };
  const created = await door.sendForXml({
    ...request,
    method: "POST",
    query: { uploads: "" },
    headers,
  });
  const uploadId = created.textOf("UploadId");
  if (uploadId === "") {
    throw new StoreError({ ...request, what: "the server began no upload, and no error either" });
  }
  try {
    const uploaded = await inParallel(parts, concurrency, async ({ index, bytes }, failed) => {
      const number = index + 1;
      if (number > MAX_PARTS) throw tooLarge(object);
      const part: S3Request = {
        ...request,
        method: "PUT",
        query: { partNumber: String(number), uploadId },
        headers: partHeaders,
        body: bytes,
        signal: signal === undefined ? failed : AbortSignal.any([signal, failed]),
      };
      return await door.client.retry(part, async (): Promise<UploadedPart> => {
        const answer = await door.send(part);
        await answer.discard();
        return { number, etag: etagOf(answer.header("etag"), answer.request) };
      });
    });
    await target.beforeComplete?.();
    return await complete(door, { ...target, uploadId }, uploaded);
  } catch (error) {
    const abort = door
      .send({ operation: "clean up", object, key, method: "DELETE", query: { uploadId } })
      .then((answer) => answer.discard())
      // What it cannot remove costs storage until the bucket's own rule does; the first error is the one to tell.
      .catch(() => undefined);
    if (signal?.aborted !== true) await abort;
    throw error;
  }
}

async function complete(
  door: S3Door,
  target: MultipartTarget & { readonly uploadId: string },
  parts: readonly UploadedPart[],
): Promise<string> {
  const { key, object, condition, uploadId, signal } = target;
  const listed = parts.map(
    ({ number, etag }) =>
      `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
  );
  const request: S3Request = {
    operation: "write",
    object,
    key,
    method: "POST",
    query: { uploadId },
    headers: { ...condition, "content-type": "application/xml" },
    body: `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${listed.join("")}</CompleteMultipartUpload>`,
    signal,
  };
  let inDoubt = false;
  return await door.client.retry(request, async () => {
    try {
      const etag = (await door.sendForXml(request)).textOf("ETag");
      // Ceph leaves it empty.
      return quoted(etag === "" ? tagOfParts(parts) : etag);
    } catch (error) {
      const final = !isRetryable(error) && error instanceof StoreError;
      // The first attempt may have succeeded and only its answer was lost: then the upload is gone.
      if (inDoubt && final) throw outcomeUnknown(object);
      inDoubt ||= isRetryable(error);
      throw error;
    }
  });
}

/** The tag that S3 gives to what was uploaded in parts: the hash of their hashes, and their number. */
function tagOfParts(parts: readonly UploadedPart[]): string {
  const hashes = parts.map(({ etag }) => etag.replaceAll('"', "")).join("");
  const bytes = Uint8Array.from(hashes.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return `${bytesToHex(md5(bytes))}-${parts.length}`;
}

/** A tag as `ifMatch` takes it: some servers leave the quotes out in documents. */
export function etagOf(
  etag: string | undefined,
  { operation, object }: Pick<HttpRequest, "operation" | "object">,
): string {
  if (etag !== undefined && etag !== "") return quoted(etag);
  throw new StoreError({
    operation,
    object,
    what: "the answer tells no ETag",
    next: "In a browser, let the CORS rule of the bucket expose ETag",
  });
}

/** A tag in quotes, as HTTP has it. */
export function quoted(etag: string): string {
  return etag === "" || etag.endsWith('"') ? etag : `"${etag}"`;
}

function outcomeUnknown(object: string): StoreError {
  const what = "the server's answer to the last step was lost, and the upload is gone";
  return new StoreError({ operation: "write", object, what }, { retryable: true });
}

function tooLarge(object: string): StoreError {
  return new StoreError({
    operation: "write",
    object,
    what: `the body has more than ${MAX_PARTS} parts`,
    next: "Give a larger partSize",
  });
}
