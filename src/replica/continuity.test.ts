import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import { ModelDatabase } from "../../test/helpers/model-database.ts";
import {
  bench,
  type Bench,
  collect,
  durableState,
  keys,
  level0,
  restored,
  run,
  start,
} from "../../test/helpers/primary-bench.ts";
import { decodeLtx } from "../ltx/decode-ltx.ts";
import { fakePlatform, seededRandom } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { GetOptions, ObjectStore } from "../transports/object-store.ts";
import { bytesSink } from "./bytes-sink.ts";
import type { PositionToken } from "./position-token.ts";
import type { ReplicateOptions } from "./replication.ts";
import { restoreReplica } from "./restore.ts";

/** Pages enough that an increment cannot be taken for a full file. */
const PAGES = Array.from({ length: 20 }, (_, i) => i + 1);

/** Replicates `writes`, each as a file of its own, and closes. */
async function history(at: Bench, writes: readonly (readonly number[])[]): Promise<void> {
  const replication = await start(at);
  for (const pgnos of writes) {
    at.database.write(pgnos);
    await run(at.platform, replication.flush());
  }
  await run(at.platform, replication.close());
}

/** A file as a test describes it. */
interface Uploaded {
  readonly txid: bigint;
  readonly pages: number;
  readonly full: boolean;
}

/** Starts again; returns the L0 files it wrote and what it told until all is in the store, which then equals the database. */
async function again(
  at: Bench,
  options: ReplicateOptions = {},
): Promise<{ files: Uploaded[]; events: string[] }> {
  const before = new Set(await keys(at.store));
  const replication = await start(at, options);
  const events = collect(replication);
  await run(at.platform, replication.durable());
  await run(at.platform, replication.close());
  expect(await restored(at)).toEqual(at.database.bytes);
  const files: Uploaded[] = [];
  for (const key of await keys(at.store)) {
    if (before.has(key) || !key.startsWith("ltx/0/")) continue;
    const { header, pages } = decodeLtx(await bytesAt(at.store, key));
    const { maxTxid: txid, commit } = header;
    files.push({ txid, pages: pages.length, full: pages.length === commit });
  }
  return { files, events: events.map((e) => e.type) };
}

/** A copy of the database as it is now: a file copied aside. */
function copyOf(database: ModelDatabase): ModelDatabase {
  const copy = new ModelDatabase(database.pageSize, 4711);
  copy.load(database.bytes);
  return copy;
}

/** A store that counts what is read. */
function counted(store: ObjectStore): ObjectStore & { reads: number } {
  const counting = {
    ...store,
    reads: 0,
    get: (key: string, options?: GetOptions) => {
      counting.reads++;
      return store.get(key, options);
    },
  };
  return counting;
}

async function token(at: Bench, txid?: bigint): Promise<PositionToken> {
  const options = { platform: at.platform, txid };
  const result = await run(at.platform, restoreReplica(at.store, bytesSink(), options));
  return result.position as PositionToken;
}

describe("a database that goes on from the marker's state", () => {
  test("ships the pages that differ and no other", async () => {
    const at = bench();
    await history(at, [PAGES, [2]]);
    at.database.tamper(7);
    at.database.tamper(9);
    expect((await again(at)).files).toEqual([{ txid: 3n, pages: 2, full: false }]);
    expect((await again(at)).files).toEqual([]);
  });

  test("ships growth", async () => {
    const at = bench();
    await history(at, [PAGES]);
    at.database.write([1, 23]);
    expect((await again(at)).files).toEqual([{ txid: 2n, pages: 4, full: false }]);
  });

  test("ships a smaller size, with one page where no other says it", async () => {
    const at = bench();
    await history(at, [PAGES]);
    at.database.load(at.database.bytes.subarray(0, 12 * 512));
    expect((await again(at)).files).toEqual([{ txid: 2n, pages: 1, full: false }]);
  });

  test("ships commits made while it was compared with the pages that differ", async () => {
    const at = bench();
    await history(at, [PAGES]);
    at.database.tamper(3);
    let left = 2;
    at.database.beforeImage = () => {
      if (left-- > 0) at.database.write([5, 21]);
    };
    const { files } = await again(at);
    expect(files).toEqual([{ txid: 2n, pages: 3, full: false }]);
  });

  test("ships every page after a change of the page size, the snapshot first", async () => {
    const at = bench();
    await history(at, [PAGES]);
    const other = new ModelDatabase(1024, 3);
    other.write([1, 2, 3]);
    const order: string[] = [];
    const { put } = at.store;
    const store: ObjectStore = {
      ...at.store,
      put: (key, body, options) => {
        order.push(key);
        return put(key, body, options);
      },
    };
    const { files } = await again({ ...at, store, database: other });
    expect(files).toEqual([{ txid: 2n, pages: 3, full: true }]);
    expect(order).toEqual(["ltx/9/0000000000000001-0000000000000002.ltx", level0(2)]);
  });

  test("goes on although nobody could read more than three times what was being overwritten", async () => {
    const at = bench();
    await history(at, [PAGES]);
    at.database.overruns = 3;
    expect((await again(at)).files).toEqual([]);
  });
});

test("an empty replica gets every page, and the database is read once for it", async () => {
  const at = bench();
  at.database.write(PAGES);
  expect((await again(at)).files).toEqual([{ txid: 1n, pages: 20, full: true }]);
  expect(at.database.images).toBe(1);
});

describe("a marker that is lost", () => {
  test("is rebuilt from the replica, at the cost of one download and no upload", async () => {
    const at = bench();
    await history(at, [PAGES, [2], [3, 4]]);
    const store = counted(at.store);
    const fresh = { ...at, store, state: durableState() };
    expect((await again(fresh)).files).toEqual([]);
    const { reads } = store;
    expect(reads).toBeGreaterThan(3);
    // The next start finds the marker.
    expect((await again(fresh)).files).toEqual([]);
    expect(store.reads - reads).toBeLessThan(reads);
  });

  test("is rebuilt when it is damaged", async () => {
    const at = bench();
    await history(at, [PAGES, [2]]);
    const bytes = (at.state.readMarker() as Uint8Array).slice();
    bytes[20] = (bytes[20] as number) ^ 1;
    at.state.replaceMarker(bytes);
    expect((await again(at)).files).toEqual([]);
  });

  test("lets a database with work of its own ship the difference", async () => {
    const at = bench();
    await history(at, [PAGES, [2]]);
    at.database.write([5, 21]);
    const { files, events } = await again({ ...at, state: durableState() });
    expect(files).toEqual([{ txid: 3n, pages: 2, full: false }]);
    expect(events).not.toContain("forked");
  });

  test("is none of another replica", async () => {
    const at = bench();
    await history(at, [PAGES]);
    const { files } = await again({ ...at, store: memoryStore() });
    expect(files).toEqual([{ txid: 1n, pages: 20, full: true }]);
  });

  test("is not rebuilt from a replica that is damaged: the next file holds every page", async () => {
    const at = bench();
    await history(at, [PAGES, [2]]);
    const bytes = await bytesAt(at.store, level0(1));
    bytes[300] = (bytes[300] as number) ^ 1;
    await at.store.put(level0(1), bytes);
    const replication = await start({ ...at, state: durableState() });
    await run(at.platform, replication.close());
    expect(decodeLtx(await bytesAt(at.store, level0(3))).pages).toHaveLength(20);
  });
});

describe("a marker that the replica contradicts", () => {
  test("leads to a full file when the replica has lost its newest file", async () => {
    const at = bench();
    await history(at, [PAGES, [2], [3]]);
    await at.store.delete([level0(3)]);
    expect((await again(at)).files).toEqual([{ txid: 3n, pages: 20, full: true }]);
  });

  test("leads to a full file when its L0 file is another one", async () => {
    const at = bench();
    await history(at, [PAGES, [2]]);
    const other = bench({ platform: at.platform, database: new ModelDatabase(512, 99) });
    await history(other, [PAGES, [2]]);
    await at.store.put(level0(2), await bytesAt(other.store, level0(2)));
    at.database.write([4]);
    const { files, events } = await again(at);
    expect(files).toEqual([{ txid: 3n, pages: 20, full: true }]);
    expect(events).toContain("forked");
  });
});

describe("a replica that has moved on", () => {
  /** A database and its copy, of which the copy has written more. */
  async function overtaken(): Promise<{ at: Bench; other: Bench }> {
    const at = bench();
    await history(at, [PAGES, [2], [3]]);
    const other = { ...at, database: copyOf(at.database), state: durableState() };
    await history(other, [[4], [5, 21]]);
    return { at, other };
  }

  test("work of its own is shipped behind the other writer's, and told as a fork", async () => {
    const { at } = await overtaken();
    at.database.write([1, 4]);
    const { files, events } = await again(at);
    // Pages 1 and 4 for the own work, page 5 because the other has changed it.
    expect(files).toEqual([{ txid: 6n, pages: 3, full: false }]);
    expect(events).toContain("forked");
    expect(await keys(at.store)).toHaveLength(6);
  });

  test("the same state reached another way needs no file", async () => {
    const { at, other } = await overtaken();
    at.database.load(other.database.bytes);
    expect((await again(at)).files).toEqual([]);
  });

  test("a database that lags is refused, with both TXIDs", async () => {
    const { at } = await overtaken();
    const before = await keys(at.store);
    await expect(start(at)).rejects.toMatchObject({
      code: "DATABASE_BEHIND",
      txid: 3n,
      newestTxid: 5n,
      chosen: false,
    });
    expect(await keys(at.store)).toEqual(before);
  });

  test("a database that lags is adopted when told: every page, and both events", async () => {
    const { at } = await overtaken();
    const { files, events } = await again(at, { onBehind: "adopt" });
    expect(files).toEqual([{ txid: 6n, pages: 20, full: true }]);
    expect(events.slice(0, 2)).toEqual(["behind", "forked"]);
  });
});

describe("a database that is behind", () => {
  /** A history whose states are kept. */
  async function kept(): Promise<{ at: Bench; copies: ModelDatabase[] }> {
    const at = bench();
    const replication = await start(at);
    const copies: ModelDatabase[] = [];
    for (const pgnos of [PAGES, [1, 2], [1, 2], [1, 2, 21], [1, 2]]) {
      at.database.write(pgnos);
      await run(at.platform, replication.flush());
      copies.push(copyOf(at.database));
    }
    await run(at.platform, replication.close());
    return { at, copies };
  }

  for (const txid of [1, 2, 3, 4]) {
    for (const marker of ["of the newest state", "lost"] as const) {
      test(`is found at TXID ${txid}, the marker ${marker}`, async () => {
        const { at, copies } = await kept();
        const database = copies[txid - 1] as ModelDatabase;
        const state = marker === "lost" ? durableState() : at.state;
        const starting = start({ ...at, database, state });
        await expect(starting).rejects.toMatchObject({ txid: BigInt(txid), newestTxid: 5n });
      });
    }
    test(`is not, with work of its own on top of TXID ${txid} in the same pages`, async () => {
      const { at, copies } = await kept();
      const database = copies[txid - 1] as ModelDatabase;
      database.write([1, 2]);
      for (const state of [durableState(), at.state]) {
        const copied = { ...at, database: copyOf(database), state };
        const replication = await start(copied);
        await run(at.platform, replication.close());
        expect(await restored(copied)).toEqual(database.bytes);
      }
    });
  }

  for (const marker of ["of the newest state", "lost"] as const) {
    test(`is not, when half of a later transaction is missing, the marker ${marker}`, async () => {
      const at = bench();
      await history(at, [PAGES, [2, 3], [4]]);
      const bytes = (await restored(at, 2n)).slice();
      bytes.set((await restored(at, 1n)).subarray(512, 1024), 512);
      at.database.load(bytes);
      const state = marker === "lost" ? durableState() : at.state;
      const { files } = await again({ ...at, state });
      expect(files).toEqual([{ txid: 4n, pages: 2, full: false }]);
    });
  }

  test("is found through a page that few files hold, and costs no whole download when it is not", async () => {
    const at = bench();
    await history(at, [PAGES, [5], [6], [7], [5], [6], [7]]);
    const database = new ModelDatabase();
    database.load(await restored(at, 4n));
    await expect(start({ ...at, database })).rejects.toMatchObject({ txid: 4n });

    const store = counted(at.store);
    at.database.write([5]);
    expect((await again({ ...at, store })).files).toEqual([{ txid: 8n, pages: 1, full: false }]);
    // Header and tail of the newest file, and each file once.
    expect(store.reads).toBeLessThan(7 + 20);
  });

  test("is told where a restore was asked for the earlier state", async () => {
    const { at, copies } = await kept();
    const position = await token(at, 2n);
    const database = copies[1] as ModelDatabase;
    const starting = start({ ...at, database, state: durableState() }, { position });
    await expect(starting).rejects.toMatchObject({ txid: 2n, newestTxid: 5n, chosen: true });
    await expect(starting).rejects.toThrow(/adopt/);
  });
});

describe("files staged before a crash", () => {
  /** Starts, writes `pgnos` with the store answering as told, and dies; returns the database as it was before. */
  async function crashed(
    at: Bench,
    put: "never answers" | "stores, never answers",
    pgnos: readonly number[],
  ): Promise<Uint8Array> {
    const store: ObjectStore = {
      ...at.store,
      async put(key, body, options) {
        if (put === "stores, never answers") await at.store.put(key, body, options);
        return await new Promise(() => {});
      },
    };
    await start({ ...at, store });
    const before = at.database.bytes;
    at.database.write(pgnos);
    await at.platform.clock.advanceAsync(2_000);
    expect(at.state.staged()).toHaveLength(1);
    return before;
  }

  test("are uploaded when their transaction survived", async () => {
    const at = bench();
    await history(at, [PAGES]);
    await crashed(at, "never answers", [2, 3]);
    expect((await again(at)).files).toEqual([{ txid: 2n, pages: 2, full: false }]);
    expect(at.state.staged()).toEqual([]);
  });

  test("are dropped when their transaction was rolled back", async () => {
    const at = bench();
    await history(at, [PAGES]);
    at.database.load(await crashed(at, "never answers", [2, 3]));
    expect((await again(at)).files).toEqual([]);
    expect(at.state.staged()).toEqual([]);
  });

  test("are dropped when more was committed than they hold, and one file brings all of it", async () => {
    const at = bench();
    await history(at, [PAGES]);
    await crashed(at, "never answers", [2, 3]);
    at.database.tamper(5);
    expect((await again(at)).files).toEqual([{ txid: 2n, pages: 3, full: false }]);
  });

  test("are one file with all that differs where another writer took the TXID before them", async () => {
    const at = bench();
    await history(at, [PAGES]);
    const other = { ...at, database: copyOf(at.database), state: durableState() };
    const store: ObjectStore = { ...at.store, put: () => new Promise(() => {}) };
    await start({ ...at, store });
    for (const pgnos of [[2], [3], [2, 4]]) {
      at.database.write(pgnos);
      await at.platform.clock.advanceAsync(2_000);
    }
    expect(at.state.staged()).toHaveLength(3);
    await history(other, [[2]]);
    // The files of TXID 3 and 4 together lead to what is here, but TXID 3 would be half of each.
    expect((await again(at)).files).toEqual([{ txid: 3n, pages: 3, full: false }]);
  });

  test("are uploaded behind files that the marker does not know yet", async () => {
    const at = bench();
    await history(at, [PAGES]);
    const early = at.state.readMarker() as Uint8Array;
    await history(at, [[4]]);
    await crashed(at, "never answers", [2, 3]);
    at.state.replaceMarker(early);
    expect((await again(at)).files).toEqual([{ txid: 3n, pages: 2, full: false }]);
  });

  for (const marker of ["newest", "older"] as const) {
    test(`are followed by the local images when they are in the replica and were rolled back here, the marker ${marker}`, async () => {
      const at = bench();
      await history(at, [PAGES]);
      const early = at.state.readMarker() as Uint8Array;
      await history(at, [[4]]);
      at.database.load(await crashed(at, "stores, never answers", [2, 3, 21]));
      if (marker === "older") at.state.replaceMarker(early);
      // Without a hold the COMMIT was acknowledged before the file was cut: then it is the database that is behind.
      await expect(start(at)).rejects.toMatchObject({ txid: 2n, newestTxid: 3n });
      const { files, events } = await again(at, { durability: "hold-retry" });
      expect(files).toEqual([{ txid: 4n, pages: 2, full: false }]);
      expect(events).not.toContain("forked");
      expect(events).not.toContain("behind");
    });
  }

  test("do not hide that the database is further behind than they explain", async () => {
    const at = bench();
    await history(at, [PAGES]);
    const early = at.database.bytes;
    await history(at, [[4]]);
    await crashed(at, "stores, never answers", [2, 3]);
    at.database.load(early);
    await expect(start(at)).rejects.toMatchObject({ txid: 1n, newestTxid: 3n });
  });

  test("are followed by one more file when a commit was cut into none", async () => {
    const at = bench();
    await history(at, [PAGES]);
    await crashed(at, "stores, never answers", [2, 3]);
    at.database.write([7, 21]);
    const { files, events } = await again(at);
    expect(files).toEqual([{ txid: 3n, pages: 2, full: false }]);
    expect(events).not.toContain("forked");
  });
});

describe("a level above the newest L0 file", () => {
  test("gets its L0 file from the replica's state, where the staged one is lost", async () => {
    const at = bench();
    await history(at, [PAGES, [2]]);
    let left = 1;
    const dying: ObjectStore = {
      ...at.store,
      put: (key, body, options) =>
        left-- > 0 ? at.store.put(key, body, options) : new Promise(() => {}),
    };
    await start({ ...at, store: dying });
    at.database.resize(1024, 3);
    await at.platform.clock.advanceAsync(2_000);
    const snapshot = "ltx/9/0000000000000001-0000000000000003.ltx";
    expect((await keys(at.store)).slice(2)).toEqual([snapshot]);
    const { timestamp } = decodeLtx(await bytesAt(at.store, snapshot)).header;
    const resized = at.database.bytes;
    at.database.write([2, 4]);

    const { files } = await again({ ...at, state: durableState() });
    expect(files).toEqual([
      { txid: 3n, pages: 3, full: true },
      { txid: 4n, pages: 2, full: false },
    ]);
    expect(decodeLtx(await bytesAt(at.store, level0(3))).header.timestamp).toBe(timestamp);
    expect(await restored(at, 3n)).toEqual(resized);
    expect((await again(at)).files).toEqual([]);
  });

  test("gets the staged L0 file although the database has moved on", async () => {
    const at = bench();
    await history(at, [PAGES]);
    let left = 1;
    const dying: ObjectStore = {
      ...at.store,
      put: (key, body, options) =>
        left-- > 0 ? at.store.put(key, body, options) : new Promise(() => {}),
    };
    await start({ ...at, store: dying });
    at.database.resize(1024, 3);
    await at.platform.clock.advanceAsync(2_000);
    at.database.write([2, 4]);
    expect((await again(at)).files).toEqual([
      { txid: 2n, pages: 3, full: true },
      { txid: 3n, pages: 2, full: false },
    ]);
  });

  test("keeps its L0 file when the database is behind and refused", async () => {
    const at = bench();
    await history(at, [PAGES]);
    const early = at.database.bytes;
    let left = 1;
    const dying: ObjectStore = {
      ...at.store,
      put: (key, body, options) =>
        left-- > 0 ? at.store.put(key, body, options) : new Promise(() => {}),
    };
    await start({ ...at, store: dying });
    at.database.resize(1024, 3);
    await at.platform.clock.advanceAsync(2_000);
    const old = new ModelDatabase();
    old.load(early);
    await expect(start({ ...at, database: old })).rejects.toMatchObject({ newestTxid: 2n });
    const { files } = await again({ ...at, database: old }, { onBehind: "adopt" });
    expect(files).toEqual([
      { txid: 2n, pages: 3, full: true },
      { txid: 3n, pages: 20, full: true },
    ]);
  });
});

describe("pages of the free list", () => {
  /** Sets the first trunk and the number of free pages in page 1, and the leaves of the trunk, page 8. */
  function setFreeList(database: ModelDatabase, count: number): void {
    const bytes = database.bytes;
    const view = new DataView(bytes.buffer);
    view.setUint32(32, 8);
    view.setUint32(36, count);
    const trunk = 7 * 512;
    for (const [i, value] of [0, 2, 9, 10].entries()) view.setUint32(trunk + 4 * i, value);
    database.load(bytes);
  }

  for (const [what, count, tampered, behind] of [
    ["leaves do not count", 3, 9, true],
    ["trunks count", 3, 8, false],
    ["other pages count", 3, 11, false],
    ["leaves of a malformed list count", 4, 9, false],
  ] as const) {
    for (const marker of ["of the newest state", "lost"] as const) {
      test(`${what} when a database is compared with an earlier state, the marker ${marker}`, async () => {
        const at = bench();
        at.database.write(PAGES);
        setFreeList(at.database, count);
        await history(at, [[4]]);
        const early = copyOf(at.database);
        await history(at, [[4], [5]]);
        early.tamper(tampered);
        const state = marker === "lost" ? durableState() : at.state;
        const copied = { ...at, database: early, state };
        if (behind) await expect(start(copied)).rejects.toMatchObject({ txid: 2n });
        else expect((await again(copied)).files).toHaveLength(1);
      });
    }
  }

  test("that differ from the newest state are shipped", async () => {
    const at = bench();
    at.database.write(PAGES);
    setFreeList(at.database, 3);
    await history(at, [[4], [5]]);
    at.database.tamper(9);
    expect((await again(at)).files).toEqual([{ txid: 4n, pages: 1, full: false }]);
  });
});

describe("random copies of a database", () => {
  for (let seed = 1; seed <= 20; seed++) {
    test(`are behind when they equal an earlier state, and shipped when not (seed ${seed})`, async () => {
      const random = seededRandom(seed);
      const at = bench({ database: new ModelDatabase(512, seed), platform: fakePlatform(seed) });
      const states: Uint8Array[] = [];
      const markers: Uint8Array[] = [];
      for (let turn = 0; turn < 4; turn++) {
        const replication = await start(at);
        for (let i = 0; i < 1 + random.int(4); i++) {
          const size = at.database.commit;
          const pgnos = Array.from({ length: 1 + random.int(4) }, () => 1 + random.int(size + 2));
          at.database.write(pgnos, random.int(6) === 0 ? 1 + random.int(size + 4) : undefined);
          await run(at.platform, replication.flush());
          states.push(at.database.bytes);
        }
        await run(at.platform, replication.close());
        markers.push(at.state.readMarker() as Uint8Array);
      }
      const newest = states.length;
      for (let i = 0; i < 12; i++) {
        const txid = 1 + random.int(newest);
        const database = new ModelDatabase(512, 1_000 + i);
        database.load(states[txid - 1] as Uint8Array);
        const state = durableState();
        if (random.int(3) > 0) state.replaceMarker(random.pick(markers));
        const store = memoryStore();
        for (const key of await keys(at.store)) await store.put(key, await bytesAt(at.store, key));
        const copy = {
          ...at,
          database,
          state,
          store: { ...store, description: at.store.description },
        };
        const isOwn = random.int(2) === 0;
        if (isOwn) database.write([1 + random.int(database.commit)]);
        if (!isOwn && txid < newest) {
          const starting = start(copy);
          await expect(starting).rejects.toMatchObject({ code: "DATABASE_BEHIND" });
        } else {
          const { files } = await again(copy);
          expect(files).toHaveLength(isOwn ? 1 : 0);
        }
      }
    });
  }
});
