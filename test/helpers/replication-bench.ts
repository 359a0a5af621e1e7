/**
 * What a test of a replication needs around it: time, a store that fails on demand, local files that crash.
 *
 * @module
 */
import { bytesSink } from "../../src/replica/bytes-sink.ts";
import { fileState } from "../../src/replica/local-state.ts";
import { startPrimary } from "../../src/replica/start-primary.ts";
import { openReplica } from "../../src/replica/replica.ts";
import type {
  ReplicateOptions,
  Replication,
  ReplicationEvent,
} from "../../src/replica/replication.ts";
import { restoreReplica } from "../../src/replica/restore.ts";
import {
  type FakePlatform,
  fakePlatform,
  type MemorySyncFiles,
  memorySyncFiles,
} from "../../src/testing/index.ts";
import type { FileOperation } from "../../src/testing/memory-sync-files.ts";
import { StoreError } from "../../src/transports/errors.ts";
import { memoryStore } from "../../src/transports/memory.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";
import { ModelDatabase } from "./model-database.ts";
import { QUIET_LEVELS } from "./quiet-levels.ts";

/**
 * How a store answers a PUT: as it should, with an error before (`refuse`) or after (`lose`) it happened, or not at all
 * before (`hang`) or after (`swallow`) it happened, until the mode changes.
 */
export type PutMode = "work" | "refuse" | "lose" | "hang" | "swallow";

/** A store in memory whose PUTs fail on demand. */
export interface FaultyStore {
  readonly store: ObjectStore;
  mode: PutMode;
  /** PUTs so far. */
  puts: number;
}

/** Directory of the replication's state. */
export const STATE_DIRECTORY = "/data/.model.db-pagestream";

/** Everything around one database. */
export class ReplicationBench {
  readonly platform: FakePlatform = fakePlatform(7);
  readonly store: ObjectStore = memoryStore();
  readonly files: MemorySyncFiles;
  readonly database: ModelDatabase;
  /** Called before each file call; what it throws fails the call. */
  onFileCall: ((operation: FileOperation) => void) | undefined;
  /** The store as the process that runs now sees it. */
  faults: FaultyStore;
  #life = 0;

  constructor(database: ModelDatabase = new ModelDatabase()) {
    this.database = database;
    this.files = memorySyncFiles({ onOperation: (operation) => this.onFileCall?.(operation) });
    // The directory of the database is there, and lasts.
    this.files.place("/data/model.db", new Uint8Array(0));
    this.faults = faulty(this.store);
  }

  /** Starts a replication as a new process would: whatever ran before reaches neither files nor store any more. */
  start(options: ReplicateOptions = {}): Promise<Replication> {
    return this.run(this.starting(options));
  }

  /** Like `start`, without driving the clock. */
  starting(options: ReplicateOptions = {}): Promise<Replication> {
    this.faults.mode = "hang";
    this.faults = faulty(this.store);
    const replica = openReplica(this.faults.store, { platform: this.platform });
    const state = fileState(this.#filesOfLife(++this.#life), STATE_DIRECTORY);
    const quiet = { groupMs: 1_000, lease: false, ...QUIET_LEVELS };
    const settings = { ...quiet, state, ...options, platform: this.platform };
    return startPrimary(this.database, replica, settings);
  }

  /** The files as one process sees them: gone once the next has started. */
  #filesOfLife(life: number): MemorySyncFiles {
    return new Proxy(this.files, {
      get: (files, name: keyof MemorySyncFiles) => {
        if (life !== this.#life) throw new Error("the process is dead");
        const call = files[name] as (...parameters: never[]) => unknown;
        return call.bind(files);
      },
    });
  }

  /** Drives the clock until a promise settles. */
  async run<T>(promise: Promise<T>): Promise<T> {
    const { clock } = this.platform;
    const progress = { settled: false };
    const settle = (): void => void (progress.settled = true);
    promise.then(settle, settle);
    for (let i = 0; i < 2_000 && !progress.settled; i++) {
      await clock.advanceAsync(0);
      if (progress.settled) break;
      await clock.advanceAsync(Math.min(clock.nextDelay ?? 1, 500));
    }
    if (!progress.settled) throw new Error("the promise did not settle");
    return await promise;
  }

  /** What the replica restores to, now or as of a TXID. */
  async restored(txid?: bigint): Promise<Uint8Array> {
    const sink = bytesSink({ journalHeader: "keep" });
    const options = { platform: this.platform, txid, position: false };
    await this.run(restoreReplica(this.store, sink, options));
    return sink.bytes;
  }
}

/** Collects events from now on. */
export function collectEvents(replication: Replication): ReplicationEvent[] {
  const events: ReplicationEvent[] = [];
  void (async () => {
    for await (const event of replication.events) events.push(event);
  })();
  return events;
}

function faulty(inner: ObjectStore): FaultyStore {
  let mode: PutMode = "work";
  /** Ends the requests that have no answer yet, as a broken connection does. */
  let cut: (() => void)[] = [];
  const unanswered = (failure: Error, signal: AbortSignal | undefined): Promise<never> =>
    new Promise((_, reject) => {
      cut.push(() => reject(failure));
      signal?.addEventListener("abort", () => reject(new Error("the request was aborted")));
    });
  const faults: FaultyStore = {
    get mode() {
      return mode;
    },
    set mode(next) {
      mode = next;
      for (const end of cut) end();
      cut = [];
    },
    puts: 0,
    store: {
      ...inner,
      put: (async (key, body, options) => {
        faults.puts++;
        const now = mode;
        const what = { operation: "upload", object: key, what: "no connection" };
        const failure = new StoreError(what, { retryable: true });
        if (now === "hang") return await unanswered(failure, options?.signal);
        if (now === "refuse") throw failure;
        const result = await inner.put(key, body, options);
        if (now === "lose") throw failure;
        return now === "swallow" ? await unanswered(failure, options?.signal) : result;
      }) as ObjectStore["put"],
    },
  };
  return faults;
}
