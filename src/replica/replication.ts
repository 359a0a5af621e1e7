/**
 * A running replication as its user sees it.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { BlockingUploader } from "./blocking-uploader.ts";
import type { LevelsOptions } from "./levels.ts";
import type { LocalState } from "./local-state.ts";
import type { RecentFiles } from "./maintenance-cache.ts";
import type { PositionToken } from "./position-token.ts";
import type { Scheduler } from "./scheduler.ts";

/** How far commits have come. Print with `formatTxid`, as Litestream does. */
export interface Position {
  /** TXID that the last commit carries, or will carry once its group is cut. */
  readonly local: bigint;
  /** Last TXID cut into a file. */
  readonly staged: bigint;
  /** Last TXID confirmed by the store; by every one of them where there are several. */
  readonly replicated: bigint;
}

/**
 * How a destination is doing.
 *
 * - `following`: files go to it as they are cut.
 * - `stalled`: its store does not answer; files are kept for it, and attempts continue.
 * - `behind`: files between its newest and the next one are not kept any more, or it lost some; it is brought up as soon
 *   as its store answers.
 * - `stopped`: another writer uses it, or the replication has ended.
 */
export type DestinationState = "following" | "stalled" | "behind" | "stopped";

/** One of the replicas of a replication. */
export interface DestinationStatus {
  /** What its store calls itself. */
  readonly name: string;
  /** How it is doing. */
  readonly state: DestinationState;
  /** Last TXID that it has confirmed. */
  readonly replicated: bigint;
  /** Milliseconds since the oldest commit in a file that it lacks; 0 when it has all files. */
  readonly lagMs: number;
  /** Bytes of staged files kept for it. */
  readonly pendingBytes: number;
  /** Why it does not follow, or fails; `undefined` when all is well. */
  readonly error: PagestreamError | undefined;
}

/**
 * What a replication reports. Every event carries the position at that moment; one that is about a replica carries what
 * its store calls itself as `destination`.
 */
export type ReplicationEvent = { readonly position: Position } & (
  | { readonly type: "commit"; readonly pages: number }
  | {
      readonly type: "cut";
      readonly txid: bigint;
      readonly pages: number;
      /** Size of the file in bytes. */
      readonly size: number;
      /** Whether it holds every page of the database. */
      readonly full: boolean;
    }
  | {
      readonly type: "uploaded" | "snapshot";
      readonly destination: string;
      readonly level: number;
      readonly txid: bigint;
      readonly size: number;
    }
  /** Files of the level below became one of `level`. */
  | {
      readonly type: "compacted";
      readonly destination: string;
      readonly level: number;
      readonly minTxid: bigint;
      readonly maxTxid: bigint;
      readonly size: number;
      /** How many files it was made of. */
      readonly files: number;
    }
  /** Files that need not be kept were removed: how many, and their size in bytes. */
  | {
      readonly type: "retained";
      readonly destination: string;
      readonly files: number;
      readonly size: number;
    }
  /** Nothing was removed although its time may have come: the clocks disagree. */
  | { readonly type: "retention-skipped"; readonly destination: string; readonly reason: string }
  /** The store does not let this writer remove anything; all else goes on. Told once. */
  | {
      readonly type: "retention-denied";
      readonly destination: string;
      readonly error: PagestreamError;
    }
  /** Two files of a level do not follow each other: one ends with TXID `after`, the next begins with `before`. */
  | {
      readonly type: "level-fault";
      readonly destination: string;
      readonly level: number;
      readonly fault: "gap" | "overlap";
      readonly after: bigint;
      readonly before: bigint;
    }
  /** The store cannot be reached or refuses; commits go on and are kept, attempts continue. */
  | { readonly type: "stalled"; readonly destination: string; readonly error: PagestreamError }
  /** The store answers again: what was kept meanwhile is on its way. */
  | { readonly type: "recovered"; readonly destination: string }
  /** A destination that was behind follows again. */
  | {
      readonly type: "repaired";
      readonly destination: string;
      readonly txid: bigint;
      /** Size in bytes of the file with every page; 0 where files that were lost could be put back. */
      readonly size: number;
    }
  /**
   * Too much waits for the store: page images were dropped and will be read again from the database. Or the budget of
   * requests makes groups longer. Or a `destination` cannot follow any more, and is brought up by other means.
   */
  | { readonly type: "degraded"; readonly destination?: string; readonly reason: string }
  /** Another writer uses the replica; replication has stopped. */
  | { readonly type: "conflict"; readonly destination: string; readonly error: PagestreamError }
  /**
   * The browser had removed the database, and with it every commit that was in no replica; `restored` is the state that came
   * back, undefined where no replica has one.
   */
  | { readonly type: "evicted"; readonly restored: bigint | undefined }
  /** The database equals the earlier state `txid` of the replica; it was brought to the newest, or adopted as it is. */
  | { readonly type: "behind"; readonly txid: bigint; readonly newestTxid: bigint }
  /** What the replica held up to `txid` is not what this database goes on from: the next file leaves it behind. */
  | { readonly type: "forked"; readonly txid: bigint }
  /** The newest file of the replica carries a time that lies ahead of this clock by `aheadMs`. */
  | { readonly type: "clock"; readonly aheadMs: number }
  /** The lease of the store `destination` was taken, for the first time or after it had ended. */
  | { readonly type: "lease"; readonly destination: string; readonly generation: number }
  | { readonly type: "error"; readonly error: PagestreamError }
  | { readonly type: "closed" }
);

/** Counters since the start, and the lag now. */
export interface ReplicationStats {
  /** Transactions that SQLite committed; many may share a file. */
  readonly commits: number;
  /** Pages written into files. */
  readonly pages: number;
  /** Bytes of files confirmed by the store. */
  readonly bytes: number;
  /** Files confirmed by the store. */
  readonly files: number;
  /** Milliseconds since the oldest commit that is not yet in the store; 0 when all are. */
  readonly lagMs: number;
  /** Bytes kept for the store: page images in memory, and staged files. */
  readonly pendingBytes: number;
}

/** A snapshot that is in the store. */
export interface SnapshotResult {
  /** The last TXID it holds: it is file `1..txid` of level 9. */
  readonly txid: bigint;
  /** Size in bytes. */
  readonly size: number;
}

/** Options of every wait. */
export interface WaitOptions {
  /**
   * How many destinations have to confirm: one of them, a number, or all, those included that are behind. A wait ends with
   * the store's error only when it cannot be met without a store that fails.
   * @default "all"
   */
  readonly at?: "any" | "all" | number | undefined;
  /** Ends the wait with `AbortedError`; uploading goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `close`. */
export interface CloseOptions {
  /** How long the final upload may take, in milliseconds. @default 30000 */
  readonly deadlineMs?: number | undefined;
}

/** Replication of one database into one replica, or several. */
export interface Replication extends AsyncDisposable {
  /** As of this moment; a new object at each read. */
  readonly position: Position;
  /** As of this moment; a new object at each read. */
  readonly stats: ReplicationStats;
  /** The replicas as of this moment, in the order they were given; new objects at each read. */
  readonly destinations: readonly DestinationStatus[];
  /** Events from the moment a loop begins. */
  readonly events: AsyncIterable<ReplicationEvent>;
  /** Uploads now what is committed now, and resolves when the store has confirmed it; while paused it waits. */
  flush(options?: WaitOptions): Promise<void>;
  /**
   * Resolves when `txid` is confirmed; rides the normal cadence and costs no request of its own. Rejects with the
   * store's error when uploading fails beyond the retry policy (replication itself goes on trying).
   */
  waitFor(txid: bigint, options?: WaitOptions): Promise<void>;
  /**
   * Resolves when all that is committed now is in the store; rides the normal cadence. Rejects where the database can no
   * longer be observed, since a commit may have been missed.
   */
  durable(options?: WaitOptions): Promise<void>;
  /**
   * Uploads what is committed now, and then the whole database as of that moment or a little later as a snapshot, a file
   * of level 9, while commits go on; to each destination in turn. Resolves with the first one's when every store has one,
   * or had it already. Rejects with the store's error
   * when uploading fails beyond the retry policy, and with `UnsupportedError` while the database is empty.
   */
  snapshot(options?: WaitOptions): Promise<SnapshotResult>;
  /** Begins no further upload until {@linkcode resume}; commits go on and are kept. */
  pause(): void;
  /** Uploads again, beginning with all that was kept meanwhile. */
  resume(): void;
  /**
   * After a conflict, explicitly: takes the lease, though another writer may hold it, and continues behind the other's
   * last file with a file that holds every page. The other writer must have been stopped: one that knows of no lease, as
   * Litestream, would go on.
   */
  takeOver(options?: WaitOptions): Promise<void>;
  /**
   * Uploads what is left and ends. When that fails or the deadline passes it still ends, and rejects: what was staged
   * stays in the local state for the next start. Calling it again returns the same promise.
   */
  close(options?: CloseOptions): Promise<void>;
}

/**
 * When a COMMIT returns.
 *
 * - `async`: once SQLite is done; the upload follows. `durable()` waits for it.
 * - `local`: once the transaction is on stable storage beside the database too, before it commits there. Needs a `state`
 *   that is durable.
 * - `hold-retry`, `hold-jspi`: once the store has confirmed the transaction's file, before it commits here. Only through
 *   the source's own way to commit. Needs a store with conditional creation.
 * - `hold-block`: the same for every COMMIT, with the thread blocked meanwhile. Needs a thread that may block, and a
 *   `blockingUploader`.
 *
 * With several replicas a hold waits for as many as `holdAt` says, the first of them before all others: that one decides
 * what became of a transaction whose outcome was in doubt.
 */
export type Durability = "async" | "local" | "hold-retry" | "hold-jspi" | "hold-block";

/** Options of `replicate`. */
export interface ReplicateOptions extends LevelsOptions {
  /**
   * Shortest time in milliseconds between two cuts; commits in between share a TXID.
   * @default 1000 for remote stores, 10 for file and memory stores
   */
  readonly groupMs?: number | undefined;
  /** Bytes of page images after which a group is cut at once. @default 16 MiB */
  readonly groupBytes?: number | undefined;
  /**
   * Bytes kept while the store does not keep up: of page images, past which only page numbers are collected, and of
   * staged files, past which no further one is cut. With durability `local` COMMIT fails past it.
   * @default 64 MiB
   */
  readonly stagingBytes?: number | undefined;
  /**
   * The most requests that the replication may make in any hour, a whole number of at least 60; an eighth of them at
   * once. When they run short, groups grow longer, and whatever needs a request waits, `flush`, `durable` and `close`
   * included. Nothing is lost by it but time. Counted is every call of the store, tries that failed included.
   * @default no bound
   */
  readonly requestsPerHour?: number | undefined;
  /**
   * How long to wait for a store that does not answer, in milliseconds; then the replication begins without it: commits are
   * kept, `durable` waits, and what is decided at a start is decided once a store answers (that the database is behind, or
   * that another writer goes on, is then the event `conflict`). 0 waits for nothing. Only with durability `async`.
   * @default as long as requests are tried again, then the start rejects
   */
  readonly startWithinMs?: number | undefined;
  /**
   * Whether to keep a lease, the object `lock.json` beside the replica, that tells Pagestream writers of each other: a
   * second one is refused at its start. `true` insists, with `UnsupportedError` where the store cannot keep one.
   * @default where the store can create and replace on conditions
   */
  readonly lease?: boolean | undefined;
  /**
   * Whether to keep a pointer, the object `pagestream/pointer.json` beside the replica, by which followers that are far
   * behind skip ahead without a listing: one request more in ten seconds while files are uploaded, none when idle.
   * @default false
   */
  readonly pointer?: boolean | undefined;
  /** What others are told of this writer by the lease, such as `host:pid`. @default "pagestream" */
  readonly owner?: string | undefined;
  /** Starts although another writer holds the lease, and takes it; that writer stops at its next upload. @default false */
  readonly takeOver?: boolean | undefined;
  /** Where the marker and staged files are kept; in memory when left out. */
  readonly state?: LocalState | undefined;
  /** What a restore returned: proof of which state the database is in, so that no full file is needed. */
  readonly position?: PositionToken | undefined;
  /** When a COMMIT returns; `UnsupportedError` where the set-up cannot do it. @default "async" */
  readonly durability?: Durability | undefined;
  /** How long a held COMMIT waits for its file, in milliseconds, before it fails with `OutcomeUnknownError`. @default 30000 */
  readonly holdDeadlineMs?: number | undefined;
  /**
   * How many replicas a held COMMIT waits for, the first included. `hold-block` can wait for the first only.
   * @default "all"
   */
  readonly holdAt?: "all" | number | undefined;
  /** Uploads while the thread is blocked, for durability `hold-block`: see `blockingUploader()`. */
  readonly blockingUploader?: BlockingUploader | undefined;
  /**
   * What to do with a database that equals an earlier state of the replica. `refuse` ends the start with
   * `DatabaseBehindError`; `adopt` makes the earlier state the new truth: a file with every page goes behind what the
   * replica holds.
   * @default "refuse"
   */
  readonly onBehind?: "refuse" | "adopt" | undefined;
  /** When work that is due later is done; a fleet shares one. @default a scheduler of this replication */
  readonly scheduler?: Scheduler | undefined;
  /** Where bytes of files just written are kept; a fleet shares one. @default one of this replication, up to 32 MiB */
  readonly recent?: RecentFiles | undefined;
  /** Ends the start with `AbortedError`; a running replication is ended by `close`. */
  readonly signal?: AbortSignal | undefined;
  /** Dates files and times every pause. @default the runtime's clock and random numbers */
  readonly platform?: Platform | undefined;
}
