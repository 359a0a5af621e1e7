/**
 * Lets only so many things be under way at once, in the order in which they came.
 *
 * @module
 */
import { AbortedError } from "../core/errors.ts";

/** A bound on what is under way; whoever shares it waits for the others. */
export class Gate {
  #free: number;
  /** In order of arrival: with one place for each database nobody waits longer than one round. */
  readonly #waiting = new Set<() => void>();

  /** `limit` is a whole number of at least 1. */
  constructor(limit: number) {
    this.#free = limit;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Runs `task` once there is room for it; rejects with `AbortedError` while it waits. `object` is for that error. */
  async run<T>(object: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await this.#turn(object, signal);
    try {
      return await task();
    } finally {
      const [next] = this.#waiting;
      // Whoever waits gets the room itself: nobody who comes now can be quicker.
      if (next === undefined) this.#free++;
      else next();
    }
  }

  #turn(object: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting.delete(go);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        end();
        const what = "the operation was aborted before its turn came";
        reject(new AbortedError({ operation: "begin", object, what, cause: signal?.reason }));
      };
      const go = (): void => {
        end();
        resolve();
      };
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      this.#waiting.add(go);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}
