/**
 * What a restore can be told, and what it tells.
 *
 * @module
 */
import { InvalidArgumentError, throwIfAborted, UnsupportedError } from "../core/errors.ts";
import { parseTxid } from "../ltx/file-name.ts";
import { IntegrityError } from "./errors.ts";
import type { LegacyPosition } from "./legacy-layout.ts";
import type { PlannedLegacyFile } from "./legacy-plan.ts";
import type { PlannedFile, RestoreTarget } from "./plan.ts";
import type { PositionToken } from "./position-token.ts";
import type { ReplicaOptions } from "./replica.ts";
import type { IntegrityCheck, RestoreSink } from "./restore-sink.ts";
import { type TimeInput, resolveTime } from "./timestamps.ts";

/** How far a restore has come. */
export interface RestoreProgress {
  /** Bytes of LTX files used so far. */
  readonly bytes: number;
  /** Bytes of all files of the plan. */
  readonly totalBytes: number;
  /** Pages restored so far. */
  readonly pages: number;
  /** Pages of the database. */
  readonly totalPages: number;
  /** Key of the file that bytes were last read of. */
  readonly file: string;
  /** Number of files of the plan. */
  readonly files: number;
}

/** Which state is meant; the newest where neither is given. */
export interface StateRequest {
  /** Exactly this state: a TXID or its 16 hex digits. */
  readonly txid?: bigint | string | undefined;
  /** The state of this time, inclusive; a restore takes the newest where it lies after that. Excludes `txid`. */
  readonly timestamp?: TimeInput | undefined;
}

/** Which state to restore and how, whatever replica it is read from. */
export interface RestoreRequest extends StateRequest {
  /** Let SQLite check the database before it becomes visible. @default "none" */
  readonly integrityCheck?: IntegrityCheck | undefined;
  /** Runs the check for a sink that has none of its own; resolves to the first row of SQLite's answer. */
  readonly check?: ((kind: "quick" | "full") => Promise<string>) | undefined;
  /** Called at the start, about ten times a second, and at the end. */
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
  /** Only say what would be read and why; the sink is left alone. @default false */
  readonly explain?: boolean | undefined;
  /** Overrides what the sink says of the two journal mode bytes of page 1. */
  readonly journalHeader?: RestoreSink["journalHeader"] | undefined;
  /** Compute the token that lets `replicate` go on from here; costs a digest of each page. @default true */
  readonly position?: boolean | undefined;
  /**
   * Gets every page but the lock page, in order, as the replica holds it: before the journal mode bytes are changed,
   * and before the files have been verified to their end. `data` is a view, valid during the call.
   */
  readonly onPage?: ((pgno: number, data: Uint8Array) => void) | undefined;
  /** Ends the restore with `AbortedError`; the sink is told to abort and its target stays as it was. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `restoreReplica`. */
export interface RestoreReplicaOptions extends RestoreRequest, ReplicaOptions {}

/** What was restored, or with `explain` would be. */
export interface RestoreResult {
  /** The state; 0 for one of the 0.3 layout, which has no TXIDs. */
  readonly txid: bigint;
  /** When that state came to be. */
  readonly time: Date;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
  /** Database size in bytes. */
  readonly size: number;
  /** The LTX files it is made of, oldest first, each with the reason for it. */
  readonly files: readonly PlannedFile[];
  /** What Litestream 0.3 left, where the state is made of that: then `files` is empty. */
  readonly legacy: LegacyRestored | undefined;
  /** Largest TXID of the replica, whether wanted or not. */
  readonly newestTxid: bigint;
  /**
   * Lets `replicate` go on without a full file; undefined with `explain`, with `position: false`, and for a state of the
   * 0.3 layout.
   */
  readonly position: PositionToken | undefined;
}

/** A state in the history of Litestream 0.3, and the files it is made of. */
export interface LegacyRestored extends LegacyPosition {
  /** The snapshot, then the WAL segments in order, each with the reason for it. */
  readonly files: readonly PlannedLegacyFile[];
}

/** The state that the options ask for; `now` in milliseconds since the Unix epoch. */
export function resolveTarget(options: StateRequest, now: number): RestoreTarget {
  const { txid, timestamp } = options;
  if (txid === undefined) {
    return timestamp === undefined ? {} : { timestamp: resolveTime(timestamp, now) };
  }
  if (timestamp !== undefined)
    throw refused("txid and timestamp exclude each other", "Give one of them");
  const value = typeof txid === "string" ? parseTxid(txid) : txid;
  if (value < 1n || value >= 1n << 64n) {
    throw refused(
      `there is no TXID ${value}`,
      "TXIDs begin at 1; leave it out for the newest state",
    );
  }
  return { txid: value };
}

/** The check that the options ask for, refused where nobody can run it. It throws `IntegrityError` where it finds fault. */
export function resolveCheck(
  options: RestoreRequest,
  sink: RestoreSink,
): (() => Promise<void>) | undefined {
  const kind = options.integrityCheck ?? "none";
  if (kind === "none") return undefined;
  const check = options.check ?? sink.check?.bind(sink);
  if (check === undefined) {
    throw new UnsupportedError({
      operation: "check",
      object: sink.name,
      what: "this target has no SQLite to check the database with",
      next: "Give the option check, or integrityCheck: none",
    });
  }
  return async () => {
    throwIfAborted(options.signal, "restore", sink.name);
    const result = await check(kind);
    if (result === "ok") return;
    throw new IntegrityError(
      {
        operation: "restore",
        object: sink.name,
        what: `SQLite's integrity check of the restored database says: ${result}`,
        next: "Restore an earlier state; the replica holds a database that was already broken",
      },
      { result },
    );
  };
}

function refused(what: string, next: string): InvalidArgumentError {
  return new InvalidArgumentError({ operation: "restore", object: "the replica", what, next });
}
