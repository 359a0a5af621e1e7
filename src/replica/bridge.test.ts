import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import { DestinationsBench } from "../../test/helpers/destinations-bench.ts";
import { collect } from "../../test/helpers/primary-bench.ts";
import type { Replication } from "./replication.ts";

/** Bytes of staged files that a few commits of these tests exceed. */
const SMALL = { stagingBytes: 4096, groupBytes: 4096 };

/** A second replica that has TXIDs 1 to 3 and is left behind by the first, which has more. */
async function leftBehind(at: DestinationsBench): Promise<Replication> {
  const replication = await at.start(SMALL);
  for (let i = 0; i < 3; i++) await at.commit(replication, [1, 2 + i]);
  at.at(1).dead = true;
  for (let i = 0; i < 20; i++) await at.commit(replication, [1, 2, 3, 4], { at: "any" });
  return replication;
}

/** Checks after every PUT into a place that it restores to a state that the database had. */
function watch(at: DestinationsBench, index: number): { readonly steps: string[][] } {
  const steps: string[][] = [];
  at.at(index).onPut = async () => {
    steps.push(await at.names(index));
  };
  return { steps };
}

describe("A destination that is left behind", () => {
  test("never fills local storage past stagingBytes", async () => {
    const at = new DestinationsBench(2);
    const replication = await leftBehind(at);
    expect(replication.destinations[1]).toMatchObject({ state: "behind", replicated: 3n });
    expect(replication.stats.pendingBytes).toBeLessThanOrEqual(SMALL.stagingBytes);
    expect(at.state.staged()).toEqual([]);
    expect(replication.destinations[0]).toMatchObject({ state: "following", pendingBytes: 0 });
    await expect(at.run(replication.close())).rejects.toMatchObject({ code: "STORE" });
  });

  test("is compacted up to its own maximum, gets every page in level 1, and at once the L0 file", async () => {
    const at = new DestinationsBench(2);
    const replication = await leftBehind(at);
    const events = collect(replication);
    const { steps } = watch(at, 1);
    at.at(1).dead = false;
    await at.run(replication.flush());
    const old = ["0:1-1", "0:2-2", "0:3-3"];
    const n = Number(replication.position.staged);
    expect(steps).toEqual([
      [...old, "1:1-3"],
      [...old, "1:1-3", `1:4-${n}`],
      [...old, `0:${n}-${n}`, "1:1-3", `1:4-${n}`],
    ]);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    expect(await at.restored(1, 3n)).toEqual(at.states.get(3n));
    expect(events).toContainEqual(
      expect.objectContaining({ type: "repaired", destination: "b", txid: BigInt(n) }),
    );
    await at.commit(replication, [2]);
    expect(await at.names(1)).toContain(`0:${n + 1}-${n + 1}`);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    expect(at.state.staged()).toEqual([]);
    await at.run(replication.close());
  });

  test("is brought up while commits go on, and lacks none of them", async () => {
    const at = new DestinationsBench(2);
    const replication = await leftBehind(at);
    at.at(1).onPut = () => {
      at.database.write([1, 3]);
    };
    at.at(1).dead = false;
    await at.run(replication.flush());
    at.at(1).onPut = () => {};
    await at.run(replication.flush());
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    expect(replication.destinations).toMatchObject([
      { state: "following" },
      { state: "following" },
    ]);
    expect(at.state.staged()).toEqual([]);
    await at.run(replication.close());
  });

  test.each([0, 1, 2])(
    "ends with its newest L0 at the maximum though its store dies after %d steps of the bridge",
    async (count) => {
      const at = new DestinationsBench(2);
      const replication = await leftBehind(at);
      const b = at.at(1);
      let puts = 0;
      b.onPut = () => {
        if (++puts === count) b.dead = true;
      };
      b.refuses = (_, operation) => operation === "upload" && puts >= count;
      b.dead = false;
      at.database.write([1]);
      await expect(at.run(replication.flush())).rejects.toMatchObject({ code: "STORE" });
      b.dead = false;
      b.refuses = () => false;
      b.onPut = () => {};
      await at.run(replication.flush());
      const { maxTxid, newestL0, gap } = await at.standing(1);
      expect({ gap, newestL0 }).toEqual({ gap: undefined, newestL0: maxTxid });
      expect(await at.restored(1)).toEqual(at.database.bytes);
      expect(at.state.staged()).toEqual([]);
      await at.run(replication.close());
    },
  );

  test.each([1, 2])(
    "is repaired by the next start after a crash that followed step %d of the bridge",
    async (count) => {
      const at = new DestinationsBench(2);
      const replication = await leftBehind(at);
      const b = at.at(1);
      let puts = 0;
      // The process dies with the PUT after this one.
      b.refuses = (_, operation) => operation === "upload" && puts >= count;
      b.onPut = () => void puts++;
      b.dead = false;
      await expect(at.run(replication.flush())).rejects.toMatchObject({ code: "STORE" });
      at.at(0).dead = true;
      b.dead = true;
      await replication.close({ deadlineMs: 0 }).catch(() => {});
      at.at(0).dead = false;
      b.dead = false;
      b.refuses = () => false;
      const next = await at.start(SMALL);
      await at.run(next.flush());
      const { maxTxid, newestL0, gap } = await at.standing(1);
      expect({ gap, newestL0 }).toEqual({ gap: undefined, newestL0: maxTxid });
      for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
      await at.commit(next, [1, 2]);
      expect(await at.restored(1)).toEqual(at.database.bytes);
      await at.run(next.close());
      expect(at.state.staged()).toEqual([]);
    },
  );

  test("gets a snapshot where the page size has changed meanwhile", async () => {
    const at = new DestinationsBench(2);
    const replication = await leftBehind(at);
    at.database.resize(1024, 4);
    await at.commit(replication, [1, 2], { at: "any" });
    at.at(1).dead = false;
    await at.run(replication.flush());
    const n = Number(replication.position.staged);
    expect(await at.names(1)).toEqual([
      "0:1-1",
      "0:2-2",
      "0:3-3",
      `0:${n}-${n}`,
      "1:1-3",
      `9:1-${n}`,
    ]);
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  test("goes on from a newest file of another history with an L0 file that needs nothing before it", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    for (let i = 0; i < 2; i++) await at.commit(replication, [1, 2 + i, 6]);
    at.at(1).dead = true;
    await at.commit(replication, [1, 4], { at: "any" });
    await at.run(replication.close({ deadlineMs: 0 }).catch(() => {}));
    at.at(1).dead = false;
    const other = new DestinationsBench(1);
    const foreign = await other.start();
    for (const page of [6, 5, 2]) await other.commit(foreign, [1, page]);
    await other.run(foreign.close());
    const key = "ltx/0/0000000000000003-0000000000000003.ltx";
    await at.at(1).inner.put(key, await bytesAt(other.at(0).inner, key));
    const next = await at.start();
    await at.run(next.flush());
    expect(await at.names(1)).toEqual(["0:1-1", "0:2-2", "0:3-3", "0:4-4", "1:1-3", "1:4-4"]);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    const above = (await at.keys(1)).filter((name) => !name.startsWith("ltx/0/"));
    await at.at(1).inner.delete(above);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    await at.run(next.close());
  });

  test("keeps the marker right where only the bridge brought it there", async () => {
    const at = new DestinationsBench(2);
    const replication = await leftBehind(at);
    at.at(0).dead = true;
    at.at(1).dead = false;
    at.database.write([1, 5]);
    // The attempt under way may still find both away.
    await at.run(replication.flush({ at: "any" })).catch(() => {});
    await at.run(replication.durable({ at: "any" }));
    expect(await at.restored(1)).toEqual(at.database.bytes);
    await expect(at.run(replication.close())).rejects.toMatchObject({ code: "STORE" });
    at.at(0).dead = false;
    const { staged } = replication.position;
    const next = await at.start(SMALL);
    // A marker that is proven needs neither a full file nor a difference.
    expect(next.position.staged).toBe(staged);
    await at.run(next.durable());
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(next.close());
  });
});

describe("An empty destination", () => {
  test("can be restored after every step, and follows from then on", async () => {
    const at = new DestinationsBench(2);
    const alone = await at.start({}, [0]);
    for (let i = 1; i <= 4; i++) await at.commit(alone, [1, i + 1]);
    await at.run(alone.close());
    const { steps } = watch(at, 1);
    const replication = await at.start();
    await at.run(replication.durable());
    expect(steps).toEqual([["9:1-4"], ["0:4-4", "9:1-4"]]);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    const l0 = await at.at(1).inner.get("ltx/0/0000000000000004-0000000000000004.ltx");
    const base = await at.at(1).inner.get("ltx/9/0000000000000001-0000000000000004.ltx");
    expect(l0.size).toBe(base.size);
    await at.commit(replication, [1, 2]);
    expect(await at.names(1)).toEqual(["0:4-4", "0:5-5", "9:1-4"]);
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  test("is not brought up again by the next start, although its L0 file is another than that of the rest", async () => {
    const at = new DestinationsBench(2);
    const alone = await at.start({}, [0]);
    for (let i = 1; i <= 4; i++) await at.commit(alone, [1, i + 1]);
    await at.run(alone.close());
    for (let turn = 0; turn < 3; turn++) {
      const replication = await at.start();
      await at.run(replication.durable());
      expect(await at.names(1)).toEqual(["0:4-4", "9:1-4"]);
      await at.run(replication.close());
    }
  });

  test("restores to no mixture whatever arrives late below its first files", async () => {
    const at = new DestinationsBench(2);
    const alone = await at.start({}, [0]);
    for (const page of [2, 6]) await at.commit(alone, [1, page]);
    await at.run(alone.close());
    const other = new DestinationsBench(1);
    const foreign = await other.start();
    await other.commit(foreign, [1, 6, 5]);
    await other.run(foreign.close());
    const replication = await at.start();
    await at.run(replication.durable());
    const key = "ltx/0/0000000000000001-0000000000000001.ltx";
    await at.at(1).inner.put(key, await bytesAt(other.at(0).inner, key));
    await at.commit(replication, [1, 3]);
    // As once retention has removed it.
    await at.at(1).inner.delete(["ltx/9/0000000000000001-0000000000000002.ltx"]);
    expect(await at.restored(1, 2n)).toEqual(at.states.get(2n));
    expect(await at.restored(1)).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  test("does not wait for a commit where the database is idle, and waits for none where it is empty", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    await at.run(replication.durable());
    for (const i of [0, 1]) expect(await at.names(i)).toEqual([]);
    await at.commit(replication, [1, 2]);
    for (const i of [0, 1]) expect(await at.names(i)).toEqual(["0:1-1"]);
    await at.run(replication.close());
  });
});
