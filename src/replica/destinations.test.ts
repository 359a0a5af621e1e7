import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import { collect } from "../../test/helpers/primary-bench.ts";
import { DestinationsBench } from "../../test/helpers/destinations-bench.ts";

/** An empty database and two places: the first holds what another database wrote, and does not answer yet. */
async function besideForeign(): Promise<DestinationsBench> {
  const other = new DestinationsBench(1);
  const replication = await other.start();
  await other.commit(replication, [1, 2]);
  await other.run(replication.close());
  const at = new DestinationsBench(2);
  const { inner } = other.at(0);
  for await (const { key } of inner.list({}))
    await at.at(0).inner.put(key, await bytesAt(inner, key));
  at.at(0).dead = true;
  return at;
}

/** Expects every place to lack nothing, and to restore to what the database is. */
async function expectWhole(at: DestinationsBench): Promise<void> {
  for (const i of at.places.keys()) {
    expect(await at.restored(i)).toEqual(at.database.bytes);
    expect((await at.standing(i)).gap).toBeUndefined();
  }
}

describe("startPrimary() with several replicas", () => {
  test("brings every commit to all of them under the same TXIDs, with one request each", async () => {
    const at = new DestinationsBench(3);
    const replication = await at.start();
    await at.commit(replication, [1, 2]);
    const before = at.places.map(({ requests }) => requests);
    for (let i = 2; i <= 5; i++) await at.commit(replication, [1, i + 1]);
    expect(at.places.map(({ requests }, i) => requests - (before[i] as number))).toEqual([4, 4, 4]);
    for (const i of [0, 1, 2]) {
      expect(await at.names(i)).toEqual(["0:1-1", "0:2-2", "0:3-3", "0:4-4", "0:5-5"]);
      expect(await at.restored(i)).toEqual(at.database.bytes);
    }
    const well = { state: "following", replicated: 5n, lagMs: 0, pendingBytes: 0 };
    expect(replication.destinations).toEqual([
      { ...well, name: "a", error: undefined },
      { ...well, name: "b", error: undefined },
      { ...well, name: "c", error: undefined },
    ]);
    expect(at.state.staged()).toEqual([]);
    await at.run(replication.close());
  });

  test("makes no request and no timer while nothing is committed", async () => {
    const at = new DestinationsBench(2);
    const levels = { levels: undefined, snapshot: undefined, retention: undefined };
    const replication = await at.start(levels);
    await at.commit(replication, [1, 2]);
    await at.platform.clock.advanceAsync(60_000);
    const before = at.places.map(({ requests }) => requests);
    await at.platform.clock.advanceAsync(24 * 3_600_000);
    expect(at.places.map(({ requests }) => requests)).toEqual(before);
    expect(at.platform.clock.nextDelay).toBeUndefined();
    await at.run(replication.close());
  });

  test("says in events which destination they are about", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    const events = collect(replication);
    await at.commit(replication, [1, 2]);
    await at.run(replication.close());
    const uploaded = events.filter(({ type }) => type === "uploaded");
    expect(uploaded).toMatchObject([{ destination: "a" }, { destination: "b" }]);
  });

  test("writes a snapshot to each of them", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    await at.commit(replication, [1, 2]);
    expect(await at.run(replication.snapshot())).toMatchObject({ txid: 1n });
    for (const i of [0, 1]) expect(await at.names(i)).toEqual(["0:1-1", "9:1-1"]);
    expect(at.state.staged()).toEqual([]);
    await at.run(replication.close());
  });

  test("writes a snapshot to the others where one is dead, and rejects for that one", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    await at.commit(replication, [1, 2]);
    at.at(0).dead = true;
    at.database.write([1, 3]);
    await expect(at.run(replication.snapshot())).rejects.toMatchObject({ code: "STORE" });
    expect(await at.names(1)).toEqual(["0:1-1", "0:2-2", "9:1-2"]);
    at.at(0).dead = false;
    expect(await at.run(replication.snapshot())).toMatchObject({ txid: 2n });
    expect(await at.names(0)).toEqual(["0:1-1", "0:2-2", "9:1-2"]);
    await at.run(replication.close());
    expect(at.state.staged()).toEqual([]);
  });

  test("keeps what one lacks, and does not stop the others", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    const events = collect(replication);
    await at.commit(replication, [1, 2]);
    at.at(1).dead = true;
    for (let i = 0; i < 3; i++) await at.commit(replication, [1, 3 + i], { at: "any" });
    await at.platform.clock.advanceAsync(100);
    expect(replication.position).toMatchObject({ staged: 4n, replicated: 1n });
    expect(replication.destinations).toMatchObject([
      { name: "a", state: "following", replicated: 4n, error: undefined },
      { name: "b", state: "stalled", replicated: 1n, error: { code: "STORE" } },
    ]);
    expect(replication.destinations[1]?.lagMs).toBeGreaterThan(0);
    expect(at.state.staged()).toHaveLength(3);
    expect(events).toContainEqual(expect.objectContaining({ type: "stalled", destination: "b" }));
    at.at(1).dead = false;
    await at.run(replication.flush());
    expect(await at.names(1)).toEqual(["0:1-1", "0:2-2", "0:3-3", "0:4-4"]);
    expect(events).toContainEqual(expect.objectContaining({ type: "recovered", destination: "b" }));
    expect(at.state.staged()).toEqual([]);
    await at.run(replication.close());
  });

  test("closes with what every store that answers lacks, and rejects for the one that does not", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    await at.commit(replication, [1, 2]);
    at.at(0).dead = true;
    at.database.write([1, 3]);
    await expect(at.run(replication.close())).rejects.toMatchObject({ code: "STORE" });
    expect(await at.restored(1)).toEqual(at.database.bytes);
    expect(at.state.staged()).toHaveLength(1);
  });

  test("goes on at the next start with the staged files that one of them lacks, and no full file", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start();
    await at.commit(first, [1, 2, 3, 4]);
    at.at(1).dead = true;
    await at.commit(first, [1, 3], { at: "any" });
    await at.commit(first, [1, 4], { at: "any" });
    await expect(at.run(first.close())).rejects.toMatchObject({ code: "STORE" });
    at.at(1).dead = false;
    const second = await at.start();
    await at.run(second.durable());
    for (const i of [0, 1]) expect(await at.names(i)).toEqual(["0:1-1", "0:2-2", "0:3-3"]);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    expect(at.state.staged()).toEqual([]);
    await at.run(second.close());
  });

  test("has all at the start after a crash amid a change of the page size, with no further commit", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start();
    await at.commit(first, [1, 2, 3]);
    at.database.resize(1024, 4);
    at.at(0).refuses = (_, operation) => operation === "upload";
    at.at(1).refuses = (key, operation) => operation === "upload" && key.startsWith("ltx/0/");
    await expect(at.run(first.close())).rejects.toMatchObject({ code: "STORE" });
    expect((await at.standing(1)).snapshot).toBe(2n);
    for (const i of [0, 1]) at.at(i).refuses = () => false;
    const second = await at.start();
    await at.run(second.durable({ signal: AbortSignal.timeout(2_000) }));
    expect(second.position.replicated).toBe(2n);
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(second.close());
  });

  test.each(["async", "hold-retry"] as const)(
    "asks one that did not answer at the start though the database is empty, with durability %s",
    async (durability) => {
      const at = new DestinationsBench(2);
      at.at(0).refuses = (_, operation) => operation === "list";
      // A start that holds waits for the first of them.
      const starting = at.start({ durability });
      const deadline = at.platform.clock.advanceAsync(500).then(() => {
        at.at(0).refuses = () => false;
      });
      const [replication] = await Promise.all([starting, deadline]);
      await at.run(replication.durable());
      expect(replication.destinations.map(({ state }) => state)).toEqual([
        "following",
        "following",
      ]);
      if (durability === "async") await at.commit(replication, [1, 2]);
      else await at.run(at.database.writeHeld([1, 2]));
      for (const i of [0, 1]) expect(await at.names(i)).toEqual(["0:1-1"]);
      await at.run(replication.close());
    },
  );

  test("goes on behind what one holds that did not answer while the database was empty", async () => {
    const at = await besideForeign();
    const replication = await at.start();
    at.at(0).dead = false;
    await at.platform.clock.advanceAsync(60_000);
    await at.run(replication.durable());
    await at.commit(replication, [1, 2, 3]);
    expect(replication.position.replicated).toBeGreaterThan(1n);
    await expectWhole(at);
    await at.run(replication.close());
  });

  test("starts though a file of one of them is removed between its listing and its reading", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start();
    await at.commit(first, [1, 2]);
    await at.commit(first, [1, 3]);
    await at.run(first.close());
    const place = at.at(1);
    place.refuses = (key, operation) => {
      if (operation === "read" && key.startsWith("ltx/0/")) void place.inner.delete([key]);
      return false;
    };
    const second = await at.start();
    place.refuses = () => false;
    await at.commit(second, [1, 4]);
    await expectWhole(at);
    await at.run(second.close());
  });

  test("asks one that did not answer before its first file, though the database was found empty meanwhile", async () => {
    const at = await besideForeign();
    const replication = await at.start();
    at.database.needsFull("test");
    await at.run(replication.durable({ at: "any" }));
    at.at(0).dead = false;
    await at.commit(replication, [1, 2, 3]);
    await expectWhole(at);
    await at.run(replication.close());
  });

  test("continues after the one that goes furthest, whichever comes first in the list", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start();
    await at.commit(first, [1, 2]);
    at.at(0).dead = true;
    await at.commit(first, [1, 3], { at: "any" });
    await expect(at.run(first.close())).rejects.toMatchObject({ code: "STORE" });
    at.at(0).dead = false;
    const second = await at.start();
    await at.commit(second, [1]);
    expect(second.position.replicated).toBe(3n);
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(second.close());
  });

  test("starts although one does not answer, and never takes a TXID that it could have", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start();
    await at.commit(first, [1, 2]);
    at.at(1).dead = true;
    await at.commit(first, [1, 3], { at: "any" });
    await expect(at.run(first.close())).rejects.toMatchObject({ code: "STORE" });
    // Now the one that has TXID 2 is away, and the one that lacks it is asked.
    at.at(1).dead = false;
    at.at(0).dead = true;
    const second = await at.start();
    await at.commit(second, [1, 4], { at: "any" });
    expect(second.position.staged).toBeGreaterThan(2n);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    at.at(0).dead = false;
    await at.run(second.flush());
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(second.close());
  });

  test("sends one that was away at the start nothing but what it lacks", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start();
    await at.commit(first, [1, 2, 3, 4]);
    await at.run(first.close());
    at.at(1).dead = true;
    const second = await at.start();
    await at.run(second.durable({ at: "any" }));
    at.at(1).dead = false;
    await at.run(second.flush());
    expect(await at.names(1)).toEqual(["0:1-1"]);
    at.at(1).dead = true;
    await at.commit(second, [1, 3], { at: "any" });
    await expect(at.run(second.close())).rejects.toMatchObject({ code: "STORE" });
    const third = await at.start();
    await at.commit(third, [1, 4], { at: "any" });
    at.at(1).dead = false;
    await at.run(third.flush());
    for (const i of [0, 1]) expect(await at.names(i)).toEqual(["0:1-1", "0:2-2", "0:3-3"]);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    expect(at.state.staged()).toEqual([]);
    await at.run(third.close());
  });

  test("does not start where none answers", async () => {
    const at = new DestinationsBench(2);
    at.at(0).dead = true;
    at.at(1).dead = true;
    await expect(at.start()).rejects.toMatchObject({ code: "STORE" });
  });

  test("leaps behind what a replica holds of an earlier life that nobody knew of", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start({}, [1]);
    for (let i = 0; i < 6; i++) await at.commit(first, [1, 2 + i]);
    await at.run(first.close());
    const lost = at.state.staged();
    expect(lost).toEqual([]);
    at.state.removeMarker();
    at.at(1).dead = true;
    const second = await at.start();
    const events = collect(second);
    await at.commit(second, [1, 2], { at: "any" });
    expect(second.position.staged).toBe(2n);
    at.at(1).dead = false;
    await at.run(second.flush());
    expect(second.position.staged).toBe(7n);
    expect(events).toContainEqual(expect.objectContaining({ type: "forked", txid: 6n }));
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    expect(await at.restored(1, 6n)).toEqual(at.states.get(6n));
    await at.run(second.close());
  });

  test("takes over with what another writer wrote right before its lease was taken", async () => {
    const at = new DestinationsBench(2);
    const first = await at.start({ lease: true });
    await at.commit(first, [1, 2]);
    await at.run(first.close());
    const other = new DestinationsBench(1);
    const foreign = await other.start();
    for (const page of [2, 3]) await other.commit(foreign, [1, page]);
    const key = "ltx/0/0000000000000002-0000000000000002.ltx";
    const bytes = await bytesAt(other.at(0).inner, key);
    at.at(1).onPut = async (put) => {
      if (put === "lock.json") await at.at(1).inner.put(key, bytes);
    };
    const second = await at.start({ lease: true, takeOver: true, onBehind: "adopt" });
    at.at(1).onPut = () => {};
    await at.commit(second, [1, 3]);
    expect(second.position.replicated).toBe(4n);
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(second.close());
    await other.run(foreign.close());
  });

  test("stops everywhere when another writer uses one of them", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    const events = collect(replication);
    await at.commit(replication, [1, 2]);
    const { inner } = at.at(1);
    await inner.put("ltx/0/0000000000000002-0000000000000002.ltx", new Uint8Array(300));
    at.database.write([1, 3]);
    await expect(at.run(replication.durable())).rejects.toMatchObject({ code: "CONFLICT" });
    expect(events).toContainEqual(expect.objectContaining({ type: "conflict", destination: "b" }));
    expect(replication.destinations[1]).toMatchObject({ state: "stopped" });
    await expect(at.run(replication.durable())).rejects.toMatchObject({ code: "CONFLICT" });
    await inner.delete(["ltx/0/0000000000000002-0000000000000002.ltx"]);
    await at.run(replication.takeOver());
    await at.run(replication.flush());
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(replication.close());
  });
});

describe("Replication.durable()", () => {
  test("waits for as many destinations as it is told, by default all", async () => {
    const at = new DestinationsBench(3);
    const replication = await at.start();
    await at.commit(replication, [1, 2]);
    at.at(2).dead = true;
    at.database.write([1, 3]);
    await at.run(replication.durable({ at: "any" }));
    await at.run(replication.durable({ at: 2 }));
    at.database.write([1, 4]);
    await expect(at.run(replication.durable({ at: 3 }))).rejects.toMatchObject({ code: "STORE" });
    await expect(at.run(replication.flush())).rejects.toMatchObject({ code: "STORE" });
    await expect(at.run(replication.waitFor(3n, { at: "all" }))).rejects.toMatchObject({
      code: "STORE",
    });
    await at.run(replication.waitFor(3n, { at: 2 }));
    at.at(2).dead = false;
    await at.run(replication.flush());
    await at.run(replication.durable({ at: "all" }));
    await at.run(replication.close());
  });

  test("with any rejects only when no store is left", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    await at.commit(replication, [1, 2]);
    at.at(0).dead = true;
    at.at(1).dead = true;
    at.database.write([1, 3]);
    const any = at.run(replication.durable({ at: "any" }));
    await expect(any).rejects.toMatchObject({ code: "STORE" });
    at.at(0).dead = false;
    at.at(1).dead = false;
    await at.run(replication.close());
  });

  test.each([0, 3, 1.5, -1])("refuses %d of two destinations", async (count) => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    const wait = replication.durable({ at: count });
    await expect(wait).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await at.run(replication.close());
  });
});
