/**
 * What of a WAL follower's work is due: to take commits, and to move its read transaction on.
 *
 * Commits need not be taken sooner than they can become a file. The read transaction moves on more often than that, since
 * checkpoints wait for it; and less often than commits are taken where those follow each other closely, since each move is a look
 * of SQLite's own at shared memory, which may come upon a commit half published.
 *
 * @module
 */
import type { Clock } from "pagestream";

/** Bounds in milliseconds of the time between two takes: whoever asks for the position is not told much too little. */
const SHORTEST_TAKE_MS = 8;
const LONGEST_TAKE_MS = 1_000;
/** Milliseconds between two moves while commits follow each other; twice this is no long wait for a checkpoint. */
const MOVE_MS = 80;
/** Timers may come so much too early, in milliseconds. */
const EARLY_MS = 1;

/** What a look has to do. */
export interface Due {
  readonly take: boolean;
  readonly move: boolean;
}

/** The pace of one follower. */
export class WalPace {
  readonly #clock: Clock;
  readonly #takeMs: number;
  #takeAt = -Infinity;
  #moveAt = -Infinity;

  /** Commits become files at least `groupMs` apart. */
  constructor(clock: Clock, groupMs = 0) {
    this.#clock = clock;
    this.#takeMs = Math.min(LONGEST_TAKE_MS, Math.max(SHORTEST_TAKE_MS, groupMs));
  }

  /** What to do now: without haste everything moves on with each look, else the rarer of the two brings the other along. */
  due(isBusy: boolean): Due {
    const now = this.#clock.monotonic() + EARLY_MS;
    const take = now >= this.#takeAt;
    const move = !isBusy || now >= this.#moveAt;
    const isMoveRarer = this.#takeMs < MOVE_MS;
    return { take: take || (move && isMoveRarer), move: move || (take && !isMoveRarer) };
  }

  /** Commits were taken: more of them can wait. */
  taken(): void {
    this.#takeAt = this.#clock.monotonic() + this.#takeMs;
  }

  /** The read transaction has moved on. */
  moved(): void {
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
