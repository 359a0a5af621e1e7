/**
 * The one base class of every error this library throws.
 *
 * A message reads `Cannot <operation> <object>: <what>. <next step>`, so that a log line alone tells an operator
 * what was attempted, on which object, why it failed and what to do. `code` is stable and meant for programs;
 * each code has a row in `docs/errors.md`.
 *
 * @module
 */

/** Every `code` a {@linkcode PagestreamError} can carry. */
export const ERROR_CODES = [
  "ABORTED",
  "CACHE_FULL",
  "CLOSED",
  "CONFIG",
  "CONFLICT",
  "DAMAGED_FILE",
  "DATABASE_BEHIND",
  "DATABASE_LOCKED",
  "DECRYPT",
  "FOLLOW_POSITION",
  "FOREIGN_ACCESS",
  "GAP",
  "IMAGE_OVERRUN",
  "INTEGRITY",
  "INVALID_ARGUMENT",
  "INVALID_DATABASE",
  "INVALID_LTX",
  "IO",
  "LIMIT",
  "LTX_CHECKSUM",
  "LTX_ENCODE",
  "LTX_UNSUPPORTED",
  "NOT_CAPTURED",
  "NOT_FOUND",
  "NO_BACKUP",
  "OUTCOME_UNKNOWN",
  "PRECONDITION_FAILED",
  "QUERY",
  "QUOTA",
  "REPLICA_BEHIND",
  "STAGING_FULL",
  "STORE",
  "TARGET_EXISTS",
  "TIMEOUT",
  "TIMESTAMP_NOT_AVAILABLE",
  "TXID_NOT_AVAILABLE",
  "UNSUPPORTED",
  "VFS",
  "WAL_MISMATCH",
] as const;

/** A stable, documented error code. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** What every error tells its reader. */
export interface ErrorDetails {
  /** Verb phrase that completes "Cannot …": `restore`, `decode`, `upload`. */
  readonly operation: string;
  /** What it was done to: a file name, a key, a database path. Never a secret, never a URL with a query. */
  readonly object: string;
  /** Why it failed, without a final period. */
  readonly what: string;
  /** What the reader can do next, without a final period. */
  readonly next?: string | undefined;
  /** The error underneath, where it is safe to show (raw transport errors carry signed URLs and are not). */
  readonly cause?: unknown;
}

const BRAND: unique symbol = Symbol.for("pagestream.error") as never;

/** Base class of every error of this library. */
export class PagestreamError extends Error {
  /** Stable code for programs. */
  readonly code: ErrorCode;
  /** Verb phrase: what was attempted. */
  readonly operation: string;
  /** What it was attempted on. */
  readonly object: string;
  /** What to do next, where there is something to do. */
  readonly nextStep: string | undefined;

  /** Makes the message from the details; every subclass has a code of its own. */
  constructor(code: ErrorCode, details: ErrorDetails) {
    const next = details.next === undefined ? "" : `. ${details.next}`;
    super(
      `Cannot ${details.operation} ${details.object}: ${details.what}${next}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.name = new.target.name;
    this.code = code;
    this.operation = details.operation;
    this.object = details.object;
    this.nextStep = details.next;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/**
 * Tells whether a thrown value is an error of this library, and optionally one with a given code. Works across
 * realms and across two copies of the library, where `instanceof` does not.
 *
 * @example
 * ```ts
 * import { bytesSink, isPagestreamError, restore } from "pagestream";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * try {
 *   await restore(memoryStore(), bytesSink());
 * } catch (error) {
 *   if (!isPagestreamError(error, "NO_BACKUP")) throw error;
 *   console.log("nothing to restore yet");
 * }
 * ```
 */
export function isPagestreamError(error: unknown, code?: ErrorCode): error is PagestreamError {
  return (
    typeof error === "object" &&
    error !== null &&
    BRAND in error &&
    (code === undefined || (error as unknown as PagestreamError).code === code)
  );
}

/** An argument or option that can never work. */
export class InvalidArgumentError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("INVALID_ARGUMENT", details);
  }
}

/** The browser grants this origin no more storage. */
export class QuotaError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("QUOTA", details);
  }
}

/** The caller's signal was aborted; `cause` is its reason. */
export class AbortedError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("ABORTED", details);
  }
}

/** A deadline passed before the operation ended. */
export class TimeoutError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("TIMEOUT", details);
  }
}

/** The object was closed before or during the call. */
export class ClosedError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("CLOSED", details);
  }
}

/** A local file operation failed; `cause` is the runtime's error. */
export class IoError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("IO", details);
  }
}

/** The database cannot be served in the way it is set up. */
export class UnsupportedError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("UNSUPPORTED", details);
  }
}

/** Bytes that should be a SQLite database are not, or contradict themselves. */
export class InvalidDatabaseError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("INVALID_DATABASE", details);
  }
}

/** The WAL does not go on where it was read up to: it was restarted, truncated or replaced. */
export class WalMismatchError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("WAL_MISMATCH", details);
  }
}

/**
 * While an image was read, more of the pages it still needed were overwritten than is kept. The image at a later
 * boundary may come through; one read at once does.
 */
export class ImageOverrunError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("IMAGE_OVERRUN", details);
  }
}

/** The error of what its signal has ended. */
export function abortedError(task: {
  readonly operation: string;
  readonly object: string;
  readonly signal?: AbortSignal | undefined;
}): AbortedError {
  const { operation, object, signal } = task;
  const what = "the operation was aborted";
  return new AbortedError({ operation, object, what, cause: signal?.reason });
}

/** Throws {@linkcode AbortedError} when `signal` is aborted. */
export function throwIfAborted(
  signal: AbortSignal | undefined,
  operation: string,
  object: string,
): void {
  if (signal?.aborted) throw abortedError({ operation, object, signal });
}
