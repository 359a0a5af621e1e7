/**
 * What a reader refuses, and how it says so.
 *
 * @module
 */
import {
  ClosedError,
  InvalidArgumentError,
  IoError,
  isPagestreamError,
  type PagestreamError,
} from "../core/errors.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { formatTimestamp } from "../transports/timestamp.ts";
import { TxidNotAvailableError } from "./errors.ts";
import type { RestoreTarget } from "./plan.ts";
import type { Replica } from "./replica.ts";

/** A number of bytes that was given, or the usual one. Throws `InvalidArgumentError` for what is none. */
export function sizeOf(value: number | undefined, usual: number, name: string): number {
  if (value === undefined) return usual;
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError({
    operation: "read",
    object: "the replica",
    what: `${name} is ${value}, which is no number of bytes`,
  });
}

/** Throws `InvalidArgumentError` for a time in the future, unless that is allowed. */
export function refuseFuture(
  replica: Replica,
  { timestamp }: RestoreTarget,
  allowFuture: boolean,
): void {
  if (timestamp === undefined || allowFuture) return;
  if (timestamp.getTime() <= replica.platform.clock.now()) return;
  throw new InvalidArgumentError({
    operation: "read",
    object: replica.description,
    what: `${formatTimestamp(timestamp.getTime())} lies in the future`,
    next: "Give a time that has passed, or none for the newest state",
  });
}

/** For whoever asks a reader that is closed. */
export function closed(object: string): ClosedError {
  return new ClosedError({ operation: "read", object, what: "the reader is closed" });
}

/** For whoever waits for a state that a reader which does not follow will not come to. */
export function notThere(object: string, txid: bigint, reached: bigint): TxidNotAvailableError {
  return new TxidNotAvailableError(
    {
      operation: "wait for",
      object,
      what: `the replica ends with ${formatTxid(reached)}, and the reader does not follow`,
      next: "Let the reader follow, or ask again later",
    },
    { txid, earlier: reached, later: undefined },
  );
}

/** What was thrown, as one of ours. */
export function asTyped(object: string, error: unknown): PagestreamError {
  if (isPagestreamError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new IoError({ operation: "read", object, what, cause: error });
}
