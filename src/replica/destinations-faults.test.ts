import { describe, expect, test } from "vitest";
import { DestinationsBench } from "../../test/helpers/destinations-bench.ts";
import { keys } from "../../test/helpers/primary-bench.ts";
import { seededRandom } from "../testing/index.ts";
import { isSound } from "./gap.ts";
import { restorablePoints } from "./restore-points.ts";
import { openReplica } from "./replica.ts";
import type { Replication } from "./replication.ts";

const OPTIONS = { stagingBytes: 4096, groupBytes: 4096 };
/** Compaction, snapshots and retention that come about while a test runs. */
const BUSY = {
  levels: [{ intervalMs: 5_000 }, { intervalMs: 20_000 }],
  snapshot: { intervalMs: 40_000, retentionMs: 40_000 },
  l0RetentionMs: 10_000,
  l0RetentionCheckMs: 1_000,
  retention: { enabled: true },
};
const STEPS = 40;

/** Every TXID that a place can restore gives the bytes that the database had at a commit, in the order of the commits. */
async function expectHistory(at: DestinationsBench, index: number, states: Uint8Array[]) {
  const replica = openReplica(at.at(index).inner, { platform: at.platform });
  const files = (await replica.levels()).flat();
  let last = -1;
  for (const { txid } of restorablePoints(files)) {
    const bytes = Buffer.from(await at.restored(index, txid));
    const state = states.findIndex((each, i) => i >= last && Buffer.compare(bytes, each) === 0);
    expect(state, `place ${index}, txid ${txid}`).toBeGreaterThanOrEqual(Math.max(0, last));
    last = state;
  }
}

/** Kills a process: nothing that it still does reaches a store. */
async function kill(at: DestinationsBench, replication: Replication): Promise<void> {
  for (const place of at.places) place.dead = true;
  await at.run(replication.close({ deadlineMs: 0 }).catch(() => {}));
}

describe("Several destinations under faults", () => {
  test.each([78, 255, 463, 5158, ...Array.from({ length: 20 }, (_, seed) => seed)])(
    "hold the database's history and come to its newest state, seed %d",
    async (seed) => {
      const random = seededRandom(seed);
      const pick = (count: number): number => random.int(count);
      const options = {
        ...OPTIONS,
        ...(seed % 2 === 0 ? {} : BUSY),
        lease: seed % 3 === 0,
      };
      const at = new DestinationsBench(2 + pick(2));
      const states: Uint8Array[] = [];
      const write = (): void => {
        const pages = Array.from({ length: 1 + pick(3) }, () => 1 + pick(6));
        at.database.write([...new Set([1, ...pages])].sort((a, b) => a - b));
        states.push(at.database.bytes);
      };
      write();
      let which = at.places.map((_, i) => i);
      let replication = await at.start(options, which);
      for (let step = 0; step < STEPS; step++) {
        const place = at.at(pick(at.places.length));
        const dice = pick(20);
        if (dice < 8) write();
        else if (dice < 9) {
          if (pick(4) > 0) at.database.needsFull("a test says so");
          else {
            at.database.resize(at.database.pageSize === 512 ? 1024 : 512, 2 + pick(4));
            states.push(at.database.bytes);
          }
        } else if (dice < 11) place.dead = true;
        else if (dice < 14) place.dead = false;
        else if (dice < 15) {
          let left = 1 + pick(3);
          place.refuses = (_, operation) => operation === "upload" && left-- <= 0;
        } else if (dice < 16) place.refuses = () => false;
        else if (dice < 17) {
          const l0 = (await keys(place.inner)).filter((key) => key.startsWith("ltx/0/"));
          const lost = l0[pick(Math.max(1, l0.length - 1))];
          if (lost !== undefined && pick(3) === 0) await place.inner.delete([lost]);
        } else if (dice < 18) {
          await kill(at, replication);
          for (const each of at.places) each.dead = pick(4) === 0;
          which = at.places.map((_, i) => i).filter(() => pick(5) > 0);
          if (!which.some((i) => !at.at(i).dead)) which = [0, ...which.filter((i) => i > 0)];
          at.at(which[0] as number).dead = false;
          replication = await at.start(options, which);
        }
        await at.platform.clock.advanceAsync([0, 10, 1_000, 5_000, 20_000][pick(5)] as number);
      }
      for (const place of at.places) {
        place.dead = false;
        place.refuses = () => false;
      }
      await kill(at, replication);
      for (const place of at.places) place.dead = false;
      const last = await at.start(options);
      write();
      await at.run(last.flush());
      expect(last.destinations.map(({ state }) => state)).toEqual(at.places.map(() => "following"));
      for (const [i] of at.places.entries()) {
        expect(isSound(await at.standing(i))).toBe(true);
        expect(await at.restored(i)).toEqual(at.database.bytes);
        await expectHistory(at, i, states);
      }
      expect(at.state.staged()).toEqual([]);
      await at.run(last.close());
    },
  );

  test.each(Array.from({ length: 12 }, (_, seed) => seed))(
    "hold what a held COMMIT was told, and come to the newest state, seed %d",
    async (seed) => {
      const random = seededRandom(seed);
      const pick = (count: number): number => random.int(count);
      const at = new DestinationsBench(2 + pick(2));
      const holdAt = 1 + pick(at.places.length);
      const options = {
        ...OPTIONS,
        durability: "hold-retry",
        holdDeadlineMs: 5_000,
        holdAt,
      } as const;
      let replication = await at.start(options);
      await at.run(at.database.writeHeld([1, 2, 3]));
      for (let step = 0; step < STEPS; step++) {
        const place = at.at(pick(at.places.length));
        const dice = pick(12);
        if (dice < 6) {
          const before = at.database.bytes;
          const commit = at.run(at.database.writeHeld([1 + pick(3), 4 + pick(3)]));
          const isCommitted = await commit.then(
            () => true,
            () => false,
          );
          if (!isCommitted) expect(at.database.bytes).toEqual(before);
          else expect(await at.restored(0)).toEqual(at.database.bytes);
        } else if (dice < 8) place.dead = true;
        else if (dice < 10) place.dead = false;
        else if (dice < 11) {
          await kill(at, replication);
          for (const each of at.places)
            each.dead = each !== at.at(0) && holdAt === 1 && pick(3) === 0;
          replication = await at.start(options);
        }
        await at.platform.clock.advanceAsync([0, 10, 1_000, 5_000][pick(4)] as number);
      }
      for (const place of at.places) place.dead = false;
      await at.platform.clock.advanceAsync(200_000);
      await at.run(replication.flush());
      for (const i of at.places.keys()) {
        expect(isSound(await at.standing(i))).toBe(true);
        expect(await at.restored(i)).toEqual(at.database.bytes);
      }
      await at.run(replication.close());
    },
  );
});
