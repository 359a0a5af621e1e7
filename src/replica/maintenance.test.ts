import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import {
  bench,
  type Bench,
  collect,
  durableState,
  restored,
  run,
  start,
} from "../../test/helpers/primary-bench.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import { fakePlatform, type FaultyStore, faultyStore, storeFault } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { findLevelFaults } from "./compactor-plan.ts";
import { compactReplica } from "./compact.ts";
import type { LtxFileInfo } from "./replica.ts";
import { openReplica } from "./replica.ts";
import type { ReplicateOptions, Replication } from "./replication.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Litestream's defaults, which the bench leaves out. */
const DEFAULTS = { levels: undefined, snapshot: undefined, retention: undefined };

interface LevelsBench extends Bench {
  readonly store: FaultyStore;
}

/** A bench over a store that counts. The clock starts at midnight, on every boundary. */
function levelsBench(
  more: Partial<Omit<Bench, "store">> & { store?: ObjectStore } = {},
): LevelsBench {
  const platform = more.platform ?? fakePlatform(7);
  const store = faultyStore(more.store ?? memoryStore({ platform }));
  return { ...bench({ ...more, platform, store, state: more.state ?? durableState() }), store };
}

function begin(at: Bench, options: ReplicateOptions = {}): Promise<Replication> {
  return start(at, { ...DEFAULTS, ...options });
}

async function filesOf(at: Bench): Promise<LtxFileInfo[][]> {
  return await openReplica(at.store, { platform: at.platform }).levels({ exactTimes: true });
}

/** `level:min-max` of the files above level 0, and of the newest of level 0. */
async function shown(at: Bench): Promise<string> {
  const levels = await filesOf(at);
  return levels
    .flat()
    .filter((file) => file.level > 0 || file === levels[0]?.at(-1))
    .map(({ level, minTxid, maxTxid }) => `${level}:${minTxid}-${maxTxid}`)
    .join(" ");
}

/** Commits once per `everyMs` for a while. */
async function write(at: Bench, forMs: number, everyMs: number): Promise<void> {
  const end = at.platform.clock.now() + forMs;
  for (let i = 0; at.platform.clock.now() < end; i++) {
    at.database.write([1, 2 + (i % 20)]);
    await at.platform.clock.advanceAsync(everyMs);
  }
}

/** Requests of each kind, those that happened. */
function counts({ store }: LevelsBench): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { operation } of store.requests) found[operation] = (found[operation] ?? 0) + 1;
  return found;
}

describe("levels of a replication", () => {
  test("are written at wall-clock boundaries, each from the one below, and hold every state", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    at.database.write([1, 2, 3]);
    await at.platform.clock.advanceAsync(40 * SECOND);
    expect(await shown(at)).toBe("0:1-1 9:1-1");
    await write(at, 20 * SECOND, 10 * SECOND);
    expect(await shown(at)).toBe("0:3-3 1:2-3 9:1-1");
    await write(at, 4 * MINUTE, 10 * SECOND);
    const levels = await filesOf(at);
    expect(levels[1]?.map(({ minTxid, maxTxid }) => `${minTxid}-${maxTxid}`)).toEqual([
      "2-3",
      "4-6",
      "7-9",
      "10-12",
      "13-15",
      "16-18",
      "19-21",
      "22-24",
      "25-27",
    ]);
    expect(levels[2]?.map(({ minTxid, maxTxid }) => `${minTxid}-${maxTxid}`)).toEqual(["2-27"]);
    await write(at, 56 * MINUTE, 10 * SECOND);
    const after = await filesOf(at);
    expect(after[3]?.map(({ minTxid }) => minTxid)).toEqual([2n]);
    for (const files of after.slice(1, 9)) expect(findLevelFaults(files)).toEqual([]);
    expect(await restored(at)).toEqual(at.database.bytes);
    const last = after[1]?.at(-2)?.maxTxid;
    expect((await restored(at, last)).length).toBe(at.database.bytes.length);
    await run(at.platform, replication.close());
  });

  test("end: an idle database has no timer and makes no request", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    await write(at, 3 * MINUTE, 7 * SECOND);
    await at.platform.clock.advanceAsync(49 * HOUR);
    expect(at.platform.clock.pending).toBe(0);
    at.store.reset();
    await at.platform.clock.advanceAsync(240 * HOUR);
    expect(at.store.count()).toBe(0);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("cost a burst of commits its files, one file a level, a snapshot and what goes", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    at.database.write([1, 2, 3]);
    await at.platform.clock.advanceAsync(49 * HOUR);
    at.store.reset();
    for (let i = 0; i < 5; i++) {
      at.database.write([2]);
      await at.platform.clock.advanceAsync(SECOND);
    }
    expect(counts(at)).toEqual({ list: 1, put: 5 });
    await at.platform.clock.advanceAsync(30 * SECOND);
    expect(counts(at)).toEqual({ list: 1, put: 6 });
    await at.platform.clock.advanceAsync(49 * HOUR);
    expect(at.platform.clock.pending).toBe(0);
    // 5 files, 3 levels, 1 snapshot. What goes: the L0 file from before, the four of the burst, and the old snapshot.
    expect(counts(at)).toMatchObject({ put: 9, delete: 3 });
    // The proof that nobody else writes has aged before each of the late ones.
    expect(counts(at)["list"]).toBeLessThanOrEqual(7);
    // Before the old snapshot goes, whether an adoption keeps it.
    expect(counts(at)["get"]).toBe(1);
    await run(at.platform, replication.close());
  });

  test("list nothing in steady writing", async () => {
    const at = levelsBench();
    const replication = await begin(at, { groupMs: 1_000 });
    await write(at, 2 * MINUTE, SECOND);
    at.store.reset();
    await write(at, 20 * MINUTE, SECOND);
    const { list, get, put = 0, delete: removals = 0 } = counts(at);
    expect([list, get]).toEqual([undefined, undefined]);
    // One a second, one per 30 s, one per 5 min; removals once in 15 s.
    expect(put).toBe(1200 + 40 + 4);
    expect(removals).toBeLessThanOrEqual(80);
    await run(at.platform, replication.close());
  });

  test("carry the time of the last L0 file that each holds (L9, I17)", async () => {
    const at = levelsBench();
    const replication = await begin(at, { retention: { enabled: false } });
    await write(at, 66 * MINUTE, 25 * SECOND);
    const [l0 = [], ...above] = await filesOf(at);
    const replica = openReplica(at.store, { platform: at.platform });
    let compared = 0;
    for (const file of above.flat()) {
      const source = l0.find(({ maxTxid }) => maxTxid === file.maxTxid);
      const head = await replica.read(file, { length: LTX_HEADER_SIZE });
      expect(file.time).toEqual(source?.time);
      expect(Number(decodeHeader(head).timestamp)).toBe(source?.time.getTime());
      compared++;
    }
    expect(compared).toBeGreaterThan(100);
    await run(at.platform, replication.close());
  });

  test("go on after a restart without a file too early, and at once where a boundary was missed", async () => {
    const at = levelsBench();
    let replication = await begin(at);
    await write(at, 75 * SECOND, 10 * SECOND);
    await run(at.platform, replication.close());
    const before = await shown(at);
    replication = await begin(at);
    await at.platform.clock.advanceAsync(5 * SECOND);
    expect(await shown(at)).toBe(before);
    await run(at.platform, replication.close());
    at.platform.clock.advance(25 * HOUR);
    replication = await begin(at);
    await at.platform.clock.advanceAsync(2 * SECOND);
    expect(await shown(at)).toBe("0:8-8 1:4-6 1:7-8 2:4-8 9:1-3 9:1-8");
    await run(at.platform, replication.close());
  });

  test("are brought up before the page size changes, and hold no file of two sizes (I21)", async () => {
    const at = levelsBench();
    const replication = await begin(at, { retention: { enabled: false } });
    at.database.write([1, 2, 3]);
    await at.platform.clock.advanceAsync(31 * SECOND);
    await write(at, 20 * SECOND, 5 * SECOND);
    at.store.reset();
    at.database.resize(1024, 2);
    await run(at.platform, replication.durable());
    const puts = at.store.requests.filter(({ operation }) => operation === "put");
    expect(puts.map(({ key }) => key.slice(4, 5))).toEqual(["1", "2", "3", "9", "0"]);
    await write(at, 2 * HOUR, 50 * SECOND);
    for (const files of (await filesOf(at)).slice(1, 9)) expect(findLevelFaults(files)).toEqual([]);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("are brought up even while a snapshot waits for the uploads behind them", async () => {
    const platform = fakePlatform(7);
    const inner = memoryStore({ platform });
    const store = faultyStore(inner, { clock: platform.clock, fault: () => ({ delayMs: 500 }) });
    const at = levelsBench({ platform, store });
    const replication = await begin(at);
    at.database.write([1, 2, 3]);
    await platform.clock.advanceAsync(5_000);
    at.database.write([2]);
    await platform.clock.advanceAsync(24_900);
    at.database.write([2]);
    at.database.resize(1024, 2);
    await platform.clock.advanceAsync(10 * SECOND);
    expect(replication.position.replicated).toBe(replication.position.local);
    await platform.clock.advanceAsync(MINUTE);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(platform, replication.close());
  });

  test("are none the worse for another that compacts beside them", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    at.database.write([1, 2, 3]);
    await at.platform.clock.advanceAsync(31 * SECOND);
    await write(at, 20 * SECOND, 5 * SECOND);
    const events = collect(replication);
    const replica = openReplica(at.store, { platform: at.platform });
    await run(at.platform, compactReplica(replica, { level: 1 }));
    await write(at, 20 * SECOND, 5 * SECOND);
    await at.platform.clock.advanceAsync(30 * SECOND);
    expect(events.filter(({ type }) => type === "error")).toEqual([]);
    const levels = await filesOf(at);
    expect(levels[1]?.at(-1)?.maxTxid).toBe(replication.position.replicated);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, compactReplica(replica));
    for (const file of levels[1] ?? []) await restored(at, file.maxTxid);
    await run(at.platform, replication.close());
  });

  test("wait after a failure, tell it, and lose nothing", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    at.database.write([1, 2, 3]);
    await at.platform.clock.advanceAsync(31 * SECOND);
    const events = collect(replication);
    at.database.write([2]);
    await at.platform.clock.advanceAsync(SECOND);
    at.store.failNext("put", { before: storeFault("no room", false) });
    await at.platform.clock.advanceAsync(30 * SECOND);
    expect(events.map(({ type }) => type)).toContain("error");
    expect(await shown(at)).toBe("0:2-2 9:1-1");
    await at.platform.clock.advanceAsync(2 * MINUTE);
    expect(await shown(at)).toBe("0:2-2 1:2-2 9:1-1");
    await run(at.platform, replication.close());
  });

  test("rest while the replication is paused, and after it is closed", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    at.database.write([1, 2, 3]);
    await at.platform.clock.advanceAsync(5 * SECOND);
    replication.pause();
    await at.platform.clock.advanceAsync(HOUR);
    expect(await shown(at)).toBe("0:1-1");
    expect(at.platform.clock.pending).toBe(0);
    replication.resume();
    await at.platform.clock.advanceAsync(SECOND);
    expect(await shown(at)).toBe("0:1-1 9:1-1");
    at.database.write([2]);
    await at.platform.clock.advanceAsync(SECOND);
    await run(at.platform, replication.close());
    expect(at.platform.clock.pending).toBe(0);
    at.store.reset();
    await at.platform.clock.advanceAsync(HOUR);
    expect(at.store.count()).toBe(0);
  });

  test("are refused where the settings cannot work", async () => {
    const at = levelsBench();
    const starting = begin(at, { levels: [{ intervalMs: 0 }] });
    await expect(starting).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("snapshots of a replication", () => {
  test("are not taken of an empty database, whatever the replica holds, and nothing is asked for", async () => {
    const at = levelsBench();
    const first = await begin(at);
    at.database.write([1, 2]);
    await run(at.platform, first.durable());
    await run(at.platform, first.close());
    const next = levelsBench({ platform: at.platform, store: at.store });
    const replication = await begin(next);
    const events = collect(replication);
    await at.platform.clock.advanceAsync(72 * HOUR);
    expect(events.filter(({ type }) => type === "error")).toEqual([]);
    expect(at.platform.clock.pending).toBe(0);
    next.database.write([1]);
    await run(at.platform, replication.durable());
    await at.platform.clock.advanceAsync(25 * HOUR);
    expect(events.filter(({ type }) => type === "snapshot")).not.toEqual([]);
    await run(at.platform, replication.close());
  });

  test("come once a day, never without anything new, and say so", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    const events = collect(replication);
    at.database.write([1, 2, 3]);
    await at.platform.clock.advanceAsync(23 * HOUR);
    at.database.write([2]);
    await at.platform.clock.advanceAsync(HOUR + MINUTE);
    expect(await shown(at)).toContain("9:1-1 9:1-2");
    await at.platform.clock.advanceAsync(96 * HOUR);
    const snapshots = events.filter(({ type }) => type === "snapshot");
    expect(snapshots).toMatchObject([
      { destination: "memory", level: 9, txid: 1n },
      { destination: "memory", level: 9, txid: 2n },
    ]);
    await run(at.platform, replication.close());
  });

  test("of a full L0 file copy its pages and read nothing from the database", async () => {
    const at = levelsBench();
    at.database.write([1, 2, 3, 4]);
    const replication = await begin(at);
    await run(at.platform, replication.durable());
    const { images } = at.database;
    await at.platform.clock.advanceAsync(MINUTE);
    expect(await shown(at)).toBe("0:1-1 9:1-1");
    expect(at.database.images).toBe(images);
    await run(at.platform, replication.close());
  });

  test("are kept so long that every point of the last day can be restored", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    const times: [number, bigint][] = [];
    for (let hour = 0; hour < 5 * 24; hour++) {
      at.database.write([1, 2 + (hour % 9)]);
      await at.platform.clock.advanceAsync(HOUR);
      times.push([at.platform.clock.now(), replication.position.replicated]);
    }
    const levels = await filesOf(at);
    expect(levels[9]?.length).toBeLessThanOrEqual(3);
    for (const [time, txid] of times) {
      if (time < at.platform.clock.now() - 24 * HOUR) continue;
      expect((await restored(at, txid)).length).toBeGreaterThan(0);
    }
    // What is older than the oldest snapshot but one is gone.
    const first = levels[1]?.[0]?.maxTxid ?? 0n;
    expect(first).toBeGreaterThan(20n);
    await run(at.platform, replication.close());
  });
});

describe("a file that a level has lost", () => {
  test("is not needed as long as finer files hold what it does", async () => {
    const at = levelsBench();
    const replication = await begin(at, { l0RetentionMs: 0 });
    await write(at, 11 * MINUTE, 10 * SECOND);
    await run(at.platform, replication.close());
    const compacted = (await filesOf(at)).slice(1, 9).flat();
    expect(new Set(compacted.map(({ level }) => level))).toEqual(new Set([1, 2]));
    for (const { key, maxTxid } of compacted) {
      const body = await bytesAt(openReplica(at.store, { platform: at.platform }).store, key);
      await at.store.delete([key]);
      expect(await restored(at)).toEqual(at.database.bytes);
      expect((await restored(at, maxTxid)).length).toBeGreaterThan(0);
      await at.store.put(key, body);
    }
  });

  test("is made anew of what lies below before the level above goes on, and told", async () => {
    const at = levelsBench();
    // A process that wrote the file would still have it in memory.
    const first = await begin(at);
    await write(at, 6 * MINUTE, 10 * SECOND);
    const lost = (await filesOf(at))[1]?.at(-1) as LtxFileInfo;
    expect(lost.maxTxid - lost.minTxid).toBe(2n);
    await write(at, 2 * MINUTE, 10 * SECOND);
    await run(at.platform, first.close());
    await at.store.delete([lost.key]);
    const replication = await begin(at);
    const events = collect(replication);
    await write(at, 3 * MINUTE, 10 * SECOND);
    const levels = await filesOf(at);
    for (const files of levels.slice(1, 9)) expect(findLevelFaults(files)).toEqual([]);
    expect(levels[1]?.find(({ key }) => key === lost.key)).toMatchObject({ time: lost.time });
    expect(levels[2]?.at(-1)?.maxTxid).toBeGreaterThan(lost.maxTxid);
    expect(events.filter(({ type }) => type === "level-fault")).toContainEqual(
      expect.objectContaining({ level: 1, fault: "gap", before: lost.maxTxid + 1n }),
    );
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });
});

describe("retention of a replication", () => {
  test("removes L0 files that level 1 holds after five minutes, and never the newest", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    const events = collect(replication);
    await write(at, 10 * MINUTE, 10 * SECOND);
    const oldest = (await filesOf(at))[0]?.[0]?.time.getTime() ?? 0;
    const age = at.platform.clock.now() - oldest;
    expect(age).toBeGreaterThanOrEqual(5 * MINUTE - 10 * SECOND);
    expect(age).toBeLessThanOrEqual(5 * MINUTE + 15 * SECOND + 10 * SECOND);
    await at.platform.clock.advanceAsync(HOUR);
    expect((await filesOf(at))[0]?.map(({ maxTxid }) => maxTxid)).toEqual([60n]);
    expect(events).toContainEqual(expect.objectContaining({ type: "retained", files: 1 }));
    await run(at.platform, replication.close());
  });

  test("removes nothing where it is off, and asks for nothing", async () => {
    const at = levelsBench();
    const replication = await begin(at, { retention: { enabled: false } });
    await write(at, 72 * HOUR, 40 * MINUTE);
    expect(at.store.count("delete")).toBe(0);
    expect((await filesOf(at))[0]?.length).toBe(108);
    await run(at.platform, replication.close());
  });

  test("keeps all of level 0 where its retention is 0", async () => {
    const at = levelsBench();
    const replication = await begin(at, { l0RetentionMs: 0 });
    await write(at, HOUR, MINUTE);
    await at.platform.clock.advanceAsync(HOUR);
    expect((await filesOf(at))[0]?.length).toBe(60);
    await run(at.platform, replication.close());
  });

  test("is skipped, and told, while the store's clock is another", async () => {
    let offset = 10 * MINUTE;
    const platform = fakePlatform(7);
    const store = { ...memoryStore({ platform }), clockOffsetMs: () => offset };
    const at = levelsBench({ platform, store });
    const replication = await begin(at);
    const events = collect(replication);
    await write(at, 10 * MINUTE, 10 * SECOND);
    expect(at.store.count("delete")).toBe(0);
    expect(events).toContainEqual(
      expect.objectContaining({
        type: "retention-skipped",
        reason: "the store's clock is 600 s ahead of this one",
      }),
    );
    offset = 2 * MINUTE;
    await write(at, MINUTE, 10 * SECOND);
    const oldest = (await filesOf(at))[0]?.[0]?.time.getTime() ?? 0;
    // The store's clock counts, which is two minutes ahead.
    expect(platform.clock.now() - oldest).toBeLessThanOrEqual(4 * MINUTE);
    await run(at.platform, replication.close());
  });

  test("is skipped once where the wall clock jumped", async () => {
    const at = levelsBench();
    const replication = await begin(at);
    const events = collect(replication);
    await write(at, 2 * MINUTE, 10 * SECOND);
    at.platform.clock.jumpWall(20 * MINUTE);
    await write(at, 5 * MINUTE, 5 * SECOND);
    expect(at.store.count("delete")).toBeGreaterThan(0);
    const skipped = events.filter(({ type }) => type === "retention-skipped");
    expect(skipped).toMatchObject([
      { reason: "the wall clock moved by 1200 s against the monotonic one" },
    ]);
    await run(at.platform, replication.close());
  });

  test("that the store does not allow is told once, and nothing else stops", async () => {
    const platform = fakePlatform(7);
    let isAllowed = false;
    let attempts = 0;
    const inner = memoryStore({ platform });
    const store: ObjectStore = {
      ...inner,
      async delete(keys, options) {
        attempts++;
        if (!isAllowed) throw storeFault("the server answered 403", false);
        await inner.delete(keys, options);
      },
    };
    const at = levelsBench({ platform, store });
    const replication = await begin(at);
    const events = collect(replication);
    await write(at, 3 * HOUR, 30 * SECOND);
    expect(events.filter(({ type }) => type === "retention-denied")).toHaveLength(1);
    expect(attempts).toBeLessThanOrEqual(4);
    expect(await restored(at)).toEqual(at.database.bytes);
    expect((await filesOf(at))[3]?.length).toBeGreaterThan(1);
    // Idle means idle: only later commits bring the question up again.
    await at.platform.clock.advanceAsync(3 * 24 * HOUR);
    const asked = attempts;
    at.store.reset();
    await at.platform.clock.advanceAsync(7 * 24 * HOUR);
    expect([attempts - asked, at.store.count(), at.platform.clock.pending]).toEqual([0, 0, 0]);
    isAllowed = true;
    await write(at, 2 * HOUR, 30 * SECOND);
    expect((await filesOf(at))[0]?.length).toBeLessThan(15);
    await run(at.platform, replication.close());
  });
});
