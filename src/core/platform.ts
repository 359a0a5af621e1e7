/**
 * Time and chance as arguments: nothing in the core reads a clock, sets a timer or draws a number of its own.
 *
 * @module
 */

/** A source of time and timers. */
export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds that never go back, from an arbitrary start. */
  monotonic(): number;
  /**
   * Calls `callback` once after `delayMs`; returns the function that cancels it. One in the `background` keeps no process
   * alive where the runtime can help it.
   */
  schedule(callback: () => void, delayMs: number, background?: boolean): () => void;
}

/** A signal and the means to abort it, as the web's AbortController. */
export interface Aborter {
  /** What is handed to the calls that may have to end early. */
  readonly signal: AbortSignal;
  /** Aborts the signal, with `reason` as its reason; a second call changes nothing. */
  abort(reason?: unknown): void;
}

/** What a runtime gives the engine. */
export interface Platform {
  /** Dates files, measures lag and times every pause. */
  readonly clock: Clock;
  /** `length` unpredictable bytes, for keys and names. */
  readonly randomBytes: (length: number) => Uint8Array<ArrayBuffer>;
  /** A new AbortController of the runtime, whose signal its own calls (fetch) accept. */
  readonly newAborter: () => Aborter;
}
