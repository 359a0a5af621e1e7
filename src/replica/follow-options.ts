/**
 * What a follower can be told, and what it tells.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";
import type { ReplicaOptions } from "./replica.ts";

/** When a follower asks for what is new, whatever replica it follows. */
export interface FollowRequest {
  /** Pause between two questions while commits come, in milliseconds. @default 1000 */
  readonly intervalMs?: number | undefined;
  /**
   * Longest pause. A follower that has found nothing new for a while waits a tenth of that while, so that it lags by a
   * tenth of an idle time at most.
   * @default ten times intervalMs
   */
  readonly maxIntervalMs?: number | undefined;
  /**
   * How long the writer keeps files of level 0, in milliseconds. After a quarter of it without a new file all levels are
   * listed once: what came since may be in a file of another name.
   * @default 300000 (5 minutes)
   */
  readonly l0RetentionMs?: number | undefined;
  /** Read the writer's pointer object with each listing that is due, and skip ahead by it. @default false */
  readonly pointer?: boolean | undefined;
  /** Ends the start with `AbortedError`; a follower that runs is ended by `close`. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `followReplica`. */
export interface FollowReplicaOptions extends FollowRequest, ReplicaOptions {}

/** What a follower reports. `position` is the TXID that the copy holds at that moment. */
export type FollowEvent = { readonly position: bigint } & (
  | {
      /** A step was applied: the state of `txid` is visible to readers. */
      readonly type: "applied";
      readonly txid: bigint;
      /** Files that the step was made of. */
      readonly files: number;
      /** Pages that they held, each counted once. */
      readonly pages: number;
      /** Whether every page was brought: at the start, and where the replica no longer has what lies between. */
      readonly rebased: boolean;
      /** When the state came to be, by the clock of its writer. */
      readonly time: Date;
    }
  /**
   * The copy cannot be brought forward now; `error.code` tells why: `GAP`, `REPLICA_BEHIND`, `DAMAGED_FILE`,
   * `DATABASE_LOCKED`, `STORE`, … It stays as it is, and attempts continue.
   */
  | { readonly type: "stalled"; readonly error: PagestreamError }
  /** A step or a question succeeded after a stall. */
  | { readonly type: "recovered" }
  | { readonly type: "closed" }
);

/** A running follower. */
export interface Follower extends AsyncDisposable {
  /** TXID of the state that the copy holds. */
  readonly position: bigint;
  /** Why the copy cannot be brought forward; `undefined` when all is well. */
  readonly error: PagestreamError | undefined;
  /** Everything that happens from when it is read on; the first reader also gets what happened at the start. */
  readonly events: AsyncIterable<FollowEvent>;
  /** Asks now instead of at the end of the pause, and resolves to the position then; throws what stalls it. */
  poll(): Promise<bigint>;
  /** Resolves when the copy holds the state of a TXID, or a later one. */
  waitFor(txid: bigint, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** Ends what is under way and lets go of the copy; safe to call again. */
  close(): Promise<void>;
}
