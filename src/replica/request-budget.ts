/**
 * A hard bound on the requests of an hour, kept by waiting.
 *
 * It is a token bucket: an eighth of the hour's requests may be made at once, the other seven eighths come evenly over the
 * hour, so that no hour, wherever it begins, sees more than the bound. Half of the bucket is kept for what somebody waits
 * for, since {@linkcode RequestBudget.readyAt} is asked by whoever can wait.
 *
 * @module
 */
import { AbortedError, InvalidArgumentError } from "../core/errors.ts";
import type { Clock } from "../core/platform.ts";

/** What part of an hour's requests may be made at once. */
const BURST = 1 / 8;
const HOUR_MS = 3_600_000;
/** With fewer, the requests of a start alone would take minutes. */
const LEAST_PER_HOUR = 60;

/** One that waits for its turn. */
interface Waiting {
  readonly go: () => void;
}

/** The requests that may still be made; shared by all that they are counted for. */
export class RequestBudget {
  readonly #clock: Clock;
  readonly #capacity: number;
  readonly #perMs: number;
  #tokens: number;
  #filledAt: number;
  #spent = 0;
  /** In the order of their calls: nobody overtakes, so nobody starves. */
  readonly #waiting: Waiting[] = [];
  #cancelTimer: (() => void) | undefined;

  /** Throws `InvalidArgumentError` unless `requestsPerHour` is a whole number of at least 60. */
  constructor(clock: Clock, requestsPerHour: number) {
    if (!Number.isSafeInteger(requestsPerHour) || requestsPerHour < LEAST_PER_HOUR) {
      throw new InvalidArgumentError({
        operation: "replicate",
        object: "with a budget of requests",
        what: `requestsPerHour is ${requestsPerHour}, not a whole number of at least ${LEAST_PER_HOUR}`,
      });
    }
    this.#clock = clock;
    this.#capacity = requestsPerHour * BURST;
    this.#perMs = (requestsPerHour - this.#capacity) / HOUR_MS;
    this.#tokens = this.#capacity;
    this.#filledAt = clock.monotonic();
  }

  /** Requests made so far. */
  get spent(): number {
    return this.#spent;
  }

  /** Whether the next request would have to wait. */
  get isExhausted(): boolean {
    this.#fill();
    return this.#waiting.length > 0 || this.#tokens < 1;
  }

  /** Monotonic time from which on a request can be made that leaves half of what may be made at once to others. */
  readyAt(): number {
    this.#fill();
    const missing = this.#capacity / 2 + 1 + this.#waiting.length - this.#tokens;
    return this.#filledAt + Math.max(0, missing / this.#perMs);
  }

  /** Resolves when one request may be made, after those asked for before; rejects with `AbortedError` while it waits. */
  async take(object: string, signal?: AbortSignal): Promise<void> {
    if (!this.isExhausted) {
      this.#spend();
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
        this.#serve();
        const what = "the operation was aborted while the budget of requests was exhausted";
        reject(new AbortedError({ operation: "reach", object, what, cause: signal?.reason }));
      };
      const waiting = {
        go: (): void => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#waiting.push(waiting);
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
      else this.#serve();
    });
  }

  #spend(): void {
    this.#tokens--;
    this.#spent++;
  }

  /** Lets go whose turn has come, and sets a timer for the next one. Without anybody waiting there is no timer. */
  #serve(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#fill();
    while (this.#waiting.length > 0 && this.#tokens >= 1) {
      this.#spend();
      this.#waiting.shift()?.go();
    }
    if (this.#waiting.length === 0) return;
    // At least a millisecond: what is left by rounding must not spin.
    const delayMs = Math.max(1, Math.ceil((1 - this.#tokens) / this.#perMs));
    this.#cancelTimer = this.#clock.schedule(() => this.#serve(), delayMs);
  }

  #fill(): void {
    const now = this.#clock.monotonic();
    const gained = (now - this.#filledAt) * this.#perMs;
    this.#tokens = Math.min(this.#capacity, this.#tokens + gained);
    this.#filledAt = now;
  }
}
