/**
 * Time as an argument: nothing in the core reads a clock or sets a timer of its own.
 *
 * @module
 */

/** A source of time and timers. */
export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds that never go back, from an arbitrary start. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`; returns the function that cancels it. */
  schedule(callback: () => void, delayMs: number): () => void;
}

/** A source of random bytes for names and keys; must be unpredictable outside tests. */
export type RandomBytes = (length: number) => Uint8Array<ArrayBuffer>;
