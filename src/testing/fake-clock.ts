/**
 * Time that moves only when told to.
 *
 * @module
 */
import type { Clock } from "../core/platform.ts";

/** A {@linkcode Clock} under the control of a test. */
export interface FakeClock extends Clock {
  /** Timers that have not run yet. */
  readonly pending: number;
  /** Milliseconds until the earliest timer is due; `undefined` without one. */
  readonly nextDelay: number | undefined;
  /** Moves both clocks forward and runs the timers that become due, each at its own time, earliest first. */
  advance(ms: number): void;
  /**
   * Like `advance`, but lets promises settle before, between and after the timers, so that a chain of waits runs as it
   * would in real time. `advanceAsync(0)` only lets promises settle.
   */
  advanceAsync(ms: number): Promise<void>;
  /** Moves the wall clock alone, forward or back, as an administrator or NTP does. Runs no timer. */
  jumpWall(ms: number): void;
}

interface Timer {
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
}

/** 2026-01-01T00:00:00Z: where a {@linkcode fakeClock} starts unless told otherwise. */
export const FAKE_START: number = Date.UTC(2026, 0, 1);

/**
 * Makes a clock that stands still.
 *
 * @example
 * ```ts
 * import { fakeClock } from "pagestream/testing";
 *
 * const clock = fakeClock();
 * let rang = false;
 * clock.schedule(() => (rang = true), 1000);
 * clock.advance(1000); // rang is true
 * ```
 */
export function fakeClock(startMs: number = FAKE_START): FakeClock {
  let wallOffset = startMs;
  let time = 0;
  let order = 0;
  const timers = new Set<Timer>();

  const earliest = (): Timer | undefined => {
    let found: Timer | undefined;
    for (const timer of timers) {
      if (
        found === undefined ||
        timer.due < found.due ||
        (timer.due === found.due && timer.order < found.order)
      ) {
        found = timer;
      }
    }
    return found;
  };
  /** Runs the earliest timer due by `end`; false when there is none. */
  const step = (end: number): boolean => {
    const timer = earliest();
    if (timer === undefined || timer.due > end) return false;
    timers.delete(timer);
    time = Math.max(time, timer.due);
    timer.callback();
    return true;
  };

  return {
    now: () => wallOffset + time,
    monotonic: () => time,
    schedule(callback, delayMs) {
      const delay = Number.isFinite(delayMs) ? Math.max(0, delayMs) : 0;
      const timer: Timer = { due: time + delay, order: order++, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    get pending() {
      return timers.size;
    },
    get nextDelay() {
      const timer = earliest();
      return timer === undefined ? undefined : Math.max(0, timer.due - time);
    },
    advance(ms) {
      const end = time + ms;
      while (step(end));
      time = end;
    },
    async advanceAsync(ms) {
      const end = time + ms;
      await settlePromises();
      while (step(end)) await settlePromises();
      time = Math.max(time, end);
    },
    jumpWall(ms) {
      wallOffset += ms;
    },
  };
}

/** Lets every promise that needs nothing but other promises settle: one turn of the runtime's own event loop. */
export function settlePromises(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => unknown };
  return new Promise((resolve) => {
    if (setImmediate !== undefined) setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}
