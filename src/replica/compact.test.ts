import { describe, expect, test } from "vitest";
import {
  buildLtx,
  FAKE_START,
  fakePlatform,
  type FakePlatform,
  type FaultyStore,
  faultyStore,
} from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import { compactReplica } from "./compact.ts";
import { Replica } from "./replica.ts";

interface Bench {
  readonly platform: FakePlatform;
  readonly store: FaultyStore;
  readonly replica: Replica;
}

/** A replica with level 0 files of these TXIDs, one a second. */
async function bench(...txids: readonly number[]): Promise<Bench> {
  const platform = fakePlatform(1);
  const store = faultyStore(memoryStore());
  const replica = new Replica(store, { platform });
  for (const txid of txids) await write(replica, txid);
  store.reset();
  return { platform, store, replica };
}

async function write(replica: Replica, txid: number): Promise<void> {
  const { bytes, timestamp } = buildLtx({
    pageSize: 512,
    minTxid: BigInt(txid),
    pages: txid === 1 ? { 1: 1, 2: 2 } : { 2: txid },
  });
  const span = { level: 0, minTxid: BigInt(txid), maxTxid: BigInt(txid) };
  await replica.write({ ...span, timestamp: BigInt(timestamp) }, bytes);
}

async function levelsOf({ replica }: Bench): Promise<string> {
  return (await replica.levels())
    .slice(1)
    .flat()
    .map(({ level, minTxid, maxTxid }) => `${level}:${minTxid}-${maxTxid}`)
    .join(" ");
}

describe("compactReplica()", () => {
  test("compactReplica() brings every level up by one listing, and finds nothing new then", async () => {
    const at = await bench(1, 2, 3);
    const outcomes = await compactReplica(at.replica);
    expect(outcomes.map(({ type, level }) => `${level} ${type}`)).toEqual([
      "1 compacted",
      "2 compacted",
      "3 compacted",
    ]);
    expect([at.store.count("list"), at.store.count("put")]).toEqual([1, 3]);
    expect(await levelsOf(at)).toBe("1:1-3 2:1-3 3:1-3");
    expect((await compactReplica(at.replica)).map(({ type }) => type)).toEqual([
      "nothing-new",
      "nothing-new",
      "nothing-new",
    ]);
  });

  test("compactReplica() compacts into one level, also one that is not configured", async () => {
    const at = await bench(1, 2);
    await compactReplica(at.replica, { level: 1, levels: [] });
    expect(await levelsOf(at)).toBe("1:1-2");
  });

  test("compactReplica() leaves a level alone that has a file of its interval, when asked", async () => {
    const at = await bench(1, 2);
    at.platform.clock.advance(5_000);
    await compactReplica(at.replica, { level: 1 });
    const again = await compactReplica(at.replica, { level: 1, ifDue: true });
    expect(again).toEqual([{ type: "too-early", level: 1, untilMs: FAKE_START + 30_000 }]);
    at.platform.clock.advance(25_000);
    const due = await compactReplica(at.replica, { level: 1, ifDue: true });
    expect(due).toEqual([{ type: "nothing-new", level: 1 }]);
  });

  test("compactReplica() tells a gap and compacts what lies before it", async () => {
    const at = await bench(1, 2, 4);
    const outcomes = await compactReplica(at.replica, { level: 1 });
    expect(outcomes).toMatchObject([{ type: "compacted", gap: { reached: 2n, bridged: false } }]);
    expect(await compactReplica(at.replica, { level: 1 })).toMatchObject([{ type: "gap" }]);
    expect(await levelsOf(at)).toBe("1:1-2");
  });

  test.each<[below: string, lost: readonly number[], outcomes: readonly string[], files: string]>([
    ["there", [1], ["2 compacted", "1 compacted", "2 compacted"], "1:1-1 1:2-2 1:3-3 2:1-1 2:2-3"],
    ["lost too", [0, 1], ["2 compacted", "2 gap"], "1:1-1 1:3-3 2:1-1"],
  ])(
    "compactReplica() makes a file that a level has lost where what lies below is %s",
    async (_, lost, expected, files) => {
      const at = await bench();
      for (const txid of [1, 2, 3]) {
        await write(at.replica, txid);
        await compactReplica(at.replica, { level: 1 });
      }
      const span = { minTxid: 2n, maxTxid: 2n };
      await at.store.delete(lost.map((level) => at.replica.key({ level, ...span })));
      const outcomes = await compactReplica(at.replica, { level: 2 });
      expect(outcomes.map(({ type, level }) => `${level} ${type}`)).toEqual(expected);
      expect(await levelsOf(at)).toBe(files);
    },
  );

  test("compactReplica() lists once more where a file went meanwhile", async () => {
    const at = await bench(1, 2);
    const { get } = at.store;
    at.replica.store.get = async (key, options) => {
      at.replica.store.get = get;
      await at.store.delete([key]);
      return await get(key, options);
    };
    const outcomes = await compactReplica(at.replica, { level: 1 });
    expect(at.store.count("list")).toBe(2);
    expect(outcomes).toMatchObject([{ type: "gap", gap: { reached: 0n } }]);
  });

  test.each([0, 9, 1.5])("compactReplica() refuses level %s", async (level) => {
    const { replica } = await bench(1);
    await expect(compactReplica(replica, { level })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });
});
