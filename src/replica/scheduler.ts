/**
 * One timer for the work that is due later, whoever it belongs to: set for the earliest task, and for none when nothing
 * is due.
 *
 * @module
 */
import type { Clock } from "../core/platform.ts";

/** Longest delay that every runtime's timers take, in milliseconds. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** Something to do at its time; what goes wrong in it is its own affair. */
export type ScheduledTask = () => Promise<void>;

/** Options of a {@linkcode Scheduler}. */
export interface SchedulerOptions {
  /** Tasks that may run at once. @default 4 */
  readonly concurrency?: number | undefined;
}

interface Entry {
  readonly key: object;
  readonly atMs: number;
  readonly order: number;
  readonly task: ScheduledTask;
}

/**
 * Runs tasks at their times by the wall clock, the longest due first and only so many at once. A key has one task at a
 * time and never runs beside itself, so that a busy database waits for the others like everybody.
 */
export class Scheduler {
  readonly #clock: Clock;
  readonly #concurrency: number;
  /** The task of each key. */
  readonly #tasks = new Map<object, Entry>();
  /** Binary heap, the earliest first; entries that are no longer in `#tasks` are skipped when they come up. */
  readonly #heap: Entry[] = [];
  readonly #running = new Map<object, Promise<void>>();
  #order = 0;
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  /** Times come from `clock`. */
  constructor(clock: Clock, options: SchedulerOptions = {}) {
    this.#clock = clock;
    this.#concurrency = options.concurrency ?? 4;
  }

  /** Keys that have a task waiting. */
  get size(): number {
    return this.#tasks.size;
  }

  /**
   * Runs `task` for `key` at a wall-clock time in milliseconds, at once where that has passed. It takes the place of the
   * key's task that waits, whatever its time was.
   */
  schedule(key: object, atMs: number, task: ScheduledTask): void {
    const entry = { key, atMs, order: this.#order++, task };
    this.#tasks.set(key, entry);
    this.#push(entry);
    this.#arm();
  }

  /** Forgets the task that waits, and resolves when none of the key runs any more. */
  async cancel(key: object): Promise<void> {
    this.#tasks.delete(key);
    this.#arm();
    await this.#running.get(key);
  }

  /** The earliest entry that still counts. */
  #first(): Entry | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || this.#tasks.get(first.key) === first) return first;
      this.#pop();
    }
  }

  #arm(): void {
    const first = this.#first();
    if (first === undefined || this.#running.size >= this.#concurrency) {
      this.#timer?.cancel();
      this.#timer = undefined;
      return;
    }
    if (this.#timer?.atMs === first.atMs) return;
    this.#timer?.cancel();
    const delay = Math.max(0, Math.min(first.atMs - this.#clock.now(), LONGEST_DELAY_MS));
    const ring = (): void => {
      this.#timer = undefined;
      this.#run();
    };
    // What is due later is no reason for a process to stay: its next life does it.
    const cancel = this.#clock.schedule(ring, delay, true);
    this.#timer = { atMs: first.atMs, cancel };
  }

  #run(): void {
    const now = this.#clock.now();
    while (this.#running.size < this.#concurrency) {
      const entry = this.#first();
      // A timer may ring early, and the wall clock may have gone back since it was set.
      if (entry === undefined || entry.atMs > now) break;
      this.#pop();
      this.#tasks.delete(entry.key);
      this.#start(entry);
    }
    this.#arm();
  }

  #start({ key, task }: Entry): void {
    const before = this.#running.get(key);
    const ended = (before === undefined ? task() : before.then(task))
      .catch(() => undefined)
      .then(() => {
        if (this.#running.get(key) === ended) this.#running.delete(key);
        this.#arm();
      });
    this.#running.set(key, ended);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    // Entries that were replaced sink to no purpose: without this a key that is put off again and again would fill memory.
    if (heap.length >= 64 && heap.length > this.#tasks.size * 2) this.#rebuild();
    else this.#insert(entry);
  }

  #rebuild(): void {
    this.#heap.length = 0;
    for (const entry of this.#tasks.values()) this.#insert(entry);
  }

  #insert(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, heap[parent] as Entry)) break;
      heap[at] = heap[parent] as Entry;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    const { length } = heap;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!isBefore(heap[child] as Entry, last)) break;
      heap[at] = heap[child] as Entry;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
