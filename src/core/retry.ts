/**
 * The one retry policy: exponential back-off with full jitter, a bound on attempts and on total time, and abort.
 *
 * @module
 */
import { abortedError, throwIfAborted } from "./errors.ts";
import type { Platform } from "./platform.ts";

/** How often and how long to try. */
export interface RetryPolicy {
  /** Tries in all, the first included. @default 10 */
  readonly attempts: number;
  /** Upper bound of the first pause in milliseconds; it doubles from try to try. @default 250 */
  readonly baseMs: number;
  /** Upper bound of any pause in milliseconds. @default 20000 */
  readonly capMs: number;
  /** No new try begins later than this many milliseconds after the first. @default 120000 */
  readonly budgetMs: number;
}

/** Litestream's numbers where it has them: ten tries, pauses capped at 20 s. */
export const DEFAULT_RETRY: RetryPolicy = {
  attempts: 10,
  baseMs: 250,
  capMs: 20_000,
  budgetMs: 120_000,
};

/** What {@linkcode retry} is doing, for whom, and when to give up. */
export interface RetryOptions {
  readonly platform: Platform;
  readonly policy?: RetryPolicy | undefined;
  /** Verb phrase for the abort error. */
  readonly operation: string;
  /** Object for the abort error. */
  readonly object: string;
  readonly signal?: AbortSignal | undefined;
  /** Called before each pause. */
  readonly onRetry?: ((error: unknown, attempt: number, delayMs: number) => void) | undefined;
}

/** An error may say that trying again can help, and how long to wait first. */
interface Retryable {
  readonly retryable?: boolean;
  readonly retryAfterMs?: number | undefined;
}

/** Tells whether an error says that the same call may succeed later. */
export function isRetryable(error: unknown): boolean {
  return typeof error === "object" && error !== null && (error as Retryable).retryable === true;
}

/**
 * Calls `attempt` until it succeeds, fails for good, or the policy is exhausted; then its last error is thrown.
 * `attempt` gets the number of the try, from 1, and must be repeatable.
 */
export async function retry<T>(
  attempt: (attempt: number) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const { platform, operation, object, signal } = options;
  const policy = options.policy ?? DEFAULT_RETRY;
  const start = platform.clock.monotonic();
  for (let n = 1; ; n++) {
    throwIfAborted(signal, operation, object);
    try {
      return await attempt(n);
    } catch (error) {
      if (!isRetryable(error) || n >= policy.attempts) throw error;
      const delay = pause(error as Retryable, n, policy, platform);
      if (platform.clock.monotonic() - start + delay > policy.budgetMs) throw error;
      options.onRetry?.(error, n, delay);
      await sleep(delay, { platform, operation, object, signal });
    }
  }
}

function pause(error: Retryable, attempt: number, policy: RetryPolicy, platform: Platform): number {
  const cap = Math.min(policy.capMs, policy.baseMs * 2 ** (attempt - 1));
  const [a, b] = platform.randomBytes(2) as unknown as [number, number];
  const jittered = (cap * (a * 256 + b)) / 65535;
  return Math.max(jittered, error.retryAfterMs ?? 0);
}

/** Resolves after `delayMs`, or rejects with `AbortedError` as soon as the signal is aborted. */
export function sleep(
  delayMs: number,
  options: {
    readonly platform: Platform;
    readonly operation: string;
    readonly object: string;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const { platform, operation, object, signal } = options;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel();
      reject(abortedError({ operation, object, signal }));
    };
    const cancel = platform.clock.schedule(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    // What was aborted before does not say so again.
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}
