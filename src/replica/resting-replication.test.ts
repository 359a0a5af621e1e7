import { describe, expect, test } from "vitest";
import {
  bench,
  type Bench,
  collect,
  restored,
  run,
  start,
} from "../../test/helpers/primary-bench.ts";
import { type FaultyStore, fakePlatform, faultyStore, storeFault } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import { openReplica } from "./replica.ts";
import { RestingReplication } from "./resting-replication.ts";
import { Scheduler } from "./scheduler.ts";

const MINUTE = 60_000;
/** Long enough for all that is due for a commit, and for the rest after it. */
const LONG = 50 * 60 * MINUTE;

interface RestingBench extends Bench {
  readonly store: FaultyStore;
  readonly replication: RestingReplication;
}

function resting(more: Partial<Bench> = {}): RestingBench {
  const platform = fakePlatform(11);
  const store = faultyStore(more.store ?? memoryStore({ platform }));
  const at = { ...bench({ ...more, platform, store }), store };
  const replication = new RestingReplication(at.database, [openReplica(store, { platform })], {
    groupMs: 1_000,
    platform,
    budget: undefined,
    state: at.state,
    scheduler: new Scheduler(platform.clock),
    tap: { tell: () => {} },
  });
  return { ...at, replication };
}

/** One that has committed, and rests. */
async function atRest(more: Partial<Bench> = {}): Promise<RestingBench> {
  const at = resting(more);
  at.database.write([1, 2, 3]);
  await run(at.platform, at.replication.start(undefined));
  at.database.write([2]);
  await run(at.platform, at.replication.flush());
  expect(at.replication.isAtRest).toBe(false);
  await at.platform.clock.advanceAsync(LONG);
  expect(at.replication.isAtRest).toBe(true);
  at.store.reset();
  return at;
}

describe("RestingReplication", () => {
  test("lets go of everything once nothing is due, and says the same of itself as before", async () => {
    const { platform, store, replication } = await atRest();
    expect(platform.clock.pending).toBe(0);
    const { replicated } = replication.position;
    expect(replication.position).toEqual({ local: replicated, staged: replicated, replicated });
    expect(replicated).toBeGreaterThanOrEqual(1n);
    expect(replication.stats).toMatchObject({ commits: 2, lagMs: 0, pendingBytes: 0 });
    expect(replication.destinations).toMatchObject([{ state: "following", replicated }]);
    await run(platform, replication.flush());
    await run(platform, replication.durable());
    await run(platform, replication.waitFor(replicated));
    expect(store.count()).toBe(0);
    expect(replication.isAtRest).toBe(true);
    await run(platform, replication.close());
    expect(store.count()).toBe(0);
  });

  test("starts again with the next commit, without reading the database, and counts on", async () => {
    const at = await atRest();
    const { platform, store, database, replication } = at;
    const { replicated } = replication.position;
    const { images } = database;
    database.write([3]);
    database.write([1]);
    expect(replication.isAtRest).toBe(false);
    expect(replication.position).toEqual({
      local: replicated + 1n,
      staged: replicated,
      replicated,
    });
    await run(platform, replication.durable());
    expect(replication.position.replicated).toBe(replicated + 1n);
    expect(replication.stats).toMatchObject({ commits: 4, lagMs: 0 });
    expect(database.images).toBe(images);
    expect(store.count("list")).toBe(1);
    expect(await restored(at)).toEqual(database.bytes);
    await platform.clock.advanceAsync(LONG);
    expect(replication.isAtRest).toBe(true);
    database.write([2]);
    await run(platform, replication.close());
    expect(await restored(at)).toEqual(database.bytes);
  });

  test("rests and starts again any number of times, with every state restorable", async () => {
    const at = await atRest();
    const { platform, database, replication } = at;
    for (let i = 0; i < 5; i++) {
      database.write([1 + (i % 3)], i === 2 ? 6 : undefined);
      await run(platform, replication.durable());
      expect(await restored(at)).toEqual(database.bytes);
      await platform.clock.advanceAsync(LONG);
      expect(replication.isAtRest).toBe(true);
    }
    await run(platform, replication.close());
    // What the rest left behind proves the next start as well.
    const { images } = database;
    const next = await start(at);
    await run(platform, next.durable());
    expect(database.images - images).toBe(1);
    expect(next.position.local).toBe(replication.position.local);
    await run(platform, next.close());
  });

  test("sends every page after a doubt that came up while it rested", async () => {
    const at = await atRest();
    at.database.tamper(2);
    at.database.needsFull("a test says so");
    await run(at.platform, at.replication.flush());
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, at.replication.close());
  });

  test("stops with a conflict where another writer has gone on meanwhile, until it is told to take over", async () => {
    const at = await atRest();
    const { platform, database, replication } = at;
    const other = bench({ platform, store: at.store });
    other.database.load(database.bytes);
    const second = await start(other);
    other.database.write([1]);
    await run(platform, second.flush());
    await run(platform, second.close());
    const theirs = other.database.bytes;
    const events = collect(replication);
    database.write([3]);
    await expect(run(platform, replication.durable())).rejects.toMatchObject({ code: "CONFLICT" });
    expect(events).toContainEqual(expect.objectContaining({ type: "conflict" }));
    expect(await restored(at)).toEqual(theirs);
    await platform.clock.advanceAsync(LONG);
    expect(await restored(at)).toEqual(theirs);
    await run(platform, replication.takeOver());
    await run(platform, replication.durable());
    expect(await restored(at)).toEqual(database.bytes);
    await run(platform, replication.close());
  });

  test("loses nothing where the store is away when it starts again", async () => {
    let away = false;
    const store = faultyStore(memoryStore(), {
      fault: () => (away ? { before: storeFault("no connection", false) } : undefined),
    });
    const at = await atRest({ store });
    away = true;
    const events = collect(at.replication);
    at.database.write([1, 5]);
    await at.platform.clock.advanceAsync(10 * MINUTE);
    expect(at.replication.stats.lagMs).toBeGreaterThanOrEqual(10 * MINUTE);
    expect(at.replication.isAtRest).toBe(false);
    away = false;
    await at.platform.clock.advanceAsync(2 * MINUTE);
    expect(at.replication.stats.lagMs).toBe(0);
    expect(events.map(({ type }) => type)).toContain("uploaded");
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, at.replication.close());
  });

  test("ends within its deadline where the store is away when it starts again, and keeps what was committed", async () => {
    let away = false;
    const store = faultyStore(memoryStore(), {
      fault: () => (away ? { before: storeFault("no connection", false) } : undefined),
    });
    const at = await atRest({ store });
    away = true;
    at.database.write([1, 5]);
    await at.platform.clock.advanceAsync(MINUTE);
    const closing = at.replication.close({ deadlineMs: 5_000 });
    await expect(run(at.platform, closing)).rejects.toMatchObject({ code: "STORE" });
    expect(at.platform.clock.pending).toBe(0);
    away = false;
    const next = await start(at);
    await run(at.platform, next.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("does not rest while it is paused, or while somebody waits", async () => {
    const at = resting();
    at.database.write([1]);
    await run(at.platform, at.replication.start(undefined));
    await run(at.platform, at.replication.flush());
    at.replication.pause();
    const waiting = at.replication.waitFor(at.replication.position.replicated + 1n);
    await at.platform.clock.advanceAsync(LONG);
    expect(at.replication.isAtRest).toBe(false);
    at.replication.resume();
    await at.platform.clock.advanceAsync(LONG);
    expect(at.replication.isAtRest).toBe(false);
    at.database.write([1]);
    await run(at.platform, waiting);
    await at.platform.clock.advanceAsync(LONG);
    expect(at.replication.isAtRest).toBe(true);
    await run(at.platform, at.replication.snapshot());
    await run(at.platform, at.replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("ends its events with the replication, at rest too", async () => {
    const { platform, replication, database } = await atRest();
    const events = collect(replication);
    database.write([1]);
    await run(platform, replication.durable());
    await platform.clock.advanceAsync(LONG);
    await run(platform, replication.close());
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(["commit", "cut", "uploaded", "closed"]),
    );
    expect(events.at(-1)?.type).toBe("closed");
    expect(() => replication.pause()).toThrow(expect.objectContaining({ code: "CLOSED" }));
  });
});
