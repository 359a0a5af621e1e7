/**
 * What a reader of a replica can be told, and what it tells.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";
import type { BlockingReads, PageSource, PageView } from "../core/page-source.ts";
import type { FollowRequest } from "./follow-options.ts";
import type { StateRequest } from "./restore-options.ts";
import type { Replica, ReplicaOptions } from "./replica.ts";

/** When a reader asks for newer states. */
export type ReaderFollowing = Omit<FollowRequest, "pointer" | "signal">;

/** Where a reader keeps what it knows of the replica's files, so that opening it again costs one listing and the new files. */
export interface IndexStore {
  /** What was saved last; undefined where nothing was. */
  load(): Promise<Uint8Array | undefined>;
  /** Replaces what was saved. The bytes are the callee's. */
  save(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** How a replica is read, whatever replica it is. */
export interface ReaderRequest {
  /** Memory in bytes for pages, shared by all who use the reader. @default 33554432 (32 MiB) */
  readonly cacheBytes?: number | undefined;
  /**
   * Most bytes that are read ahead of a scan by one request; 0 for none, and for no pages before they are wanted when the
   * reader opens. @default 1048576 (1 MiB), 65536 of local files
   */
  readonly readAhead?: number | undefined;
  /** Whether and when newer states are asked for; `false` for never. @default once a second while commits come */
  readonly follow?: false | ReaderFollowing | undefined;
  /** Read the writer's pointer object with each listing that is due, and skip ahead by it. @default false */
  readonly pointer?: boolean | undefined;
  /** How long a replica without files is waited for, in milliseconds. @default false */
  readonly waitForReplica?: false | number | undefined;
  /** Keeps the index of the replica beyond the life of the reader. */
  readonly indexStore?: IndexStore | undefined;
  /** Makes `fetchSync` possible. */
  readonly blockingReads?: BlockingReads | undefined;
  /** The state to begin with, instead of the newest; it is not followed. */
  readonly target?: StateRequest | undefined;
  /** Take the newest state for a `target` in the future, which is refused otherwise. @default false */
  readonly allowFuture?: boolean | undefined;
  /** Ends the opening with `AbortedError`; a reader that is open is ended by `close`. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `openReader`. */
export interface ReaderOptions extends ReaderRequest, ReplicaOptions {}

/** What reading has cost since the reader was opened. */
export interface ReaderStats {
  /** Requests to the store, listings included. */
  readonly requests: number;
  /** Bytes of files that were asked for. */
  readonly bytes: number;
  /** Pages that were decoded. */
  readonly pages: number;
  /** Pages that were asked for and in memory already. */
  readonly hits: number;
}

/** A state of a replica. It never changes; where its pages lie in the store may. */
export interface ReplicaView extends PageView {
  /** Number of files that its pages are read from. */
  readonly fileCount: number;
}

/** What a reader reports. */
export type ReaderEvent =
  /** A newer state is known: `latest`. */
  | { readonly type: "view"; readonly view: ReplicaView }
  /** A question to the replica failed, and attempts continue; or an index could not be saved. */
  | { readonly type: "error"; readonly error: PagestreamError }
  /** Several questions in a row failed: `latest` may be out of date from now on. */
  | { readonly type: "stale"; readonly error: PagestreamError }
  /** A question succeeded after some that failed. */
  | { readonly type: "recovered" }
  | { readonly type: "closed" };

/** Options of the calls of a reader that wait. */
export interface ReaderWait {
  /** Ends the wait with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `viewAt`. */
export interface ViewOptions extends ReaderWait {
  /** Take the newest state for a time in the future, which is refused otherwise. @default false */
  readonly allowFuture?: boolean | undefined;
}

/** Reads a replica page by page, without restoring it. Everything about it may be shared by any number of connections. */
export interface ReplicaReader extends PageSource<ReplicaView>, AsyncDisposable {
  /** What is read. */
  readonly replica: Replica;
  /** The newest state that is known. */
  readonly latest: ReplicaView;
  /** Everything that happens from when it is read on. */
  readonly events: AsyncIterable<ReaderEvent>;
  /** Why newer states cannot be had; `undefined` when all is well. */
  readonly error: PagestreamError | undefined;
  /**
   * When the replica was last asked for newer states and answered. How far `latest` lags behind its writer is now minus
   * `latest.time`, where there was something to write.
   */
  readonly lastLookAt: Date | undefined;
  /** What reading has cost so far. A live object: copy what is to be compared. */
  readonly stats: ReaderStats;
  /** Asks for newer states now, and resolves to the newest; throws what keeps it from knowing. */
  refresh(options?: ReaderWait): Promise<ReplicaView>;
  /**
   * Resolves to the newest state as soon as that is the one of a TXID, or a later one.
   *
   * Throws `TxidNotAvailableError` where the reader does not follow and the replica has not come that far.
   */
  waitFor(txid: bigint, options?: ReaderWait): Promise<ReplicaView>;
  /**
   * The state at a TXID or a time, inclusive, as a restore would find it; for an empty target the newest.
   *
   * Throws `TxidNotAvailableError`, `TimestampNotAvailableError`, `GapError`, and `InvalidArgumentError` for a time in the
   * future unless that is allowed.
   */
  viewAt(target: StateRequest, options?: ViewOptions): Promise<ReplicaView>;
  /**
   * Numbers, in ascending order, of the pages that may differ between two states, pages that only one of them has
   * included. No other page differs; those named may turn out to be equal where a file holds changes from before and after
   * the older state.
   */
  changedPages(from: ReplicaView, to: ReplicaView): Uint32Array;
  /** Ends what is under way and forgets all pages; safe to call again. */
  close(): Promise<void>;
}
