import { describe, expect, test } from "vitest";
import { DestinationsBench } from "../../test/helpers/destinations-bench.ts";
import { blockingUploader } from "./blocking-uploader.ts";
import { memorySyncFiles } from "../testing/index.ts";
import { StoreError } from "../transports/errors.ts";
import { fileState } from "./local-state.ts";
import { openReplica } from "./replica.ts";
import type { ReplicateOptions, Replication } from "./replication.ts";
import { restorablePoints } from "./restore-points.ts";

const HOLD = { durability: "hold-retry", holdDeadlineMs: 5_000 } as const;

async function held(at: DestinationsBench, options: ReplicateOptions = {}): Promise<Replication> {
  const replication = await at.start({ ...HOLD, ...options });
  await at.run(at.database.writeHeld([1, 2, 3, 4]));
  return replication;
}

function noAnswer(): StoreError {
  return new StoreError(
    { operation: "upload", object: "a file", what: "no answer came" },
    { retryable: true },
  );
}

/** TXIDs that a place can be restored to. */
async function points(at: DestinationsBench, index: number): Promise<bigint[]> {
  const replica = openReplica(at.at(index).inner, { platform: at.platform });
  return restorablePoints((await replica.levels()).flat()).map(({ txid }) => txid);
}

/** Checks that every TXID that both places have is one state. */
async function expectOneHistory(at: DestinationsBench): Promise<void> {
  const other = await points(at, 1);
  for (const txid of await points(at, 0)) {
    if (!other.includes(txid)) continue;
    expect(await at.restored(0, txid), `txid ${txid}`).toEqual(await at.restored(1, txid));
  }
}

async function expectSame(at: DestinationsBench, replication: Replication): Promise<void> {
  await at.run(replication.flush());
  for (const i of at.places.keys()) {
    const { maxTxid, newestL0, gap } = await at.standing(i);
    expect({ gap, newestL0 }).toEqual({ gap: undefined, newestL0: maxTxid });
    expect(await at.restored(i)).toEqual(at.database.bytes);
  }
  expect(at.state.staged()).toEqual([]);
}

describe("a hold with several replicas", () => {
  test("lets a transaction commit once all of them have its file", async () => {
    const at = new DestinationsBench(3);
    const replication = await held(at);
    for (let i = 2; i < 5; i++) {
      const commit = at.database.writeHeld([1, i]);
      const wanted = at.database.bytes;
      await at.run(commit);
      for (const place of at.places.keys()) expect(await at.restored(place)).toEqual(wanted);
    }
    await expectSame(at, replication);
    await at.run(replication.close());
  });

  test("with holdAt 1 waits for the first only", async () => {
    const at = new DestinationsBench(2);
    const replication = await held(at, { holdAt: 1 });
    at.at(1).dead = true;
    for (let i = 2; i < 5; i++) await at.run(at.database.writeHeld([1, i]));
    expect(await at.restored(0)).toEqual(at.database.bytes);
    expect(replication.destinations[1]).toMatchObject({ state: "stalled", replicated: 1n });
    at.at(1).dead = false;
    await expectSame(at, replication);
    await at.run(replication.close());
  });

  test("fails COMMIT when one that it waits for does not answer, and sets the others right", async () => {
    const at = new DestinationsBench(2);
    const replication = await held(at);
    at.at(1).dead = true;
    const before = at.database.bytes;
    const commit = at.run(at.database.writeHeld([2]));
    await expect(commit).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(at.database.bytes).toEqual(before);
    at.at(1).dead = false;
    await expectSame(at, replication);
    await at.run(at.database.writeHeld([3]));
    await expectSame(at, replication);
    await at.run(replication.close());
  });

  test("gives the others no file before it is settled what the first has under its name", async () => {
    const at = new DestinationsBench(2);
    const replication = await held(at);
    at.at(0).refuses = (_, operation) => operation === "upload";
    const commit = at.run(at.database.writeHeld([2]));
    await expect(commit).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect((await at.names(1)).filter((name) => name === "0:2-2")).toEqual([]);
    at.at(0).refuses = () => false;
    await expectSame(at, replication);
    expect(await at.names(0)).toEqual(await at.names(1));
    await at.run(replication.close());
  });

  test("gives the others the file that was withdrawn where the first turns out to have it", async () => {
    const at = new DestinationsBench(2);
    const replication = await held(at);
    // The first has it, and nobody hears of it.
    at.at(0).onPut = () => {
      at.at(0).dead = true;
      throw noAnswer();
    };
    const commit = at.run(at.database.writeHeld([2, 3, 4, 5, 6]));
    await expect(commit).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await at.names(0)).toContain("0:2-2");
    at.at(0).onPut = () => {};
    at.at(0).dead = false;
    // Whether the other has it is found out by comparing.
    at.at(1).onPut = () => {
      at.at(1).onPut = () => {};
      throw noAnswer();
    };
    await expectSame(at, replication);
    for (const i of [0, 1]) expect(await points(at, i)).toEqual([1n, 2n, 3n]);
    await expectOneHistory(at);
    await at.run(replication.close());
  });

  test("keeps nothing of a file that was given up where it never arrived", async () => {
    const at = new DestinationsBench(2);
    const replication = await held(at);
    at.at(0).refuses = (_, operation) => operation === "upload";
    const commit = at.run(at.database.writeHeld([2, 3, 4]));
    await expect(commit).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(at.state.staged().some((name) => name.startsWith("withdrawn"))).toBe(true);
    at.at(0).refuses = () => false;
    await expectSame(at, replication);
    await at.run(replication.close());
  });

  test("gives the others after a crash no other file than the first has", async () => {
    const at = new DestinationsBench(2);
    const replication = await held(at);
    at.at(0).onPut = () => {
      at.at(0).dead = true;
      throw noAnswer();
    };
    const commit = at.run(at.database.writeHeld([2, 3, 4]));
    await expect(commit).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
    at.at(0).onPut = () => {};
    await at.run(replication.close({ deadlineMs: 0 }).catch(() => {}));
    at.at(0).dead = false;
    const next = await at.start({ ...HOLD, onBehind: "adopt" });
    await expectSame(at, next);
    await expectOneHistory(at);
    await at.run(next.close());
  });

  test("waits at the start until the first is brought up", async () => {
    const at = new DestinationsBench(2);
    const alone = await at.start({}, [1]);
    for (let i = 1; i <= 3; i++) await at.commit(alone, [1, i + 1]);
    await at.run(alone.close());
    const replication = await at.start(HOLD);
    expect(await at.restored(0)).toEqual(at.database.bytes);
    await at.run(at.database.writeHeld([2]));
    await expectSame(at, replication);
    await at.run(replication.close());
  });

  test.each([
    ["holdAt 3 of two", { ...HOLD, holdAt: 3 }],
    ["holdAt 0", { ...HOLD, holdAt: 0 }],
    [
      "hold-block for more than the first",
      { durability: "hold-block", blockingUploader: blockingUploader({ postMessage: () => {} }) },
    ],
  ] as const)("is refused with %s", async (_, options) => {
    const at = new DestinationsBench(2);
    await expect(at.start(options)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});

describe("durability local with several replicas", () => {
  test("never fails COMMIT for one that is dead, and keeps to stagingBytes", async () => {
    const at = new DestinationsBench(2);
    const local = memorySyncFiles();
    local.place("/data/model.db", new Uint8Array(0));
    const state = fileState(local, "/data/.model.db-pagestream");
    const options = { durability: "local", state, stagingBytes: 8192, groupBytes: 4096 } as const;
    const replication = await at.start(options);
    await at.commit(replication, [1, 2]);
    at.at(1).dead = true;
    for (let i = 0; i < 40; i++) await at.commit(replication, [1, 2, 3], { at: "any" });
    expect(replication.destinations[1]).toMatchObject({ state: "behind" });
    expect(replication.stats.pendingBytes).toBeLessThanOrEqual(8192);
    at.at(1).dead = false;
    await at.run(replication.flush());
    for (const i of [0, 1]) expect(await at.restored(i)).toEqual(at.database.bytes);
    await at.run(replication.close());
  });
});
