import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import { openTestReader as open } from "../../test/helpers/open-reader.ts";
import { RandomHistory } from "../../test/helpers/random-history.ts";
import type { BlockingReads } from "../core/page-source.ts";
import { encodeHeader, replicaHeader } from "../ltx/header.ts";
import { encodePageHeader, PAGE_BLOCK } from "../ltx/page-frame.ts";
import { encodePageIndex } from "../ltx/page-index.ts";
import { lz4Compress, lz4CompressBound } from "../ltx/lz4-block.ts";
import {
  buildLtx,
  fakePlatform,
  faultyStore,
  type FaultyStore,
  seededRandom,
  storeFault,
} from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";
import { restorablePoints } from "./restore-points.ts";
import type { ReplicaReader, ReplicaView } from "./reader.ts";

/** A replica of one snapshot of random pages: nothing compresses. */
async function snapshot(
  store: ObjectStore,
  commit: number,
  options: { readonly maxTxid?: bigint; readonly pageSize?: number } = {},
): Promise<{ key: string; pages: ReadonlyMap<number, Uint8Array> }> {
  const { maxTxid = 1n, pageSize = 512 } = options;
  const pages = Object.fromEntries(
    Array.from({ length: commit }, (_, i) => [i + 1, { seed: i + 1 }]),
  );
  const built = buildLtx({ minTxid: 1n, maxTxid, pageSize, pages });
  const key = `ltx/9/${built.name}`;
  await store.put(key, built.bytes);
  return { key, pages: built.pages };
}

/** Changes bytes of an object. */
async function alter(
  store: ObjectStore,
  key: string,
  change: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  await store.put(key, change(await bytesAt(store, key)));
}

async function replica(): Promise<FaultyStore> {
  return faultyStore(memoryStore());
}

/** Every page of a view, read in an order of its own. */
async function expectState(
  reader: ReplicaReader,
  view: ReplicaView,
  history: RandomHistory,
): Promise<void> {
  const txid = Number(view.txid);
  const { commit } = history.states[txid] as RandomHistory["states"][number];
  expect(view.commit, `size at ${txid}`).toBe(commit);
  const pgnos = seededRandom(txid).shuffle(Array.from({ length: commit }, (_, i) => i + 1));
  for (const pgno of pgnos) {
    if (reader.peek(view, pgno) === undefined) {
      try {
        await reader.fetch(view, [pgno]);
      } catch (error) {
        // Only where a restore could not give it either.
        expect(error).toMatchObject({ code: "TXID_NOT_AVAILABLE" });
        const points = restorablePoints((await reader.replica.levels()).flat());
        expect(points.map((point) => point.txid)).not.toContain(view.txid);
        return;
      }
    }
    expect(reader.peek(view, pgno), `page ${pgno} at ${txid}`).toEqual(history.page(txid, pgno));
  }
}

describe("openReader()", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "shows every state of a random history as it was, seed %i",
    async (seed) => {
      const random = seededRandom(seed);
      const history = new RandomHistory(memoryStore(), seed);
      await history.commit();
      const reader = await open(history.store, { cacheBytes: 8192 });
      const views: ReplicaView[] = [reader.latest];
      const ends = [0, 0];
      for (let step = 0; step < 60; step++) {
        await history.commit();
        if (random.chance(0.2)) {
          await history.write(1, (ends[0] ?? 0) + 1, history.txid);
          ends[0] = history.txid;
        }
        if (random.chance(0.05)) await history.write(9, 1, history.txid);
        if (random.chance(0.05)) await history.remove(0, ends[0] ?? 0);
        if (random.chance(0.6)) views.push(await reader.refresh());
        if (random.chance(0.3)) {
          const points = restorablePoints((await reader.replica.levels()).flat());
          views.push(await reader.viewAt({ txid: random.pick(points).txid }));
        }
        await expectState(reader, random.pick(views), history);
      }
      for (const view of views) await expectState(reader, view, history);
      for (const [from, to] of [[random.pick(views), random.pick(views)]] as const) {
        const changed = new Set(reader.changedPages(from, to));
        const [a, b] = [Number(from.txid), Number(to.txid)];
        for (let pgno = 1; pgno <= Math.max(from.commit, to.commit); pgno++) {
          if (changed.has(pgno)) continue;
          expect(history.page(a, pgno), `page ${pgno} of ${a} and ${b}`).toEqual(
            history.page(b, pgno),
          );
        }
      }
    },
  );
});

describe("openReader() on replicas that are not as they should be", () => {
  test("refuses a replica without files at once, and waits for one only as long as it is told to", async () => {
    const store = memoryStore();
    await expect(open(store)).rejects.toMatchObject({ code: "NO_BACKUP" });
    const platform = fakePlatform(1);
    const late = open(store, { platform, waitForReplica: 5000 });
    await platform.clock.advanceAsync(3000);
    await snapshot(store, 3);
    await platform.clock.advanceAsync(300);
    expect((await late).latest.commit).toBe(3);
    const never = open(memoryStore(), { platform, waitForReplica: 1000 });
    const refused = expect(never).rejects.toMatchObject({ code: "NO_BACKUP" });
    await platform.clock.advanceAsync(1000);
    await refused;
  });

  test("names restore for what Litestream 0.3 left", async () => {
    const store = memoryStore();
    const key = "generations/0123456789abcdef/snapshots/00000000.snapshot.lz4";
    await store.put(key, new Uint8Array([1]));
    await expect(open(store)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      nextStep: expect.stringContaining("restore()"),
    });
  });

  test("never shows an older state where the newest file is cut, misnamed, altered or of another size", async () => {
    const make = async (
      change: (bytes: Uint8Array) => Uint8Array,
      pages: Record<number, number | { seed: number }> = { 1: 2 },
    ): Promise<ObjectStore> => {
      const store = memoryStore();
      await snapshot(store, 4);
      const next = buildLtx({ minTxid: 2n, pageSize: 512, commit: 4, pages });
      await store.put(`ltx/0/${next.name}`, change(next.bytes));
      return store;
    };
    const refuses = async (store: ObjectStore): Promise<void> =>
      await expect(open(store)).rejects.toMatchObject({ code: "DAMAGED_FILE" });
    const whole = await open(await make((bytes) => bytes));
    expect(whole.latest.txid).toBe(2n);
    await refuses(await make((bytes) => bytes.subarray(0, bytes.length - 10)));
    await refuses(await make((bytes) => bytes.subarray(0, 100)));
    await refuses(await make((bytes) => bytes.with(150, bytes[150]! ^ 1)));
    const other = buildLtx({ minTxid: 3n, pageSize: 512, commit: 4, pages: { 1: 3 } });
    await refuses(await make(() => other.bytes));
    const larger = buildLtx({ minTxid: 2n, pageSize: 1024, commit: 4, pages: { 1: 3 } });
    await refuses(await make(() => larger.bytes));
    const gap = await make((bytes) => bytes);
    await gap.delete([`ltx/9/${name(1, 1)}`]);
    await expect(open(gap)).rejects.toMatchObject({ code: "GAP" });
    // A file that grows the database must bring every new page.
    const hole = buildLtx({ minTxid: 2n, pageSize: 512, commit: 9, pages: { 1: 3, 9: 1 } });
    await refuses(await make(() => hole.bytes));
  });

  test("finds what is wrong with the index and the header of a large file", async () => {
    const make = async (
      change: (view: DataView, bytes: Uint8Array) => void,
    ): Promise<ObjectStore> => {
      const store = memoryStore();
      const { key } = await snapshot(store, 1100);
      await alter(store, key, (bytes) => {
        change(new DataView(bytes.buffer), bytes);
        return bytes;
      });
      return store;
    };
    const refuses = async (change: (view: DataView, bytes: Uint8Array) => void): Promise<void> =>
      await expect(open(await make(change))).rejects.toMatchObject({ code: "DAMAGED_FILE" });
    await refuses((view) => view.setUint32(12, 0xffffffff));
    await refuses((view) => view.setUint32(12, 299));
    await refuses((view) => view.setBigUint64(24, 7n));
    await refuses((view, { length }) => view.setBigUint64(length - 24, 1n << 60n));
    // The size of one frame, somewhere in the index.
    await refuses((view, { length }) =>
      view.setUint8(length - 300, view.getUint8(length - 300) ^ 1),
    );
  });

  test("tells a damaged frame from others, and serves those", async () => {
    const store = memoryStore();
    const { key, pages } = await snapshot(store, 1100);
    // A frame of a page that does not compress takes 10 bytes and 515 of LZ4; pages before it came with the index.
    const at = 100 + 199 * 525;
    await alter(store, key, (bytes) => {
      expect(new DataView(bytes.buffer).getUint32(at)).toBe(200);
      return bytes.with(at + 3, 201);
    });
    const reader = await open(store);
    const view = reader.latest;
    await expect(reader.fetch(view, [200])).rejects.toMatchObject({
      code: "DAMAGED_FILE",
      file: key,
    });
    await reader.fetch(view, [199, 201]);
    expect(reader.peek(view, 201)).toEqual(pages.get(201));
    await alter(store, key, (bytes) => bytes.with(at + 525 * 10 + 9, 0));
    const again = await open(store);
    await expect(again.fetch(again.latest, [210])).rejects.toMatchObject({ code: "DAMAGED_FILE" });
  });

  test("finds a state in other files where those it knew are gone", async () => {
    const history = new RandomHistory(memoryStore(), 3);
    const keys: string[] = [];
    for (let i = 0; i < 12; i++) {
      await history.commit();
      keys.push(`ltx/0/${name(history.txid, history.txid)}`);
    }
    const reader = await open(history.store, { cacheBytes: 0 });
    const { latest } = reader;
    await history.write(1, 1, 12);
    await history.store.delete(keys.slice(0, 11));
    await expectState(reader, latest, history);
    // Nothing leads to a state in the middle any more.
    await expect(reader.viewAt({ txid: 5n })).rejects.toMatchObject({ code: "TXID_NOT_AVAILABLE" });
    await history.commit();
    await history.write(9, 1, 13);
    await history.store.delete([`ltx/1/${name(1, 12)}`, keys[11] as string]);
    await expect(reader.fetch(latest, [1])).rejects.toMatchObject({
      code: "TXID_NOT_AVAILABLE",
      object: "memory",
    });
  });

  test("reads a file anew that was replaced, and never mixes the two", async () => {
    const store = await replica();
    const { key, pages } = await snapshot(store, 1100);
    const reader = await open(store);
    await alter(store, key, (bytes) => bytes.with(60_000, bytes[60_000]! ^ 1));
    store.reset();
    await reader.fetch(reader.latest, [250]);
    expect(store.count("list")).toBe(1);
    expect(reader.peek(reader.latest, 250)).toEqual(pages.get(250));
  });
});

test("openReader() and what it opens get over a store that fails at every tenth request", async () => {
  const random = seededRandom(21);
  const history = new RandomHistory(memoryStore(), 21);
  for (let i = 0; i < 30; i++) await history.commit(100);
  await history.write(9, 1, 30);
  await history.commit();
  const store = faultyStore(history.store, {
    fault({ operation }) {
      if (!random.chance(0.1)) return undefined;
      return random.chance(0.5)
        ? { before: storeFault() }
        : { cutAfter: operation === "get" ? 50 : 0 };
    },
  });
  const retry = { attempts: 12, baseMs: 1, capMs: 1, budgetMs: 10_000 };
  const reader = await open(store, { platform: webPlatform, retry, cacheBytes: 8192 });
  for (let i = 0; i < 4; i++) {
    await expectState(reader, reader.latest, history);
    await history.commit();
    await reader.refresh();
  }
  expect(reader.latest.txid).toBe(BigInt(history.txid));
  expect(store.count()).toBeGreaterThan(100);
});

describe("openReader() counts its requests", () => {
  test("501 small files cost one request each, and their pages none", async () => {
    const store = await replica();
    await snapshot(store, 20);
    for (let txid = 2; txid <= 501; txid++) {
      const pages = { [1 + (txid % 16)]: txid % 256 };
      const built = buildLtx({ minTxid: BigInt(txid), pageSize: 512, commit: 20, pages });
      await store.put(`ltx/0/${built.name}`, built.bytes);
    }
    store.reset();
    const reader = await open(store);
    expect(store.count()).toBe(502);
    expect(reader.stats.requests).toBe(502);
    const view = reader.latest;
    for (let pgno = 1; pgno <= 16; pgno++) {
      expect(reader.peek(view, pgno)?.[0]).toBe(lastValue(pgno));
    }
    expect(store.count()).toBe(502);
    expect(view.fileCount).toBeLessThanOrEqual(17);

    function lastValue(pgno: number): number {
      for (let txid = 501; ; txid--) if (1 + (txid % 16) === pgno) return txid % 256;
    }
  });

  test("files come whole as long as they are few and small, larger ones in two requests", async () => {
    const store = await replica();
    await snapshot(store, 400);
    for (let txid = 2; txid <= 20; txid++) {
      const built = buildLtx({
        minTxid: BigInt(txid),
        pageSize: 512,
        commit: 400,
        pages: { 3: 3 },
      });
      store.reset();
      expect((await open(store)).latest.txid).toBe(BigInt(txid - 1));
      expect(store.count("get")).toBe(txid - 1 + (2 ** 21 / (txid - 1) < 210_000 ? 1 : 0));
      await store.put(`ltx/0/${built.name}`, built.bytes);
    }
  });

  test("a page that several ask for at once is read once", async () => {
    const store = await replica();
    const { pages } = await snapshot(store, 1100);
    const reader = await open(store, { readAhead: 0 });
    store.reset();
    const { latest } = reader;
    await Promise.all([reader.fetch(latest, [300]), reader.fetch(latest, [300, 301])]);
    expect(store.count("get")).toBe(2);
    await reader.fetch(latest, [300, 301]);
    expect(store.count("get")).toBe(2);
    expect(reader.peek(latest, 301)).toEqual(pages.get(301));
  });

  test("neighbours within 16 KiB come with one request, others do not", async () => {
    const store = await replica();
    await snapshot(store, 1100);
    const reader = await open(store, { readAhead: 0 });
    store.reset();
    await reader.fetch(reader.latest, [200, 210, 230, 300]);
    expect(store.requests.map(({ length }) => length)).toEqual([31 * 525, 525]);
  });

  test("an index that was kept costs one listing and what is new", async () => {
    const store = await replica();
    const { pages } = await snapshot(store, 1100);
    let saved: Uint8Array | undefined;
    const indexStore = {
      load: async () => saved,
      save: async (bytes: Uint8Array) => void (saved = bytes),
    };
    await (await open(store, { indexStore })).close();
    const bytes = saved as unknown as Uint8Array;
    const next = buildLtx({ minTxid: 2n, pageSize: 512, commit: 1100, pages: { 7: 7 } });
    await store.put(`ltx/0/${next.name}`, next.bytes);
    store.reset();
    const again = await open(store, { indexStore });
    expect(store.requests.map(({ operation }) => operation)).toEqual(["list", "get"]);
    await again.fetch(again.latest, [7, 250]);
    expect(again.peek(again.latest, 7)?.[0]).toBe(7);
    expect(again.peek(again.latest, 250)).toEqual(pages.get(250));
    for (const damaged of [bytes.with(40, 0), bytes.subarray(0, 50), new Uint8Array(3)]) {
      saved = damaged;
      expect((await open(store, { indexStore })).latest.txid).toBe(2n);
    }
  });
});

describe("openReader() reads pages", () => {
  test.each([512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])("of %i bytes", async (pageSize) => {
    const store = memoryStore();
    const { pages } = await snapshot(store, 5, { pageSize });
    const reader = await open(store);
    await reader.fetch(reader.latest, [1, 2, 3, 4, 5]);
    for (const [pgno, page] of pages) expect(reader.peek(reader.latest, pgno)).toEqual(page);
  });

  test("on both sides of the lock page, which is all zeros", async () => {
    const store = memoryStore();
    await store.put(`ltx/9/${name(1, 1)}`, aboveLockPage());
    const reader = await open(store);
    const view = reader.latest;
    expect(view.commit).toBe(16_390);
    await reader.fetch(view, [16_384, 16_385, 16_386]);
    expect(reader.peek(view, 16_384)?.[0]).toBe(16_384 % 251);
    expect(reader.peek(view, 16_386)?.[0]).toBe(16_386 % 251);
    expect(reader.peek(view, 16_385)?.every((byte) => byte === 0)).toBe(true);
  });

  test("of a database without any", async () => {
    const store = memoryStore();
    const empty = buildLtx({ pages: {}, commit: 0 });
    await store.put(`ltx/0/${empty.name}`, empty.bytes);
    const reader = await open(store);
    expect(reader.latest.commit).toBe(0);
    await expect(reader.fetch(reader.latest, [1])).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });

  test("while the thread waits, with the same requests", async () => {
    const store = await replica();
    const { key, pages } = await snapshot(store, 1100);
    const whole = await bytesAt(store, key);
    const ranges: [string, number, number][] = [];
    const blockingReads: BlockingReads = {
      read(asked, { offset, length, etag }) {
        ranges.push([asked, offset, length]);
        expect(etag).not.toBe("");
        return whole.slice(offset, offset + length);
      },
    };
    const reader = await open(store, { blockingReads, readAhead: 0 });
    store.reset();
    reader.fetchSync?.(reader.latest, [300, 301]);
    expect(reader.peek(reader.latest, 301)).toEqual(pages.get(301));
    expect(ranges).toEqual([[key, 100 + 299 * 525, 1050]]);
    expect(store.count()).toBe(0);
    expect((await open(store)).fetchSync).toBeUndefined();
  });

  test("from a file that was put in its place again, but not from another one of its name", async () => {
    const store = memoryStore();
    const put = async (seed: number, timestamp: number): Promise<Uint8Array | undefined> => {
      const pages = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i + 1, { seed }]));
      const built = buildLtx({ pageSize: 512, pages, timestamp });
      await store.put(`ltx/9/${built.name}`, built.bytes);
      return built.pages.get(300);
    };
    const page = await put(1, 1000);
    const reader = await open(store, { cacheBytes: 0 });
    const { latest } = reader;
    await put(1, 1000);
    await reader.fetch(latest, [300]);
    expect(reader.peek(latest, 300)).toEqual(page);
    await put(2, 2000);
    await expect(reader.fetch(latest, [200])).rejects.toMatchObject({ code: "DAMAGED_FILE" });
  });

  test("into a cache that never holds more than it may, unless they are kept", async () => {
    const store = memoryStore();
    const { pages } = await snapshot(store, 1100);
    const reader = await open(store, { cacheBytes: 16 * 512, readAhead: 0 });
    const view = reader.latest;
    const inMemory = (): number =>
      [...pages.keys()].filter((pgno) => reader.peek(view, pgno)).length;
    for (let pgno = 1; pgno <= 400; pgno += 7) {
      await reader.fetch(view, [pgno]);
      expect(reader.peek(view, pgno)).toEqual(pages.get(pgno));
    }
    expect(inMemory()).toBeLessThanOrEqual(16);
    const release = reader.pin(view, { keepPages: true });
    for (let pgno = 201; pgno <= 216; pgno++) await reader.fetch(view, [pgno]);
    for (let pgno = 201; pgno <= 216; pgno++) expect(reader.peek(view, pgno)).toBeDefined();
    await expect(reader.fetch(view, [300])).rejects.toMatchObject({ code: "CACHE_FULL" });
    release();
    release();
    await reader.fetch(view, [300]);
    expect(reader.peek(view, 300)).toEqual(pages.get(300));
  });

  test("into no larger cache while another read hangs", async () => {
    const inner = memoryStore();
    const { pages } = await snapshot(inner, 1100);
    const { clock } = fakePlatform(2);
    const isSlow = (offset = 0): boolean => offset === 100 + 999 * 525;
    const store = faultyStore(inner, {
      clock,
      fault: ({ offset }) => (isSlow(offset) ? { delayMs: 1000 } : undefined),
    });
    const reader = await open(store, { cacheBytes: 16 * 512, readAhead: 0 });
    const view = reader.latest;
    const slow = reader.fetch(view, [1000]);
    for (let pgno = 1; pgno <= 100; pgno++) await reader.fetch(view, [pgno]);
    const inMemory = [...pages.keys()].filter((pgno) => reader.peek(view, pgno)).length;
    expect(inMemory).toBeLessThanOrEqual(16);
    await clock.advanceAsync(1000);
    await slow;
    expect(reader.peek(view, 1000)).toEqual(pages.get(1000));
  });

  test("which are there for each who asked, however many ask and however small the cache is", async () => {
    const inner = memoryStore();
    const { pages } = await snapshot(inner, 1100);
    let turn = 0;
    const get: ObjectStore["get"] = async (key, options) => {
      // Answers come in between whatever follows other answers.
      for (let i = ++turn % 8; i > 0; i--) await Promise.resolve();
      return await inner.get(key, options);
    };
    const reader = await open({ ...inner, get }, { cacheBytes: 0, readAhead: 0 });
    const view = reader.latest;
    const read = async (pgno: number): Promise<void> => {
      await reader.fetch(view, [pgno]);
      expect(reader.peek(view, pgno), `page ${pgno}`).toEqual(pages.get(pgno));
    };
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: 20 }, (_, i) => read(1 + ((round + 3 * i) % 60))));
    }
  });

  test("and keeps what is kept when files move", async () => {
    const history = new RandomHistory(memoryStore(), 4);
    for (let i = 0; i < 12; i++) await history.commit(400);
    const reader = await open(history.store, { cacheBytes: 12 * 512, readAhead: 0 });
    const { latest } = reader;
    expect(latest.commit).toBeGreaterThan(40);
    reader.pin(latest, { keepPages: true });
    const kept = [1, 2, 3, 4, 5].filter((pgno) => pgno <= latest.commit);
    await reader.fetch(latest, kept);
    await history.write(9, 1, 12);
    await history.remove(0, 12);
    for (let pgno = 6; pgno <= latest.commit; pgno++) {
      await reader.fetch(latest, [pgno]).catch(() => undefined);
    }
    for (const pgno of kept) expect(reader.peek(latest, pgno)).toEqual(history.page(12, pgno));
  });

  test("ends when it is told to, and says so", async () => {
    const store = await replica();
    await snapshot(store, 1100);
    const reader = await open(store);
    const { latest } = reader;
    const signal = AbortSignal.abort("enough");
    await expect(reader.fetch(latest, [300], { signal })).rejects.toMatchObject({
      code: "ABORTED",
    });
    await expect(open(store, { signal })).rejects.toMatchObject({ code: "ABORTED" });
    await reader.close();
    await reader.close();
    await expect(reader.fetch(latest, [300])).rejects.toMatchObject({ code: "CLOSED" });
    await expect(reader.viewAt({ txid: 9n })).rejects.toMatchObject({ code: "CLOSED" });
  });
});

describe("changedPages()", () => {
  test("names exactly what single transactions wrote, in either direction", async () => {
    const history = new RandomHistory(memoryStore(), 11);
    for (let i = 0; i < 30; i++) await history.commit(400);
    const reader = await open(history.store);
    const from = reader.latest;
    const written = new Set<number>();
    for (let i = 0; i < 5; i++) {
      await history.commit(40);
      const { changed, commit } = history.states.at(-1) as RandomHistory["states"][number];
      const before = history.states.at(-2)?.commit ?? 0;
      for (const pgno of changed) written.add(pgno);
      for (let pgno = commit + 1; pgno <= before; pgno++) written.add(pgno);
    }
    const to = await reader.refresh();
    const ascending = [...written]
      .filter((pgno) => pgno <= Math.max(from.commit, to.commit))
      .sort((a, b) => a - b);
    expect([...reader.changedPages(from, to)]).toEqual(ascending);
    expect([...reader.changedPages(to, from)]).toEqual(ascending);
    expect([...reader.changedPages(to, to)]).toEqual([]);
  });
});

describe("viewAt()", () => {
  test("goes back to a time, and refuses one that has not come unless asked", async () => {
    const platform = fakePlatform(1);
    const history = new RandomHistory(memoryStore({ platform }), 5);
    for (let i = 0; i < 5; i++) {
      platform.clock.advance(60_000);
      await history.commit();
    }
    const reader = await open(history.store, { platform });
    const at = new Date(platform.clock.now() - 90_000);
    const view = await reader.viewAt({ timestamp: at });
    expect(view.txid).toBe(3n);
    expect(view.time.getTime()).toBeLessThanOrEqual(at.getTime());
    await expectState(reader, view, history);
    const timestamp = new Date(platform.clock.now() + 1000);
    await expect(reader.viewAt({ timestamp })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect((await reader.viewAt({ timestamp }, { allowFuture: true })).txid).toBe(5n);
    for (const same of [{ timestamp: "90 seconds ago" }, { txid: "0000000000000003" }]) {
      expect((await reader.viewAt(same)).txid).toBe(3n);
    }
    for (const wrong of [{ txid: 0n }, { txid: "3" }, { timestamp: "once" }]) {
      await expect(reader.viewAt(wrong)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
    await expect(reader.viewAt({ timestamp: new Date(0) })).rejects.toMatchObject({
      code: "TIMESTAMP_NOT_AVAILABLE",
    });
    expect(platform.clock.pending).toBe(0);
  });
});

function name(from: number, to: number): string {
  const hex = (txid: number): string => txid.toString(16).padStart(16, "0");
  return `${hex(from)}-${hex(to)}.ltx`;
}

/** A snapshot of more than 1 GiB whose pages hold one byte each: small, and never read whole. */
function aboveLockPage(): Uint8Array {
  const pageSize = 65536;
  const commit = 16_390;
  const pgnos = Uint32Array.from({ length: commit - 1 }, (_, i) => (i < 16_384 ? i + 1 : i + 2));
  const blocks = Array.from({ length: 251 }, (_, byte) => {
    const block = new Uint8Array(lz4CompressBound(pageSize));
    return block.slice(0, lz4Compress(new Uint8Array(pageSize).fill(byte), block));
  });
  const frames: Uint8Array[] = [];
  const offsets = new Float64Array(pgnos.length);
  const sizes = new Uint32Array(pgnos.length);
  let at = 100;
  for (const [i, pgno] of pgnos.entries()) {
    const block = blocks[pgno % 251] as Uint8Array;
    const frame = new Uint8Array(10 + block.length);
    frame.set(encodePageHeader({ pgno, flags: PAGE_BLOCK }));
    new DataView(frame.buffer).setUint32(6, block.length);
    frame.set(block, 10);
    frames.push(frame);
    offsets[i] = at;
    sizes[i] = frame.length;
    at += frame.length;
  }
  const fields = { pageSize, commit, minTxid: 1n, maxTxid: 1n, timestamp: 1n, compacted: true };
  const header = encodeHeader({ ...replicaHeader(fields), flags: 2 });
  const index = encodePageIndex({ pgnos, offsets, sizes });
  return new Uint8Array(
    Buffer.concat([header, ...frames, new Uint8Array(6), index, new Uint8Array(16)]),
  );
}
