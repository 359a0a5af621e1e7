import { describe, expect, test } from "vitest";
import { asciiBytes } from "../core/ascii.ts";
import {
  buildLtx,
  FAKE_START,
  fakeClock,
  fakePlatform,
  type FaultyStore,
  faultyStore,
} from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import { ADOPTED_KEY, noteAdopted, readAdopted } from "./adopted.ts";
import { Replica } from "./replica.ts";
import { RetentionClock } from "./retention-clock.ts";
import { retainReplica } from "./retention-run.ts";

const DAY = 86_400_000;

/** A replica with two old L0 files, level 1 over both, an old snapshot and a new one. */
async function bench(offsetMs?: number): Promise<{ store: FaultyStore; replica: Replica }> {
  const platform = fakePlatform(1, FAKE_START + 3 * DAY);
  const inner = memoryStore();
  const store = faultyStore(
    offsetMs === undefined ? inner : { ...inner, clockOffsetMs: () => offsetMs },
  );
  const replica = new Replica(store, { platform });
  const pages = { 1: 1, 2: 2 };
  for (const { level, ...spec } of [
    { level: 0, pages },
    { level: 0, minTxid: 2n, pages },
    { level: 1, maxTxid: 2n, pages },
    { level: 9, pages },
    { level: 9, maxTxid: 2n, pages, timestamp: FAKE_START + 3 * DAY },
  ]) {
    const { bytes, minTxid, maxTxid, timestamp } = buildLtx({ pageSize: 512, ...spec });
    await replica.write({ level, minTxid, maxTxid, timestamp: BigInt(timestamp) }, bytes);
  }
  store.reset();
  return { store, replica };
}

async function left(replica: Replica): Promise<string> {
  const files = (await replica.levels()).flat();
  return files.map(({ level, maxTxid }) => `${level}:${maxTxid}`).join(" ");
}

describe("retainReplica()", () => {
  test("retainReplica() removes what need not be kept, snapshots last", async () => {
    const { store, replica } = await bench();
    const { remove, floor } = await retainReplica(replica);
    expect(remove.map(({ level, maxTxid }) => `${level}:${maxTxid}`)).toEqual(["0:1", "9:1"]);
    expect(floor).toBe(1n);
    const deletes = store.requests.filter(({ operation }) => operation === "delete");
    expect(deletes.map(({ key }) => key.slice(0, 5))).toEqual(["ltx/0", "ltx/9"]);
    expect(await left(replica)).toBe("0:2 1:2 9:2");
  });

  test("retainReplica() removes nothing in a dry run, nor where retention is off", async () => {
    const { store, replica } = await bench();
    expect((await retainReplica(replica, { dryRun: true })).remove.length).toBe(2);
    expect((await retainReplica(replica, { retention: { enabled: false } })).remove).toEqual([]);
    expect(store.count("delete")).toBe(0);
  });

  test("retainReplica() keeps the snapshot before an adoption until it is released", async () => {
    const { store, replica } = await bench();
    await noteAdopted(replica, 2n, undefined);
    await noteAdopted(replica, 2n, undefined);
    expect((await retainReplica(replica)).remove.map(({ level }) => level)).toEqual([0]);
    const planned = await retainReplica(replica, { releaseAdopted: true, dryRun: true });
    expect(planned.remove.map(({ level }) => level)).toEqual([9]);
    expect(await left(replica)).toBe("0:2 1:2 9:1 9:2");
    expect(await readAdopted(replica, undefined)).toEqual([2n]);
    await retainReplica(replica, { releaseAdopted: true });
    expect(await left(replica)).toBe("0:2 1:2 9:2");
    expect(await readAdopted(replica, undefined)).toEqual([]);
    expect(store.count("put")).toBe(1);
  });

  test("retainReplica() removes nothing where it cannot tell what an adoption keeps", async () => {
    for (const bytes of ["", "{}", '{"txids":["2"]}', "x".repeat(5000)]) {
      const { store, replica } = await bench();
      await store.put(ADOPTED_KEY, asciiBytes(bytes));
      await expect(retainReplica(replica)).rejects.toMatchObject({
        code: "DAMAGED_FILE",
        file: ADOPTED_KEY,
      });
      expect(store.count("delete")).toBe(0);
    }
  });

  test("retainReplica() refuses to count ages where the server's clock is another", async () => {
    const { store, replica } = await bench(-6 * 60_000);
    await expect(retainReplica(replica)).rejects.toMatchObject({ code: "UNSUPPORTED" });
    expect(store.count("delete")).toBe(0);
  });
});

describe("RetentionClock", () => {
  test("RetentionClock reads the server's time where it differs by little", () => {
    const clock = fakeClock();
    const store = { ...memoryStore(), clockOffsetMs: () => -60_000 };
    expect(new RetentionClock(clock, store).read()).toEqual({ nowMs: FAKE_START - 60_000 });
    expect(new RetentionClock(clock, memoryStore()).read()).toEqual({ nowMs: FAKE_START });
  });

  test("RetentionClock distrusts a jump of the wall clock once", () => {
    const clock = fakeClock();
    const retention = new RetentionClock(clock, memoryStore());
    clock.advance(3_600_000);
    clock.jumpWall(4 * 60_000);
    expect(retention.read()).toHaveProperty("nowMs");
    clock.jumpWall(-6 * 60_000);
    expect(retention.read()).toEqual({
      distrust: "the wall clock moved by -360 s against the monotonic one",
    });
    expect(retention.read()).toHaveProperty("nowMs");
  });
});
