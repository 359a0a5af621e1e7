import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import { collect } from "../../test/helpers/primary-bench.ts";
import { DestinationsBench } from "../../test/helpers/destinations-bench.ts";
import type { Replication } from "./replication.ts";

/** Key of an L0 file. */
function l0(txid: number): string {
  const name = txid.toString(16).padStart(16, "0");
  return `ltx/0/${name}-${name}.ltx`;
}

/** A replica with TXIDs 1 to 6, and nothing that runs. */
async function written(at: DestinationsBench): Promise<void> {
  const replication = await at.start({}, [0]);
  for (let i = 1; i <= 6; i++) await at.commit(replication, [1, i + 1]);
  await at.run(replication.close());
}

async function restarted(at: DestinationsBench): Promise<Replication> {
  const replication = await at.start({}, [0]);
  await at.run(replication.flush());
  return replication;
}

/** Says that a place lacks nothing, restores to what the database is, and stays so without another full file. */
async function expectWhole(at: DestinationsBench, replication: Replication): Promise<void> {
  const { gap, maxTxid, newestL0 } = await at.standing(0);
  expect({ gap, newestL0 }).toEqual({ gap: undefined, newestL0: maxTxid });
  expect(await at.restored(0)).toEqual(at.database.bytes);
  const before = await at.names(0);
  await at.commit(replication, [1]);
  const added = (await at.names(0)).filter((name) => !before.includes(name));
  const { staged } = replication.position;
  expect(added).toEqual([`0:${staged}-${staged}`]);
  await at.run(replication.close());
  const again = await at.start({}, [0]);
  await at.run(again.durable());
  expect(again.position.staged).toBe(staged);
  expect(await at.names(0)).toEqual([...before, ...added].sort(byLevel));
  await at.run(again.close());
}

function byLevel(a: string, b: string): number {
  const [x, y] = [a, b].map((name) => name.split(/[:-]/).map(Number)) as [number[], number[]];
  return x.map((n, i) => n - (y[i] as number)).find((n) => n !== 0) ?? 0;
}

describe("A replica that lost files", () => {
  test("is found out at the start by an interior gap, not by its maximum, and bridged once", async () => {
    const at = new DestinationsBench(1);
    await written(at);
    await at.at(0).inner.delete([l0(3)]);
    const replication = await restarted(at);
    expect((await at.names(0)).filter((name) => name.startsWith("1:"))).toEqual(["1:1-2", "1:3-7"]);
    expect(await at.restored(0, 2n)).toEqual(at.states.get(2n));
    await expectWhole(at, replication);
  });

  test("is bridged from TXID 1 where its first file is gone", async () => {
    const at = new DestinationsBench(1);
    await written(at);
    await at.at(0).inner.delete([l0(1)]);
    const replication = await restarted(at);
    expect((await at.names(0)).some((name) => name.startsWith("1:1-"))).toBe(true);
    await expectWhole(at, replication);
  });

  test("goes on after the maximum of all levels when a rule of the bucket empties level 0", async () => {
    const at = new DestinationsBench(1);
    await written(at);
    const replication = await restarted(at);
    await at.run(replication.snapshot());
    await at.run(replication.close());
    await at.at(0).inner.delete([1, 2, 3, 4, 5, 6].map(l0));
    const next = await restarted(at);
    await at.commit(next, [1, 2]);
    expect(next.position.staged).toBeGreaterThan(6n);
    await expectWhole(at, next);
  });

  test("goes on after the maximum when local state is lost, and never at TXID 1", async () => {
    const at = new DestinationsBench(1);
    await written(at);
    at.state.removeMarker();
    at.database.write([1, 2]);
    const replication = await restarted(at);
    expect(replication.position.staged).toBe(7n);
    await expectWhole(at, replication);
  });

  test.each([0, 50])(
    "is led over where a file was cut to %d bytes, instead of failing to decode it for ever",
    async (size) => {
      const at = new DestinationsBench(1);
      await written(at);
      const { inner } = at.at(0);
      await inner.delete([l0(4)]);
      await inner.put(l0(4), new Uint8Array(size));
      const replication = await restarted(at);
      expect((await at.names(0)).filter((name) => name.startsWith("1:"))).toEqual([
        "1:1-3",
        "1:4-7",
      ]);
      await expectWhole(at, replication);
    },
  );

  test("is led over where its newest file was cut", async () => {
    const at = new DestinationsBench(1);
    await written(at);
    const { inner } = at.at(0);
    await inner.delete([l0(6)]);
    await inner.put(l0(6), new Uint8Array(3));
    const replication = await restarted(at);
    await expectWhole(at, replication);
  });

  test("is not sent another full file by any number of starts that find nothing changed", async () => {
    const at = new DestinationsBench(1);
    await written(at);
    const before = await at.keys(0);
    for (let i = 0; i < 5; i++) {
      const replication = await restarted(at);
      await at.run(replication.close());
    }
    expect(await at.keys(0)).toEqual(before);
  });

  test("is found out after an error of its store, while commits go on", async () => {
    const at = new DestinationsBench(1);
    const replication = await at.start({}, [0]);
    const events = collect(replication);
    for (let i = 1; i <= 5; i++) await at.commit(replication, [1, i + 1]);
    at.at(0).dead = true;
    at.database.write([1, 2]);
    await expect(at.run(replication.durable())).rejects.toMatchObject({ code: "STORE" });
    await at.at(0).inner.delete([l0(4)]);
    at.at(0).dead = false;
    await at.run(replication.flush());
    await at.run(replication.durable());
    expect(events).toContainEqual(expect.objectContaining({ type: "degraded", destination: "a" }));
    await expectWhole(at, replication);
  });

  test("is found out by the listing that a writer makes anyway after a pause", async () => {
    const at = new DestinationsBench(1);
    const replication = await at.start({}, [0]);
    for (let i = 1; i <= 5; i++) await at.commit(replication, [1, i + 1]);
    await at.at(0).inner.delete([l0(4)]);
    await at.platform.clock.advanceAsync(3_600_000);
    await at.commit(replication, [1]);
    await at.run(replication.flush());
    await expectWhole(at, replication);
  });

  test("gets back from another replica what that one still has, and nothing else", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start();
    for (let i = 1; i <= 6; i++) await at.commit(first, [1, i + 1]);
    await at.run(first.close());
    await at.at(1).inner.delete([l0(3), l0(4)]);
    const second = await at.start();
    await at.run(second.durable());
    expect(await at.names(1)).toEqual(await at.names(0));
    for (let txid = 1n; txid <= 6n; txid++) {
      expect(await at.restored(1, txid)).toEqual(at.states.get(txid));
    }
    expect(at.state.staged()).toEqual([]);
    await at.run(second.close());
  });

  test("gets back what is still staged here", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start();
    for (let i = 1; i <= 3; i++) await at.commit(first, [1, i + 1]);
    at.at(1).dead = true;
    for (let i = 4; i <= 6; i++) await at.commit(first, [1, i + 1], { at: "any" });
    await expect(at.run(first.close())).rejects.toMatchObject({ code: "STORE" });
    // One replica loses what the other still waits for.
    await at.at(0).inner.delete([l0(5)]);
    const second = await at.start();
    await at.run(second.flush({ at: "any" }));
    const { gap } = await at.standing(0);
    expect(gap).toBeUndefined();
    expect(await at.restored(0, 5n)).toEqual(at.states.get(5n));
    expect((await at.names(0)).filter((name) => !name.startsWith("0:"))).toEqual([]);
    at.at(1).dead = false;
    await at.run(second.flush());
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(second.close());
  });
});

describe("Silent stalls", () => {
  test("a replica that is ahead of the database is never reported as success", async () => {
    const at = new DestinationsBench(1);
    const replication = await at.start({}, [0]);
    await at.commit(replication, [1, 2]);
    const other = new DestinationsBench(1);
    const theirs = await other.start({}, [0]);
    for (let i = 1; i <= 4; i++) await other.commit(theirs, [1, i + 1]);
    for (const txid of [2, 3, 4]) {
      await at.at(0).inner.put(l0(txid), await bytesAt(other.at(0).inner, l0(txid)));
    }
    at.database.write([1, 3]);
    await expect(at.run(replication.durable())).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(at.run(replication.waitFor(2n))).rejects.toMatchObject({ code: "CONFLICT" });
    expect(replication.position.replicated).toBe(1n);
    await at.run(replication.takeOver());
    await at.run(replication.flush());
    expect(replication.position.replicated).toBe(5n);
    expect(await at.restored(0)).toEqual(at.database.bytes);
    await at.run(replication.close());
    await other.run(theirs.close());
  });

  test("a commit that changes neither size nor time of the database is shipped", async () => {
    const at = new DestinationsBench(1);
    const replication = await at.start({}, [0]);
    await at.commit(replication, [1, 2]);
    for (let i = 0; i < 3; i++) await at.commit(replication, [2]);
    expect(replication.position.replicated).toBe(4n);
    expect(await at.restored(0)).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  test("full files end by themselves: after one, however it came about, come increments", async () => {
    const at = new DestinationsBench(1);
    const replication = await at.start({}, [0]);
    const events = collect(replication);
    await at.commit(replication, [1, 2, 3, 4, 5, 6]);
    at.database.needsFull("a test");
    for (let i = 0; i < 5; i++) await at.commit(replication, [1]);
    const full = events.filter((event) => event.type === "cut" && event.full);
    expect(full).toHaveLength(2);
    await at.run(replication.close());
  });

  test("a dead destination costs one attempt a minute at most, and says so each time", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start({ stagingBytes: 4096, groupBytes: 4096 });
    const events = collect(replication);
    await at.commit(replication, [1, 2]);
    at.at(1).dead = true;
    for (let i = 0; i < 20; i++) await at.commit(replication, [1, 2, 3, 4], { at: "any" });
    expect(replication.destinations[1]).toMatchObject({ state: "behind" });
    await at.platform.clock.advanceAsync(600_000);
    const [before, told] = [at.at(1).requests, events.length];
    for (let minute = 0; minute < 60; minute++) await at.platform.clock.advanceAsync(60_000);
    expect(at.at(1).requests - before).toBeLessThanOrEqual(60);
    expect(at.at(1).requests - before).toBeGreaterThan(30);
    const stalls = events.slice(told).filter(({ type }) => type === "stalled");
    expect(stalls).toHaveLength(at.at(1).requests - before);
    expect(at.at(0).requests).toBeLessThan(30);
    at.at(1).dead = false;
    await at.run(replication.close());
  });

  test("what waited during an outage is uploaded back to back, and a wait for it can be given up", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start({ groupMs: 1_000 });
    await at.commit(replication, [1, 2]);
    at.at(1).dead = true;
    for (let i = 0; i < 10; i++) await at.commit(replication, [1, 2], { at: "any" });
    const aborter = new AbortController();
    const given = replication.waitFor(50n, { signal: aborter.signal });
    aborter.abort();
    await expect(given).rejects.toMatchObject({ code: "ABORTED" });
    at.at(1).dead = false;
    const start = at.platform.clock.monotonic();
    await at.run(replication.flush());
    expect(at.platform.clock.monotonic() - start).toBeLessThan(1_000);
    expect(await at.names(1)).toEqual(await at.names(0));
    await at.run(replication.close());
  });
});
