/**
 * What the daemon tells of its databases: how each is doing, and what happens to it.
 *
 * @module
 */
import type {
  DestinationStatus,
  FleetDatabaseState,
  FleetEvent,
  PagestreamError,
  Position,
  ReplicationStats,
} from "pagestream";
import type { WalCheckpoint } from "pagestream/files-kit";

/**
 * What a database of the daemon is doing.
 *
 * - `starting`, `replicating`, `resting`, `stalled`, `closing`: as in a fleet.
 * - `waiting`: it cannot be opened, or its replica not reached; it is tried again by itself.
 * - `conflict`: another writer took its replica; it stays so until it is started again.
 * - `stopped`: by request.
 */
export type DaemonDatabaseState =
  | Exclude<FleetDatabaseState, "stopped">
  | "waiting"
  | "conflict"
  | "stopped";

/** One database of the daemon, as of the moment it was asked for. */
export interface DaemonDatabase {
  /** Absolute path of the database file. */
  readonly path: string;
  /** What kind of store its replica is, as Litestream names it: `file`, `s3`, … */
  readonly replicaType: string;
  /** Where its replica lies, as a person may see it: without secrets. */
  readonly replica: string;
  /** What it is doing. */
  readonly state: DaemonDatabaseState;
  /** Why it waits, is stalled or in conflict; `undefined` when all is well. */
  readonly error: PagestreamError | undefined;
  /** How far it has come, or had when it was stopped; `undefined` before its first start has succeeded. */
  readonly position: Position | undefined;
  /** Counters since it was started last; `undefined` while it does not run. */
  readonly stats: ReplicationStats | undefined;
  /** Its replicas, the first one's state first; empty while it does not run. */
  readonly destinations: readonly DestinationStatus[];
  /** Size of the database in bytes as of its last commit; 0 while it does not run. */
  readonly sizeBytes: number;
  /** Size of its WAL in bytes; 0 while it does not run. */
  readonly walBytes: number;
  /**
   * When the replica was last known to hold all that was committed, in milliseconds since the epoch; while it holds all of it,
   * that is now. `undefined`: not since the start.
   */
  readonly syncedAt: number | undefined;
  /** When anything was last told of it, in milliseconds since the epoch; `undefined`: nothing yet. */
  readonly updatedAt: number | undefined;
  /** Whether a snapshot that was asked for is under way. */
  readonly snapshotting: boolean;
}

/** The daemon as a whole. */
export interface DaemonStatus {
  /** When it was made, in milliseconds since the epoch. */
  readonly startedAt: number;
  /** Every database, in the order of their registration. */
  readonly databases: readonly DaemonDatabase[];
  /** Requests made so far, where they are bounded. */
  readonly requests: number | undefined;
}

/** An event of a database; `database` is its path. */
export type DaemonEvent =
  | FleetEvent
  | ({ readonly database: string } & (
      | { readonly type: "registered" | "unregistered"; readonly replica: string }
      /** It replicates, for the first time or again. */
      | { readonly type: "started"; readonly replica: string; readonly position: Position }
      | { readonly type: "stopped" }
      /** It was restored, since there was no file. */
      | { readonly type: "restored"; readonly txid: bigint }
      /** Its start failed; the next try comes by itself. */
      | { readonly type: "waiting"; readonly error: PagestreamError; readonly retryMs: number }
      /** The daemon brought the WAL into the database file, since nobody else did. */
      | ({ readonly type: "checkpoint" } & WalCheckpoint)
      /** Something goes wrong with it, and it is followed all the same. */
      | { readonly type: "warning"; readonly error: PagestreamError }
      /** A directory cannot be watched, or what came into it cannot be used; `database` is its path. */
      | { readonly type: "watch-failed"; readonly error: Error }
    ));
