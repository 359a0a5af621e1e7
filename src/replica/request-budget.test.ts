import { describe, expect, test } from "vitest";
import { bench, collect, restored, run, start } from "../../test/helpers/primary-bench.ts";
import { fakeClock, fakePlatform, faultyStore, storeFault } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectInfo, ObjectStore } from "../transports/object-store.ts";
import { BudgetedStore } from "./budgeted-store.ts";
import { RequestBudget } from "./request-budget.ts";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

/** The most events that any window of `length` holds. */
function most(times: readonly number[], length: number): number {
  let from = 0;
  let found = 0;
  times.forEach((time, i) => {
    while ((times[from] as number) <= time - length) from++;
    found = Math.max(found, i - from + 1);
  });
  return found;
}

/** What a replication does unless a test wants less. */
const DEFAULT_LEVELS = { levels: undefined, snapshot: undefined, retention: undefined };

describe("RequestBudget", () => {
  test("take() lets no hour see more than its requests, wherever the hour begins, and nearly all of them", async () => {
    const clock = fakeClock();
    const budget = new RequestBudget(clock, 240);
    const times: number[] = [];
    const ask = async (): Promise<void> => {
      while (times.length < 700) {
        await budget.take("the store");
        times.push(clock.monotonic());
      }
    };
    clock.advance(2 * HOUR);
    const asking = [ask(), ask(), ask()];
    while (clock.pending > 0 || times.length === 0) await clock.advanceAsync(clock.nextDelay ?? 0);
    await Promise.all(asking);
    expect(most(times, HOUR)).toBeLessThanOrEqual(240);
    expect(most(times, HOUR)).toBeGreaterThanOrEqual(239);
    expect(budget.spent).toBe(times.length);
    expect(times.filter((time) => time === 2 * HOUR).length).toBe(30);
  });

  test("take() serves in the order of the calls and forgets those that were aborted", async () => {
    const clock = fakeClock();
    const budget = new RequestBudget(clock, 60);
    for (let i = 0; i < 7; i++) await budget.take("the store");
    const served: string[] = [];
    const aborter = new AbortController();
    const first = budget.take("the store").then(() => served.push("first"));
    const aborted = budget.take("the store", aborter.signal);
    const second = budget.take("the store").then(() => served.push("second"));
    expect(budget.isExhausted).toBe(true);
    aborter.abort("enough");
    await expect(aborted).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
    await expect(budget.take("the store", aborter.signal)).rejects.toMatchObject({
      code: "ABORTED",
    });
    await clock.advanceAsync(HOUR);
    await Promise.all([first, second]);
    expect(served).toEqual(["first", "second"]);
    expect(clock.pending).toBe(0);
  });

  test("readyAt() leaves half of what may be made at once", async () => {
    const clock = fakeClock();
    const budget = new RequestBudget(clock, 800);
    expect(budget.readyAt()).toBe(0);
    for (let i = 0; i < 49; i++) await budget.take("the store");
    expect(budget.readyAt()).toBe(0);
    await budget.take("the store");
    const perRequest = HOUR / 700;
    expect(budget.readyAt()).toBeCloseTo(perRequest, 6);
    clock.advance(perRequest);
    expect(budget.readyAt()).toBeCloseTo(perRequest, 6);
  });

  test.each([0, 59, 60.5, Number.NaN, Number.POSITIVE_INFINITY])("refuses %s an hour", (count) => {
    expect(() => new RequestBudget(fakeClock(), count)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});

describe("BudgetedStore", () => {
  const spentBy = async (
    act: (store: ObjectStore) => Promise<unknown>,
    inner: ObjectStore = memoryStore(),
  ): Promise<number> => {
    const budget = new RequestBudget(fakeClock(), 100_000);
    await act(new BudgetedStore(inner, budget)).catch(() => undefined);
    return budget.spent;
  };
  const mebibytes = async function* (count: number): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < count; i++) yield new Uint8Array(1 << 20);
  };

  test("counts a request for each call, whether it fails or not", async () => {
    expect(await spentBy((store) => store.put("a", new Uint8Array(1)))).toBe(1);
    expect(await spentBy((store) => store.get("a"))).toBe(1);
    expect(await spentBy((store) => store.head("a"))).toBe(1);
    expect(await spentBy((store) => store.delete(["a", "b"]))).toBe(1);
    expect(await spentBy((store) => store.deleteOne("a"))).toBe(1);
  });

  test("counts the parts of a large body, also of one whose size is not known", async () => {
    expect(await spentBy((store) => store.put("a", new Uint8Array(12 << 20)))).toBe(5);
    expect(await spentBy((store) => store.put("a", mebibytes(12)))).toBe(5);
    expect(await spentBy((store) => store.put("a", mebibytes(5)))).toBe(1);
  });

  test("counts the pages of a listing and of a deletion", async () => {
    const inner = memoryStore();
    const keys = Array.from({ length: 2_500 }, (_, i) => `k${i}`);
    for (const key of keys) await inner.put(key, new Uint8Array(1));
    const list = async (store: ObjectStore): Promise<void> => {
      const found: ObjectInfo[] = [];
      for await (const info of store.list()) found.push(info);
      expect(found.length).toBe(keys.length);
    };
    expect(await spentBy(list, inner)).toBe(3);
    expect(await spentBy((store) => store.delete(keys), inner)).toBe(3);
  });

  test("counts trying conditions only where that has not been done", async () => {
    const inner = memoryStore();
    const capabilities = { ...inner.capabilities, conditionalPut: false };
    const probing: ObjectStore = {
      ...inner,
      get capabilities() {
        return capabilities;
      },
      probe: () => {
        capabilities.conditionalPut = true;
        return Promise.resolve(capabilities);
      },
    };
    const probe = async (store: ObjectStore): Promise<void> => {
      expect(await store.probe?.()).toBe(capabilities);
    };
    expect(await spentBy(probe, probing)).toBe(8);
    expect(await spentBy(probe, probing)).toBe(0);
    expect(new BudgetedStore(inner, new RequestBudget(fakeClock(), 60)).probe).toBeUndefined();
  });
});

describe("startPrimary() with requestsPerHour", () => {
  test("makes groups longer, keeps to the bound in every hour and loses nothing", async () => {
    const platform = fakePlatform(3);
    const times: number[] = [];
    const store = faultyStore(memoryStore({ platform }), {
      fault: ({ sequence }) => {
        times.push(platform.clock.monotonic());
        // A try that fails costs a request as well.
        return sequence % 10 === 0 ? { before: storeFault() } : undefined;
      },
    });
    const at = bench({ platform, store });
    const options = { ...DEFAULT_LEVELS, groupMs: SECOND, requestsPerHour: 240, lease: true };
    const replication = await start(at, options);
    const events = collect(replication);
    for (let second = 0; second < 3 * 3_600; second++) {
      at.database.write([1 + (second % 7)]);
      await platform.clock.advanceAsync(SECOND);
    }
    expect(most(times, HOUR)).toBeLessThanOrEqual(240);
    expect(times.length).toBeGreaterThan(600);
    expect(replication.stats.lagMs).toBeLessThan(180 * SECOND);
    const written = new Set(
      store.requests.map(({ operation, key }) => `${operation} ${key.slice(0, 5)}`),
    );
    for (const each of ["put ltx/0", "put ltx/1", "put ltx/2", "put lock.", "delete ltx/0"]) {
      expect(written).toContain(each);
    }
    const degraded = events.filter(({ type }) => type === "degraded");
    expect(degraded.length).toBe(3);
    expect(degraded[0]).toMatchObject({ reason: "the budget of requests makes groups longer" });
    // Half of what may be made at once was kept for this.
    const before = platform.clock.monotonic();
    await run(platform, replication.close());
    expect(platform.clock.monotonic() - before).toBeLessThan(30 * SECOND);
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("makes flush() wait while no request may be made, and cuts no more files meanwhile", async () => {
    const platform = fakePlatform(4);
    const store = faultyStore(memoryStore({ platform }));
    const at = bench({ platform, store });
    const replication = await start(at, { groupMs: 0, requestsPerHour: 60 });
    const flushes: Promise<void>[] = [];
    for (let i = 0; i < 50; i++) {
      at.database.write([1]);
      flushes.push(replication.flush());
      await platform.clock.advanceAsync(SECOND);
    }
    const staged = at.state.staged().length;
    expect(staged).toBe(1);
    const before = store.count();
    await run(platform, Promise.all(flushes));
    // The file that was staged, and one more with all commits since.
    expect(store.count() - before).toBeLessThanOrEqual(2);
    await run(platform, replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("costs nothing while nothing is committed", async () => {
    const platform = fakePlatform(5);
    const store = faultyStore(memoryStore({ platform }));
    const at = bench({ platform, store });
    const replication = await start(at, { requestsPerHour: 60, ...DEFAULT_LEVELS });
    at.database.write([1]);
    await run(platform, replication.durable());
    await platform.clock.advanceAsync(HOUR);
    store.reset();
    expect(platform.clock.pending).toBe(0);
    await platform.clock.advanceAsync(10 * HOUR);
    expect(store.count()).toBe(0);
    await run(platform, replication.close());
  });

  test("refuses a durability that holds commits", async () => {
    const at = bench();
    const starting = start(at, { durability: "hold-retry", requestsPerHour: 3_600 });
    await expect(starting).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});
