/**
 * Errors of one thread told in another: structured cloning would keep neither class nor code.
 *
 * @module
 */
import { asciiJson } from "../core/ascii.ts";
import {
  AbortedError,
  ClosedError,
  type ErrorCode,
  type ErrorDetails,
  InvalidArgumentError,
  IoError,
  isPagestreamError,
  PagestreamError,
  TimeoutError,
  UnsupportedError,
} from "../core/errors.ts";
import {
  DecryptError,
  type DecryptReason,
  NotFoundError,
  PreconditionFailedError,
  StoreError,
} from "../transports/errors.ts";

/** Longest of each text, in characters, so that all of them fit into the memory that the threads share. */
const TEXT_LIMIT = 600;

/** What is told of an error. */
interface Carried extends Omit<ErrorDetails, "cause"> {
  readonly code: ErrorCode;
  readonly retryable?: boolean;
  readonly retryAfterMs?: number;
  readonly status?: number;
  readonly reason?: DecryptReason;
}

/** Errors that are made of their details alone. */
const PLAIN: Partial<Record<ErrorCode, new (details: ErrorDetails) => PagestreamError>> = {
  ABORTED: AbortedError,
  CLOSED: ClosedError,
  INVALID_ARGUMENT: InvalidArgumentError,
  IO: IoError,
  NOT_FOUND: NotFoundError,
  PRECONDITION_FAILED: PreconditionFailedError,
  TIMEOUT: TimeoutError,
  UNSUPPORTED: UnsupportedError,
};

/**
 * An error as ASCII text of at most 15 KB, without its cause. Of an error that is not of this library only the name is told:
 * its message may carry a signed URL. `object` is what was read.
 */
export function carryError(error: unknown, object: string): string {
  return asciiJson(isPagestreamError(error) ? toldOf(error) : toldOfForeign(error, object));
}

/** The error that {@linkcode carryError} made a text of. */
export function carriedError(text: string): PagestreamError {
  const carried = JSON.parse(text) as Carried;
  const { code, retryable, retryAfterMs, status, reason = "damaged" } = carried;
  if (code === "STORE") {
    return new StoreError(carried, { retryable: retryable === true, retryAfterMs, status });
  }
  if (code === "DECRYPT") return new DecryptError(carried, { reason });
  const Plain = PLAIN[code];
  return Plain === undefined ? new PagestreamError(code, carried) : new Plain(carried);
}

function toldOf(error: PagestreamError): Carried {
  const { code, operation, object, nextStep } = error;
  const before = `Cannot ${operation} ${object}: `.length;
  const after = nextStep === undefined ? 0 : `. ${nextStep}`.length;
  const { retryable, retryAfterMs, status, reason } = error as Partial<StoreError & DecryptError>;
  return {
    code,
    operation: clip(operation),
    object: clip(object),
    what: clip(error.message.slice(before, error.message.length - after)),
    ...(nextStep === undefined ? {} : { next: clip(nextStep) }),
    ...(code === "STORE" ? { retryable, retryAfterMs, status } : {}),
    ...(code === "DECRYPT" ? { reason } : {}),
  } as Carried;
}

function toldOfForeign(error: unknown, object: string): Carried {
  const name = error instanceof Error ? error.name : typeof error;
  const what = clip(`the store of the helper worker failed with ${name}`);
  return { code: "STORE", operation: "read", object: clip(object), what };
}

function clip(text: string): string {
  return text.slice(0, TEXT_LIMIT);
}
