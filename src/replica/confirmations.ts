/**
 * What it means that commits are durable: how many destinations have them, and the waits for that.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { abortedError, type PagestreamError } from "../core/errors.ts";
import type { CommitCollector } from "./commit-collector.ts";
import type { Destination } from "./destination.ts";
import type { Destinations } from "./destinations.ts";
import type { WaitOptions } from "./replication.ts";
import { type Wait, Waiters } from "./waiters.ts";

/** What {@linkcode Confirmations} works with. */
export interface ConfirmationsOptions {
  readonly source: CommitSource;
  readonly collector: CommitCollector;
  readonly destinations: () => Destinations;
  /** Why nothing is replicated any more. */
  readonly stopped: () => PagestreamError | undefined;
}

/** A wait for a number of destinations, or for one of them. */
export interface ConfirmationWait extends WaitOptions {
  /** The only one that counts. @default all */
  readonly only?: Destination | undefined;
}

/** The waits of one replication. */
export class Confirmations {
  readonly #options: ConfirmationsOptions;
  readonly #waiters = new Waiters();
  /** Why commits are no longer seen. */
  #unobserved: PagestreamError | undefined;

  constructor(options: ConfirmationsOptions) {
    this.#options = options;
  }

  /** Resolves when all that the source has delivered is in the stores; never says so where it may miss a commit. */
  async durable(options: ConfirmationWait): Promise<void> {
    this.#options.source.check?.();
    await this.#delivered(options);
  }

  async #delivered(options: ConfirmationWait): Promise<void> {
    const { source, collector } = this.#options;
    const { sequence } = source;
    const { doubts } = collector;
    await this.#confirmed(options, {
      has: (destination) =>
        this.#unobserved === undefined
          ? destination.has(sequence, doubts)
          : collector.isEmpty && destination.pending.length === 0,
    });
    if (this.#unobserved !== undefined) throw this.#unobserved;
  }

  /** Uploads what is committed, and waits for it. */
  async flush(options: ConfirmationWait): Promise<void> {
    const { source, collector, destinations } = this.#options;
    source.check?.();
    for (const destination of destinations().list) destination.wake();
    collector.hurry();
    await this.#delivered(options);
  }

  /** Resolves when a TXID is in the stores. */
  async waitFor(txid: bigint, options: ConfirmationWait): Promise<void> {
    const target = { txid };
    await this.#confirmed(options, {
      target,
      has: ({ replicated }) => replicated >= target.txid,
    });
  }

  /** Resolves when all that is committed is in files, whether they can be uploaded or not. */
  async cut(signal: AbortSignal | undefined): Promise<void> {
    const { collector } = this.#options;
    const txid = collector.localTxid;
    collector.hurry();
    const reached = (): boolean => collector.isEmpty || (collector.last?.txid ?? 0n) >= txid;
    // Nothing is cut while every store fails.
    const stuck = (): boolean => this.#options.destinations().list.every((each) => each.isFailing);
    await this.#wait({ reached, stuck }, signal);
  }

  /** Whether nobody waits, and every commit is seen. */
  get isQuiet(): boolean {
    return this.#waiters.isEmpty && this.#unobserved === undefined;
  }

  /** Ends the waits that have reached what they wait for. */
  settle(): void {
    this.#waiters.settle();
  }

  /** A destination fails: ends the waits that need it. */
  stall(error: PagestreamError): void {
    this.#waiters.stall(error);
  }

  /** Ends all waits. */
  reject(error: PagestreamError): void {
    this.#waiters.reject(error);
  }

  /** TXID `from` will not be: its commits are part of `to`. */
  lower(from: bigint, to: bigint): void {
    this.#waiters.lower(from, to);
  }

  /** Commits are no longer seen: nothing is durable from here on. */
  lose(error: PagestreamError): void {
    this.#unobserved = error;
    this.#waiters.reject(error);
  }

  async #confirmed(
    { at, only, signal }: ConfirmationWait,
    wait: Pick<Wait, "target"> & { readonly has: (destination: Destination) => boolean },
  ): Promise<void> {
    const destinations = this.#options.destinations();
    const list = only === undefined ? destinations.list : [only];
    const needed = only === undefined ? destinations.needed({ at }) : 1;
    const { target, has } = wait;
    const reached = (): boolean => list.filter((each) => has(each)).length >= needed;
    const stuck = (): boolean =>
      list.filter((each) => has(each) || !each.isFailing).length < needed;
    await this.#wait({ target, reached, stuck }, signal);
  }

  async #wait(wait: Wait, signal: AbortSignal | undefined): Promise<void> {
    if (wait.reached()) return;
    const stopped = this.#options.stopped();
    if (stopped !== undefined) throw stopped;
    const object = this.#options.source.name;
    await this.#waiters.add(wait, signal, () =>
      abortedError({ operation: "wait for", object, signal }),
    );
  }
}
