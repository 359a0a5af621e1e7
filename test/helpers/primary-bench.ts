/**
 * A primary with everything around it that a test decides: clock, store, local state, database.
 *
 * @module
 */
import { bytesSink } from "../../src/replica/bytes-sink.ts";
import { type LocalState, memoryState } from "../../src/replica/local-state.ts";
import { startPrimary } from "../../src/replica/start-primary.ts";
import { openReplica } from "../../src/replica/replica.ts";
import type {
  ReplicateOptions,
  Replication,
  ReplicationEvent,
} from "../../src/replica/replication.ts";
import { restoreReplica } from "../../src/replica/restore.ts";
import { fakePlatform, type FakePlatform } from "../../src/testing/index.ts";
import { StoreError } from "../../src/transports/errors.ts";
import { memoryStore } from "../../src/transports/memory.ts";
import type { ObjectStore, PutOptions } from "../../src/transports/object-store.ts";
import { ModelDatabase } from "./model-database.ts";
import { QUIET_LEVELS } from "./quiet-levels.ts";

/** One database on its way into one store. */
export interface Bench {
  readonly platform: FakePlatform;
  readonly store: ObjectStore;
  readonly state: LocalState;
  readonly database: ModelDatabase;
}

/** A bench; what is left out is new. */
export function bench(more: Partial<Bench> = {}): Bench {
  const platform = more.platform ?? fakePlatform(7);
  return {
    platform,
    store: more.store ?? memoryStore(),
    state: more.state ?? durableState(),
    database: more.database ?? new ModelDatabase(),
  };
}

/** Memory state that also keeps its marker's log, as a directory does. */
export function durableState(): LocalState {
  let marker: Uint8Array | undefined;
  return Object.assign(memoryState(), {
    durable: true,
    readMarker: () => marker,
    replaceMarker: (bytes: Uint8Array) => void (marker = bytes.slice()),
    appendMarker: (bytes: Uint8Array) => {
      const longer = new Uint8Array((marker?.length ?? 0) + bytes.length);
      longer.set(marker ?? []);
      longer.set(bytes, marker?.length ?? 0);
      marker = longer;
    },
    removeMarker: () => void (marker = undefined),
  });
}

/** Drives the fake clock until a promise settles, so that what it waits for can happen. */
export async function run<T>(platform: FakePlatform, promise: Promise<T>): Promise<T> {
  const progress = { settled: false };
  const settle = (): void => void (progress.settled = true);
  promise.then(settle, settle);
  for (let i = 0; i < 2_000 && !progress.settled; i++) {
    await platform.clock.advanceAsync(0);
    if (progress.settled) break;
    await platform.clock.advanceAsync(Math.min(platform.clock.nextDelay ?? 1, 500));
  }
  if (!progress.settled) throw new Error("the promise did not settle");
  return await promise;
}

/** Starts a primary. */
export function start(at: Bench, options: ReplicateOptions = {}): Promise<Replication> {
  const replica = openReplica(at.store, { platform: at.platform });
  const settings = {
    groupMs: 1_000,
    lease: false,
    ...QUIET_LEVELS,
    ...options,
    state: at.state,
    platform: at.platform,
  };
  return run(at.platform, startPrimary(at.database, replica, settings));
}

/** The bytes of a state, by default the newest. */
export async function restored(at: Bench, txid?: bigint): Promise<Uint8Array> {
  const sink = bytesSink({ journalHeader: "keep" });
  const options = { platform: at.platform, txid, position: false };
  await run(at.platform, restoreReplica(at.store, sink, options));
  return sink.bytes;
}

/** Every key of a store. */
export async function keys(store: ObjectStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list()) found.push(key);
  return found;
}

/** Flushes; an attempt that a fault already doomed may fail once or twice more. */
export async function flushed(at: Bench, replication: Replication): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run(at.platform, replication.flush());
      return;
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

/** Events from now on, as they come. */
export function collect(replication: Replication): ReplicationEvent[] {
  const events: ReplicationEvent[] = [];
  void (async () => {
    for await (const event of replication.events) events.push(event);
  })();
  return events;
}

/** A store whose puts a test can refuse, delay or answer with an error after they happened. */
export function gate(
  store: ObjectStore,
): ObjectStore & { mode: "open" | "refuse" | "lose"; puts: number } {
  const gated = {
    ...store,
    mode: "open" as "open" | "refuse" | "lose",
    puts: 0,
    async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options?: PutOptions) {
      gated.puts++;
      const failure = new StoreError(
        { operation: "upload", object: key, what: "no connection" },
        { retryable: gated.mode === "lose" },
      );
      if (gated.mode === "refuse") throw failure;
      const result = await store.put(key, body, options);
      if (gated.mode === "lose") {
        gated.mode = "open";
        throw failure;
      }
      return result;
    },
  };
  return gated;
}

/** Key of an L0 file. */
export function level0(from: number, to = from): string {
  return `ltx/0/${from.toString(16).padStart(16, "0")}-${to.toString(16).padStart(16, "0")}.ltx`;
}
