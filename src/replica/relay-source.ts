/**
 * A source that stays listened to while nobody does anything with it.
 *
 * @module
 */
import type {
  CommitListener,
  CommitSource,
  CommittedTransaction,
  DatabaseImage,
  ImageOptions,
} from "../core/commit-source.ts";

/** A source whose listener may come and go without a commit being missed. */
export class RelaySource implements CommitSource {
  readonly #source: CommitSource;
  readonly #unlisten: () => void;
  #listener: CommitListener | undefined;

  /** Listens from now on; `wake` is called when something is told to nobody, and must make somebody listen at once. */
  constructor(source: CommitSource, wake: () => void) {
    this.#source = source;
    const listening = (): CommitListener | undefined => {
      if (this.#listener === undefined) wake();
      return this.#listener;
    };
    this.#unlisten = source.listen(new RelayListener(listening));
  }

  get name(): string {
    return this.#source.name;
  }

  get pageSize(): number {
    return this.#source.pageSize;
  }

  get commit(): number {
    return this.#source.commit;
  }

  get sequence(): number {
    return this.#source.sequence;
  }

  listen(listener: CommitListener): () => void {
    this.#listener = listener;
    return () => {
      if (this.#listener === listener) this.#listener = undefined;
    };
  }

  check(): void {
    this.#source.check?.();
  }

  catchUp(): void {
    this.#source.catchUp?.();
  }

  image(options?: ImageOptions): Promise<DatabaseImage> {
    return this.#source.image(options);
  }

  /** Ends delivery for good. */
  end(): void {
    this.#unlisten();
  }
}

class RelayListener implements CommitListener {
  readonly #listening: () => CommitListener | undefined;

  constructor(listening: () => CommitListener | undefined) {
    this.#listening = listening;
  }

  commit(transaction: CommittedTransaction): void {
    this.#listening()?.commit(transaction);
  }

  needsFull(reason: string): void {
    this.#listening()?.needsFull(reason);
  }

  lost(error: Error): void {
    this.#listening()?.lost?.(error);
  }
}
