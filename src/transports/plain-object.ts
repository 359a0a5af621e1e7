/**
 * Reading an object that a server offers as a plain file: ranges, tags and times as HTTP itself has them.
 *
 * @module
 */
import { NotFoundError, PreconditionFailedError, StoreError } from "./errors.ts";
import { RedirectError } from "./http-client.ts";
import { askedRange, emptyBody, rangedBody } from "./http-range.ts";
import type { AnswerHead, HttpRequest, HttpResponse } from "./http-response.ts";
import { statusError } from "./http-status.ts";
import { headerMetadata, LTX_HEADER_SIZE, readHeader } from "./ltx-time.ts";
import type { GetOptions, GetResult, ObjectInfo } from "./object-store.ts";

/** A request for an object, without its method. */
export type PlainRequest = Pick<HttpRequest, "operation" | "object" | "url" | "headers" | "signal">;

/** Sends one request. */
export type Send = (request: HttpRequest) => Promise<HttpResponse>;

/** What an answer tells of its object. */
export type PlainInfo = Pick<ObjectInfo, "size" | "etag" | "lastModified">;

/** A body, and what the answer tells of its object. */
export type PlainResult = Omit<GetResult, "metadata">;

/** LTX is compressed already, and a range of something compressed on the way would be a range of that. */
const IDENTITY = { "accept-encoding": "identity" };

/**
 * Reads an object, or the part that the options ask for. 404 is `NotFoundError`; a version other than `ifMatch`, as the
 * answer itself tells it, `PreconditionFailedError`.
 */
export async function getPlain(
  send: Send,
  request: PlainRequest,
  options: GetOptions | undefined,
): Promise<PlainResult> {
  const asked = askedRange(options, request.object);
  const result = asked.length === 0 ? undefined : await ranged(send, request, asked);
  // Nothing was asked for, or nothing is there: what it would be a part of is told by its head.
  const found = result ?? { ...(await headPlain(send, request)), body: emptyBody() };
  if (result === undefined && asked.length !== 0 && found.size > asked.offset) {
    const what = `the server has ${found.size} bytes and refused those from ${asked.offset} on`;
    throw failed(request, what, { retryable: true });
  }
  const { ifMatch } = options ?? {};
  if (ifMatch === undefined || ifMatch === found.etag) return found;
  await found.body.cancel();
  throw anotherVersion(request);
}

/** The error of an answer whose own tag is not the one asked for. */
export function anotherVersion({
  operation,
  object,
}: AnswerHead["request"] | PlainRequest): PreconditionFailedError {
  return new PreconditionFailedError({
    operation,
    object,
    what: "the object is not the version asked for",
    next: "Read the object again and decide anew; in a browser, let the server expose ETag",
  });
}

/** `undefined` where the range begins past the end. */
async function ranged(
  send: Send,
  request: PlainRequest,
  asked: ReturnType<typeof askedRange>,
): Promise<PlainResult | undefined> {
  const headers = { ...request.headers, range: asked.header };
  const response = await ask(send, { ...request, method: "GET", headers });
  if (response.status === 416) {
    await response.discard();
    return undefined;
  }
  if (response.status !== 200 && response.status !== 206) throw await refused(response);
  await checkEncoding(response);
  const got = await rangedBody(response, asked);
  return got && { ...describe(response, got.size), body: got.body };
}

/** What is known of an object by a HEAD request; 404 is `NotFoundError`. */
export async function headPlain(send: Send, request: PlainRequest): Promise<PlainInfo> {
  const response = await ask(send, { ...request, method: "HEAD" });
  if (response.status !== 200) throw await refused(response);
  await checkEncoding(response);
  await response.discard();
  if (response.contentLength !== undefined) return describe(response, response.contentLength);
  // Apache leaves the length of an empty file out.
  const first = await ranged(send, request, askedRange({ length: 1 }, request.object));
  if (first === undefined) throw failed(request, "the server does not tell the size");
  const { body, ...described } = first;
  await body.cancel();
  return described;
}

/** Like {@linkcode headPlain} for an LTX file, with the time from its header: one request of 100 bytes. */
export async function headLtx(send: Send, request: PlainRequest): Promise<Omit<ObjectInfo, "key">> {
  const { body, ...described } = await getPlain(send, request, { length: LTX_HEADER_SIZE });
  return { ...described, metadata: headerMetadata(await readHeader(body)) };
}

/** Sends a request for an object; a server that leads to a folder instead has no object there. */
async function ask(send: Send, request: HttpRequest): Promise<HttpResponse> {
  try {
    return await send({ ...request, headers: { ...request.headers, ...IDENTITY } });
  } catch (error) {
    if (error instanceof RedirectError && error.toFolder) throw missing(request);
    throw error;
  }
}

async function refused(response: HttpResponse): Promise<Error> {
  await response.discard();
  return refusal(response);
}

/** What an answer means that is neither 200 nor 206. */
export function refusal(response: AnswerHead): Error {
  if (response.status !== 404 && response.status !== 410) return statusError(response);
  return missing(response.request);
}

function missing({ operation, object }: HttpRequest): NotFoundError {
  return new NotFoundError({ operation, object, what: "the server has no such object" });
}

/** Time and tag by the headers of an answer; `size` is that of the whole object. */
export function describe(response: AnswerHead, size: number): PlainInfo {
  const lastModified = new Date(response.header("last-modified") ?? "");
  if (Number.isNaN(lastModified.getTime())) {
    throw failed(response.request, "the server does not tell when the object was modified");
  }
  return { size, lastModified, etag: versionTag(response.header("etag"), size, lastModified) };
}

/**
 * The tag of a version: the server's own, or, lacking one, made of time and size in the way of nginx, which has a tag
 * for readers and none in its listings. Apache calls the tag of a young file weak, and later the same tag strong.
 */
export function versionTag(
  etag: string | undefined,
  size: number,
  lastModified: Pick<Date, "getTime">,
): string {
  if (etag !== undefined && etag !== "") return etag.replace(/^W\//, "");
  const seconds = Math.floor(lastModified.getTime() / 1000);
  return `"${seconds.toString(16)}-${size.toString(16)}"`;
}

async function checkEncoding(response: HttpResponse): Promise<void> {
  if (!isCompressed(response)) return;
  await response.discard();
  throw compressed(response.request);
}

/** Whether a server has compressed the object on the way. */
export function isCompressed(response: AnswerHead): boolean {
  return (response.header("content-encoding") ?? "identity") !== "identity";
}

/** The error of an answer that {@linkcode isCompressed}. */
export function compressed(request: AnswerHead["request"]): StoreError {
  return failed(request, "the server compresses the object on the way", {
    next: "Turn compression off on the server for this place",
  });
}

function failed(
  { operation, object }: Pick<HttpRequest, "operation" | "object">,
  what: string,
  more: { readonly next?: string; readonly retryable?: boolean } = {},
): StoreError {
  const { next, retryable = false } = more;
  return new StoreError({ operation, object, what, next }, { retryable });
}
