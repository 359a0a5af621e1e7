/**
 * One database on its way into several stores, each of which can be made to fail.
 *
 * @module
 */
import { bytesSink } from "../../src/replica/bytes-sink.ts";
import { type Standing, standingOf } from "../../src/replica/gap.ts";
import type { LocalState } from "../../src/replica/local-state.ts";
import { startPrimary } from "../../src/replica/start-primary.ts";
import { openReplica, type Replica } from "../../src/replica/replica.ts";
import type { ReplicateOptions, Replication, WaitOptions } from "../../src/replica/replication.ts";
import { restoreReplica } from "../../src/replica/restore.ts";
import { type FakePlatform, fakePlatform } from "../../src/testing/index.ts";
import { StoreError } from "../../src/transports/errors.ts";
import { memoryStore } from "../../src/transports/memory.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";
import { ModelDatabase } from "./model-database.ts";
import { QUIET_LEVELS } from "./quiet-levels.ts";
import { durableState, keys, run } from "./primary-bench.ts";

/** A store and whether it answers. */
export interface Place {
  /** What lies in it, whatever it answers. */
  readonly inner: ObjectStore;
  /** As the engine sees it. */
  readonly store: ObjectStore;
  /** Whether every request fails. */
  dead: boolean;
  /** Fails a request for a key where the function says so. */
  refuses: (key: string, operation: "read" | "inspect" | "upload" | "remove" | "list") => boolean;
  /** Called after each PUT that worked. */
  onPut: (key: string) => void | Promise<void>;
  /** Requests so far. */
  requests: number;
}

/** Everything around one database; the stores are called `a`, `b`, and so on. */
export class DestinationsBench {
  readonly platform: FakePlatform = fakePlatform(7);
  readonly state: LocalState = durableState();
  readonly database: ModelDatabase;
  readonly places: readonly Place[];

  /** What the database was at each TXID that was waited for by `commit`. */
  readonly states: Map<bigint, Uint8Array> = new Map();

  constructor(count: number, database: ModelDatabase = new ModelDatabase()) {
    this.database = database;
    this.places = Array.from({ length: count }, (_, i) => place(String.fromCharCode(97 + i)));
  }

  /** A place. */
  at(index: number): Place {
    return this.places[index] as Place;
  }

  /** The replica in a place. */
  replica(index: number): Replica {
    return openReplica(this.at(index).store, { platform: this.platform });
  }

  /** Starts a replication into some of the places, by default all. */
  start(
    options: ReplicateOptions = {},
    which: readonly number[] = this.places.map((_, i) => i),
  ): Promise<Replication> {
    return this.run(this.starting(options, which));
  }

  /** Like `start`, without driving the clock. */
  starting(options: ReplicateOptions, which: readonly number[]): Promise<Replication> {
    const replicas = which.map((i) => this.replica(i)) as [Replica, ...Replica[]];
    const quiet = { groupMs: 1_000, lease: false, ...QUIET_LEVELS };
    const settings = { ...quiet, state: this.state, ...options };
    return startPrimary(this.database, replicas, { ...settings, platform: this.platform });
  }

  /** Commits pages, and waits until a destination has them, by default all. */
  async commit(
    replication: Replication,
    pages: readonly number[],
    options: WaitOptions = {},
  ): Promise<void> {
    this.database.write([...pages]);
    await this.run(replication.flush(options));
    this.states.set(replication.position.staged, this.database.bytes);
  }

  /** The keys of a place without what is the same in all of them. */
  async names(index: number): Promise<string[]> {
    const short = (txid: string): string => BigInt(`0x${txid}`).toString();
    return (await this.keys(index)).map((key) =>
      key.replace(
        /^ltx\/(.*)\/([0-9a-f]+)-([0-9a-f]+)\.ltx$/,
        (_, level: string, min: string, max: string) => `${level}:${short(min)}-${short(max)}`,
      ),
    );
  }

  /** What is missing in a place, and how far it goes. */
  async standing(index: number): Promise<Standing> {
    const replica = openReplica(this.at(index).inner, { platform: this.platform });
    return standingOf(await replica.levels());
  }

  /** Drives the clock until a promise settles. */
  run<T>(promise: Promise<T>): Promise<T> {
    return run(this.platform, promise);
  }

  /** What a place restores to, now or as of a TXID. */
  async restored(index: number, txid?: bigint): Promise<Uint8Array> {
    const sink = bytesSink({ journalHeader: "keep" });
    const options = { platform: this.platform, txid, position: false };
    await this.run(restoreReplica(this.at(index).inner, sink, options));
    return sink.bytes;
  }

  /** The keys in a place. */
  keys(index: number): Promise<string[]> {
    return keys(this.at(index).inner);
  }
}

function place(name: string): Place {
  const inner = memoryStore();
  const fail = (operation: string, object: string): never => {
    throw new StoreError(
      { operation, object, what: `${name} does not answer` },
      { retryable: false },
    );
  };
  const guard = (operation: Parameters<Place["refuses"]>[1], key: string): void => {
    made.requests++;
    if (made.dead || made.refuses(key, operation)) fail(operation, key);
  };
  const made: Place = {
    inner,
    dead: false,
    refuses: () => false,
    onPut: () => {},
    requests: 0,
    store: {
      ...inner,
      description: name,
      async get(key, options) {
        guard("read", key);
        return await inner.get(key, options);
      },
      async head(key, options) {
        guard("inspect", key);
        return await inner.head(key, options);
      },
      async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options) {
        guard("upload", key);
        const result = await inner.put(key, body, options);
        await made.onPut(key);
        return result;
      },
      async delete(keysToGo, options) {
        guard("remove", "files");
        await inner.delete(keysToGo, options);
      },
      async *list(options) {
        guard("list", options?.prefix ?? "");
        yield* inner.list(options);
      },
    } as ObjectStore,
  };
  return made;
}
