import { describe, expect, test } from "vitest";
import { run } from "../../test/helpers/primary-bench.ts";
import { fakePlatform, type FakePlatform } from "../testing/fake-platform.ts";
import { type FaultyStore, faultyStore, storeFault } from "../testing/faulty-store.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { LeaseHeldError } from "./errors.ts";
import { Lease } from "./lease.ts";
import { LEASE_KEY } from "./lease-object.ts";
import { Replica } from "./replica.ts";

const SECOND = 1_000;

interface Bench {
  readonly platform: FakePlatform;
  readonly store: FaultyStore;
  /** What it told. */
  readonly told: string[];
  lease(nonce: string, store?: ObjectStore): Lease;
}

function bench(): Bench {
  const platform = fakePlatform(1);
  const store = faultyStore(memoryStore({ platform }));
  const told: string[] = [];
  return {
    platform,
    store,
    told,
    lease: (nonce, over = store) =>
      new Lease({
        replica: new Replica(over, { platform }),
        nonce,
        owner: `host-of-${nonce}:1`,
        taken: (generation) => told.push(`${nonce} took ${generation}`),
        passed: () => told.push(`${nonce} was passed`),
      }),
  };
}

async function record(store: ObjectStore): Promise<Record<string, unknown>> {
  const { body } = await store.get(LEASE_KEY);
  return (await new Response(body as BodyInit).json()) as Record<string, unknown>;
}

describe("Lease", () => {
  test("hold() creates Litestream's object with a nonce", async () => {
    const { store, told, lease } = bench();
    await lease("a").hold();
    expect(await record(store)).toEqual({
      generation: 1,
      expires_at: "2026-01-01T00:00:30Z",
      owner: "host-of-a:1",
      nonce: "a",
    });
    expect(told).toEqual(["a took 1"]);
  });

  test("hold() costs one request per third of the time to live while it is called, and none when it is not", async () => {
    const { platform, store, lease } = bench();
    const a = lease("a");
    await a.inspect();
    store.reset();
    for (let second = 0; second < 60; second++) {
      await a.hold();
      await platform.clock.advanceAsync(SECOND);
    }
    expect(store.requests.map(({ operation }) => operation)).toEqual(Array(6).fill("put"));
    store.reset();
    await platform.clock.advanceAsync(600 * SECOND);
    expect(store.count()).toBe(0);
    expect(platform.clock.pending).toBe(0);
  });

  test("hold() takes a lease that has ended with the tag it had, without a new generation", async () => {
    const { platform, store, told, lease } = bench();
    const a = lease("a");
    await a.hold();
    await platform.clock.advanceAsync(100 * SECOND);
    store.reset();
    await a.hold();
    expect(store.requests.map(({ operation }) => operation)).toEqual(["put"]);
    expect(await record(store)).toMatchObject({ generation: 1, nonce: "a" });
    expect(told).toEqual(["a took 1", "a took 1"]);
  });

  test("inspect() refuses a live lease of another, naming owner and end and never the nonce", async () => {
    const { lease } = bench();
    await lease("secret").hold();
    const error = await lease("b")
      .inspect()
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(LeaseHeldError);
    expect(error).toMatchObject({ code: "CONFLICT", owner: "host-of-secret:1" });
    const { message, expiresAt } = error as LeaseHeldError;
    expect(expiresAt.toISOString()).toBe("2026-01-01T00:00:30.000Z");
    expect(message.replaceAll("host-of-secret", "")).not.toContain("secret");
    expect(message).toContain("takeOver()");
  });

  test("hold() takes over what has ended with the next generation, and the loser hears it", async () => {
    const { platform, store, told, lease } = bench();
    const [a, b] = [lease("a"), lease("b")];
    await a.hold();
    await platform.clock.advanceAsync(31 * SECOND);
    await b.inspect();
    await b.hold();
    expect(await record(store)).toMatchObject({ generation: 2, nonce: "b" });
    await expect(a.hold()).rejects.toMatchObject({ code: "CONFLICT", owner: "host-of-b:1" });
    expect(await record(store)).toMatchObject({ generation: 2, nonce: "b" });
    expect(told).toEqual(["a took 1", "b took 2"]);
  });

  test("hold() tells that another held it meanwhile", async () => {
    const { platform, store, told, lease } = bench();
    const [a, b] = [lease("a"), lease("b")];
    await a.hold();
    await platform.clock.advanceAsync(31 * SECOND);
    await b.hold();
    await b.release();
    await a.hold();
    expect(await record(store)).toMatchObject({ generation: 3, nonce: "a" });
    expect(told).toEqual(["a took 1", "b took 2", "a was passed", "a took 3"]);
  });

  test("hold() after a restart takes its own live lease at once, and the process before it has lost", async () => {
    const { platform, store, lease } = bench();
    const before = lease("a");
    await before.hold();
    await platform.clock.advanceAsync(15 * SECOND);
    const after = lease("a");
    await after.inspect();
    await after.hold();
    expect(await record(store)).toMatchObject({ generation: 2, nonce: "a" });
    await expect(before.hold()).rejects.toBeInstanceOf(LeaseHeldError);
    expect(await record(store)).toMatchObject({ generation: 2, nonce: "a" });
  });

  test("hold() knows its own object when the answer was lost", async () => {
    const { store, lease } = bench();
    const a = lease("a");
    store.failNext("put", { after: storeFault() });
    await expect(a.hold()).rejects.toMatchObject({ code: "STORE" });
    await a.hold();
    expect(await record(store)).toMatchObject({ generation: 1, nonce: "a" });
  });

  test("hold() knows its own prolongation when the answer was lost", async () => {
    const { platform, store, told, lease } = bench();
    const a = lease("a");
    await a.hold();
    await platform.clock.advanceAsync(15 * SECOND);
    store.failNext("put", { after: storeFault() });
    await a.hold();
    await platform.clock.advanceAsync(SECOND);
    await a.hold();
    expect(await record(store)).toMatchObject({
      generation: 1,
      expires_at: "2026-01-01T00:00:46Z",
    });
    expect(told).toEqual(["a took 1"]);
  });

  test("hold() survives an outage as long as the lease is live, and not longer", async () => {
    const { platform, store, lease } = bench();
    const a = lease("a");
    await a.hold();
    await platform.clock.advanceAsync(29 * SECOND);
    store.failNext("put", { before: storeFault() });
    await a.hold();
    await platform.clock.advanceAsync(2 * SECOND);
    store.failNext("put", { before: storeFault() });
    await expect(a.hold()).rejects.toMatchObject({ code: "STORE" });
  });

  test.each([2, 10])("hold() has one winner of %i at once", async (writers) => {
    const { store, lease } = bench();
    const leases = Array.from({ length: writers }, (_, i) => lease(`w${i}`));
    await Promise.all(leases.map((each) => each.inspect()));
    const outcomes = await Promise.allSettled(leases.map((each) => each.hold()));
    const winners = outcomes.flatMap(({ status }, i) => (status === "fulfilled" ? [`w${i}`] : []));
    expect(winners).toEqual([(await record(store))["nonce"]]);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(LeaseHeldError);
    }
  });

  test("takeOver() takes a live lease", async () => {
    const { platform, store, lease } = bench();
    const [a, b] = [lease("a"), lease("b")];
    await a.hold();
    await b.takeOver();
    expect(await record(store)).toMatchObject({ generation: 2, nonce: "b" });
    await platform.clock.advanceAsync(15 * SECOND);
    await expect(a.hold()).rejects.toBeInstanceOf(LeaseHeldError);
  });

  test("takeOver() goes on after a lost answer", async () => {
    const { platform, store, lease } = bench();
    await lease("a").hold();
    store.failNext("put", { after: storeFault() });
    await run(platform, lease("b").takeOver());
    expect(await record(store)).toMatchObject({ generation: 2, nonce: "b" });
  });

  test("release() ends the lease and keeps its generation", async () => {
    const { store, lease } = bench();
    const [a, b] = [lease("a"), lease("b")];
    await a.hold();
    await a.release();
    expect(await record(store)).toMatchObject({
      generation: 1,
      expires_at: "1970-01-01T00:00:00Z",
    });
    await b.inspect();
    await b.hold();
    expect(await record(store)).toMatchObject({ generation: 2, nonce: "b" });
  });

  test("release() asks nothing where the lease has ended or was never taken, and nothing of another's", async () => {
    const { platform, store, lease } = bench();
    const [a, b] = [lease("a"), lease("b")];
    await a.release();
    await a.hold();
    await platform.clock.advanceAsync(31 * SECOND);
    store.reset();
    await a.release();
    expect(store.count()).toBe(0);
    await a.hold();
    await b.takeOver();
    await a.release();
    expect(await record(store)).toMatchObject({ generation: 2, nonce: "b" });
  });

  test("release() leaves the lease of whoever took it, also where that was noticed", async () => {
    const { platform, store, lease } = bench();
    const [a, b] = [lease("a"), lease("b")];
    await a.hold();
    await b.takeOver();
    await platform.clock.advanceAsync(15 * SECOND);
    await expect(a.hold()).rejects.toBeInstanceOf(LeaseHeldError);
    await a.release();
    expect(await record(store)).toMatchObject({
      nonce: "b",
      expires_at: "2026-01-01T00:00:30Z",
    });
  });

  test("inspect() reads Litestream's lease, with the offset of its zone", async () => {
    const { platform, store, lease } = bench();
    const text = `{"generation":7,"expires_at":"2026-01-01T02:00:30.123456789+02:00","owner":"db1:42"}`;
    await store.put(LEASE_KEY, new TextEncoder().encode(text));
    const a = lease("a");
    await expect(a.inspect()).rejects.toMatchObject({ owner: "db1:42" });
    await platform.clock.advanceAsync(31 * SECOND);
    await a.inspect();
    await a.hold();
    expect(await record(store)).toMatchObject({ generation: 8, nonce: "a" });
  });

  test.each(["", "{}", "[1]", "null", `{"generation":1.5,"expires_at":"2026-01-01T00:00:00Z"}`])(
    "inspect() refuses an object that is no lease: %j",
    async (text) => {
      const { store, lease } = bench();
      await store.put(LEASE_KEY, new TextEncoder().encode(text));
      await expect(lease("a").inspect()).rejects.toMatchObject({ code: "CONFLICT" });
    },
  );

  test("inspect() and hold() go by the store's clock where it is known", async () => {
    const { platform, store, lease } = bench();
    await lease("a").hold();
    const ahead = fakePlatform(2, platform.clock.now() + 60 * SECOND);
    const newLease = (over: ObjectStore): Lease =>
      new Lease({ replica: new Replica(over, { platform: ahead }), nonce: "b", owner: "b" });
    const told = { ...store, clockOffsetMs: () => -60 * SECOND };
    await expect(newLease(told).inspect()).rejects.toBeInstanceOf(LeaseHeldError);
    await newLease(store).inspect();
    await ahead.clock.advanceAsync(31 * SECOND);
    await newLease(told).hold();
    expect(await record(store)).toMatchObject({ expires_at: "2026-01-01T00:01:01Z" });
  });

  test.each([{ conditionalPut: false }, { conditionalReplace: false }])(
    "hold() does without where the store cannot keep a lease, and says so where the caller insists: %j",
    async (lacking) => {
      const { platform, store } = bench();
      const over = { ...store, capabilities: { ...store.capabilities, ...lacking } };
      const newLease = (insists: boolean): Lease =>
        new Lease({ replica: new Replica(over, { platform }), nonce: "a", owner: "a", insists });
      for (const call of ["inspect", "hold", "takeOver", "release"] as const) {
        await newLease(false)[call]();
        if (call === "release") continue;
        await expect(newLease(true)[call]()).rejects.toMatchObject({ code: "UNSUPPORTED" });
      }
      expect(store.count()).toBe(0);
    },
  );
});
