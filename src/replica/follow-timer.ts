/**
 * When a follower looks again.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import type { Clock } from "../core/platform.ts";
import type { FollowRequest } from "./follow-options.ts";

const INTERVAL_MS = 1000;

/** The longest time that timers of the runtimes wait; past it they do not wait at all. */
const MOST_MS = 2 ** 31 - 1;

const L0_RETENTION_MS = 300_000;

/** Longest pause while something keeps failing. */
const STALL_MS = 60_000;

/** Share of an idle time that a pause takes. */
const IDLE_SHARE = 0.1;

/** The pauses of one follower, and when a listing is due. */
export class FollowTimer {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #maxIntervalMs: number;
  readonly #listAfterMs: number;
  #foundAt: number;
  #listedAt: number;
  #failures = 0;
  /** While the store announces new objects no question needs to be asked. */
  #watching = false;
  #woken = false;
  #closed = false;
  #end: (() => void) | undefined;

  constructor(clock: Clock, options: FollowRequest) {
    for (const name of ["intervalMs", "maxIntervalMs"] as const) {
      const ms = options[name] ?? INTERVAL_MS;
      if (ms >= 1 && ms <= MOST_MS) continue;
      const what = `${name} is ${ms}, not a time from 1 to ${MOST_MS} ms`;
      throw new InvalidArgumentError({ operation: "follow", object: "the replica", what });
    }
    this.#clock = clock;
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS;
    this.#maxIntervalMs = options.maxIntervalMs ?? 10 * this.#intervalMs;
    this.#listAfterMs = (options.l0RetentionMs ?? L0_RETENTION_MS) / 4;
    this.#foundAt = clock.monotonic();
    this.#listedAt = this.#foundAt;
  }

  /** Whether nothing was found, nor listed, for a quarter of the level 0 retention. */
  get isListingDue(): boolean {
    const since = Math.max(this.#foundAt, this.#listedAt);
    return !this.#watching && this.#clock.monotonic() - since >= this.#listAfterMs;
  }

  /** Something new was found. */
  found(): void {
    this.#foundAt = this.#clock.monotonic();
  }

  /** All levels were listed. */
  listed(): void {
    this.#listedAt = this.#clock.monotonic();
  }

  /** Says whether the store announces new objects, and looks at once. */
  watch(watching: boolean): void {
    this.#watching = watching;
    this.wake();
  }

  /** Ends the pause, or the next one. */
  wake(): void {
    this.#woken = true;
    this.#end?.();
  }

  /** Resolves when it is time to look again; at once and for ever after `close`. */
  pause(failed: boolean): Promise<void> {
    this.#failures = failed ? this.#failures + 1 : 0;
    if (this.#woken || this.#closed) {
      this.#woken = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const waits = failed || !this.#watching;
      const cancel = waits ? this.#clock.schedule(() => this.#end?.(), this.#delay()) : undefined;
      this.#end = () => {
        this.#end = undefined;
        this.#woken = false;
        cancel?.();
        resolve();
      };
    });
  }

  /** Ends all pauses. */
  close(): void {
    this.#closed = true;
    this.#end?.();
  }

  #delay(): number {
    if (this.#failures > 0) {
      const most = Math.max(STALL_MS, this.#intervalMs);
      return Math.min(most, this.#intervalMs * 2 ** (this.#failures - 1));
    }
    const idle = this.#clock.monotonic() - this.#foundAt;
    const most = Math.max(this.#intervalMs, this.#maxIntervalMs);
    return Math.min(most, Math.max(this.#intervalMs, idle * IDLE_SHARE));
  }
}
