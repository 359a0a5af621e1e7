/**
 * What a failure of the NATS libraries means. Their classes are told by their names: two copies of a library, or none at
 * all while types are checked, make no difference.
 *
 * @module
 */
import { PagestreamError } from "../core/errors.ts";
import { StoreError } from "./errors.ts";

/** The server has no such stream, so the bucket does not exist. */
const STREAM_NOT_FOUND = 10059;
const CONSUMER_NOT_FOUND = 10014;
const NOT_ENABLED_FOR_ACCOUNT = 10039;
const WRONG_LAST_SEQUENCE: ReadonlySet<number> = new Set([10071, 10164]);

const NEXT: Readonly<Record<number, string>> = {
  10023: "Give JetStream more storage",
  10047: "Give JetStream more storage",
  10076: "Raise the largest number of messages of the bucket's stream",
  10077: "Raise the largest size of the bucket",
  [NOT_ENABLED_FOR_ACCOUNT]: "Enable JetStream for the account of this user",
};

/** The code of JetStream that a refusal carries; `undefined` for every other failure. */
function apiCode(error: unknown): number | undefined {
  const { code } = error as { readonly code?: unknown };
  return error instanceof Error && typeof code === "number" && code > 10_000 ? code : undefined;
}

/** Whether JetStream itself refused, so that nothing was done. */
export function isRefusal(error: unknown): boolean {
  return apiCode(error) !== undefined;
}

/** Whether a publish was refused because the subject's last message is another one. */
export function isWrongSequence(error: unknown): boolean {
  return WRONG_LAST_SEQUENCE.has(apiCode(error) ?? 0);
}

/** Failures that the same call may not meet again: the connection, the server or the leader of a stream comes back. */
const PASSING: Readonly<Record<string, string>> = {
  ClosedConnectionError: "the connection was closed",
  ConnectionError: "the connection was lost",
  DrainingConnectionError: "the connection is being closed",
  JetStreamNotEnabled:
    "no server answers for the bucket: JetStream is off or its stream has no leader",
  JetStreamError: "the server stopped answering",
  JetStreamStatusError: "the server ended the delivery",
  NoRespondersError: "no server answers: JetStream is off or has no leader",
  RequestError: "the request was given up as the connection was lost",
  TimeoutError: "the server did not answer in time",
};

/** Where a failure happened. */
export interface FailedCall {
  readonly operation: string;
  readonly object: string;
  /** The bucket, for the command that makes it. */
  readonly bucket: string;
}

/** What a store throws for a failure of the libraries. Errors of this library pass unchanged; no raw cause is kept. */
export function natsError(error: unknown, { operation, object, bucket }: FailedCall): Error {
  if (error instanceof PagestreamError) return error;
  const code = apiCode(error);
  if (code === STREAM_NOT_FOUND) return missingBucket(operation, object, bucket);
  if (code !== undefined) {
    const { message, status = 0 } = error as Error & { readonly status?: number };
    const retryable =
      code !== NOT_ENABLED_FOR_ACCOUNT && (status >= 500 || code === CONSUMER_NOT_FOUND);
    const full = NEXT[code] !== undefined;
    return new StoreError(
      { operation, object, what: `JetStream refused: ${message} (${code})`, next: NEXT[code] },
      { retryable: retryable && !full },
    );
  }
  const name = nameIn(error);
  if (/Authoriz|Authentic/.test(name)) {
    return new StoreError({
      operation,
      object,
      what: "the server refused the credentials",
      next: "Check user, password, token or seed, and that they have not expired",
    });
  }
  if (name === "PermissionViolationError") {
    return new StoreError({
      operation,
      object,
      what: "the server does not permit this user to do that",
      next: `Let the user publish to $JS.API.> and $O.${bucket}.>, and subscribe to _INBOX.>`,
    });
  }
  const what = PASSING[name] ?? "the connection to the server failed";
  return new StoreError({ operation, object, what }, { retryable: true });
}

/** The name of the failure that says most: a request that was refused wraps the reason. */
function nameIn(error: unknown): string {
  const { name, cause } = error as { readonly name?: unknown; readonly cause?: unknown };
  const inner = typeof cause === "object" && cause !== null ? nameIn(cause) : "";
  if (/Authoriz|Authentic|Permission/.test(inner)) return inner;
  return typeof name === "string" ? name : "";
}

function missingBucket(operation: string, object: string, bucket: string): StoreError {
  return new StoreError({
    operation,
    object,
    what: `there is no bucket ${bucket}`,
    next: `Create it with "nats object add ${bucket}", or set createBucket`,
  });
}
