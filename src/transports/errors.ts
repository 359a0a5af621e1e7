/**
 * Errors that every object store throws.
 *
 * @module
 */
import { type ErrorDetails, PagestreamError } from "../core/errors.ts";

/** The object does not exist. */
export class NotFoundError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("NOT_FOUND", details);
  }
}

/** A condition (`ifNoneMatch`, `ifMatch`) did not hold; nothing was written or read. */
export class PreconditionFailedError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("PRECONDITION_FAILED", details);
  }
}

/** The error of a write that was to create `object` and found it there. */
export function alreadyExists(object: string): PreconditionFailedError {
  const what = "the object already exists";
  return new PreconditionFailedError({
    operation: "create",
    object,
    what,
    next: "Read it to learn whose it is",
  });
}

/** What failed on a condition. */
export type FailedCondition = Pick<ErrorDetails, "operation" | "object">;

/** The error of a call that asked for one version of an object. */
export function otherVersion({ operation, object }: FailedCondition): PreconditionFailedError {
  const what = "the object is not the version asked for";
  return new PreconditionFailedError({ operation, object, what, next: READ_AGAIN });
}

/** The error of a condition where the server does not tell which of the two it was. */
export function conditionFailed({ operation, object }: FailedCondition): PreconditionFailedError {
  const what = "the object is not the version asked for, or exists already";
  return new PreconditionFailedError({ operation, object, what, next: READ_AGAIN });
}

const READ_AGAIN = "Read the object again and decide anew";

/** The store refused, failed or could not be reached. */
export class StoreError extends PagestreamError {
  /** True where the same request may succeed later. */
  readonly retryable: boolean;
  /** Milliseconds the store asked to wait, where it did. */
  readonly retryAfterMs: number | undefined;
  /** Status of the answer over HTTP, where it is one that failed. */
  readonly status: number | undefined;

  /** Makes the error; without `retryable` the request is given up at the first failure. */
  constructor(
    details: ErrorDetails,
    options: {
      readonly retryable?: boolean;
      readonly retryAfterMs?: number | undefined;
      readonly status?: number | undefined;
    } = {},
  ) {
    super("STORE", details);
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
    this.status = options.status;
  }
}

/** Why an object could not be decrypted. */
export type DecryptReason = "plain" | "unknown-key" | "wrong-key" | "damaged" | "version";

/** An object of an encrypted store is not what was put there, or this key does not open it. */
export class DecryptError extends PagestreamError {
  /** `wrong-key` also stands for an object that was renamed or whose header was changed. */
  readonly reason: DecryptReason;

  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails, context: { readonly reason: DecryptReason }) {
    super("DECRYPT", details);
    this.reason = context.reason;
  }
}
