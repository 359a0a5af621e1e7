import { describe, expect, test } from "vitest";
import { DestinationsBench } from "../../test/helpers/destinations-bench.ts";
import {
  bench,
  type Bench,
  durableState,
  restored,
  run,
  start,
} from "../../test/helpers/primary-bench.ts";
import { fakePlatform, faultyStore } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import { readAdopted } from "./adopted.ts";
import { openReplica } from "./replica.ts";
import type { Replication } from "./replication.ts";
import { retainReplica } from "./retention-run.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DEFAULTS = { levels: undefined, snapshot: undefined, retention: undefined };

async function write(at: Bench, hours: number): Promise<void> {
  for (let hour = 0; hour < hours; hour++) {
    at.database.write([1, 2 + (hour % 9)]);
    await at.platform.clock.advanceAsync(HOUR);
  }
}

async function snapshots(at: Bench): Promise<bigint[]> {
  const files = await openReplica(at.store, { platform: at.platform }).files(9);
  return files.map(({ maxTxid }) => maxTxid);
}

describe("an adopted state", () => {
  test("keeps the snapshot before it and what leads on, over days and restarts, until released", async () => {
    const platform = fakePlatform(7);
    const store = faultyStore(memoryStore({ platform }));
    const at = { ...bench({ platform, store, state: durableState() }), store };
    const begin = (onBehind?: "adopt"): Promise<Replication> =>
      start(at, { ...DEFAULTS, onBehind });
    let replication = await begin();
    await write(at, 30);
    const early = at.database.bytes;
    await write(at, 3);
    const lost = at.database.bytes;
    const before = replication.position.replicated;
    await run(platform, replication.close());
    const last = (await snapshots(at)).at(-1) as bigint;

    at.database.load(early);
    replication = await begin("adopt");
    await run(platform, replication.durable());
    const replica = openReplica(at.store, { platform });
    expect(await readAdopted(replica, undefined)).toEqual([before + 1n]);
    await write(at, 3 * 24);
    await run(platform, replication.close());
    replication = await begin();
    await write(at, 2 * 24);
    expect((await snapshots(at))[0]).toBe(last);
    expect((await snapshots(at)).length).toBeLessThanOrEqual(4);
    expect(await restored(at, before)).toEqual(lost);

    // What is kept asks for nothing.
    await platform.clock.advanceAsync(3 * 24 * HOUR);
    at.store.reset();
    await platform.clock.advanceAsync(7 * 24 * HOUR);
    expect(at.store.requests).toEqual([]);
    expect(platform.clock.pending).toBe(0);

    await retainReplica(replica, { releaseAdopted: true });
    expect((await snapshots(at)).includes(last)).toBe(false);
    await write(at, 25);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(platform, replication.close());
  });

  test("is noted at every destination that answers, before the file of its TXID", async () => {
    const at = new DestinationsBench(3);
    let replication = await at.start();
    await at.commit(replication, [1, 2, 3]);
    const early = at.database.bytes;
    await at.commit(replication, [1, 2]);
    await at.run(replication.close());
    at.database.load(early);
    at.at(2).dead = true;
    replication = await at.start({ onBehind: "adopt" });
    await at.run(replication.durable({ at: 2 }));
    for (const i of [0, 1]) {
      expect(await readAdopted(at.replica(i), undefined)).toEqual([3n]);
    }
    at.at(2).dead = false;
    await at.run(replication.close());
  });
});
