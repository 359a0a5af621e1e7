/**
 * Waiting for what cannot be stopped: libraries that know no signal.
 *
 * @module
 */
import { abortedError } from "./errors.ts";

/** What is waited for, for errors, and what ends the wait. */
export interface AbortableWait {
  /** Verb phrase that completes "Cannot …". */
  readonly operation: string;
  /** What it is done to. */
  readonly object: string;
  /** Ends the waiting with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Resolves and rejects as `step` does, or rejects at once with `AbortedError` when the signal is aborted. The step itself
 * goes on; whoever began it cleans up after it.
 */
export function abortable<T>(
  step: Promise<T>,
  { operation, object, signal }: AbortableWait,
): Promise<T> {
  if (signal === undefined) return step;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortedError({ operation, object, signal }));
    const release = (): void => signal.removeEventListener("abort", onAbort);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    step.then(resolve, reject).then(release, release);
  });
}
