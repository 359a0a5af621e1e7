/**
 * The time of a simulation: everything that happens later is an event here, and events run one at a time in an order
 * that depends on the seed alone.
 *
 * @module
 */
import { settlePromises } from "../../src/testing/fake-clock.ts";

/** Something that happens at a moment. */
interface SimEvent {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Events run after this many are one that goes round in circles. */
const MOST_EVENTS = 60_000;

/** Virtual time, and the queue of what is to happen. */
export class Scheduler {
  /** Milliseconds since the simulation began. */
  now = 0;
  /** Events run so far. */
  count = 0;
  readonly #heap: SimEvent[] = [];
  #order = 0;
  #live = 0;

  /** Events that will run. */
  get pending(): number {
    return this.#live;
  }

  /** Calls `run` after `delayMs`; returns what cancels it. */
  after(delayMs: number, run: () => void): () => void {
    const event = {
      at: this.now + Math.max(0, Math.min(delayMs, Number.MAX_SAFE_INTEGER)),
      order: this.#order++,
      run,
      cancelled: false,
    };
    this.#push(event);
    this.#live++;
    return () => {
      if (event.cancelled) return;
      event.cancelled = true;
      this.#live--;
    };
  }

  /** Resolves after `delayMs`. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Runs events until `done` holds; returns false where none is left before that, or the time limit is reached. */
  async runUntil(done: () => boolean, limitMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    await settlePromises();
    while (!done()) {
      const event = this.#pop();
      if (event === undefined || event.at > limitMs) {
        if (event !== undefined) this.#push(event);
        return false;
      }
      if (++this.count > MOST_EVENTS) throw new Error(`still busy after ${MOST_EVENTS} events`);
      this.now = Math.max(this.now, event.at);
      event.cancelled = true;
      this.#live--;
      event.run();
      await settlePromises();
    }
    return true;
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = event;
  }

  #pop(): SimEvent | undefined {
    for (;;) {
      const first = this.#shift();
      if (first === undefined || !first.cancelled) return first;
    }
  }

  #shift(): SimEvent | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
