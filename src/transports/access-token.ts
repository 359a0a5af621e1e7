/**
 * Tokens that let requests in for a while: fetched when needed, kept until shortly before they expire.
 *
 * @module
 */
import { abortable } from "../core/abortable.ts";
import type { Clock } from "../core/platform.ts";
import { StoreError } from "./errors.ts";
import { HttpClient, type HttpOptions } from "./http-client.ts";
import type { HttpResponse } from "./http-response.ts";
import { statusError } from "./http-status.ts";
import { type JsonObject, parseJson, textField } from "./json.ts";

/** What goes into `Authorization: Bearer`. */
export interface AccessToken {
  /** Secret. */
  readonly token: string;
  /** When it stops to be accepted; without it the source is asked for every request. */
  readonly expiresAt?: Date | undefined;
}

/**
 * Gets a token. Called when there is none, five minutes before the last one expires, and after a server has refused it;
 * never twice at the same time. What it throws fails the requests that wait for it.
 */
export type TokenSource = () => AccessToken | Promise<AccessToken>;

/** How long before its end a token is replaced. */
const EARLY_MS = 5 * 60_000;

/** Who waits for a token. */
export interface TokenRequest {
  /** Verb phrase that completes "Cannot …" in an error. */
  readonly operation: string;
  /** The key, as errors name it. */
  readonly object: string;
  /** Ends the wait with `AbortedError`; the token still arrives for others. */
  readonly signal?: AbortSignal | undefined;
}

/** Keeps the token of one source. */
export interface TokenCache {
  /** A token that is good for minutes yet. */
  get(request: TokenRequest): Promise<string>;
  /** Whether a request may be let in with a fresh token: it was answered 401, and its own token is forgotten. */
  refusedBy(response: HttpResponse): boolean;
}

/** Makes a cache without a token. */
export function tokenCache(source: TokenSource, clock: Clock): TokenCache {
  let kept: AccessToken | undefined;
  let pending: Promise<AccessToken> | undefined;
  const fetchToken = async (): Promise<AccessToken> => {
    try {
      // A source that throws at once must not do so before `pending` is set.
      const fresh = await Promise.resolve().then(source);
      kept = fresh.expiresAt === undefined ? undefined : fresh;
      return fresh;
    } finally {
      pending = undefined;
    }
  };
  return {
    async get(request) {
      const until = kept?.expiresAt?.getTime() ?? 0;
      if (kept !== undefined && clock.now() < until - EARLY_MS) return kept.token;
      try {
        pending ??= fetchToken();
        return (await abortable(pending, request)).token;
      } catch (error) {
        // One that is still good carries over an outage of whoever gives them out.
        if (kept !== undefined && clock.now() < until && request.signal?.aborted !== true) {
          return kept.token;
        }
        throw error;
      }
    },
    refusedBy({ status, request }) {
      if (status !== 401) return false;
      if (request.headers?.["authorization"] === `Bearer ${kept?.token}`) kept = undefined;
      return true;
    },
  };
}

/** A request to a token endpoint of OAuth 2. */
export interface TokenExchange {
  /** Who is asked, for messages. */
  readonly object: string;
  /** The endpoint. */
  readonly url: string;
  /** Headers besides the type of the form. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * Sent as a form with POST; without it the request is a GET. A function gets the time in milliseconds since the Unix
   * epoch: the clock's, or the server's after a refusal that the difference of the two explains.
   */
  readonly form?:
    | Readonly<Record<string, string>>
    | ((nowMs: number) => Promise<Readonly<Record<string, string>>>)
    | undefined;
}

/** A difference between the clocks that a refusal may come from. */
const SKEW_MS = 30_000;

/** Asks for a token and reads the answer of RFC 6749, whose failure names the reason and never what was sent. */
export async function exchangeToken(
  exchange: TokenExchange,
  http: HttpClient | HttpOptions = {},
): Promise<AccessToken> {
  const client = http instanceof HttpClient ? http : new HttpClient(http);
  const { object, url, headers } = exchange;
  const context = { operation: "get an access token from", object };
  let offsetMs = 0;
  return await client.retry(context, async () => {
    for (;;) {
      const askedAt = client.platform.clock.now();
      const { form } = exchange;
      const fields = typeof form === "function" ? await form(askedAt + offsetMs) : form;
      const response = await client.send({
        ...context,
        url,
        method: fields === undefined ? "GET" : "POST",
        headers: {
          ...headers,
          ...(fields && { "content-type": "application/x-www-form-urlencoded" }),
        },
        ...(fields && { body: new URLSearchParams(fields).toString() }),
      });
      const text = await response.text();
      if (response.status === 200) return readToken(parseJson(text, context), askedAt, context);
      const theirs = Date.parse(response.header("date") ?? "");
      if (typeof form === "function" && offsetMs === 0 && Math.abs(theirs - askedAt) > SKEW_MS) {
        offsetMs = theirs - askedAt;
        continue;
      }
      const answer = parseJson(text);
      throw statusError(response, {
        code: textField(answer, "error"),
        message: textField(answer, "error_description"),
      });
    }
  });
}

function readToken(
  answer: JsonObject,
  askedAt: number,
  context: { readonly operation: string; readonly object: string },
): AccessToken {
  const token = textField(answer, "access_token");
  if (token === undefined || token === "") {
    throw new StoreError({ ...context, what: "the answer holds no access_token" });
  }
  const seconds = Number(textField(answer, "expires_in"));
  // Some of Azure's own services tell the time instead.
  const until = Number(textField(answer, "expires_on")) * 1000;
  const expiresMs = seconds > 0 ? askedAt + seconds * 1000 : until;
  return expiresMs > 0 ? { token, expiresAt: new Date(expiresMs) } : { token };
}
