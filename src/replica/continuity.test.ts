import { describe, expect, test } from "vitest";
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

async function bytesAt(store: ObjectStore, key: string): Promise<Uint8Array> {
  const { body } = await store.get(key);
  return new Uint8Array(await new Response(body as never).arrayBuffer());
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
