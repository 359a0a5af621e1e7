import { describe, expect, test } from "vitest";
import { DestinationsBench } from "../../test/helpers/destinations-bench.ts";

describe("startPrimary() with several replicas", () => {
  test("brings every commit to all of them under the same TXIDs", async () => {
    const at = new DestinationsBench(2);
    const replication = await at.start();
    for (let i = 1; i <= 5; i++) {
      at.database.write([1, i + 1]);
      await at.run(replication.durable());
    }
    expect(await at.keys(0)).toEqual(await at.keys(1));
    expect(await at.restored(0)).toEqual(at.database.bytes);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    expect(replication.destinations).toMatchObject([
      { name: "a", state: "following", replicated: 5n, lagMs: 0, pendingBytes: 0 },
      { name: "b", state: "following", replicated: 5n, lagMs: 0, pendingBytes: 0 },
    ]);
    expect(at.state.staged()).toEqual([]);
    await at.run(replication.close());
  });

  test("brings up an empty replica added later, with a snapshot and the L0 file of its TXID", async () => {
    const at = new DestinationsBench(2);
    const alone = await at.start({}, [0]);
    for (let i = 1; i <= 4; i++) {
      at.database.write([1, i + 1]);
      await at.run(alone.durable());
    }
    await at.run(alone.close());
    const replication = await at.start();
    await at.run(replication.durable());
    expect(await at.keys(1)).toEqual([
      "ltx/0/0000000000000004-0000000000000004.ltx",
      "ltx/9/0000000000000001-0000000000000004.ltx",
    ]);
    expect(await at.restored(1)).toEqual(at.database.bytes);
    at.database.write([1, 3]);
    await at.run(replication.durable());
    expect(await at.restored(1)).toEqual(at.database.bytes);
    expect(await at.restored(0)).toEqual(at.database.bytes);
    await at.run(replication.close());
  });
});
