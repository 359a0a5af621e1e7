/**
 * Where a restored database goes.
 *
 * @module
 */
import type { ObjectStore } from "../transports/object-store.ts";

/** What a restore tells its sink before the first byte. */
export interface RestoreStart {
  /** Page size in bytes; writes begin and end on page boundaries. */
  readonly pageSize: number;
  /** Size of the finished database in bytes. */
  readonly size: number;
}

/** How thoroughly a restored database is checked before it is handed over. */
export type IntegrityCheck = "none" | "quick" | "full";

/**
 * Receives a database in ascending, non-overlapping writes. Nothing is visible at the target before `finish`;
 * `abort` leaves the target as it was. Writes of at least 1 MiB are the rule.
 */
export interface RestoreSink {
  /** What the sink writes to, for messages. */
  readonly name: string;
  /**
   * Whether bytes 18 and 19 of the database header stay as they are or become 1 (rollback journal): a file marked
   * WAL cannot be opened by sqlite-wasm without shared memory.
   */
  readonly journalHeader: "keep" | "rollback";
  /**
   * Puts itself between the restore and its store, where the target can keep what was fetched for a restore that is begun
   * again after it was interrupted. Called before `start`.
   */
  keeping?(store: ObjectStore): ObjectStore | Promise<ObjectStore>;
  /** Called once before the first write; refuses a target that must not be overwritten. */
  start(info: RestoreStart): void | Promise<void>;
  /** Writes `bytes` at `offset`. The array belongs to the caller again when the call (or its promise) has ended. */
  write(offset: number, bytes: Uint8Array): void | Promise<void>;
  /** Sets the final size: bytes never written (the lock page) read as zeros. */
  truncate(size: number): void | Promise<void>;
  /**
   * Runs SQLite's own check on what was written, before it becomes visible; resolves to the first row, `"ok"` when
   * all is well. Missing where the sink has no SQLite at hand.
   */
  check?(kind: "quick" | "full"): Promise<string>;
  /**
   * Keeps beside the target that an earlier state was restored by choice, so that a replication does not bring the database
   * to the newest one unasked: `marker` is for `LocalState.replaceMarker`. Called before `finish`, only for an earlier state.
   */
  chosen?(marker: Uint8Array): void | Promise<void>;
  /** Makes the database visible at its target, durably. */
  finish(): void | Promise<void>;
  /** Gives up because of `reason` and removes everything written. Never throws for what is already gone. */
  abort(reason?: unknown): void | Promise<void>;
}
