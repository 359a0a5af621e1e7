/**
 * Events as async iterables: each reader gets every event from the moment it begins to read.
 *
 * @module
 */

/** Events a slow reader may fall behind by before it loses the oldest. */
const MAX_BACKLOG = 4096;

interface Reader<E> {
  readonly backlog: E[];
  wake: ((result: IteratorResult<E, undefined>) => void) | undefined;
}

/** A source of events with any number of readers; without readers an event costs nothing. */
export class EventStream<E> implements AsyncIterable<E> {
  /** Made with the first reader: most streams never have one. */
  #readers: Set<Reader<E>> | undefined;
  #early: E[] | undefined;
  #closed = false;

  /** Whether anybody reads: lets callers skip making events that nobody would see. */
  get hasReaders(): boolean {
    return this.#readers !== undefined && this.#readers.size > 0;
  }

  /** Hands an event to every reader. */
  emit(event: E): void {
    for (const reader of this.#readers ?? []) {
      if (reader.wake) {
        const wake = reader.wake;
        reader.wake = undefined;
        wake({ done: false, value: event });
      } else {
        if (reader.backlog.length === MAX_BACKLOG) reader.backlog.shift();
        reader.backlog.push(event);
      }
    }
  }

  /** Like `emit`, but where nobody reads yet the event is kept for the first reader: what happens at a start. */
  announce(event: E): void {
    if (this.hasReaders) this.emit(event);
    else if ((this.#early?.length ?? 0) < MAX_BACKLOG) (this.#early ??= []).push(event);
  }

  /** Ends every reader's loop once it has seen what was emitted. */
  close(): void {
    this.#closed = true;
    for (const reader of this.#readers ?? []) reader.wake?.({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): AsyncIterator<E, undefined> {
    const reader: Reader<E> = { backlog: this.#early ?? [], wake: undefined };
    this.#early = undefined;
    this.#readers ??= new Set();
    this.#readers.add(reader);
    return {
      next: () => {
        const event = reader.backlog.shift();
        if (event !== undefined) return Promise.resolve({ done: false, value: event });
        if (this.#closed) return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve) => {
          reader.wake = resolve;
        });
      },
      return: () => {
        this.#readers?.delete(reader);
        reader.wake?.({ done: true, value: undefined });
        reader.wake = undefined;
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }
}
