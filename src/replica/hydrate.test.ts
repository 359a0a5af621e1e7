import { describe, expect, onTestFinished, test } from "vitest";
import { ONE_TRY } from "../../test/helpers/one-try.ts";
import { openTestReader } from "../../test/helpers/open-reader.ts";
import { RandomHistory } from "../../test/helpers/random-history.ts";
import { equalBytes } from "../core/bytes.ts";
import { collect } from "../testing/test-kit.ts";
import {
  buildLtx,
  fakePlatform,
  faultyStore,
  type FaultyStore,
  memorySyncFiles,
  type MemorySyncFiles,
  seededRandom,
} from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { bytesHydrationTarget, syncFileHydrationTarget } from "./hydrate-target.ts";
import { type Hydrated, hydrate, type HydrateOptions } from "./hydrate.ts";
import { openReader, type ReplicaReader, type ReplicaView } from "./reader.ts";

const PATH = "/data/copy.db";

async function hydrated(
  reader: ReplicaReader,
  target: Parameters<typeof hydrate>[1],
  options: HydrateOptions = {},
): Promise<Hydrated> {
  const hydration = await hydrate(reader, target, options);
  onTestFinished(() => hydration.close());
  return hydration;
}

/** The database of a state as a restore writes it. */
function image(history: RandomHistory, txid: number): Uint8Array {
  const { commit } = history.states[txid] as RandomHistory["states"][number];
  const bytes = new Uint8Array(commit * history.pageSize);
  for (let pgno = 1; pgno <= commit; pgno++) {
    bytes.set(history.page(txid, pgno), (pgno - 1) * history.pageSize);
  }
  return bytes;
}

async function expectState(
  reader: ReplicaReader,
  view: ReplicaView,
  history: RandomHistory,
): Promise<void> {
  const txid = Number(view.txid);
  for (let pgno = 1; pgno <= view.commit; pgno++) {
    if (reader.peek(view, pgno) === undefined) await reader.fetch(view, [pgno]);
    const page = reader.peek(view, pgno) ?? new Uint8Array(0);
    expect(equalBytes(page, history.page(txid, pgno)), `page ${pgno} at ${txid}`).toBe(true);
  }
}

function files(): MemorySyncFiles {
  const made = memorySyncFiles();
  made.makeDirectory("/data");
  return made;
}

async function historyOf(
  commits: number,
  seed: number,
  store = memoryStore(),
): Promise<RandomHistory> {
  const history = new RandomHistory(store, seed);
  for (let i = 0; i < commits; i++) await history.commit();
  return history;
}

/** A store with one file of so many random pages of 4096 bytes. */
async function largeReplica(pages: number): Promise<FaultyStore> {
  const store = memoryStore();
  const all = Object.fromEntries(Array.from({ length: pages }, (_, i) => [i + 1, { seed: i + 1 }]));
  const { bytes, name } = buildLtx({ pages: all });
  await store.put(`ltx/9/${name}`, bytes);
  return faultyStore(store);
}

describe("hydrate()", () => {
  test.each([1, 2, 3, 4, 5, 6])(
    "keeps the copy of a random history up to date, and every state as it was, seed %i",
    async (seed) => {
      const random = seededRandom(seed);
      const history = await historyOf(5, seed);
      const reader = await openTestReader(history.store, { cacheBytes: 4096 });
      const disk = files();
      const inMemory = bytesHydrationTarget();
      const target = random.chance(0.5) ? inMemory : syncFileHydrationTarget(disk, PATH);
      const bytes = (): Uint8Array =>
        (target === inMemory ? inMemory.bytes : disk.bytes(PATH)) ?? new Uint8Array(0);
      const hydration = await hydrated(reader, target);
      const views: ReplicaView[] = [reader.latest];
      for (let step = 0; step < 25; step++) {
        await history.commit();
        if (random.chance(0.1)) await history.write(9, 1, history.txid);
        const unpin = reader.pin(random.pick(views));
        views.push(await reader.refresh());
        await expectState(reader, random.pick(views), history);
        unpin();
        if (random.chance(0.3)) continue;
        expect(await hydration.complete()).toBe(BigInt(history.txid));
        expect(equalBytes(bytes(), image(history, history.txid))).toBe(true);
      }
      for (const view of views) await expectState(reader, view, history);
    },
  );

  test("asks at most once for each mebibyte, and not for what is in memory", async () => {
    const store = await largeReplica(1800);
    const reader = await openTestReader(store, { readAhead: 0 });
    const view = reader.latest;
    const cached = Array.from({ length: 400 }, (_, i) => 600 + i);
    await reader.fetch(view, cached);
    store.reset();
    const before = reader.stats.bytes;
    const hydration = await hydrated(reader, bytesHydrationTarget());
    await hydration.complete();
    const { requests, bytes, pages, totalPages } = hydration.progress;
    expect([pages, totalPages]).toEqual([1800, 1800]);
    expect(requests).toBe(store.count("get"));
    expect(requests).toBeLessThanOrEqual(1800 / 256);
    expect(bytes).toBeLessThan(1430 * 4200);
    expect(reader.stats.bytes).toBe(before);

    store.reset();
    for (let pgno = 1; pgno <= 1800; pgno++) expect(reader.peek(view, pgno)).toBeDefined();
    await reader.fetch(view, [1, 900, 1800]);
    expect(store.requests).toEqual([]);
  });

  test("brings in what comes while it works, before it says that it is complete", async () => {
    const inner = memoryStore();
    const history = await historyOf(3, 7, inner);
    await history.write(9, 1, 3);
    const store = faultyStore(inner);
    const reader = await openTestReader(store, { cacheBytes: 0 });
    let more: Promise<unknown> | undefined;
    const target = bytesHydrationTarget();
    const seen: bigint[] = [];
    const hydration = await hydrated(reader, target, {
      onProgress: () => {
        more ??= history
          .commit()
          .then(() => history.commit())
          .then(() => reader.refresh());
      },
    });
    const events = collectEvents(hydration, seen);
    await hydration.complete();
    await more;
    expect(await hydration.complete()).toBe(5n);
    expect(target.bytes).toEqual(image(history, 5));
    await hydration.close();
    await events;
    expect(seen.at(-1)).toBe(5n);
  });

  test("leaves a transaction its pages, whatever becomes of the store", async () => {
    const history = await historyOf(4, 3);
    const reader = await openTestReader(history.store, { cacheBytes: 0 });
    const target = bytesHydrationTarget();
    const hydration = await hydrated(reader, target);
    await hydration.complete();
    const old = reader.latest;
    const unpin = reader.pin(old);
    for (let i = 0; i < 4; i++) await history.commit();
    await history.write(9, 1, history.txid);
    await reader.refresh();
    for (const { key } of await collect(history.store.list({ prefix: "ltx/0/" }))) {
      await history.store.delete([key]);
    }
    await expectState(reader, old, history);
    await expectState(reader, reader.latest, history);
    expect(hydration.txid).toBe(4n);
    expect(target.bytes).toEqual(image(history, 4));
    unpin();
    expect(await hydration.complete()).toBe(8n);
    expect(target.bytes).toEqual(image(history, 8));
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "finds after a crash what is right of its files and nothing else, seed %i",
    async (seed) => {
      const random = seededRandom(seed);
      const history = await historyOf(12, seed);
      const left = { operations: random.int(40) };
      const disk = memorySyncFiles({
        onOperation() {
          if (left.operations-- === 0) throw new Error("the power is gone");
        },
      });
      disk.place("/data/other", new Uint8Array(1));
      const target = syncFileHydrationTarget(disk, PATH);
      for (let life = 0; life < 4; life++) {
        const reader = await openReader(history.store, {
          platform: fakePlatform(seed + life),
          retry: ONE_TRY,
          follow: false,
          cacheBytes: 0,
        });
        try {
          const hydration = await hydrate(reader, target);
          await hydration.complete().catch(() => undefined);
          await expectState(reader, reader.latest, history);
          await hydration.close().catch(() => undefined);
        } catch {
          // The crash came with the first calls.
        }
        await reader.close();
        disk.crash(random.chance(0.5) ? "power" : "process", random);
        left.operations = random.int(60);
        await history.commit();
      }
      left.operations = Number.POSITIVE_INFINITY;
      if (disk.bytes(PATH) !== undefined && (disk.bytes(`${PATH}-hydration`)?.length ?? 0) < 32) {
        // What has no record is nobody's to overwrite.
        disk.remove(PATH);
      }
      const reader = await openTestReader(history.store, { cacheBytes: 0 });
      const hydration = await hydrated(reader, target);
      expect(await hydration.complete()).toBe(BigInt(history.txid));
      expect(disk.bytes(PATH)).toEqual(image(history, history.txid));
      await expectState(reader, reader.latest, history);
    },
  );

  test("goes on where an earlier one ended, and asks again for a page that was changed", async () => {
    const store = await largeReplica(1000);
    const disk = files();
    const target = syncFileHydrationTarget(disk, PATH);
    const first = await openTestReader(store);
    const half = await hydrated(first, target, {
      concurrency: 1,
      onProgress: ({ pages }) => void (pages >= 500 && half.close()),
    });
    await half.complete().catch(() => undefined);
    await half.close();
    expect(disk.bytes(PATH)?.subarray(0, 16)).toEqual(new Uint8Array(16));
    await first.close();

    const second = await openTestReader(store);
    const whole = await hydrated(second, target);
    await whole.complete();
    expect(whole.progress.recalledPages).toBeGreaterThan(400);
    expect(whole.progress.bytes).toBeLessThan(600 * 4200);
    const bytes = disk.bytes(PATH) as Uint8Array<ArrayBuffer>;
    await whole.close();
    await second.close();

    const damaged = bytes.slice();
    damaged[700 * 4096 + 5]! ^= 1;
    disk.place(PATH, damaged);
    const third = await openTestReader(store);
    const mended = await hydrated(third, target);
    await mended.complete();
    expect(mended.progress.recalledPages).toBe(999);
    expect(mended.progress.requests).toBe(1);
    expect(disk.bytes(PATH)).toEqual(bytes);
  });

  test("leaves a copy that is up to date as it is", async () => {
    const history = await historyOf(6, 2);
    const writes: string[] = [];
    const disk = memorySyncFiles({
      onOperation: ({ type, path }) => void (type === "write" && writes.push(path)),
    });
    disk.makeDirectory("/data");
    for (let i = 0; i < 2; i++) {
      writes.length = 0;
      const reader = await openTestReader(history.store);
      const hydration = await hydrated(reader, syncFileHydrationTarget(disk, PATH));
      await hydration.complete();
      await hydration.close();
      await reader.close();
    }
    expect(writes).toEqual([]);
  });

  test("believes nothing of the copy of another replica", async () => {
    const disk = files();
    const target = syncFileHydrationTarget(disk, PATH);
    for (const seed of [1, 2]) {
      const history = await historyOf(6, seed);
      const reader = await openTestReader(history.store, { cacheBytes: 0 });
      const hydration = await hydrated(reader, target);
      await hydration.complete();
      await expectState(reader, reader.latest, history);
      expect(disk.bytes(PATH)).toEqual(image(history, 6));
      await hydration.close();
    }
  });

  test("believes nothing of the copy of another replica whose store has no tags", async () => {
    const disk = files();
    for (const [day, byte] of [0xaa, 0xbb].entries()) {
      const platform = fakePlatform(1, Date.UTC(2026, 0, 1 + day));
      const store = memoryStore({ platform });
      // The first file is as large in both, and its page is the same.
      for (const [i, fill] of [7, byte].entries()) {
        const { bytes, name } = buildLtx({ minTxid: BigInt(i + 1), pages: { [i + 1]: fill } });
        await store.put(`ltx/0/${name}`, bytes);
      }
      const untagged: ObjectStore["list"] = async function* (options) {
        for await (const info of store.list(options)) yield { ...info, etag: "" };
      };
      const reader = await openTestReader({ ...store, list: untagged }, { platform });
      const hydration = await hydrated(reader, syncFileHydrationTarget(disk, PATH));
      await hydration.complete();
      expect(hydration.progress.recalledPages).toBe(0);
      expect(disk.bytes(PATH)?.at(-1)).toBe(byte);
      await hydration.close();
    }
  });

  test("has every page as it is after any file call has failed once", async () => {
    const store = memoryStore();
    const put = async (txid: bigint, pages: Record<number, number>): Promise<void> => {
      const { bytes, name } = buildLtx({ minTxid: txid, pages, commit: 3 });
      await store.put(`ltx/0/${name}`, bytes);
    };
    await put(1n, { 1: 1, 2: 2, 3: 3 });
    let left = Number.POSITIVE_INFINITY;
    const onOperation = (): void => {
      if (left-- === 0) throw new Error("the disk is full");
    };
    let hasFailed = true;
    for (let call = 0, txid = 2n; hasFailed; call++, txid++) {
      const disk = memorySyncFiles({ onOperation });
      disk.makeDirectory("/data");
      const platform = fakePlatform(1);
      const reader = await openTestReader(store, { platform, cacheBytes: 0 });
      const hydration = await hydrated(reader, syncFileHydrationTarget(disk, PATH));
      await hydration.complete();
      // As a commit in WAL mode, it leaves page 1 as it is.
      await put(txid, { 2: Number(txid) });
      left = call;
      await reader.refresh();
      await hydration.complete().catch(() => platform.clock.advanceAsync(30_000));
      hasFailed = left < 0;
      expect(await hydration.complete()).toBe(txid);
      const bytes = [1, Number(txid), 3];
      expect(
        [0, 1, 2].map((i) => disk.bytes(PATH)?.[i * 4096]),
        `call ${call}`,
      ).toEqual(bytes);
      left = 0;
      for (const [i, byte] of bytes.entries()) {
        await reader.fetch(reader.latest, [i + 1]);
        const page = reader.peek(reader.latest, i + 1)?.slice(0, 16);
        expect(page, `call ${call}`).toEqual(new Uint8Array(16).fill(byte));
      }
      left = Number.POSITIVE_INFINITY;
    }
  });

  test("refuses files that another hydration has, or that are not its own", async () => {
    const history = await historyOf(2, 1);
    const disk = files();
    const [one, two] = [await openTestReader(history.store), await openTestReader(history.store)];
    const first = await hydrated(one, syncFileHydrationTarget(disk, PATH));
    await first.complete();
    const target = syncFileHydrationTarget(disk, PATH);
    await expect(hydrate(two, target)).rejects.toMatchObject({ code: "DATABASE_LOCKED" });
    await expect(hydrate(one, bytesHydrationTarget())).rejects.toMatchObject({
      code: "UNSUPPORTED",
    });
    disk.place("/data/mine.db", new Uint8Array(512));
    const mine = syncFileHydrationTarget(disk, "/data/mine.db");
    await expect(hydrate(two, mine)).rejects.toMatchObject({ code: "TARGET_EXISTS" });
    expect(disk.bytes("/data/mine.db")).toEqual(new Uint8Array(512));
    for (const concurrency of [0, 1.5, Number.NaN]) {
      await expect(hydrate(two, bytesHydrationTarget(), { concurrency })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    }
    expect(await (await hydrated(two, bytesHydrationTarget())).complete()).toBe(2n);
  });

  test("ends when it is closed, aborted, or the reader is; what is read comes from the store", async () => {
    for (const end of ["close", "abort", "reader"] as const) {
      const history = await historyOf(5, 9);
      const store = faultyStore(history.store);
      const reader = await openTestReader(store, { cacheBytes: 0 });
      const aborter = new AbortController();
      const hydration = await hydrated(reader, bytesHydrationTarget(), { signal: aborter.signal });
      const waiting = hydration.complete();
      waiting.catch(() => undefined);
      const ended = collectEvents(hydration, []);
      if (end === "close") void hydration.close();
      if (end === "abort") aborter.abort();
      if (end === "reader") await reader.close();
      else await expect(waiting).rejects.toMatchObject({ code: "CLOSED" });
      await ended;
      await expect(hydration.complete()).rejects.toMatchObject({ code: "CLOSED" });
      if (end === "reader") continue;
      await expectState(reader, reader.latest, history);
    }
  });

  test("reads no more of the store once its reader is closed", async () => {
    const store = await largeReplica(2000);
    const reader = await openTestReader(store);
    let closing: Promise<void> | undefined;
    const onProgress = (): void => void (closing ??= reader.close());
    const hydration = await hydrated(reader, bytesHydrationTarget(), {
      concurrency: 1,
      onProgress,
    });
    store.reset();
    await expect(hydration.complete()).rejects.toMatchObject({ code: "CLOSED" });
    await closing;
    await hydration.close();
    expect(store.count("get")).toBeLessThanOrEqual(2);
  });

  test("says what fails, and tries again", async () => {
    const history = await historyOf(5, 4);
    await history.write(9, 1, 5);
    const store = faultyStore(history.store);
    const platform = fakePlatform(1);
    const reader = await openTestReader(store, { platform, cacheBytes: 0 });
    store.failNext("get", { before: new Error("no route") });
    const target = bytesHydrationTarget();
    const hydration = await hydrated(reader, target);
    await expect(hydration.complete()).rejects.toThrow("no route");
    expect(hydration.error?.message).toContain("no route");
    await expectState(reader, reader.latest, history);
    await platform.clock.advanceAsync(30_000);
    expect(await hydration.complete()).toBe(5n);
    expect(hydration.error).toBeUndefined();
    expect(target.bytes).toEqual(image(history, 5));
  });
});

async function collectEvents(hydration: Hydrated, seen: bigint[]): Promise<void> {
  for await (const event of hydration.events) if (event.type === "complete") seen.push(event.txid);
}
