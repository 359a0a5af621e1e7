/**
 * What the status of an answer means, for all stores alike.
 *
 * @module
 */
import { type PagestreamError, UnsupportedError } from "../core/errors.ts";
import { conditionFailed, StoreError } from "./errors.ts";
import type { AnswerHead } from "./http-response.ts";

/** What a server says of a failure besides the status. */
export interface ServerFailure {
  /** The vendor's error code, such as `SlowDown`. */
  readonly code?: string | undefined;
  /** The vendor's sentence. Shown shortened, and without whatever the request carried. */
  readonly message?: string | undefined;
}

/** Statuses after which the same request may succeed. */
const RETRYABLE_STATUS: readonly number[] = [408, 425, 429, 500, 502, 503, 504];

/** Codes after which the same request may succeed, whatever the status. */
const RETRYABLE_CODES: readonly string[] = [
  "ConditionalRequestConflict",
  "InternalError",
  "OperationAborted",
  "OperationTimedOut",
  "RequestCanceled",
  "RequestTimeout",
  "RequestTimeTooSkewed",
  "ServerBusy",
  "ServiceUnavailable",
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
];

/** Longest piece of a server's sentence that a message of ours repeats. */
const MESSAGE_LIMIT = 200;

/** Shortest header value or parameter that is looked for in a server's sentence. */
const SECRET_LENGTH = 8;

/**
 * The error for an answer that is none of those the store expects. 412 is `PreconditionFailedError`; the statuses and
 * codes of a passing trouble are retryable, after the time that `Retry-After` names.
 */
export function statusError(response: AnswerHead, failure: ServerFailure = {}): PagestreamError {
  const { operation, object } = response.request;
  const { status } = response;
  if (status === 412) return conditionFailed({ operation, object });
  if (status === 501) {
    const what = "the server does not implement what was asked of it";
    return new UnsupportedError({ operation, object, what });
  }
  const code =
    failure.code !== undefined && /^[\w.-]{1,64}$/.test(failure.code) ? failure.code : undefined;
  const message = safeMessage(response, failure.message);
  const what = [`the server answered ${status}`, code, message].filter(Boolean).join(", ");
  const retryable =
    RETRYABLE_STATUS.includes(status) || (code !== undefined && RETRYABLE_CODES.includes(code));
  return new StoreError(
    { operation, object, what, next: retryable ? undefined : nextStep(status) },
    { retryable, retryAfterMs: retryAfterMs(response), status },
  );
}

function nextStep(status: number): string | undefined {
  if (status === 401 || status === 403) return "Check the credentials and what they allow";
  if (status === 404) return "Check the address and the name of the bucket or container";
  return undefined;
}

/** How long the server asks to wait, by seconds or by date. */
export function retryAfterMs(response: AnswerHead): number | undefined {
  const text = response.header("retry-after");
  if (text === undefined) return undefined;
  if (/^\d{1,6}$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  const now = Date.parse(response.header("date") ?? "");
  return Number.isNaN(date) || Number.isNaN(now) ? undefined : Math.max(0, date - now);
}

/** A server's sentence, short and printable, with all that the request carried of secrets taken out. */
function safeMessage(response: AnswerHead, message: string | undefined): string | undefined {
  if (message === undefined) return undefined;
  let text = message.replace(/[\p{C}\s]+/gu, " ").trim();
  for (const secret of carried(response)) text = text.replaceAll(secret, "[hidden]");
  return text.length > MESSAGE_LIMIT ? `${text.slice(0, MESSAGE_LIMIT)}…` : text || undefined;
}

/** Values of a request's headers, parameters and form: some are secret, and none is needed in a message. */
function carried(response: AnswerHead): string[] {
  const { headers, url, body } = response.request;
  const values = Object.values(headers ?? {}).flatMap((value) => value?.split(/[\s,=:]+/) ?? []);
  const search = url.includes("?") ? url.slice(url.indexOf("?") + 1) : "";
  const isForm = headers?.["content-type"] === "application/x-www-form-urlencoded";
  const form = isForm && typeof body === "string" ? body : "";
  const query = `${search}&${form}`.split(/[&=]/);
  return [...values, ...query, ...query.map(decoded)]
    .filter((value) => value.length >= SECRET_LENGTH)
    .sort((a, b) => b.length - a.length);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
