/**
 * How long a statement may take and how much it may give.
 *
 * @module
 */
import { InvalidArgumentError, throwIfAborted, TimeoutError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { QueryLimitError } from "./errors.ts";

/** Bounds of one statement. */
export interface QueryOptions {
  /** Most rows; one more throws `QueryLimitError`. @default no limit */
  readonly maxRows?: number | undefined;
  /** Most bytes of the values of all rows; more throw `QueryLimitError`. @default no limit */
  readonly maxBytes?: number | undefined;
  /** Milliseconds after which `TimeoutError` ends the statement, its waits included. @default no limit */
  readonly timeoutMs?: number | undefined;
  /** Ends the statement with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

const NEVER = (): void => {};

/** The bounds of a statement that runs. */
export class QueryLimits {
  /** Ends what the statement waits for. */
  readonly signal: AbortSignal | undefined;
  readonly #options: QueryOptions;
  readonly #platform: Platform;
  readonly #deadline: number;
  #isExpired = false;
  #dispose: () => void = NEVER;

  constructor(options: QueryOptions, platform: Platform) {
    this.#options = options;
    this.#platform = platform;
    const { signal, timeoutMs, maxRows, maxBytes } = options;
    for (const [name, value] of Object.entries({ maxRows, maxBytes, timeoutMs })) {
      if (value === undefined || value >= 0) continue;
      throw new InvalidArgumentError({
        operation: "run",
        object: "the statement",
        what: `${name} is ${value}`,
        next: "Give a number from 0 on, or leave it out",
      });
    }
    this.#deadline = timeoutMs === undefined ? Infinity : platform.clock.monotonic() + timeoutMs;
    if (timeoutMs === undefined) {
      this.signal = signal;
      return;
    }
    const aborter = platform.newAborter();
    const expire = (): void => {
      this.#isExpired = true;
      aborter.abort();
    };
    const cancel = platform.clock.schedule(expire, timeoutMs, true);
    const forward = (): void => aborter.abort(signal?.reason);
    if (signal?.aborted === true) forward();
    signal?.addEventListener("abort", forward, { once: true });
    this.signal = aborter.signal;
    this.#dispose = () => {
      cancel();
      signal?.removeEventListener("abort", forward);
    };
  }

  /** Whether the statement is to end now. */
  get isOver(): boolean {
    return (
      this.#isExpired ||
      this.#options.signal?.aborted === true ||
      (this.#deadline !== Infinity && this.#platform.clock.monotonic() >= this.#deadline)
    );
  }

  /** Milliseconds that are left; undefined without a limit. */
  get leftMs(): number | undefined {
    if (this.#deadline === Infinity) return undefined;
    return Math.max(0, this.#deadline - this.#platform.clock.monotonic());
  }

  /** Throws where the statement is to end now. */
  check(): void {
    const { signal, timeoutMs } = this.#options;
    throwIfAborted(signal, "run", "the statement");
    if (!this.isOver) return;
    throw new TimeoutError({
      operation: "run",
      object: "the statement",
      what: `it took longer than ${timeoutMs} ms`,
      next: "Ask for less, or raise timeoutMs",
    });
  }

  /** Throws where the rows so far are too many or too large. */
  count(rows: number, sizeBytes: number): void {
    const { maxRows = Infinity, maxBytes = Infinity } = this.#options;
    if (rows > maxRows) throw tooMuch(`it gives more than ${maxRows} rows`, "maxRows");
    if (sizeBytes > maxBytes)
      throw tooMuch(`its rows hold more than ${maxBytes} bytes`, "maxBytes");
  }

  /** Most bytes that one value may have, where rows are bounded. */
  get maxBytes(): number | undefined {
    return this.#options.maxBytes;
  }

  /** Rejects with the bound that is reached first, unless `work` ends before. */
  race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    if (signal === undefined) return work;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        try {
          this.check();
        } catch (error) {
          reject(error);
        }
      };
      const end = (): void => signal.removeEventListener("abort", onAbort);
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
      work.then(resolve, reject).finally(end);
    });
  }

  /** Ends the timers. */
  dispose(): void {
    this.#dispose();
  }
}

/** The error for a statement that gives too much. */
export function tooMuch(what: string, limit: string): QueryLimitError {
  return new QueryLimitError({
    operation: "run",
    object: "the statement",
    what,
    next: `Ask for less, or raise ${limit}`,
  });
}
