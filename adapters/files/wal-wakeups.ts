/**
 * When a WAL follower looks at its database.
 *
 * A write to the WAL or to the database file calls for a look at once, and for more of them shortly after. What follows a write
 * cannot be observed: a commit is published in shared memory, once its frames are synced, and a checkpoint waits for readers
 * to move on.
 *
 * @module
 */
import * as fs from "node:fs";
import type { Clock } from "pagestream";

/** Calls `changed` whenever a file or folder may have been written; returns the function that ends it. Throws where it cannot. */
export type WatchFile = (path: string, changed: () => void) => () => void;

/** The runtime's `fs.watch`. It keeps no process alive. */
export const watchFile: WatchFile = (path, changed) => {
  const watcher = fs.watch(path, { persistent: false }, () => changed());
  // A file that is gone has nothing more to tell.
  watcher.on("error", () => undefined);
  return () => watcher.close();
};

/** What a look found. */
export interface Look {
  /** Whether there was something new. */
  readonly changed: boolean;
  /** Whether nothing will change unless somebody writes. */
  readonly settled: boolean;
  /** Milliseconds after which there is something to do again, although nobody may write. */
  readonly againMs?: number | undefined;
}

/** What {@linkcode Wakeups} works with. */
export interface WakeupOptions {
  readonly clock: Clock;
  readonly watch: WatchFile;
  /** Milliseconds between looks that nothing has called for. */
  readonly tickMs: number;
  /** Looks. Told whether looks go by the clock, as often as each asks for the next. Must not throw. */
  readonly look: (isBusy: boolean) => Look;
}

/** Milliseconds between one look and the next, after a write: a slow disk takes a second to sync what is then published. */
const LADDER: readonly number[] = [2, 4, 8, 16, 30, 60, 125, 250, 500];
/** Milliseconds between looks where the system does not tell of writes. */
const BLIND_TICK_MS = 1_000;
/** Milliseconds that looks are apart at least. */
const SHORTEST_MS = 2;
/** Milliseconds between looks while commits follow each other, at most. */
const LONGEST_BUSY_MS = 80;
/** So many looks within the time found something: then looks go by the clock, and nobody tells of writes. */
const BUSY_LOOKS = 8;
const BUSY_WITHIN_MS = 250;
/** So long nothing is found before writes are watched for again. */
const QUIET_MS = 150;

/** The timers and watches of one follower. */
export class Wakeups {
  readonly #options: WakeupOptions;
  #watched: readonly string[] = [];
  #unwatch: (() => void)[] = [];
  #cancelTick: (() => void) | undefined;
  #cancelNext: (() => void) | undefined;
  #nextAt = Infinity;
  #lastAt = -Infinity;
  #rung = 0;
  /** Whether a write was told of whose commit may still be on its way, however settled all looks. */
  #isExpecting = false;
  /** Looks that found something since `#since`. */
  #found = 0;
  #since = -Infinity;
  #foundAt = -Infinity;
  /** Whether looks go by the clock: to be told of each write costs more than to look. */
  #isBusy = false;
  #ended = false;

  constructor(options: WakeupOptions) {
    this.#options = options;
  }

  /** Watches these paths instead of those before; where one cannot be watched, ticks come every second. */
  watch(paths: readonly string[]): void {
    if (this.#ended) return;
    this.#unwatchAll();
    this.#isBusy = false;
    this.#watched = paths;
    for (const path of paths) {
      try {
        this.#unwatch.push(this.#options.watch(path, () => this.wake()));
      } catch {
        // Not there, or the system has no more watches to give.
      }
    }
    this.#tick();
  }

  /** Whether everything that should be is watched, or looked at all the time. */
  get isWatching(): boolean {
    return this.#isBusy || this.#unwatch.length === this.#watched.length;
  }

  /** Something may have been written. */
  wake(): void {
    if (this.#ended) return;
    this.#rung = 0;
    this.#isExpecting = true;
    this.#lookAt(this.#lastAt + SHORTEST_MS);
  }

  /** Ends all of it. */
  end(): void {
    this.#ended = true;
    this.#unwatchAll();
    this.#cancelTick?.();
    this.#cancelNext?.();
  }

  #lookAt(time: number): void {
    if (this.#nextAt <= time) return;
    const wait = time - this.#options.clock.monotonic();
    this.#cancelNext?.();
    this.#cancelNext = undefined;
    this.#nextAt = time;
    if (wait <= 0) this.#look();
    else this.#cancelNext = this.#options.clock.schedule(() => this.#ring(), wait);
  }

  #ring(): void {
    this.#cancelNext = undefined;
    this.#look();
  }

  #look(): void {
    const { clock, look } = this.#options;
    this.#cancelNext?.();
    this.#cancelNext = undefined;
    // Writes that are noticed meanwhile are seen by this look.
    this.#nextAt = -Infinity;
    const { changed, settled, againMs = Infinity } = look(this.#isBusy);
    this.#nextAt = Infinity;
    if (this.#ended) return;
    this.#lastAt = clock.monotonic();
    if (changed) this.#note();
    if (this.#isBusy && this.#lastAt - this.#foundAt >= QUIET_MS) {
      this.#rung = 0;
      this.#isExpecting = true;
      this.watch(this.#watched);
      // What was written before the watches began.
      return this.#lookAt(this.#lastAt + SHORTEST_MS);
    }
    const again = Math.max(SHORTEST_MS, againMs);
    if (this.#isBusy) return this.#lookAt(this.#lastAt + Math.min(again, LONGEST_BUSY_MS));
    if (changed) this.#rung = 0;
    const delay = LADDER[this.#rung];
    if (delay === undefined) this.#isExpecting = false;
    const isClimbing = delay !== undefined && (!settled || this.#isExpecting);
    if (isClimbing) this.#rung++;
    const wait = Math.min(isClimbing ? delay : Infinity, again);
    if (wait < Infinity) this.#lookAt(this.#lastAt + wait);
  }

  /** Something was found. */
  #note(): void {
    this.#foundAt = this.#lastAt;
    if (this.#lastAt - this.#since > BUSY_WITHIN_MS) {
      this.#since = this.#lastAt;
      this.#found = 0;
    }
    this.#found++;
    if (this.#isBusy || this.#found < BUSY_LOOKS) return;
    this.#isBusy = true;
    this.#unwatchAll();
  }

  #tick(): void {
    const { clock, tickMs } = this.#options;
    this.#cancelTick?.();
    this.#cancelTick = clock.schedule(
      () => {
        if (this.#ended) return;
        // Nothing has called for it: one look will do, if it finds nothing.
        if (!this.#isExpecting) this.#rung = LADDER.length;
        this.#lookAt(-Infinity);
        this.#tick();
      },
      this.isWatching ? tickMs : Math.min(tickMs, BLIND_TICK_MS),
      true,
    );
  }

  #unwatchAll(): void {
    for (const unwatch of this.#unwatch) unwatch();
    this.#unwatch = [];
  }
}
