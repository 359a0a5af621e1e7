import { describe, expect, test } from "vitest";
import {
  collectEvents,
  ReplicationBench,
  STATE_DIRECTORY,
} from "../../test/helpers/replication-bench.ts";
import { ModelDatabase } from "../../test/helpers/model-database.ts";
import { seededRandom } from "../testing/index.ts";
import { fileState } from "./local-state.ts";
import { startPrimary } from "./start-primary.ts";
import { openReplica } from "./replica.ts";
import type { Replication } from "./replication.ts";

const LOCAL = { durability: "local", groupMs: 60_000 } as const;

function logBytes(at: ReplicationBench): number {
  return at.files.bytes(`${STATE_DIRECTORY}/log`)?.length ?? 0;
}

async function started(at: ReplicationBench, options = {}): Promise<Replication> {
  const replication = await at.start({ ...LOCAL, ...options });
  at.database.write([1, 2, 3, 4]);
  await at.run(replication.flush());
  return replication;
}

describe("durability local", () => {
  test("logs each transaction before it commits and makes one file of many", async () => {
    const at = new ReplicationBench();
    const replication = await started(at);
    expect(logBytes(at)).toBe(0);
    at.faults.puts = 0;
    for (let i = 0; i < 10; i++) at.database.write([1, 2 + (i % 3)]);
    expect(logBytes(at)).toBe(10 * (48 + 2 * 516));
    expect(at.faults.puts).toBe(0);
    await at.run(replication.flush());
    expect(at.faults.puts).toBe(1);
    expect(logBytes(at)).toBe(0);
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  test("fails COMMIT where the log cannot be written or synced, and goes on after it", async () => {
    for (const failing of ["write", "sync"]) {
      const at = new ReplicationBench();
      const replication = await started(at);
      at.database.write([1]);
      let calls = 0;
      at.onFileCall = () => {
        if (++calls === (failing === "write" ? 1 : 2)) throw new Error(`no ${failing}`);
      };
      const before = at.database.bytes;
      expect(() => at.database.write([2, 5])).toThrow(`no ${failing}`);
      expect(at.database.bytes).toEqual(before);
      at.onFileCall = undefined;
      at.database.write([3]);
      at.files.crash("power", seededRandom(1));
      const again = await at.start(LOCAL);
      await at.run(again.durable());
      expect(await at.restored()).toEqual(at.database.bytes);
      expect(replication.position.replicated).toBe(1n);
      await at.run(again.close());
    }
  });

  test("discards a transaction that rolls back after it was prepared", async () => {
    const at = new ReplicationBench();
    const replication = await started(at);
    at.database.write([2]);
    const { length } = at.files.bytes(`${STATE_DIRECTORY}/log`) as Uint8Array;
    at.database.afterPrepare = "roll back";
    at.database.write([3, 9]);
    expect(logBytes(at)).toBe(length);
    at.database.afterPrepare = "commit";
    at.database.write([4]);
    await at.run(replication.flush());
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  test("discards at the next start what was prepared when the process died", async () => {
    const at = new ReplicationBench();
    await started(at);
    at.database.write([2]);
    at.database.afterPrepare = "die";
    at.database.write([3, 9]);
    at.files.crash("process");
    at.database.afterPrepare = "commit";
    const again = await at.start(LOCAL);
    await at.run(again.durable());
    expect(again.position.replicated).toBe(2n);
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(again.close());
  });

  test("brings acknowledged commits into the replica although the database has lost them", async () => {
    const at = new ReplicationBench();
    await started(at);
    const early = at.database.save();
    at.database.write([2]);
    at.database.write([3, 7]);
    at.database.write([1], 6);
    const acknowledged = at.database.bytes;
    at.files.crash("power", seededRandom(3));
    at.database.revert(early);
    const starting = at.start({ durability: "async" });
    await expect(starting).rejects.toMatchObject({ code: "DATABASE_BEHIND", newestTxid: 2n });
    expect(await at.restored()).toEqual(acknowledged);
  });

  test("drops a log that does not continue the replica: another one, or one that moved on", async () => {
    const at = new ReplicationBench();
    await started(at);
    at.database.write([2]);
    const before = await at.restored();
    for (const name of ["marker", "log"]) {
      const bytes = at.files.bytes(`${STATE_DIRECTORY}/${name}`) as Uint8Array;
      at.files.place(`/kept/${name}`, bytes);
    }
    const rival = await at.start(LOCAL);
    at.database.write([3, 5]);
    await at.run(rival.close());
    const max = rival.position.replicated;
    for (const name of ["marker", "log"]) {
      at.files.place(`${STATE_DIRECTORY}/${name}`, at.files.bytes(`/kept/${name}`) as Uint8Array);
    }
    const again = await at.start(LOCAL);
    await at.run(again.durable());
    expect(again.position.replicated).toBeGreaterThanOrEqual(max);
    expect(await at.restored()).toEqual(at.database.bytes);
    expect(await at.restored(1n)).toEqual(before);
    expect(logBytes(at)).toBe(0);
    await at.run(again.close());
  });

  test("keeps the newest image of each page while the store is away, and fails COMMIT past stagingBytes", async () => {
    const at = new ReplicationBench();
    const replication = await started(at, { stagingBytes: 40_000, groupMs: 1_000 });
    const events = collectEvents(replication);
    at.faults.mode = "refuse";
    at.database.write([1]);
    await at.platform.clock.advanceAsync(200_000);
    for (let i = 0; i < 500; i++) at.database.write([1, 2 + (i % 20)]);
    expect(replication.stats.pendingBytes).toBeLessThan(80_000);
    expect(() => {
      for (let i = 0; i < 100; i++) at.database.write([20 + i]);
    }).toThrow(expect.objectContaining({ code: "STAGING_FULL" }));
    expect(events.some(({ type }) => type === "stalled")).toBe(true);
    at.faults.mode = "work";
    await at.run(replication.flush());
    at.database.write([2]);
    await at.run(replication.close());
    expect(await at.restored()).toEqual(at.database.bytes);
  });

  test("survives a change of the page size and transactions too large for a group", async () => {
    const at = new ReplicationBench();
    await started(at, { groupBytes: 2_048 });
    at.faults.mode = "refuse";
    at.database.write([2]);
    at.database.write([1, 2, 3, 4, 5, 6, 7, 8]);
    at.database.resize(1_024, 5);
    at.database.write([2]);
    at.files.crash("power", seededRandom(4));
    const again = await at.start(LOCAL);
    await at.run(again.durable());
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(again.close());
  });

  test("brings a change of the page size out of the log with its snapshot", async () => {
    const at = new ReplicationBench();
    await started(at);
    at.faults.mode = "refuse";
    at.database.write([2]);
    // Known to be dead: nothing more is cut.
    await at.platform.clock.advanceAsync(600_000);
    at.database.resize(1_024, 5);
    at.files.crash("process");
    const again = await at.start(LOCAL);
    expect(await at.restored(3n)).toEqual(at.database.bytes);
    await at.run(again.close());
  });

  test("uploads nothing that was logged on top of another writer's file", async () => {
    const at = new ReplicationBench();
    await started(at);
    at.faults.mode = "refuse";
    at.database.write([2]);
    await at.platform.clock.advanceAsync(60_000);
    at.database.write([3]);
    at.files.crash("process");
    // What takes TXID 2 meanwhile is not what the log of TXID 3 continues.
    const other = new ModelDatabase(512, 9);
    other.write([1, 2, 3, 4]);
    const replica = openReplica(at.store, { platform: at.platform });
    const rival = await at.run(startPrimary(other, replica, { platform: at.platform }));
    await at.run(rival.close());
    expect(await at.restored(2n)).toEqual(other.bytes);
    const again = await at.start(LOCAL);
    await at.run(again.durable());
    expect(again.position.replicated).toBe(3n);
    expect(await at.restored(3n)).toEqual(at.database.bytes);
    await at.run(again.close());
  });

  test("is refused where the state does not outlive the process", async () => {
    const at = new ReplicationBench();
    const start = at.starting({ ...LOCAL, state: undefined });
    await expect(start).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  test("lets nothing commit before replicate() has resolved", async () => {
    const at = new ReplicationBench();
    const starting = at.starting(LOCAL);
    expect(() => at.database.write([1])).toThrow("Await replicate()");
    const replication = await at.run(starting);
    at.database.write([1]);
    await at.run(replication.close());
    expect(await at.restored()).toEqual(at.database.bytes);
  });

  for (const kind of ["process", "power"] as const) {
    for (const lost of [false, true]) {
      const database = lost ? "that lost every commit" : "that kept every commit";
      test(`loses nothing acknowledged after a ${kind} crash at any file call, with a database ${database}`, async () => {
        for (let crash = 1, more = true; more; crash++) {
          const at = new ReplicationBench();
          const options = { ...LOCAL, groupBytes: 3_000 };
          await started(at, options);
          const early = at.database.save();
          let calls = 0;
          at.onFileCall = () => {
            if (++calls >= crash) throw new Error("the process is dead");
          };
          const states = [at.database.bytes];
          let acknowledged = 0;
          let attempted: Uint8Array | undefined;
          for (let i = 0; i < 6; i++) {
            try {
              at.database.write([1, 2 + i, 9 - i], i === 4 ? 5 : undefined);
              acknowledged = states.length;
            } catch {
              // Not acknowledged, and yet the log may have it: then either is right.
              attempted ??= at.database.refused;
            }
            states.push(at.database.bytes);
            if (i === 2) await at.platform.clock.advanceAsync(0);
          }
          more = calls >= crash;
          at.onFileCall = undefined;
          at.files.crash(kind, seededRandom(crash));
          if (lost) at.database.revert(early);
          const again = await at.start({ ...options, onBehind: "adopt" });
          await at.run(again.durable());
          if (!lost) {
            const same = Buffer.from(at.database.bytes).equals(await at.restored());
            expect(same, `crash at call ${crash}`).toBe(true);
          } else if (acknowledged > 1) {
            const found: Uint8Array[] = [];
            for (let txid = 1n; txid <= again.position.replicated; txid++) {
              found.push(await at.restored(txid));
            }
            const right = [states[acknowledged] as Uint8Array, attempted ?? new Uint8Array(0)];
            const match = found.some((bytes) => right.some((r) => Buffer.from(r).equals(bytes)));
            expect(match, `crash at call ${crash}, ${acknowledged} acknowledged`).toBe(true);
          }
          expect(fileState(at.files, STATE_DIRECTORY).readLog(0, 1)).toHaveLength(0);
          at.database.write([3]);
          await at.run(again.close());
          expect(await at.restored()).toEqual(at.database.bytes);
        }
      });
    }
  }
});
