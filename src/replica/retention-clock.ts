/**
 * The time that the age of files is counted to: the server's where it tells, and none where clocks disagree.
 *
 * @module
 */
import type { Clock } from "../core/platform.ts";
import type { ObjectStore } from "../transports/object-store.ts";

/** Clocks that differ by more than this are not trusted with anybody's files. */
const TOLERANCE_MS = 5 * 60_000;

/** A time, or why there is none. */
export type RetentionTime =
  | { readonly nowMs: number }
  /** In words for a person; not stable. */
  | { readonly distrust: string };

/** Reads the time before each pass. */
export class RetentionClock {
  readonly #clock: Clock;
  readonly #store: ObjectStore;
  /** Wall clock minus monotonic clock, at the last reading. */
  #apart: number;

  /** Compares with the clocks of this moment. */
  constructor(clock: Clock, store: ObjectStore) {
    this.#clock = clock;
    this.#store = store;
    this.#apart = clock.now() - clock.monotonic();
  }

  /**
   * The time now. A wall clock that was set by a lot, or a machine that slept, costs one pass; a server whose clock
   * differs costs every pass until somebody corrects one of the two.
   */
  read(): RetentionTime {
    const now = this.#clock.now();
    const apart = now - this.#clock.monotonic();
    const drift = apart - this.#apart;
    this.#apart = apart;
    if (Math.abs(drift) > TOLERANCE_MS) {
      return {
        distrust: `the wall clock moved by ${inSeconds(drift)} s against the monotonic one`,
      };
    }
    const offset = this.#store.clockOffsetMs?.() ?? 0;
    if (Math.abs(offset) > TOLERANCE_MS) {
      return { distrust: `the store's clock is ${inSeconds(offset)} s ahead of this one` };
    }
    return { nowMs: now + offset };
  }
}

function inSeconds(ms: number): number {
  return Math.round(ms / 1000);
}
