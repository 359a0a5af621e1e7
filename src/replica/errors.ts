/**
 * Errors of the replication engine, the way back first.
 *
 * @module
 */
import { type ErrorDetails, PagestreamError, UnsupportedError } from "../core/errors.ts";
import { formatTxid } from "../ltx/file-name.ts";

/** The store holds no file of a replica at all; a replica that is merely damaged is never reported like this. */
export class NoBackupError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("NO_BACKUP", details);
  }
}

/** Files exist, but not all that the wanted state is made of. */
export class GapError extends PagestreamError {
  /** Last TXID reached without a break; 0 where nothing begins at TXID 1, and in the 0.3 layout, which has none. */
  readonly reached: bigint;
  /** Name of the first file that lies beyond the break. */
  readonly nextFile: string;

  /** Makes the error from what its reader is told. */
  constructor(
    details: ErrorDetails,
    context: { readonly reached: bigint; readonly nextFile: string },
  ) {
    super("GAP", details);
    this.reached = context.reached;
    this.nextFile = context.nextFile;
  }
}

/** A file of the replica is not what its name says: cut, altered, replaced or incomplete. */
export class DamagedFileError extends PagestreamError {
  /** Key of the file inside the store. */
  readonly file: string;

  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails, context: { readonly file: string }) {
    super("DAMAGED_FILE", details);
    this.file = context.file;
  }
}

/** No set of files ends exactly at the wanted TXID. */
export class TxidNotAvailableError extends PagestreamError {
  /** The TXID asked for. */
  readonly txid: bigint;
  /** Nearest restorable TXID before the wanted one, where there is one. */
  readonly earlier: bigint | undefined;
  /** Nearest restorable TXID after the wanted one, where there is one. */
  readonly later: bigint | undefined;

  /** Makes the error from what its reader is told. */
  constructor(
    details: ErrorDetails,
    context: {
      readonly txid: bigint;
      readonly earlier: bigint | undefined;
      readonly later: bigint | undefined;
    },
  ) {
    super("TXID_NOT_AVAILABLE", details);
    this.txid = context.txid;
    this.earlier = context.earlier;
    this.later = context.later;
  }
}

/** The wanted time lies before the oldest state that can still be restored. */
export class TimestampNotAvailableError extends PagestreamError {
  /** The time asked for. */
  readonly timestamp: Date;
  /** Time of the oldest restorable state. */
  readonly oldest: Date;

  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails, context: { readonly timestamp: Date; readonly oldest: Date }) {
    super("TIMESTAMP_NOT_AVAILABLE", details);
    this.timestamp = context.timestamp;
    this.oldest = context.oldest;
  }
}

/** SQLite's own check found the restored database broken; nothing became visible. */
export class IntegrityError extends PagestreamError {
  /** First row of the check's answer. */
  readonly result: string;

  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails, context: { readonly result: string }) {
    super("INTEGRITY", details);
    this.result = context.result;
  }
}

/** A database or one of its side files is already where the restored one should go. */
export class TargetExistsError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("TARGET_EXISTS", details);
  }
}

/** Another writer uses the replica: an object of our next name exists with other content, or a file that we did not write. */
export class ConflictError extends PagestreamError {
  /** Key of a file of ours that came too late, inside the other's history, and could not be removed. */
  readonly left: string | undefined;

  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails, context: { readonly left?: string | undefined } = {}) {
    super("CONFLICT", details);
    this.left = context.left;
  }
}

/** Another writer holds the lease of the replica. */
export class LeaseHeldError extends ConflictError {
  /** What the other writer calls itself; empty where it does not say. */
  readonly owner: string;
  /** When the lease ends unless it is prolonged. */
  readonly expiresAt: Date;

  /** Makes the error for the replica `object`. */
  constructor(object: string, context: { readonly owner: string; readonly expiresAt: Date }) {
    const { owner, expiresAt } = context;
    const who = owner === "" ? "another writer" : `another writer, ${owner},`;
    super({
      operation: "replicate to",
      object,
      what: `${who} holds its lease until ${expiresAt.toISOString()}`,
      next: "Stop the other writer, or wait until its lease has ended; takeOver() takes it in spite of that",
    });
    this.owner = owner;
    this.expiresAt = expiresAt;
  }
}

/** With durability `local`, what waits for the store fills the bound; the COMMIT failed. */
export class StagingFullError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("STAGING_FULL", details);
  }
}

/** A COMMIT that waited for its upload was given up; whether the store has it is found out before the next one. */
export class OutcomeUnknownError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("OUTCOME_UNKNOWN", details);
  }
}

/** Why a COMMIT that must be kept back cannot be yet: it is not known where the replica stands. */
export function notStarted(name: string): UnsupportedError {
  return new UnsupportedError({
    operation: "commit",
    object: name,
    what: "its replication has not started yet",
    next: "Await replicate() before the first COMMIT",
  });
}

/** The database equals an earlier state of the replica, and may not simply be brought forward. */
export class DatabaseBehindError extends PagestreamError {
  /** TXID of the state that the database equals. */
  readonly txid: bigint;
  /** TXID of the replica's newest state. */
  readonly newestTxid: bigint;
  /** Whether a restore was told to restore this earlier state. */
  readonly chosen: boolean;

  /** Makes the error for the database at `path`. */
  constructor(
    path: string,
    context: { readonly txid: bigint; readonly newestTxid: bigint; readonly chosen: boolean },
  ) {
    const { txid, newestTxid, chosen } = context;
    const states = `${formatTxid(txid)}, the newest state of the replica is ${formatTxid(newestTxid)}`;
    super("DATABASE_BEHIND", {
      operation: "replicate",
      object: path,
      what: chosen
        ? `it was restored to the earlier state ${states}`
        : `it equals the earlier state ${states}`,
      next: "Restore the newest state into its place, or say onBehind: adopt to go on from the earlier one as the new truth",
    });
    this.txid = txid;
    this.newestTxid = newestTxid;
    this.chosen = chosen;
  }
}

/** A copy that is to be followed into cannot be gone on with: its position is missing or says nothing. */
export class FollowPositionError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("FOLLOW_POSITION", details);
  }
}

/** The replica ends before the state that a copy of it holds. */
export class ReplicaBehindError extends PagestreamError {
  /** TXID of the copy. */
  readonly txid: bigint;
  /** Largest TXID of the replica. */
  readonly newestTxid: bigint;

  /** Makes the error for the copy called `name`. */
  constructor(name: string, context: { readonly txid: bigint; readonly newestTxid: bigint }) {
    const { txid, newestTxid } = context;
    super("REPLICA_BEHIND", {
      operation: "follow into",
      object: name,
      what: `the copy may hold ${formatTxid(txid)}, and the replica ends with ${formatTxid(newestTxid)}`,
      next: "Check that it is the right replica; if its writer began anew, remove the copy and follow into a new one",
    });
    this.txid = txid;
    this.newestTxid = newestTxid;
  }
}

/** A reader that must keep every page it reads needs more memory than the cache may take. */
export class CacheFullError extends PagestreamError {
  /** Makes the error for the replica `object`. */
  constructor(object: string) {
    super("CACHE_FULL", {
      operation: "read",
      object,
      what: "what is being read takes more pages than the cache may hold",
      next: "Raise cacheBytes, read less at once, or use a driver that keeps no pages",
    });
  }
}
