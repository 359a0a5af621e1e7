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
import { faultyStore, storeFault } from "../testing/faulty-store.ts";
import { memoryStore } from "../transports/memory.ts";
import { deleteReplicaFiles } from "./delete-replica.ts";
import { LeaseHeldError } from "./errors.ts";
import { LEASE_KEY } from "./lease-object.ts";
import { openReplica } from "./replica.ts";
import type { Replication } from "./replication.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** Another database on its way into the same store, with a clock that is the same. */
function rival(at: Bench): Bench {
  return { ...at, state: durableState(), database: new ModelDatabase(512, 2) };
}

function startLeased(at: Bench, options: Parameters<typeof start>[1] = {}): Promise<Replication> {
  return start(at, { lease: true, levels: [], owner: "db1:42", ...options });
}

async function commit(at: Bench, replication: Replication): Promise<void> {
  at.database.write([1, 2]);
  await run(at.platform, replication.durable());
}

describe("startPrimary() with a lease", () => {
  test("startPrimary() is refused while another writer holds the lease, with no request but its reading", async () => {
    const at = bench();
    const first = await startLeased(at);
    await commit(at, first);
    const other = rival({ ...at, store: faultyStore(at.store) });
    const error: unknown = await startLeased(other).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(LeaseHeldError);
    expect(error).toMatchObject({ owner: "db1:42" });
    expect((other.store as ReturnType<typeof faultyStore>).requests).toMatchObject([
      { operation: "get", key: LEASE_KEY },
    ]);
    await run(at.platform, first.close());
    const second = await startLeased(other);
    await commit(other, second);
    expect(await restored(other)).toEqual(other.database.bytes);
    await run(at.platform, second.close());
  });

  test("startPrimary() takes nothing before the first upload, and one of two is told then", async () => {
    const at = bench();
    const other = rival(at);
    const first = await startLeased(at);
    const second = await startLeased(other);
    expect(await keys(at.store)).toEqual([]);
    await commit(at, first);
    const events = collect(second);
    other.database.write([1]);
    await expect(run(at.platform, second.durable())).rejects.toBeInstanceOf(LeaseHeldError);
    expect(events.map(({ type }) => type)).toContain("conflict");
    await run(at.platform, second.close()).catch(() => undefined);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, first.close());
  });

  test("startPrimary() after a crash takes its own lease at once, whether or not a file was confirmed", async () => {
    for (const confirmed of [true, false]) {
      const store = faultyStore(memoryStore());
      const at = bench({ store });
      const first = await startLeased(at);
      if (!confirmed) {
        store.failNext("put", {});
        store.failNext("put", { before: storeFault("gone", false) });
      }
      at.database.write([1, 2]);
      await run(at.platform, first.durable()).catch(() => undefined);
      expect(await keys(store)).toContain(LEASE_KEY);
      first.pause();
      // Whatever the first one still does, it lost its lease to the second.
      const second = await startLeased(at);
      await commit(at, second);
      expect(await restored(at)).toEqual(at.database.bytes);
      await run(at.platform, second.close());
    }
  });

  test("startPrimary() with takeOver takes a live lease, and the other writer stops at its next upload", async () => {
    const at = bench();
    const first = await startLeased(at);
    await commit(at, first);
    const other = rival(at);
    const second = await startLeased(other, { takeOver: true });
    await commit(other, second);
    await at.platform.clock.advanceAsync(15 * SECOND);
    const events = collect(first);
    at.database.write([1]);
    await expect(run(at.platform, first.durable())).rejects.toMatchObject({ code: "CONFLICT" });
    expect(events.map(({ type }) => type)).toContain("conflict");
    expect(await restored(other)).toEqual(other.database.bytes);
    await run(at.platform, first.takeOver());
    await commit(at, first);
    expect(await restored(at)).toEqual(at.database.bytes);
    expect(await keys(at.store)).toEqual([LEASE_KEY, ...[1, 2, 3].map((n) => level0(n))]);
    await run(at.platform, first.close());
    await run(at.platform, second.close()).catch(() => undefined);
  });

  test("startPrimary() that insists is refused by a store that cannot keep a lease", async () => {
    const store = memoryStore();
    const capabilities = { ...store.capabilities, conditionalReplace: false };
    const at = bench({ store: { ...store, capabilities } });
    await expect(startLeased(at)).rejects.toMatchObject({ code: "UNSUPPORTED" });
    const replication = await start(at, { lease: undefined, levels: [] });
    await commit(at, replication);
    expect(await keys(at.store)).toEqual([level0(1)]);
    await run(at.platform, replication.close());
  });

  test("a lease costs one request per ten seconds of writing, and none when idle", async () => {
    const store = faultyStore(memoryStore());
    const at = bench({ store });
    const replication = await startLeased(at);
    await commit(at, replication);
    store.reset();
    for (let second = 0; second < 60; second++) {
      await commit(at, replication);
      await at.platform.clock.advanceAsync(SECOND);
    }
    const files = replication.stats.files - 1;
    const leases = store.requests.filter(({ key }) => key === LEASE_KEY);
    expect(leases.length).toBeGreaterThan(0);
    expect(leases.length).toBeLessThanOrEqual(6);
    expect(store.count()).toBe(files + leases.length);
    store.reset();
    await at.platform.clock.advanceAsync(60 * MINUTE);
    expect(store.count()).toBe(0);
    // An hour later: the lease again with the tag it had, a proof, and the file.
    await commit(at, replication);
    expect(store.requests.map(({ operation }) => operation)).toEqual(["put", "list", "put"]);
    await run(at.platform, replication.close());
  });

  test("lost answers to any request of a replication never end in a conflict", async () => {
    for (let lost = 1; lost <= 12; lost++) {
      let count = 0;
      const store = faultyStore(memoryStore(), {
        fault: () => (++count === lost || count === lost + 1 ? { after: storeFault() } : undefined),
      });
      const at = bench({ store });
      const replication = await startLeased(at);
      const events = collect(replication);
      for (let i = 0; i < 3; i++) {
        await commit(at, replication);
        await at.platform.clock.advanceAsync(5 * MINUTE);
      }
      await run(at.platform, replication.close());
      expect(events.map(({ type }) => type)).not.toContain("conflict");
      expect(await restored(at)).toEqual(at.database.bytes);
    }
  });

  test("close() ends the lease, and deleteReplica() takes it along", async () => {
    const at = bench();
    const replication = await startLeased(at);
    await commit(at, replication);
    await run(at.platform, replication.close());
    const { body } = await at.store.get(LEASE_KEY);
    const text = await new Response(body as BodyInit).text();
    expect(JSON.parse(text)).toMatchObject({ generation: 1, expires_at: "1970-01-01T00:00:00Z" });
    const replica = openReplica(at.store, { platform: at.platform });
    await deleteReplicaFiles(replica, { confirm: at.store.description });
    expect(await keys(at.store)).toEqual([]);
  });
});

describe("startPrimary() without a lease", () => {
  test("a writer that begins meanwhile is noticed when the proof has aged", async () => {
    const at = bench();
    const replication = await start(at, { levels: [] });
    await commit(at, replication);
    const other = rival(at);
    const foreign = await start(other, { levels: [] });
    await commit(other, foreign);
    await at.platform.clock.advanceAsync(10 * MINUTE);
    at.database.write([1]);
    await expect(run(at.platform, replication.durable())).rejects.toMatchObject({
      code: "CONFLICT",
    });
    await run(at.platform, foreign.close());
    await run(at.platform, replication.close()).catch(() => undefined);
  });
});
