import { describe, expect, test } from "vitest";
import { ModelDatabase } from "../../test/helpers/model-database.ts";
import { QUIET_LEVELS } from "../../test/helpers/quiet-levels.ts";
import type { DatabaseImage, ImageOptions } from "../core/commit-source.ts";
import { decodeHeader } from "../ltx/header.ts";
import { fakePlatform, type FakePlatform } from "../testing/index.ts";
import { readBody } from "../testing/test-kit.ts";
import { StoreError } from "../transports/errors.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { bytesSink } from "./bytes-sink.ts";
import { type LocalState, memoryState } from "./local-state.ts";
import { startPrimary } from "./start-primary.ts";
import { openReplica } from "./replica.ts";
import type { ReplicateOptions, Replication } from "./replication.ts";
import { restoreReplica } from "./restore.ts";

/** Drives the fake clock until a promise settles. */
async function run<T>(platform: FakePlatform, promise: Promise<T>): Promise<T> {
  const progress = { settled: false };
  const settle = (): void => void (progress.settled = true);
  promise.then(settle, settle);
  for (let i = 0; i < 2_000 && !progress.settled; i++) {
    await platform.clock.advanceAsync(0);
    if (!progress.settled) await platform.clock.advanceAsync(platform.clock.nextDelay ?? 1);
  }
  return await promise;
}

interface Bench {
  readonly platform: FakePlatform;
  readonly store: ObjectStore;
  readonly state: LocalState;
  readonly database: ModelDatabase;
  readonly replication: Replication;
  readonly snapshot: () => ReturnType<Replication["snapshot"]>;
}

async function bench(
  more: Partial<Pick<Bench, "store" | "database">> & ReplicateOptions = {},
): Promise<Bench> {
  const { store = memoryStore(), database = new ModelDatabase(), ...options } = more;
  const platform = fakePlatform(3);
  const state = memoryState();
  const replica = openReplica(store, { platform });
  const quiet = { groupMs: 1_000, lease: false, ...QUIET_LEVELS };
  const settings = { ...quiet, ...options, platform, state };
  const replication = await run(platform, startPrimary(database, replica, settings));
  const snapshot = () => run(platform, replication.snapshot());
  return { platform, store, state, database, replication, snapshot };
}

const keyOf = (level: number, min: bigint, max: bigint): string =>
  `ltx/${level}/${[min, max].map((txid) => txid.toString(16).padStart(16, "0")).join("-")}.ltx`;

async function keys(store: ObjectStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list()) found.push(key);
  return found;
}

/** What the snapshot `1..txid` holds, without help of any other file. */
async function snapshotBytes(at: Bench, txid: bigint): Promise<Uint8Array> {
  const alone = memoryStore();
  const key = keyOf(9, 1n, txid);
  const { body, metadata } = await at.store.get(key);
  const bytes = await readBody(body);
  await alone.put(key, bytes, { metadata });
  const sink = bytesSink({ journalHeader: "keep" });
  await run(at.platform, restoreReplica(alone, sink, { platform: at.platform, position: false }));
  return sink.bytes;
}

/** A store that refuses snapshots while `refused` is set. */
function refusing(prefix: string): ObjectStore & { refused: boolean; puts: string[] } {
  const store = memoryStore();
  const wrapped = {
    ...store,
    refused: true,
    puts: [] as string[],
    put: async (...args: Parameters<ObjectStore["put"]>) => {
      wrapped.puts.push(args[0]);
      if (wrapped.refused && args[0].startsWith(prefix)) {
        const details = { operation: "upload", object: args[0], what: "no room" };
        throw new StoreError(details, { retryable: false });
      }
      return store.put(...args);
    },
  };
  return wrapped;
}

describe("Replication.snapshot()", () => {
  test("uploads the database as of an L0 file while commits go on", async () => {
    const at = await bench();
    at.database.write([1, 2, 3, 4, 5]);
    await run(at.platform, at.replication.flush());
    at.database.write([2, 6]);
    const before = at.database.bytes;
    at.database.betweenRuns = () => at.database.write([1, 4, 6, 7]);
    const { txid, size } = await at.snapshot();
    at.database.betweenRuns = undefined;
    expect(txid).toBe(2n);
    expect(await snapshotBytes(at, 2n)).toEqual(before);
    expect((await at.store.head(keyOf(9, 1n, 2n))).size).toBe(size);
    await run(at.platform, at.replication.flush());
    expect(at.replication.stats.files).toBe(4);
  });

  test("carries the time of the last L0 file it holds, and is told as an event", async () => {
    const at = await bench();
    const events: unknown[] = [];
    void (async () => {
      for await (const event of at.replication.events) events.push(event);
    })();
    at.database.write([1, 2]);
    await run(at.platform, at.replication.flush());
    await at.platform.clock.advanceAsync(60_000);
    const { size } = await at.snapshot();
    const header = async (key: string) => {
      const { body } = await at.store.get(key, { offset: 0, length: 100 });
      return decodeHeader(await readBody(body), key);
    };
    const { timestamp } = await header(keyOf(0, 1n, 1n));
    expect(await header(keyOf(9, 1n, 1n))).toMatchObject({ timestamp, minTxid: 1n, maxTxid: 1n });
    const event = { type: "snapshot", level: 9, txid: 1n, size };
    expect(events).toContainEqual(expect.objectContaining(event));
    expect(at.state.staged()).toEqual([]);
  });

  test("is done at once when the store has it already", async () => {
    const at = await bench();
    at.database.write([1, 2]);
    const first = await at.snapshot();
    const { images } = at.database;
    expect(await at.snapshot()).toEqual(first);
    expect(at.database.images).toBe(images);
  });

  test("serves calls one after the other", async () => {
    const at = await bench();
    at.database.write([1, 2]);
    const both = Promise.all([at.replication.snapshot(), at.replication.snapshot()]);
    const [first, second] = await run(at.platform, both);
    expect(second).toEqual(first);
    expect(at.replication.stats.files).toBe(2);
  });

  test("begins behind a transaction that is open when it is asked for", async () => {
    const at = await bench();
    at.database.write([1, 2]);
    at.database.beforeImage = () => at.database.write([2, 3]);
    expect((await at.snapshot()).txid).toBe(2n);
    expect(await snapshotBytes(at, 2n)).toEqual(at.database.bytes);
  });

  test("tries another boundary when a commit follows the first one at once", async () => {
    const at = await bench({ database: new Slipping(2), groupMs: 0 });
    at.database.write([1, 2]);
    const { txid } = await at.snapshot();
    expect(txid).toBe(3n);
    expect(await snapshotBytes(at, txid)).toEqual(at.database.bytes);
  });

  test("gives up when a commit follows every boundary at once", async () => {
    const at = await bench({ database: new Slipping(Number.POSITIVE_INFINITY) });
    at.database.write([1, 2]);
    await expect(at.snapshot()).rejects.toMatchObject({ code: "UNSUPPORTED" });
    expect(at.state.staged()).toEqual([]);
  });

  test.each([1, 3, 4, 9])("begins anew when the image is overrun %i times", async (overruns) => {
    const at = await bench();
    at.database.write([1, 2, 3]);
    await run(at.platform, at.replication.flush());
    Object.assign(at.database, { overruns, images: 0 });
    at.database.betweenRuns = () => at.database.write([3, 4]);
    const { txid } = await at.snapshot();
    at.database.betweenRuns = undefined;
    // The fifth image is read in one go.
    expect(at.database.images).toBe(Math.min(overruns + 1, 5));
    const bytes = await snapshotBytes(at, txid);
    const sink = bytesSink({ journalHeader: "keep" });
    await at.store.delete([keyOf(9, 1n, txid)]);
    const options = { platform: at.platform, txid, position: false };
    await run(at.platform, restoreReplica(at.store, sink, options));
    expect(bytes).toEqual(sink.bytes);
  });

  test("waits for an L0 file that takes longer than reading the database", async () => {
    const store = memoryStore();
    const there: string[][] = [];
    let pause: Promise<void> | undefined;
    const slow: ObjectStore = {
      ...store,
      put: async (...args) => {
        if (args[0].startsWith("ltx/9/")) there.push(await keys(store));
        else await pause;
        return store.put(...args);
      },
    };
    const at = await bench({ store: slow });
    at.database.write([1, 2]);
    await run(at.platform, at.replication.flush());
    at.database.beforeImage = () => {
      at.database.write([2]);
      pause = new Promise((resolve) => void at.platform.clock.schedule(resolve, 30_000));
    };
    await at.snapshot();
    expect(there).toEqual([[keyOf(0, 1n, 1n), keyOf(0, 2n, 2n)]]);
  });

  test("goes to the store after its L0 file", async () => {
    const store = refusing("ltx/0/");
    const at = await bench({ store });
    at.database.write([1, 2]);
    const outcome = at.replication.snapshot();
    await expect(run(at.platform, outcome)).rejects.toMatchObject({ code: "STORE" });
    expect(await keys(store)).toEqual([]);
    store.refused = false;
    await at.snapshot();
    expect(store.puts.slice(-2)).toEqual([keyOf(0, 1n, 1n), keyOf(9, 1n, 1n)]);
  });

  test("keeps what the store refused for the next call, while nothing is committed", async () => {
    const store = refusing("ltx/9/");
    const at = await bench({ store });
    at.database.write([1, 2]);
    await expect(at.snapshot()).rejects.toMatchObject({ code: "STORE" });
    expect(at.state.staged()).toHaveLength(1);
    const { images } = at.database;
    store.refused = false;
    await at.snapshot();
    expect(at.database.images).toBe(images);

    store.refused = true;
    at.database.write([1]);
    await expect(at.snapshot()).rejects.toMatchObject({ code: "STORE" });
    store.refused = false;
    at.database.write([2]);
    expect((await at.snapshot()).txid).toBe(3n);
    expect(await snapshotBytes(at, 3n)).toEqual(at.database.bytes);
    expect(at.state.staged()).toEqual([]);
    expect(await keys(store)).not.toContain(keyOf(9, 1n, 2n));
  });

  test("takes a snapshot of the same state that was compressed in another way for its own", async () => {
    const at = await bench();
    at.database.write([1, 2]);
    await at.snapshot();
    const key = keyOf(9, 1n, 1n);
    const { body, metadata } = await at.store.get(key);
    const bytes = await readBody(body);
    const longer = new Uint8Array([...bytes, 0]);
    await at.store.delete([key]);
    const put = at.store.put.bind(at.store);
    let hidden = true;
    // It appears between the look and the upload.
    Object.assign(at.store, {
      put: async (...args: Parameters<ObjectStore["put"]>) => {
        if (hidden) await put(key, longer, { metadata });
        hidden = false;
        return put(...args);
      },
    });
    expect((await at.snapshot()).txid).toBe(1n);
    expect((await at.store.head(key)).size).toBe(longer.length);
  });

  test("ends with the caller's signal, with close(), and refuses an empty database", async () => {
    const at = await bench();
    await expect(at.snapshot()).rejects.toMatchObject({ code: "UNSUPPORTED" });
    at.database.write([1, 2]);
    const aborter = at.platform.newAborter();
    at.database.betweenRuns = () => aborter.abort();
    const aborted = at.replication.snapshot({ signal: aborter.signal });
    await expect(run(at.platform, aborted)).rejects.toMatchObject({ code: "ABORTED" });
    at.database.betweenRuns = undefined;

    const store = refusing("ltx/9/");
    const held = await bench({ store });
    held.database.write([1, 2]);
    let closing: Promise<void> | undefined;
    held.database.betweenRuns = () => void (closing ??= held.replication.close());
    const ended = held.replication.snapshot();
    await expect(run(held.platform, ended)).rejects.toBeDefined();
    await run(held.platform, closing!);
    expect(held.state.staged().length).toBeLessThanOrEqual(1);
    await expect(held.snapshot()).rejects.toMatchObject({ code: "CLOSED" });
  });
});

describe("a cut whose image is overrun", () => {
  test.each([1, 4])("holds every page after %i overruns", async (overruns) => {
    const at = await bench({ groupBytes: 1 << 20, stagingBytes: 2_000 });
    at.database.write([1, 20]);
    await run(at.platform, at.replication.flush());
    at.replication.pause();
    // More than is kept: page numbers stay.
    for (let i = 0; i < 5; i++) at.database.write([1, 2, 3, 4, 5 + i]);
    at.database.overruns = overruns;
    // Each in no commit before: an image of a later boundary must not leave them out.
    const later = [11, 12, 13, 14, 15];
    at.database.betweenRuns = () => {
      const pgno = later.shift();
      if (pgno !== undefined) at.database.write([pgno]);
    };
    at.replication.resume();
    await at.platform.clock.advanceAsync(0);
    await at.platform.clock.advanceAsync(2_000);
    at.database.betweenRuns = undefined;
    await run(at.platform, at.replication.flush());
    expect(at.database.overruns).toBeLessThan(1);
    const sink = bytesSink({ journalHeader: "keep" });
    await run(
      at.platform,
      restoreReplica(at.store, sink, { platform: at.platform, position: false }),
    );
    expect(sink.bytes).toEqual(at.database.bytes);
  });
});

/** Commits right behind the boundary of its first images, before anybody can act on them. */
class Slipping extends ModelDatabase {
  #left: number;

  constructor(left: number) {
    super();
    this.#left = left;
  }

  override async image(options?: ImageOptions): Promise<DatabaseImage> {
    const image = await super.image(options);
    if (this.commit === 0 || this.#left-- <= 0) return image;
    this.write([2]);
    // Time enough for a file of its own.
    for (let i = 0; i < 5; i++) await Promise.resolve();
    return image;
  }
}
