/**
 * What of a WAL follower's work is due: to take commits, and to move its read transaction on.
 *
 * Commits need not be taken sooner than they can become a file. The read transaction moves on more often than that where a
 * checkpoint may wait for it: one that waits holds writers off, so that as long as commits follow each other there is none. A
 * move is a look of SQLite's own at shared memory, which costs more than the follower's and may come upon a commit half
 * published.
 *
 * @module
 */
import type { Clock } from "pagestream";

/** Bounds in milliseconds of the time between two takes: whoever asks for the position is not told much too little. */
const SHORTEST_TAKE_MS = 8;
const LONGEST_TAKE_MS = 1_000;
/** Takes that bring the move along come so much later than files may be cut, so that each is cut at once, not at a timer. */
const BEHIND_CUT_MS = 5;
/** Milliseconds between two looks for commits that have ceased: a checkpoint that waits 250 ms is to pass by far. */
const MOVE_MS = 60;
/** A checkpoint that waited needs two moves: past its frames, and off the log that it has brought into the file. */
const SECOND_MOVE_MS = 10;
/** The read transaction stays no longer than this, in milliseconds, so that the rest of checkpoints has something to do. */
const LONGEST_STAY_MS = 1_000;
/** Timers may come so much too early, in milliseconds. */
const EARLY_MS = 1;

/** What a look has to do. */
export interface Due {
  readonly take: boolean;
  readonly move: boolean;
  /** Whether not to move after all where commits were made since the last look. */
  readonly patient: boolean;
}

/** The pace of one follower. */
export class WalPace {
  readonly #clock: Clock;
  readonly #takeMs: number;
  #takeAt = -Infinity;
  #moveAt = -Infinity;
  #stayUntil = -Infinity;
  /** Whether the last move is to be followed by another soon. */
  #isFirst = false;

  /** Commits become files at least `groupMs` apart. */
  constructor(clock: Clock, groupMs = 0) {
    this.#clock = clock;
    const takeMs = Math.min(LONGEST_TAKE_MS, Math.max(SHORTEST_TAKE_MS, groupMs));
    this.#takeMs = takeMs < MOVE_MS ? takeMs : takeMs + BEHIND_CUT_MS;
  }

  /** What to do now: without haste everything moves on with each look, else the rarer of the two brings the other along. */
  due(isBusy: boolean): Due {
    const now = this.#clock.monotonic() + EARLY_MS;
    const isMoveRarer = this.#takeMs < MOVE_MS;
    const take = now >= this.#takeAt;
    const must = !isBusy || now >= this.#stayUntil || (take && !isMoveRarer);
    const move = must || now >= this.#moveAt;
    return { take: take || (move && isMoveRarer), move, patient: !must };
  }

  /** Commits were taken: more of them can wait. */
  taken(): void {
    this.#takeAt = this.#clock.monotonic() + this.#takeMs;
  }

  /** The read transaction has moved on; `isQuiet`: past no commit, so that a checkpoint may be waiting. */
  moved(isQuiet: boolean): void {
    const now = this.#clock.monotonic();
    this.#isFirst = isQuiet && !this.#isFirst;
    this.#moveAt = now + (this.#isFirst ? SECOND_MOVE_MS : MOVE_MS);
    this.#stayUntil = now + LONGEST_STAY_MS;
  }

  /** It has stayed, since commits go on. */
  stayed(): void {
    this.#isFirst = false;
    this.#moveAt = this.#clock.monotonic() + MOVE_MS;
  }

  /** Milliseconds until commits that were seen are to be taken. */
  get takeMs(): number {
    return this.#takeAt - this.#clock.monotonic();
  }

  /** Milliseconds until the next look while commits follow each other. */
  get nextMs(): number {
    const now = this.#clock.monotonic();
    const take = this.#takeAt > now ? this.#takeAt : now + Math.min(this.#takeMs, MOVE_MS);
    return Math.min(take, this.#moveAt) - now;
  }
}
