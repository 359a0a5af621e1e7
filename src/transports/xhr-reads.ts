/**
 * Ranged reads that block a worker of a browser: synchronous XMLHttpRequests.
 *
 * @module
 */
import { InvalidArgumentError, UnsupportedError } from "../core/errors.ts";
import type { BlockingReads } from "../core/page-source.ts";
import { StoreError } from "./errors.ts";
import { timedOut } from "./http-client.ts";
import { contentRange, noContentRange, otherRange } from "./http-range.ts";
import type { AnswerHead, HttpRequest } from "./http-response.ts";
import { checkEndpoint, encodePath } from "./location.ts";
import { anotherVersion, compressed, describe, isCompressed, refusal } from "./plain-object.ts";
import { checkKey } from "./path-rules.ts";

/** Options of {@linkcode xhrReads}. */
export interface XhrReadsOptions {
  /** Sent with every request, such as `authorization`. Never shown. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Longest wait for a whole answer in milliseconds. @default 30000 */
  readonly timeoutMs?: number | undefined;
}

/** What of an XMLHttpRequest is used; no library of types for workers is loaded here. */
interface Xhr extends Pick<
  XMLHttpRequest,
  "open" | "send" | "setRequestHeader" | "getResponseHeader" | "status" | "response" | "responseURL"
> {
  responseType: string;
  timeout: number;
}

/** An answer, whole. */
interface Answer extends AnswerHead {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Makes reads that block the thread, for the objects that `httpStore` of the same address and headers shows. They need a
 * worker of a browser, and no isolation of its page. Of a server that answers with the whole object the range is cut out.
 *
 * Errors are those of `httpStore`, but nothing is tried twice: a thread that blocks has no way to pause. `UnsupportedError`
 * at once where there is no XMLHttpRequest that may block.
 *
 * @example
 * ```ts ignore
 * const reads = xhrReads("https://static.example.com/app", {
 *   headers: { authorization: `Bearer ${token}` },
 * });
 * const header = reads.read("ltx/9/0000000000000001-0000000000000001.ltx", {
 *   offset: 0,
 *   length: 100,
 *   etag: "",
 * });
 * ```
 */
export function xhrReads(url: string, options: XhrReadsOptions = {}): BlockingReads {
  const { headers = {}, timeoutMs = 30_000 } = options;
  const base = checkEndpoint(url, "http");
  const { XMLHttpRequest, WorkerGlobalScope } = globalThis as {
    readonly XMLHttpRequest?: new () => Xhr;
    readonly WorkerGlobalScope?: unknown;
  };
  if (XMLHttpRequest === undefined || WorkerGlobalScope === undefined) throw mustNotBlock();

  const send = (request: HttpRequest): Answer => {
    const { operation, object } = request;
    const xhr = new XMLHttpRequest();
    try {
      xhr.open("GET", request.url, false);
      xhr.responseType = "arraybuffer";
      xhr.timeout = timeoutMs;
      for (const [name, value] of Object.entries(request.headers ?? {})) {
        if (value !== undefined) xhr.setRequestHeader(name, value);
      }
      xhr.send();
    } catch (error) {
      if ((error as Error).name === "TimeoutError") throw timedOut(request, timeoutMs);
      // The browser tells no more, and its own words hold the address.
      const what = "the request was blocked, refused or lost before an answer came";
      const next = "Check the network, the address, the headers and the CORS rules of the server";
      throw new StoreError({ operation, object, what, next }, { retryable: true });
    }
    if (xhr.responseURL !== request.url) {
      const what = "the server redirects to another address";
      const next = "Configure the address that the server really answers under";
      throw new StoreError({ operation, object, what, next });
    }
    return {
      request,
      status: xhr.status,
      header: (name) => xhr.getResponseHeader(name) ?? undefined,
      bytes: new Uint8Array(xhr.response as ArrayBuffer),
    };
  };

  return {
    read(key, { offset, length, etag }) {
      checkKey(key, "read");
      checkRange(key, offset, length);
      if (length === 0) return new Uint8Array();
      const answer = send({
        operation: "read",
        object: key,
        method: "GET",
        url: `${base}/${encodePath(key)}`,
        headers: { ...headers, range: `bytes=${offset}-${offset + length - 1}` },
      });
      const { bytes, size } = rangeOf(answer, offset, length);
      if (etag !== "" && describe(answer, size).etag !== etag) throw anotherVersion(answer.request);
      return bytes;
    },
  };
}

/** The range of an answer, and the size of the whole object. */
function rangeOf(
  answer: Answer,
  offset: number,
  length: number,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly size: number } {
  const { request, status, bytes } = answer;
  const end = offset + length;
  if (status !== 200 && status !== 206) throw status === 416 ? short(request) : refusal(answer);
  if (isCompressed(answer)) throw compressed(request);
  if (status === 200) {
    if (bytes.length < end) throw short(request);
    return { bytes: bytes.slice(offset, end), size: bytes.length };
  }
  const got = contentRange(answer);
  if (got === undefined) throw noContentRange(request);
  if (got.start === offset && got.end < end && got.end === got.size) throw short(request);
  if (got.start !== offset || got.end !== end)
    throw otherRange(request, got, { start: offset, end });
  if (bytes.length === length) return { bytes, size: got.size };
  const { operation, object } = request;
  const what = `the answer has ${bytes.length} bytes instead of ${length}`;
  throw new StoreError({ operation, object, what }, { retryable: true });
}

function short({ operation, object }: HttpRequest): StoreError {
  return new StoreError({ operation, object, what: "the object ends before the range does" });
}

function checkRange(key: string, offset: number, length: number): void {
  if ([offset, length, offset + length].every((n) => Number.isSafeInteger(n) && n >= 0)) return;
  const what = `${length} bytes from ${offset} on are no range`;
  throw new InvalidArgumentError({ operation: "read", object: key, what });
}

function mustNotBlock(): UnsupportedError {
  return new UnsupportedError({
    operation: "block on",
    object: "a request",
    what: "this is no worker of a browser",
    next: "Read in a worker, or with the driver that retries",
  });
}
