/**
 * The copy that a follower keeps up to date.
 *
 * @module
 */

/** Where a copy stands. */
export interface CopyState {
  /** The state that the copy holds. */
  readonly txid: bigint;
  /**
   * Larger than `txid` where a crash left it open which of the two states it holds: only a step from `txid` that leads to
   * this one or beyond may follow.
   */
  readonly atMost: bigint;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
}

/** The state that a step leads to. */
export interface NextState {
  /** The TXID it has. */
  readonly txid: bigint;
  /** Page size in bytes: with another one than the copy's the step must be whole. */
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
  /** Whether the step brings every page, so that nothing of the copy is needed. */
  readonly isWhole: boolean;
}

/** One step on its way. Nothing of it is visible to readers before `commit`, and all of it after. */
export interface FollowStep {
  /** Takes a page, in ascending order, never the lock page; the array belongs to the caller again afterwards. */
  write(pgno: number, page: Uint8Array): void | Promise<void>;
  /** Makes the step visible and durable, with its TXID. Called when all files of the step have been verified. */
  commit(): void | Promise<void>;
  /** Gives up; the copy stays as it was. */
  abort(): void | Promise<void>;
}

/** A copy that a follower can bring forward. Calls do not overlap. */
export interface FollowTarget {
  /** What it is, for messages. */
  readonly name: string;
  /** Where the copy stands now; `undefined` while there is none. */
  readonly state: CopyState | undefined;
  /** Settles what a crash left, and sets `state`. Called first. */
  open(): void | Promise<void>;
  /** Begins a step; the first one of a new copy is whole. */
  begin(next: NextState): FollowStep | Promise<FollowStep>;
  /** Lets go of the copy, which stays. Called last, also where `open` failed. */
  close(): void | Promise<void>;
}
