/**
 * Reading a part of an object over HTTP: what is asked for, and what an answer really holds.
 *
 * @module
 */
import { byteRange } from "./body.ts";
import { StoreError } from "./errors.ts";
import type { AnswerHead, HttpResponse } from "./http-response.ts";
import type { GetOptions, GetResult, ObjectInfo } from "./object-store.ts";

/** The part of an object that a `get` asks for. */
export interface AskedRange {
  /** First byte. */
  readonly offset: number;
  /** Number of bytes; `undefined` to the end. */
  readonly length: number | undefined;
  /** Value of the header `Range`; `undefined` where the whole object is asked for, or nothing of it. */
  readonly header: string | undefined;
}

/** What an answer holds of an object. */
export interface RangedBody {
  /** The bytes asked for; a body of another length ends in an error. */
  readonly body: ReadableStream<Uint8Array>;
  /** Size of the whole object in bytes. */
  readonly size: number;
}

/**
 * The range that `options` ask for, checked. It names its first byte always: not every server knows a range by its
 * distance from the end. A `length` of 0 cannot be asked for; what is known of the object then comes from its head.
 */
export function askedRange(options: GetOptions | undefined, key: string): AskedRange {
  const { start, end } = byteRange(Number.MAX_SAFE_INTEGER, options, key);
  const length = options?.length;
  if (length === 0 || (start === 0 && length === undefined)) {
    return { offset: start, length, header: undefined };
  }
  const last = length === undefined ? "" : String(end - 1);
  return { offset: start, length, header: `bytes=${start}-${last}` };
}

/**
 * The bytes of an answer of status 200 or 206. Of a whole object that came in spite of the range, the range is cut out.
 * `undefined` where an answer of 206 holds nothing, which some servers send for a range past the end instead of 416.
 *
 * `wholeSize` is the size where another header than `Content-Length` tells it.
 */
export async function rangedBody(
  response: HttpResponse,
  asked: AskedRange,
  wholeSize: number | undefined = response.contentLength,
): Promise<RangedBody | undefined> {
  const { operation, object } = response.request;
  if (response.status === 206) {
    if (response.contentLength === 0) {
      await response.discard();
      return undefined;
    }
    const got = contentRange(response);
    const end = Math.min(asked.offset + (asked.length ?? Infinity), got?.size ?? 0);
    if (got?.start === asked.offset && got.end === end) {
      return { body: response.body(got.end - got.start), size: got.size };
    }
    await response.discard();
    if (got === undefined) throw noContentRange(response.request);
    throw otherRange(response.request, got, { start: asked.offset, end });
  }
  if (wholeSize === undefined) {
    await response.discard();
    throw new StoreError({ operation, object, what: "the server does not tell the size" });
  }
  const body = response.body(wholeSize);
  if (asked.header === undefined) return { body, size: wholeSize };
  const { start, end } = byteRange(wholeSize, asked, object);
  return { body: cut(body, start, end), size: wholeSize };
}

/** Which part of an object an answer of status 206 holds. */
export interface ContentRange {
  /** First byte. */
  readonly start: number;
  /** The byte after the last. */
  readonly end: number;
  /** Size of the whole object in bytes. */
  readonly size: number;
}

/** What the header `Content-Range` says; `undefined` where it is missing, hidden or none. */
export function contentRange(response: AnswerHead): ContentRange | undefined {
  const text = response.header("content-range") ?? "";
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(text);
  if (match === null) return undefined;
  const [start, last, size] = match.slice(1).map(Number) as [number, number, number];
  return { start, end: last + 1, size };
}

/** The error of an answer of status 206 without a `Content-Range`. */
export function noContentRange({ operation, object }: AnswerHead["request"]): StoreError {
  return new StoreError({
    operation,
    object,
    what: "the server sent a part without saying which",
    next: "In a browser, let the CORS rules of the store expose Content-Range",
  });
}

/** The error of an answer with another part than was asked for. */
export function otherRange(
  { operation, object }: AnswerHead["request"],
  got: ContentRange,
  asked: Pick<ContentRange, "start" | "end">,
): StoreError {
  const what = `the server sent bytes ${got.start} to ${got.end} of ${got.size} instead of ${asked.start} to ${asked.end}`;
  return new StoreError({ operation, object, what }, { retryable: true });
}

/** The bytes of `body` from `start` to before `end`; the rest is not read. */
function cut(
  body: ReadableStream<Uint8Array>,
  start: number,
  end: number,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let at = start < end ? 0 : end;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        while (at < end) {
          const { done, value } = await reader.read();
          if (done) break;
          const part = value.subarray(Math.max(0, start - at), Math.max(0, end - at));
          at += value.length;
          if (part.length > 0) {
            controller.enqueue(part);
            return;
          }
        }
        await reader.cancel();
        controller.close();
      },
      cancel: () => reader.cancel(),
    },
    { highWaterMark: 0 },
  );
}

/**
 * The answer to a range in which there is nothing of the object, from what is known of that. A range that begins within it
 * was refused all the same: `StoreError`, for an empty body would pass for the end of the object.
 */
export function emptyRange(info: ObjectInfo, asked: AskedRange): GetResult {
  const { key, size, etag, lastModified, metadata = {} } = info;
  if (asked.length !== 0 && asked.offset < size) {
    const what = `the server has ${size} bytes and refused those from ${asked.offset} on`;
    throw new StoreError({ operation: "read", object: key, what }, { retryable: true });
  }
  return { body: emptyBody(), size, etag, lastModified, metadata };
}

/** A body without bytes. */
export function emptyBody(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}
