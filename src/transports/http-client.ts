/**
 * Requests over `fetch` as every store of the web makes them: nothing hangs, nothing is followed to another host, a body
 * is whole or an error, and what fails is told without a secret.
 *
 * @module
 */
import { abortedError, throwIfAborted } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { DEFAULT_RETRY, type RetryPolicy, retry } from "../core/retry.ts";
import { StoreError } from "./errors.ts";
import { type HttpRequest, HttpResponse } from "./http-response.ts";
import { describeTransportError } from "./transport-failure.ts";
import { webPlatform } from "./web-platform.ts";

/** A `fetch` as stores call it: with a whole URL and a body of known length. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** What every store over HTTP takes besides its own options. */
export interface HttpOptions {
  /** Sends the requests. @default the runtime's `fetch` */
  readonly fetch?: Fetch | undefined;
  /**
   * Longest silence in milliseconds: until an answer begins, and between two pieces of its body. A request with a large
   * body gets a second more per 64 KiB. @default 30000
   */
  readonly timeoutMs?: number | undefined;
  /** How the requests inside one call are repeated: parts of an upload, pages of a listing. @default DEFAULT_RETRY */
  readonly retry?: RetryPolicy | undefined;
  /** Clock, timers and chance. @default the runtime's */
  readonly platform?: Platform | undefined;
}

/** Silence after which a request is given up. */
const TIMEOUT_MS = 30_000;

/** The slowest upload that is not taken for a dead one. */
const SLOWEST_BYTES_PER_MS = 64 * 1.024;

/**
 * A browser's cache would answer with what was, and ask anew with conditions that are not in the signature. Where there
 * is no such cache, naming it may be an error. Asked at a request: Node loads all of its `fetch` for the answer.
 */
function uncached(): RequestInit {
  return typeof Request === "function" && "cache" in Request.prototype ? { cache: "no-store" } : {};
}

/** Sends requests and watches over their answers. */
export class HttpClient {
  /** Clock, timers and chance of the store. */
  readonly platform: Platform;
  readonly #fetch: Fetch;
  readonly #timeoutMs: number;
  readonly #retry: RetryPolicy;
  #clockOffsetMs: number | undefined;

  /** Sends nothing yet. */
  constructor(options: HttpOptions = {}) {
    this.platform = options.platform ?? webPlatform;
    // Looked up at each call, so that a fetch that is patched later is used; called free of any object, as it must be.
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#retry = options.retry ?? DEFAULT_RETRY;
  }

  /**
   * Sends a request once and resolves when its answer has begun, whatever the status; a redirect is a `StoreError`. The
   * caller reads the answer to its end or discards it, or the connection stays busy.
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const { operation, object, signal } = request;
    throwIfAborted(signal, operation, object);
    const { clock } = this.platform;
    const aborter = new AbortController();
    const onAbort = (): void => aborter.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const release = (): void => signal?.removeEventListener("abort", onAbort);
    const extraMs = bodyLength(request.body) / SLOWEST_BYTES_PER_MS;
    let silent = false;
    const cancel = clock.schedule(() => {
      silent = true;
      aborter.abort();
    }, this.#timeoutMs + extraMs);
    let response: Response;
    try {
      response = await this.#fetch(request.url, {
        method: request.method,
        headers: presentHeaders(request.headers),
        body: request.body ?? null,
        // Runtimes carry credentials along to other hosts when they follow a redirect.
        redirect: "manual",
        ...uncached(),
        signal: aborter.signal,
      });
    } catch (error) {
      release();
      if (signal?.aborted === true) throw abortedError(request);
      if (silent) throw timedOut(request, this.#timeoutMs + extraMs);
      // Rebuilt: the runtime's own error may carry the signed URL.
      const { what, next, retryable } = describeTransportError(error);
      throw new StoreError({ operation, object, what, next }, { retryable });
    } finally {
      cancel();
    }
    this.#noteTime(response);
    const answer = new HttpResponse(response, {
      request,
      platform: this.platform,
      timeoutMs: this.#timeoutMs,
      abort: () => aborter.abort(),
      release,
    });
    if (response.type === "opaqueredirect" || isRedirect(response)) {
      throw await redirected(answer, request);
    }
    return answer;
  }

  /** How far the server's clock is ahead, in milliseconds, as its last answer told; `undefined` before. */
  get clockOffsetMs(): number | undefined {
    return this.#clockOffsetMs;
  }

  /** Repeats one request inside a call until it succeeds or the policy is exhausted; `attempt` must be repeatable. */
  retry<T>(
    request: Pick<HttpRequest, "operation" | "object" | "signal">,
    attempt: (attempt: number) => Promise<T>,
  ): Promise<T> {
    const { operation, object, signal } = request;
    const { platform } = this;
    return retry(attempt, { platform, policy: this.#retry, operation, object, signal });
  }

  /** The header has whole seconds: what it means lies half a second later on average. */
  #noteTime({ headers }: Response): void {
    const time = Date.parse(headers.get("date") ?? "");
    if (!Number.isNaN(time)) this.#clockOffsetMs = time + 500 - this.platform.clock.now();
  }
}

function bodyLength(body: HttpRequest["body"]): number {
  if (body === undefined) return 0;
  if (body instanceof Blob) return body.size;
  return body.length;
}

function presentHeaders(headers: HttpRequest["headers"]): Record<string, string> {
  const present: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (value !== undefined) present[name] = value;
  }
  return present;
}

/** 304 is an answer to a condition, and 308 without an address Google's "send more"; neither is a redirect. */
function isRedirect({ status, headers }: Response): boolean {
  if (status === 304 || (status === 308 && !headers.has("location"))) return false;
  return status >= 300 && status < 400;
}

async function redirected(answer: HttpResponse, request: HttpRequest): Promise<StoreError> {
  const named = answer.header("x-amz-bucket-region") ?? "";
  const region = /^[a-z0-9-]{1,40}$/.test(named) ? named : undefined;
  await answer.discard();
  const { operation, object } = request;
  return new RedirectError(
    {
      operation,
      object,
      what:
        answer.status === 0
          ? "the server redirects to another address, which is not followed with credentials"
          : `the server redirects (status ${answer.status}), which is not followed with credentials`,
      next: "Configure the address, and the region, that the server really answers under",
    },
    { region, toFolder: leadsToFolder(answer.header("location"), request.url) },
  );
}

/** Servers of files answer so when a folder is asked for without its slash. */
function leadsToFolder(location: string | undefined, url: string): boolean {
  if (location === undefined || !URL.canParse(location, url)) return false;
  return new URL(location, url).pathname === `${new URL(url).pathname}/`;
}

/** The server answered with a redirect. */
export class RedirectError extends StoreError {
  /** Region of the bucket, where the answer names one. */
  readonly region: string | undefined;
  /** Whether the other address is the same with a slash at its end. */
  readonly toFolder: boolean;

  /** Makes the error from what its reader is told and where the answer leads. */
  constructor(
    details: ConstructorParameters<typeof StoreError>[0],
    target: { readonly region: string | undefined; readonly toFolder: boolean },
  ) {
    super(details);
    this.region = target.region;
    this.toFolder = target.toFolder;
  }
}

/** The error of a server that is silent. */
export function timedOut({ operation, object }: HttpRequest, ms: number): StoreError {
  return new StoreError(
    { operation, object, what: `the server did not answer within ${Math.ceil(ms / 1000)} s` },
    { retryable: true },
  );
}
