/**
 * Promises that wait for a replication to reach something.
 *
 * @module
 */

/** One wait: `reached` decides; a wait for a TXID keeps it where it can be corrected. */
export interface Wait {
  readonly target?: { txid: bigint } | undefined;
  readonly reached: () => boolean;
  /** Whether a store that fails keeps it from its end. */
  readonly stuck: () => boolean;
}

interface Waiter extends Wait {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The waits of one replication. */
export class Waiters {
  /** Made with the first wait: an idle database has none. */
  #waiters: Set<Waiter> | undefined;

  /** Adds a wait; it ends by `settle`, by `reject`, or with `aborted()` when the signal is aborted. */
  add(wait: Wait, signal: AbortSignal | undefined, aborted: () => Error): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(aborted());
        return;
      }
      const waiters = (this.#waiters ??= new Set());
      const end = (): void => {
        waiters.delete(waiter);
        if (waiters.size === 0 && this.#waiters === waiters) this.#waiters = undefined;
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        end();
        reject(aborted());
      };
      const waiter: Waiter = {
        ...wait,
        resolve: () => {
          end();
          resolve();
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      waiters.add(waiter);
    });
  }

  /** Whether nobody waits. */
  get isEmpty(): boolean {
    return this.#waiters === undefined;
  }

  /** Resolves every wait that has reached its end. */
  settle(): void {
    for (const waiter of this.#waiters ?? []) if (waiter.reached()) waiter.resolve();
  }

  /** Rejects every wait. */
  reject(error: unknown): void {
    for (const waiter of this.#waiters ?? []) waiter.reject(error);
  }

  /** A store fails: rejects the waits that need it. */
  stall(error: unknown): void {
    for (const waiter of this.#waiters ?? []) if (waiter.stuck()) waiter.reject(error);
  }

  /** Corrects waits for a TXID that turned out to be a smaller one. */
  lower(from: bigint, to: bigint): void {
    for (const { target } of this.#waiters ?? []) if (target?.txid === from) target.txid = to;
  }
}
