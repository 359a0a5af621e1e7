import { describe, expect, test } from "vitest";
import { ModelDatabase } from "../../test/helpers/model-database.ts";
import { gate, restored, run } from "../../test/helpers/primary-bench.ts";
import { type FakePlatform, fakePlatform, faultyStore, storeFault } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import type { Fleet, FleetEvent, FleetOptions } from "./fleet.ts";
import { startFleet } from "./fleet-members.ts";
import { memoryState } from "./local-state.ts";
import { openReplica } from "./replica.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

function fleetOf(platform: FakePlatform, options: FleetOptions = {}): Fleet {
  return startFleet({ ...options, platform });
}

/** Databases of two pages, named `d0`, `d1`, …, each with a store of its own. */
function databases(count: number): { name: string; database: ModelDatabase; store: ObjectStore }[] {
  return Array.from({ length: count }, (_, i) => {
    const database = new ModelDatabase(512, i + 1);
    database.write([1, 2]);
    return { name: `d${i}`, database, store: memoryStore() };
  });
}

async function same(
  platform: FakePlatform,
  database: ModelDatabase,
  store: ObjectStore,
): Promise<void> {
  const at = { platform, store, database, state: memoryState() };
  expect(await restored(at)).toEqual(database.bytes);
}

/** A store whose puts wait for a clock, and which counts how many wait at once. */
function slow(platform: FakePlatform, seen: { now: number; most: number; puts: string[] }) {
  return (store: ObjectStore, name: string, delayMs: number): ObjectStore => ({
    ...store,
    async put(key, body, options) {
      seen.puts.push(name);
      seen.most = Math.max(seen.most, ++seen.now);
      await new Promise<void>((resolve) => void platform.clock.schedule(resolve, delayMs));
      seen.now--;
      return await store.put(key, body, options);
    },
  });
}

describe("startFleet()", () => {
  test("replicates what is registered, at any time, and forgets what is unregistered", async () => {
    const platform = fakePlatform(1);
    const fleet = fleetOf(platform);
    const [first, second] = databases(2) as [Bench, Bench];
    const replication = await run(
      platform,
      fleet.register(first.name, first.database, first.store),
    );
    await run(platform, replication.durable());
    await run(platform, fleet.register(second.name, second.database, second.store));
    expect([...fleet.databases()].map(({ name, state }) => [name, state])).toEqual([
      ["d0", "replicating"],
      ["d1", "replicating"],
    ]);
    expect(fleet.get("d0")).toBe(replication);
    first.database.write([3]);
    await run(platform, fleet.unregister("d0"));
    expect(fleet.get("d0")).toBeUndefined();
    expect(fleet.size).toBe(1);
    await same(platform, first.database, first.store);
    await run(platform, fleet.register("d0", first.database, first.store));
    second.database.write([3]);
    await run(platform, fleet.close());
    await same(platform, second.database, second.store);
    expect(fleet.size).toBe(0);
    expect(platform.clock.pending).toBe(0);
    await expect(fleet.register("late", first.database, first.store)).rejects.toMatchObject({
      code: "CLOSED",
    });
  });

  test("refuses a name, a source or a store that is in use, and leaves the first alone", async () => {
    const platform = fakePlatform(2);
    const fleet = fleetOf(platform);
    const [first, second] = databases(2) as [Bench, Bench];
    await run(platform, fleet.register("a", first.database, first.store));
    const refused = { code: "INVALID_ARGUMENT" };
    await expect(fleet.register("a", second.database, second.store)).rejects.toMatchObject(refused);
    const store = openReplica(first.store, { platform });
    await expect(fleet.register("b", second.database, store)).rejects.toMatchObject(refused);
    await expect(fleet.register("b", first.database, second.store)).rejects.toMatchObject(refused);
    await expect(fleet.unregister("b")).rejects.toMatchObject(refused);
    expect(fleet.size).toBe(1);
    await run(platform, fleet.register("b", second.database, second.store));
    await run(platform, fleet.close());
  });

  test("refuses bounds that are no whole numbers of at least 1", () => {
    for (const options of [{ starts: 0 }, { uploads: 1.5 }, { maintenance: -1 }]) {
      expect(() => fleetOf(fakePlatform(1), options)).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
    }
  });

  test("asks the store before it opens a database, and opens none for a store that does not answer", async () => {
    const platform = fakePlatform(3);
    const fleet = fleetOf(platform);
    const store = faultyStore(memoryStore(), {
      fault: () => ({ before: storeFault("no", false) }),
    });
    let opened = 0;
    const open = (): ModelDatabase => {
      opened++;
      return new ModelDatabase();
    };
    await expect(run(platform, fleet.register("a", open, store))).rejects.toMatchObject({
      code: "STORE",
    });
    expect(opened).toBe(0);
    expect(fleet.size).toBe(0);
    await run(platform, fleet.register("a", open, memoryStore()));
    expect(opened).toBe(1);
    await run(platform, fleet.close());
  });

  test("starts only so many databases at once", async () => {
    const platform = fakePlatform(4);
    const fleet = fleetOf(platform, { starts: 3 });
    let opening = 0;
    let most = 0;
    const starts = databases(20).map(({ name, database, store }) =>
      fleet.register(
        name,
        async () => {
          most = Math.max(most, ++opening);
          await new Promise<void>((resolve) => void platform.clock.schedule(resolve, SECOND));
          opening--;
          return database;
        },
        store,
      ),
    );
    await platform.clock.advanceAsync(0);
    expect(fleet.status().states).toMatchObject({ starting: 20, replicating: 0 });
    await run(platform, Promise.all(starts));
    expect(most).toBe(3);
    expect(fleet.status().states).toMatchObject({ starting: 0, replicating: 20 });
    await run(platform, fleet.close());
  });

  test("ends a start whose database is unregistered or whose signal is aborted", async () => {
    const platform = fakePlatform(5);
    const fleet = fleetOf(platform, { starts: 1 });
    const [first, second, third] = databases(3) as [Bench, Bench, Bench];
    const hung: ObjectStore = {
      ...first.store,
      async *list(options) {
        await new Promise((_, reject) => {
          options?.signal?.addEventListener("abort", () => reject(storeFault("gone", false)));
        });
        yield* first.store.list(options);
      },
    };
    const starting = fleet.register("a", first.database, hung);
    const aborter = new AbortController();
    const { signal } = aborter;
    const waiting = fleet.register("b", second.database, second.store, { signal });
    const outcomes = Promise.allSettled([starting, waiting]);
    await platform.clock.advanceAsync(0);
    aborter.abort("enough");
    await platform.clock.advanceAsync(0);
    expect(fleet.size).toBe(1);
    await run(platform, fleet.unregister("a"));
    expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await run(platform, fleet.register("a", third.database, third.store));
    await run(platform, fleet.close());
  });

  test("uploads for only so many databases at once, each in its turn however much another has", async () => {
    const platform = fakePlatform(6);
    const seen = { now: 0, most: 0, puts: [] as string[] };
    const slowed = slow(platform, seen);
    const fleet = fleetOf(platform, { uploads: 2, defaults: { groupMs: 0 } });
    const members = databases(5);
    for (const { name, database, store } of members) {
      await run(platform, fleet.register(name, database, slowed(store, name, 100)));
    }
    await run(platform, fleet.flush());
    seen.puts.length = 0;
    const busy = members[0] as Bench;
    const waiting: (Promise<void> | undefined)[] = [];
    for (let i = 0; i < 20; i++) {
      busy.database.write([1]);
      // Somebody waits for each commit: else they would share a file.
      waiting.push(fleet.get(busy.name)?.flush());
      await platform.clock.advanceAsync(0);
    }
    for (const { database } of members) database.write([2]);
    await run(platform, Promise.all([...waiting, fleet.flush()]));
    expect(seen.most).toBe(2);
    expect(seen.puts.length).toBeGreaterThan(20);
    // One place stays with the busy one at most; the other four take turns at the other.
    const last = Math.max(...members.slice(1).map(({ name }) => seen.puts.lastIndexOf(name)));
    expect(last).toBeLessThan(10);
    await run(platform, fleet.close());
    for (const { database, store } of members) await same(platform, database, store);
  });

  test("does not let databases whose stores are away keep the others waiting", async () => {
    const platform = fakePlatform(7);
    const fleet = fleetOf(platform, { uploads: 1 });
    const [dead, live] = databases(2) as [Bench, Bench];
    const away = gate(dead.store);
    await run(platform, fleet.register("dead", dead.database, away));
    await run(platform, fleet.register("live", live.database, live.store));
    await run(platform, fleet.flush());
    const events: FleetEvent[] = [];
    void (async () => {
      for await (const event of fleet.events) events.push(event);
    })();
    away.mode = "refuse";
    dead.database.write([1]);
    await platform.clock.advanceAsync(SECOND);
    live.database.write([1]);
    const before = platform.clock.monotonic();
    await run(platform, fleet.get("live")?.durable() ?? Promise.reject(new Error("not there")));
    expect(platform.clock.monotonic() - before).toBeLessThan(2 * SECOND);
    const stalls = events.filter(({ type }) => type === "stalled");
    expect(new Set(stalls.map(({ database }) => database))).toEqual(new Set(["dead"]));
    expect(fleet.status()).toMatchObject({
      databases: 2,
      states: { stalled: 1, replicating: 1 },
      laggard: "dead",
    });
    const view = [...fleet.databases()].find(({ name }) => name === "dead");
    expect(view).toMatchObject({ state: "stalled", error: { code: "STORE" } });
    away.mode = "open";
    await platform.clock.advanceAsync(5 * MINUTE);
    expect(fleet.status()).toMatchObject({ states: { stalled: 0, stopped: 0 }, lagMs: 0 });
    await run(platform, fleet.close());
    await same(platform, dead.database, dead.store);
  });

  test("replicates a database into several replicas, and rests when all of them have everything", async () => {
    const platform = fakePlatform(12);
    const fleet = fleetOf(platform);
    const [one, other] = databases(2) as [Bench, Bench];
    const away = gate(other.store);
    await run(platform, fleet.register("a", one.database, [one.store, away]));
    await expect(fleet.register("c", new ModelDatabase(), away)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(fleet.register("d", new ModelDatabase(), [])).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await run(platform, fleet.flush());
    away.mode = "refuse";
    one.database.write([1]);
    await platform.clock.advanceAsync(10 * MINUTE);
    expect([...fleet.databases()]).toMatchObject([{ name: "a", state: "stalled" }]);
    away.mode = "open";
    await platform.clock.advanceAsync(60 * 60 * MINUTE);
    expect([...fleet.databases()]).toMatchObject([
      { name: "a", state: "resting", error: undefined },
    ]);
    one.database.write([2]);
    await run(platform, fleet.close());
    await same(platform, one.database, one.store);
    await same(platform, one.database, other.store);
  });

  test("shares one budget of requests between all databases", async () => {
    const platform = fakePlatform(8);
    const fleet = fleetOf(platform, { requestsPerHour: 1_600, defaults: { groupMs: SECOND } });
    const members = databases(10).map((member) => ({
      ...member,
      store: faultyStore(member.store),
    }));
    await run(
      platform,
      Promise.all(
        members.map(({ name, database, store }) => fleet.register(name, database, store)),
      ),
    );
    for (let second = 0; second < 1_800; second++) {
      for (const { database } of members) database.write([1]);
      await platform.clock.advanceAsync(SECOND);
    }
    const counts = members.map(({ store }) => store.count());
    const sum = counts.reduce((total, count) => total + count, 0);
    expect(sum).toBe(fleet.status().requests);
    expect(sum).toBeLessThanOrEqual(1_600);
    expect(sum).toBeGreaterThan(700);
    // Nobody starves.
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThan(20);
    await run(platform, fleet.close({ deadlineMs: 10 * MINUTE }));
    for (const { database, store } of members) await same(platform, database, store);
  });

  test("asks for nothing and sets no timer while 100 databases are idle", async () => {
    const platform = fakePlatform(9);
    const fleet = fleetOf(platform);
    const members = databases(100).map((member) => ({
      ...member,
      store: faultyStore(member.store),
    }));
    await run(
      platform,
      Promise.all(
        members.map(({ name, database, store }) => fleet.register(name, database, store)),
      ),
    );
    await run(platform, fleet.flush());
    // What is due for the last commit: levels, a snapshot, removals, and the marker.
    await platform.clock.advanceAsync(49 * 60 * MINUTE);
    for (const { store } of members) store.reset();
    expect(platform.clock.pending).toBe(0);
    await platform.clock.advanceAsync(48 * 60 * MINUTE);
    expect(members.every(({ store }) => store.count() === 0)).toBe(true);
    expect(platform.clock.pending).toBe(0);
    expect(fleet.status()).toMatchObject({ lagMs: 0, laggard: undefined, pendingBytes: 0 });
    expect(fleet.status().states).toMatchObject({ resting: 100, replicating: 0 });
    await run(platform, fleet.close());
  });

  test("keeps the lag of 100 databases below two seconds while each commits once a second", async () => {
    const platform = fakePlatform(10);
    const seen = { now: 0, most: 0, puts: [] as string[] };
    const slowed = slow(platform, seen);
    const fleet = fleetOf(platform, { uploads: 16, defaults: { groupMs: SECOND } });
    const members = databases(100);
    await run(
      platform,
      Promise.all(
        members.map(({ name, database, store }) =>
          fleet.register(name, database, slowed(store, name, 50)),
        ),
      ),
    );
    await run(platform, fleet.flush());
    let worst = 0;
    for (let tick = 0; tick < 60; tick++) {
      const due = members.filter((_, i) => i % 10 === tick % 10);
      for (const { database } of due) database.write([1 + (tick % 5)]);
      await platform.clock.advanceAsync(SECOND / 10);
      worst = Math.max(worst, fleet.status().lagMs);
    }
    expect(worst).toBeGreaterThan(0);
    expect(worst).toBeLessThan(2 * SECOND);
    expect(seen.most).toBeLessThanOrEqual(16);
    await run(platform, fleet.close());
    for (const { database, store } of members) await same(platform, database, store);
  });
});

type Bench = ReturnType<typeof databases>[number];
