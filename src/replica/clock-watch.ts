/**
 * Notices a clock that lies behind the times already written.
 *
 * @module
 */
import type { Clock } from "../core/platform.ts";

/** A clock this far behind the newest file is worth an event. */
const TOLERANCE_MS = 60_000;

/** Tells once each time the clock falls behind. */
export class ClockWatch {
  readonly #clock: Clock;
  readonly #tell: (aheadMs: number) => void;
  #isBehind = false;

  constructor(clock: Clock, tell: (aheadMs: number) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Compares the clock with the time of the newest file, in milliseconds. */
  check(time: bigint): void {
    const aheadMs = Number(time) - this.#clock.now();
    const isBehind = aheadMs > TOLERANCE_MS;
    if (isBehind && !this.#isBehind) this.#tell(aheadMs);
    this.#isBehind = isBehind;
  }
}
