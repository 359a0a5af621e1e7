/**
 * A machine with a disk, and the processes that run on it one after the other.
 *
 * A process that has ended does nothing any more: its timers are gone, no answer reaches it, no file call works.
 *
 * @module
 */
import type { Platform } from "../../src/core/platform.ts";
import type { SyncFiles } from "../../src/core/sync-files.ts";
import {
  MemoryFileError,
  type MemorySyncFiles,
  memorySyncFiles,
} from "../../src/testing/memory-sync-files.ts";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";
import { SERVER_START } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimSqlite } from "./sqlite.ts";
import type { Trace } from "./trace.ts";

/** What a machine is made of. */
export interface MachineOptions {
  /** Whether its processes hold COMMITs. */
  readonly holds: boolean;
  readonly name: string;
  readonly sqlite: SimSqlite;
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly trace: Trace;
}

const WRITING: ReadonlySet<string> = new Set([
  "open",
  "write",
  "truncate",
  "rename",
  "makeDirectory",
]);

/** A computer. */
export class Machine {
  readonly name: string;
  readonly disk: MemorySyncFiles;
  /** How far its wall clock is off, in milliseconds. */
  wallOffset = 0;
  /** Whether nothing more fits onto its disk. */
  full = false;
  /** File calls until it crashes. */
  callsLeft: number = Number.POSITIVE_INFINITY;
  readonly options: MachineOptions;
  #process: SimProcess | undefined;

  constructor(options: MachineOptions) {
    this.options = options;
    this.name = options.name;
    this.disk = memorySyncFiles({ onOperation: ({ type, path }) => this.#onCall(type, path) });
    this.#quietly(() => {
      this.disk.makeDirectory(`/${this.name}`);
      this.disk.syncDirectory("/");
    });
  }

  /** Starts a process; the one before must have ended. */
  boot(): SimProcess {
    this.#process = new SimProcess(this);
    return this.#process;
  }

  /** Ends what a dead process left behind: its databases, and after a power cut what was not synced. */
  async cleanUp(kind: "process" | "power" | "directories"): Promise<void> {
    const { sqlite, random, scheduler, trace } = this.options;
    this.#process?.kill();
    this.callsLeft = Number.POSITIVE_INFINITY;
    // Not on the stack of a call that SQLite is in the middle of.
    await scheduler.sleep(0);
    sqlite.abandon(this.name);
    trace.add(`${this.name} crashed: ${kind}`);
    const directories = kind === "directories" ? "any" : "ordered";
    this.disk.crash(kind === "process" ? "process" : "power", random, { directories });
    this.#process = undefined;
  }

  /** What a file holds, whether or not a process runs. */
  bytes(path: string): Uint8Array | undefined {
    return this.disk.bytes(path);
  }

  #quietly(work: () => void): void {
    this.#process = { alive: true } as SimProcess;
    work();
    this.#process = undefined;
  }

  #onCall(type: string, path: string): void {
    const process = this.#process;
    if (process?.alive !== true) throw new MemoryFileError("EBADF", type, path);
    if (--this.callsLeft < 0) {
      process.kill();
      throw new MemoryFileError("EBADF", type, path);
    }
    if (this.full && WRITING.has(type)) throw new MemoryFileError("ENOSPC", type, path);
  }
}

/** A running program. */
export class SimProcess {
  alive = true;
  /** When it goes on, where it stands still. */
  frozenUntil = 0;
  readonly name: string;
  readonly machine: Machine;
  readonly platform: Platform;
  /** The disk of the machine, and the directory there that it works in. */
  readonly files: SyncFiles;
  readonly directory: string;
  /** Resolves when it has ended. */
  readonly death: Promise<void>;
  readonly #timers = new Set<() => void>();
  #die: () => void = () => {};

  constructor(machine: Machine) {
    this.machine = machine;
    this.name = machine.name;
    this.death = new Promise((resolve) => {
      this.#die = resolve;
    });
    const { scheduler, random, sqlite } = machine.options;
    const mounted = sqlite.mount(machine.name, machine.disk, machine.options.holds);
    this.files = mounted.files;
    this.directory = mounted.directory;
    const chance = random.fork();
    const booted = random.int(1_000_000);
    this.platform = {
      clock: {
        now: () => Math.floor(SERVER_START + scheduler.now + machine.wallOffset),
        monotonic: () => scheduler.now + booted,
        schedule: (callback, delayMs) => this.#schedule(callback, delayMs),
      },
      randomBytes: (length) => chance.bytes(length),
      newAborter: () => new AbortController(),
    };
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Ends it at once. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#die();
  }

  /** Does something in it as soon as it runs; never after it has ended. */
  run(work: () => void): void {
    if (!this.alive) return;
    const { scheduler } = this.machine.options;
    const wait = this.frozenUntil - scheduler.now;
    if (wait > 0) {
      scheduler.after(wait, () => this.run(work));
      return;
    }
    try {
      work();
    } catch (error) {
      // Nobody is left to be surprised.
      if (this.alive) throw error;
    }
  }

  /** What a promise brings, to a process that still runs; nobody else ever hears of it. */
  live<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => this.alive && resolve(value),
        (error: unknown) => this.alive && reject(error),
      );
    });
  }

  /** Resolves after `delayMs`, if it still runs then. */
  sleep(delayMs: number): Promise<void> {
    const { scheduler } = this.machine.options;
    return new Promise((resolve) => {
      scheduler.after(delayMs, () => this.run(resolve));
    });
  }

  #schedule(callback: () => void, delayMs: number): () => void {
    if (!this.alive) return () => {};
    const { scheduler } = this.machine.options;
    const cancel = (): void => {
      cancelled = true;
      stop();
      this.#timers.delete(cancel);
    };
    let cancelled = false;
    const delay = Number.isFinite(delayMs) ? delayMs : 0;
    const stop = scheduler.after(delay, () =>
      this.run(() => {
        this.#timers.delete(cancel);
        if (!cancelled) callback();
      }),
    );
    this.#timers.add(cancel);
    return cancel;
  }
}
