/**
 * An answer over HTTP, read within bounds of time and size.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { abortedError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { StoreError } from "./errors.ts";

/** One request. */
export interface HttpRequest {
  /** Verb phrase that completes "Cannot …" in an error. */
  readonly operation: string;
  /** The key, as errors name it. */
  readonly object: string;
  /** GET, PUT and so on. */
  readonly method: string;
  /** The whole address, encoded as it shall be sent. Never shown: it may be signed. */
  readonly url: string;
  /** Headers; undefined ones are left out. */
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  /** Of known length: servers of the S3 family refuse any other. */
  readonly body?: Uint8Array<ArrayBuffer> | string | Blob | undefined;
  /** Ends the request, or the reading of its answer, with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** What an answer needs to know of its request. */
export interface ResponseContext {
  /** The request that is answered. */
  readonly request: HttpRequest;
  /** Clock of the time-outs. */
  readonly platform: Platform;
  /** Longest silence in milliseconds between two pieces of the body. */
  readonly timeoutMs: number;
  /** Ends the connection. */
  readonly abort: () => void;
  /** Stops listening to the caller's signal. */
  readonly release: () => void;
}

/** Longest text that is read of an answer that should be small: a page of 1,000 names in XML stays far below. */
const TEXT_LIMIT = 16 * 1024 * 1024;

/** The head of an answer, and the one chance to read its body. */
export class HttpResponse {
  /** The status; 0 where a browser hides a redirect. */
  readonly status: number;
  readonly #response: Response;
  readonly #context: ResponseContext;

  /** Made by `HttpClient`. */
  constructor(response: Response, context: ResponseContext) {
    this.status = response.status;
    this.#response = response;
    this.#context = context;
  }

  /** The request this answers. */
  get request(): HttpRequest {
    return this.#context.request;
  }

  /** A header; `undefined` where it is missing, or a browser was not told to expose it. */
  header(name: string): string | undefined {
    return this.#response.headers.get(name) ?? undefined;
  }

  /** All headers that begin with a prefix, in lower case, without it. */
  headersWith(prefix: string): Record<string, string> {
    const found: Record<string, string> = {};
    this.#response.headers.forEach((value, name) => {
      if (name.startsWith(prefix)) found[name.slice(prefix.length)] = value;
    });
    return found;
  }

  /** The length of the body by its header, which says nothing of a body that the runtime has unpacked. */
  get contentLength(): number | undefined {
    if (this.header("content-encoding") !== undefined) return undefined;
    const text = this.header("content-length");
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  /**
   * The body. It ends in a `StoreError` when the transport falls silent, breaks off or delivers another number of bytes
   * than `length`, by default what the header says. Chunks belong to the reader.
   */
  body(length: number | undefined = this.contentLength): ReadableStream<Uint8Array> {
    return this.#read(length);
  }

  #read(length: number | undefined): ReadableStream<Uint8Array> {
    const { request, platform, timeoutMs, abort, release } = this.#context;
    const { operation, object, signal } = request;
    const reader = this.#response.body?.getReader();
    let done = 0;
    const fail = (what: string): StoreError => {
      release();
      abort();
      return new StoreError({ operation, object, what }, { retryable: true });
    };
    const next = async (): Promise<Uint8Array | undefined> => {
      if (reader === undefined) return undefined;
      let silent = false;
      const cancel = platform.clock.schedule(() => {
        silent = true;
        abort();
      }, timeoutMs);
      try {
        const { value } = await reader.read();
        return value;
      } catch {
        if (signal?.aborted === true) {
          release();
          throw abortedError({ operation, object, signal });
        }
        if (silent) throw fail(`the server fell silent after ${done} bytes`);
        throw fail(`the transfer broke off after ${done} bytes`);
      } finally {
        cancel();
      }
    };
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const chunk = await next();
          if (chunk === undefined) {
            if (length !== undefined && done !== length) {
              throw fail(`the answer ended after ${done} of ${length} bytes`);
            }
            release();
            controller.close();
            return;
          }
          done += chunk.length;
          if (length !== undefined && done > length) {
            throw fail(`the answer is longer than its ${length} bytes`);
          }
          controller.enqueue(chunk);
        },
        async cancel() {
          release();
          // Told to both: some runtimes only free the connection for the one, some for the other.
          await reader?.cancel().catch(() => undefined);
          abort();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** The body as UTF-8 text; `StoreError` past `limit` bytes. */
  async text(limit: number = TEXT_LIMIT): Promise<string> {
    return new TextDecoder().decode(await this.bytes(limit));
  }

  /** The whole body; `StoreError` past `limit` bytes. */
  async bytes(limit: number = TEXT_LIMIT): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    // To another origin a browser hides that it has unpacked a body, whose length is then another than the header's.
    const hidden = this.#response.type === "cors";
    const reader = this.#read(hidden ? undefined : this.contentLength).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      size += next.value.length;
      if (size > limit) {
        await reader.cancel();
        const { operation, object } = this.request;
        const what = `the server sent more than ${limit} bytes where a short answer was expected`;
        throw new StoreError({ operation, object, what });
      }
      chunks.push(next.value);
    }
    return concatBytes(chunks);
  }

  /** Gives the body up, so that the connection is free again. A short one is read, which keeps the connection alive. */
  async discard(): Promise<void> {
    const { contentLength } = this;
    if (contentLength !== undefined && contentLength <= 4096) {
      await this.bytes().catch(() => undefined);
    } else {
      await this.#read(undefined)
        .cancel()
        .catch(() => undefined);
    }
  }
}

/** The head of an answer, however it was had. */
export type AnswerHead = Pick<HttpResponse, "header" | "request" | "status">;
