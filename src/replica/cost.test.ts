import { describe, expect, test } from "vitest";
import { ModelDatabase } from "../../test/helpers/model-database.ts";
import { run } from "../../test/helpers/primary-bench.ts";
import { buildLtx, fakePlatform, type FakePlatform } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { COST_PRICES } from "./cost-prices.ts";
import { type CostPrices, type CostProfile, estimateCost, type RequestCounts } from "./cost.ts";
import { bytesFollowTarget } from "./follow-bytes.ts";
import { followReplica } from "./follow.ts";
import { openReplica } from "./replica.ts";
import { startPrimary } from "./start-primary.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const MONTH_HOURS = 30 * 24;
const PAGE = 512;
const FREE: CostPrices = {
  currency: "XXX",
  millionPuts: 0,
  millionGets: 0,
  millionLists: 0,
  storedGb: 0,
};

/** Counts requests as they are billed: a listing once for each thousand names. */
function billed(
  store: ObjectStore,
): ObjectStore & { readonly counts: Record<keyof RequestCounts, number> } {
  const counts = { puts: 0, gets: 0, lists: 0, deletes: 0 };
  const batches = (keys: number): number => Math.max(1, Math.ceil(keys / 1_000));
  return {
    ...store,
    local: false,
    counts,
    put: (...args) => (counts.puts++, store.put(...args)),
    get: (...args) => (counts.gets++, store.get(...args)),
    head: (...args) => (counts.gets++, store.head(...args)),
    deleteOne: (...args) => (counts.deletes++, store.deleteOne(...args)),
    delete: (keys, options) => (
      (counts.deletes += batches(keys.length)),
      store.delete(keys, options)
    ),
    async *list(options) {
      let names = 0;
      for await (const info of store.list(options)) {
        names++;
        yield info;
      }
      counts.lists += batches(names);
    },
  };
}

/** What the engine asks in `hours` of steady writing, after as long as it takes until all is steady. */
async function counted(
  profile: CostProfile,
  { warmUp, hours }: { readonly warmUp: number; readonly hours: number },
): Promise<{ readonly counts: RequestCounts; readonly stored: number }> {
  const platform: FakePlatform = fakePlatform(1);
  const store = billed(memoryStore({ platform }));
  const database = new ModelDatabase(PAGE);
  database.write(Array.from({ length: profile.databaseBytes / PAGE }, (_, i) => i + 1));
  const replica = openReplica(store, { platform });
  const replication = await run(
    platform,
    startPrimary(database, replica, { ...profile, platform }),
  );
  const everyMs = SECOND / profile.writesPerSecond;
  const write = async (time: number): Promise<void> => {
    for (let i = 0; i < (time * HOUR) / everyMs; i++) {
      database.write([1 + (i % 4)]);
      await platform.clock.advanceAsync(everyMs);
    }
  };
  await write(warmUp);
  Object.assign(store.counts, { puts: 0, gets: 0, lists: 0, deletes: 0 });
  await write(hours);
  const counts = { ...store.counts };
  let stored = 0;
  for await (const { size } of store.list()) stored += size;
  await run(platform, replication.close());
  return { counts, stored };
}

function inHours(counts: RequestCounts, hours: number): RequestCounts {
  const share = (count: number): number => (count * hours) / MONTH_HOURS;
  const { puts, gets, lists, deletes } = counts;
  return { puts: share(puts), gets: share(gets), lists: share(lists), deletes: share(deletes) };
}

/** Boundaries fall into a window or just outside it: a few requests more or less, or one in fifty. */
function expectNear(estimate: RequestCounts, counts: RequestCounts, least = 3): void {
  for (const kind of ["puts", "gets", "lists", "deletes"] as const) {
    const slack = least + counts[kind] / 50;
    expect(
      Math.abs(estimate[kind] - counts[kind]),
      `${kind}: ${estimate[kind]} estimated, ${counts[kind]} counted`,
    ).toBeLessThanOrEqual(slack);
  }
}

const small = {
  databaseBytes: 8 * PAGE,
  pageSize: PAGE,
  pagesPerWrite: 1,
  hotPages: 4,
  compression: 1,
};

describe("estimateCost()", () => {
  test.each([
    ["a commit every ten seconds", { writesPerSecond: 0.1 }, { warmUp: 1, hours: 2 }],
    [
      "a commit every two seconds in groups of a minute",
      { writesPerSecond: 0.5, groupMs: MINUTE },
      { warmUp: 1, hours: 2 },
    ],
    ["a commit every two minutes", { writesPerSecond: 1 / 120 }, { warmUp: 2, hours: 6 }],
    [
      "a commit every ten minutes, listings included",
      { writesPerSecond: 1 / 600 },
      { warmUp: 6, hours: 24 },
    ],
    ["no compaction", { writesPerSecond: 1 / 30, levels: [] }, { warmUp: 1, hours: 3 }],
    ["no lease", { writesPerSecond: 1 / 30, lease: false }, { warmUp: 1, hours: 3 }],
    [
      "other levels and retention",
      {
        writesPerSecond: 1 / 20,
        levels: [{ intervalMs: MINUTE }, { intervalMs: 10 * MINUTE }],
        l0RetentionMs: 2 * MINUTE,
        l0RetentionCheckMs: MINUTE,
      },
      { warmUp: 1, hours: 3 },
    ],
    [
      "nothing ever removed",
      { writesPerSecond: 1 / 30, retention: { enabled: false } },
      { warmUp: 1, hours: 3 },
    ],
    [
      "a snapshot every two hours",
      { writesPerSecond: 1 / 60, snapshot: { intervalMs: 2 * HOUR, retentionMs: 4 * HOUR } },
      { warmUp: 12, hours: 12 },
    ],
  ])("counts what the engine asks: %s", async (_, settings, span) => {
    const profile: CostProfile = { ...small, ...settings };
    const { counts } = await counted(profile, span);
    const { requests } = estimateCost(profile, FREE);
    expectNear(inHours(requests, span.hours), counts);
  });

  test("knows what lies in the store", async () => {
    const snapshot = { intervalMs: 2 * HOUR, retentionMs: 4 * HOUR };
    const profile: CostProfile = { ...small, writesPerSecond: 1 / 60, snapshot };
    const { stored } = await counted(profile, { warmUp: 24, hours: 1 });
    const { bytes } = estimateCost(profile, FREE);
    expect(bytes.stored / stored).toBeGreaterThan(0.75);
    expect(bytes.stored / stored).toBeLessThan(1.33);
  });

  test.each([5, 30, 200])(
    "counts what a follower asks while there is a file every %i seconds",
    async (seconds) => {
      const platform = fakePlatform(1);
      const inner = memoryStore({ platform });
      const { counts, ...rest } = billed(inner);
      const store: ObjectStore = {
        ...rest,
        // By call: the replica of the estimate has fewer than a thousand files, this one keeps all of them.
        list: (options) => (counts.lists++, inner.list(options)),
      };
      const put = async (txid: number): Promise<void> => {
        const pages = txid === 1 ? { 1: 1, 2: 1 } : { 1: txid % 256 };
        const built = buildLtx({ pageSize: PAGE, minTxid: BigInt(txid), pages, commit: 2 });
        await inner.put(`ltx/0/${built.name}`, built.bytes);
      };
      await put(1);
      const start = followReplica(store, bytesFollowTarget(), { platform });
      const follower = await run(platform, start);
      await platform.clock.advanceAsync(SECOND);
      Object.assign(counts, { puts: 0, gets: 0, lists: 0, deletes: 0 });
      const count = (2 * 3_600) / seconds;
      for (let i = 0; i < count; i++) {
        await put(2 + i);
        await platform.clock.advanceAsync(seconds * SECOND);
      }
      const snapshot = { intervalMs: HOUR / 2, retentionMs: HOUR / 2 };
      await follower.close();
      expect(follower.position).toBe(BigInt(count + 1));
      const { purposes } = estimateCost(
        { ...small, writesPerSecond: 1 / seconds, followers: 1, snapshot },
        FREE,
      );
      expectNear(inHours(purposes.followers, 2), counts, 10);
    },
  );

  test("makes money of what goes beyond what is free", () => {
    const prices: CostPrices = {
      currency: "XXX",
      millionPuts: 10,
      millionGets: 1,
      millionLists: 20,
      millionDeletes: 2,
      storedGb: 3,
      readGb: 4,
      free: { puts: 1_000, gets: 500, storedGb: 1, readGb: 1 },
    };
    const profile = {
      ...small,
      databaseBytes: 5e9,
      hotPages: undefined,
      writesPerSecond: 1,
      followers: 2,
      databases: 3,
    };
    const { requests, bytes, money } = estimateCost(profile, prices);
    const { puts, gets, lists, deletes } = requests;
    const writes = puts * 10 + lists * 20;
    const charged = (writes * (puts + lists - 1_000)) / (puts + lists);
    expect(money.requests).toBeCloseTo((charged + (gets - 500) + deletes * 2) / 1e6, 6);
    expect(money.storage).toBeCloseTo((bytes.stored / 1e9 - 1) * 3, 6);
    expect(money.traffic).toBeCloseTo((bytes.read / 1e9 - 1) * 4, 6);
    expect(money.total).toBeCloseTo(money.requests + money.storage + money.traffic, 6);
    expect(money.currency).toBe("XXX");
  });

  test("takes an idle database for its storage, and for what its followers ask", () => {
    const profile = { ...small, writesPerSecond: 0 };
    const { requests, bytes, money } = estimateCost(profile, COST_PRICES.s3);
    expect(requests).toEqual({ puts: 0, gets: 0, lists: 0, deletes: 0 });
    expect(bytes).toMatchObject({ sent: 0, read: 0 });
    expect(money.total).toBe(money.storage);
    const followed = estimateCost({ ...profile, followers: 1 }, COST_PRICES.s3).requests;
    expect(followed.gets).toBeCloseTo(MONTH_HOURS * 360, 6);
    expect(followed.lists).toBeCloseTo(MONTH_HOURS * 48, 6);
  });

  test("costs less in longer groups, and in a shorter time of writing", () => {
    const total = (more: Partial<CostProfile>): number =>
      estimateCost({ writesPerSecond: 1, databaseBytes: 1e9, ...more }, COST_PRICES.s3).money.total;
    expect(total({ groupMs: 10_000 })).toBeLessThan(total({}) / 2);
    expect(total({ activeShare: 0.25 })).toBeLessThan(total({}) / 2);
    expect(total({ hotPages: 100 })).toBeLessThan(total({}));
    // What they read to compact does not fit into memory any more.
    expect(total({ databases: 10 })).toBeGreaterThan(10 * total({}));
    expect(total({ databases: 2, hotPages: 10 })).toBeCloseTo(2 * total({ hotPages: 10 }), 6);
  });

  test.each([
    { writesPerSecond: -1 },
    { writesPerSecond: Number.NaN },
    { databaseBytes: Number.POSITIVE_INFINITY },
    { activeShare: 1.5 },
    { compression: 2 },
    { groupMs: 0 },
    { levels: [{ intervalMs: 0 }] },
  ])("refuses %o", (more) => {
    const profile = { writesPerSecond: 1, databaseBytes: 1, ...more };
    expect(() => estimateCost(profile, FREE)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});
