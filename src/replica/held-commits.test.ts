import { describe, expect, test } from "vitest";
import { ModelDatabase } from "../../test/helpers/model-database.ts";
import {
  collectEvents,
  type PutMode,
  ReplicationBench,
} from "../../test/helpers/replication-bench.ts";
import { seededRandom } from "../testing/index.ts";
import { isPagestreamError } from "../core/errors.ts";
import type { ReplicateOptions, Replication } from "./replication.ts";

const HOLD = { durability: "hold-retry", holdDeadlineMs: 5_000 } as const;

async function started(at: ReplicationBench, options: ReplicateOptions = {}): Promise<Replication> {
  const replication = await at.start({ ...HOLD, ...options });
  await at.run(at.database.writeHeld([1, 2, 3, 4]));
  return replication;
}

/** Lets time pass until what the store and the engine have to settle is settled. */
async function settle(at: ReplicationBench): Promise<void> {
  await at.platform.clock.advanceAsync(200_000);
}

for (const durability of ["hold-retry", "hold-jspi"] as const) {
  describe(`durability ${durability}`, () => {
    test("lets a transaction commit once the store has its file, and makes no other file of it", async () => {
      const at = new ReplicationBench();
      const replication = await started(at, { durability });
      at.faults.puts = 0;
      for (let i = 2; i < 8; i++) {
        const held = at.database.writeHeld([1, i]);
        const wanted = at.database.bytes;
        await at.run(held);
        expect(await at.restored()).toEqual(wanted);
      }
      expect(at.faults.puts).toBe(6);
      await at.run(replication.durable());
      await at.run(replication.close());
      expect(at.faults.puts).toBe(6);
      expect(replication.position).toEqual({ local: 7n, staged: 7n, replicated: 7n });
      expect(replication.stats.commits).toBe(7);
    });
  });
}

describe("a hold", () => {
  test("resolves a lost response by reading", async () => {
    const at = new ReplicationBench();
    const replication = await started(at);
    const held = at.database.writeHeld([2]);
    at.faults.mode = "lose";
    await at.platform.clock.advanceAsync(0);
    at.faults.mode = "work";
    await at.run(held);
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  test("resolves replicate() only after the first full file is confirmed", async () => {
    const at = new ReplicationBench();
    at.database.write([1, 2, 3]);
    const replication = await at.start(HOLD);
    expect(replication.position.replicated).toBe(1n);
    await at.run(at.database.writeHeld([2]));
    await at.run(replication.close());
  });

  test("holds every page in doubt, and pages that commits without prepare have changed", async () => {
    const at = new ReplicationBench();
    const replication = await started(at, { groupMs: 60_000 });
    at.database.tamper(2);
    at.database.needsFull("a test says so");
    await at.run(at.database.writeHeld([3]));
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(replication.durable());
    at.database.commitUnprepared([1]);
    const held = at.database.writeHeld([4, 6]);
    await at.run(held);
    expect(await at.restored()).toEqual(at.database.bytes);
    expect(replication.position.replicated).toBe(3n);
    await at.run(replication.close());
  });

  test("takes over what is being read from the database for another file", async () => {
    const at = new ReplicationBench();
    const replication = await started(at);
    let release = (): void => {};
    at.database.beforeImage = () => new Promise((resolve) => (release = resolve));
    at.database.needsFull("a test says so");
    await at.platform.clock.advanceAsync(2_000);
    await at.run(at.database.writeHeld([3]));
    release();
    at.database.beforeImage = undefined;
    await at.run(replication.durable());
    expect(replication.position.replicated).toBe(2n);
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  test("fails COMMIT when a file cannot be staged, at any file call, and goes on after it", async () => {
    for (let failing = 1, more = true; more; failing++) {
      const at = new ReplicationBench();
      const replication = await started(at);
      const before = at.database.bytes;
      let calls = 0;
      at.onFileCall = () => {
        if (++calls === failing) throw new Error("no space");
      };
      const held = at.run(at.database.writeHeld([2]));
      const code = await held.then(
        () => "committed",
        () => "failed",
      );
      more = calls >= failing;
      at.onFileCall = undefined;
      if (code === "failed") expect(at.database.bytes).toEqual(before);
      else expect(await at.restored()).toEqual(at.database.bytes);
      await at.run(at.database.writeHeld([3]));
      expect(await at.restored()).toEqual(at.database.bytes);
      await at.run(replication.close());
    }
  });

  for (const [what, mode] of [
    ["never reached the store", "hang"],
    ["is refused by the store", "refuse"],
    ["landed without an answer", "swallow"],
  ] as const satisfies readonly (readonly [string, PutMode])[]) {
    for (const size of [undefined, 3, 9]) {
      test(`rolls back after the deadline when the file ${what}, and sets the replica right (size ${size})`, async () => {
        const at = new ReplicationBench();
        const replication = await started(at);
        await at.run(at.database.writeHeld([5, 6]));
        const before = at.database.bytes;
        at.faults.mode = mode;
        const held = at.database.writeHeld([1, 2], size);
        await expect(at.run(held)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
        expect(at.database.bytes).toEqual(before);
        if (mode !== "swallow") {
          await expect(at.run(at.database.writeHeld([3]))).rejects.toMatchObject({
            code: "OUTCOME_UNKNOWN",
          });
        }
        at.faults.mode = "work";
        for (let i = 0; ; i++) {
          try {
            await at.run(at.database.writeHeld([4]));
            break;
          } catch (error) {
            if (i > 3 || !isPagestreamError(error, "OUTCOME_UNKNOWN")) throw error;
            await settle(at);
          }
        }
        expect(await at.restored()).toEqual(at.database.bytes);
        const landed = mode === "swallow" ? 1n : 0n;
        expect(await at.restored(3n + landed)).toEqual(before);
        expect(replication.position.replicated).toBe(4n + landed);
        await at.run(replication.close());
        const again = await at.start(HOLD);
        expect(again.stats.files).toBe(0);
        await at.run(again.close());
      });
    }
  }

  test("rolls back after the deadline though local files cannot be read, and sets the replica right", async () => {
    const at = new ReplicationBench();
    const replication = await started(at);
    const before = at.database.bytes;
    at.faults.mode = "hang";
    const held = at.database.writeHeld([1, 2]);
    await at.platform.clock.advanceAsync(0);
    at.onFileCall = () => {
      throw new Error("the disk is gone");
    };
    await expect(at.run(held)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(at.database.bytes).toEqual(before);
    at.onFileCall = undefined;
    at.faults.mode = "work";
    await settle(at);
    await at.run(at.database.writeHeld([4]));
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(replication.close());
  });

  for (const size of [undefined, 3, 9]) {
    test(`sets the replica right after a confirmed transaction rolls back here (size ${size})`, async () => {
      const at = new ReplicationBench();
      const replication = await started(at);
      await at.run(at.database.writeHeld([5, 6]));
      const before = at.database.bytes;
      at.database.afterPrepare = "roll back";
      await at.run(at.database.writeHeld([1, 2], size));
      expect(at.database.bytes).toEqual(before);
      await at.run(replication.durable());
      expect(replication.position.replicated).toBe(4n);
      expect(await at.restored()).toEqual(before);
      await at.run(at.database.writeHeld([2, 3], size));
      // The next transaction does not wait for that: its file holds both.
      at.database.afterPrepare = "commit";
      await at.run(at.database.writeHeld([4]));
      expect(await at.restored()).toEqual(at.database.bytes);
      await at.run(replication.close());
    });
  }

  for (const mode of ["hang", "swallow"] as const) {
    test(`begins a database anew whose first transaction was given up (${mode})`, async () => {
      const at = new ReplicationBench();
      const replication = await at.start(HOLD);
      at.faults.mode = mode;
      const first = at.database.writeHeld([1, 2]);
      await expect(at.run(first)).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
      at.faults.mode = "work";
      await settle(at);
      await at.run(at.database.writeHeld([1, 2, 3]));
      expect(await at.restored()).toEqual(at.database.bytes);
      await at.run(replication.close());
    });
  }

  test("fails COMMIT with a conflict at once, and every later one", async () => {
    const at = new ReplicationBench();
    const replication = await started(at);
    const { store } = at;
    const name = "ltx/0/0000000000000002-0000000000000002.ltx";
    await store.put(name, new Uint8Array(200));
    const before = at.database.bytes;
    for (let i = 0; i < 2; i++) {
      const held = at.run(at.database.writeHeld([2]));
      await expect(held).rejects.toMatchObject({ code: "CONFLICT" });
      expect(at.database.bytes).toEqual(before);
    }
    await at.run(replication.close());
  });

  test("refuses a change of the page size, and a store without conditional creation", async () => {
    const at = new ReplicationBench();
    const replication = await started(at);
    await expect(at.database.resizeHeld(1_024, 3)).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await at.run(at.database.writeHeld([2]));
    expect(await at.restored()).toEqual(at.database.bytes);
    await at.run(replication.close());
    Object.assign(at.store, { capabilities: { ...at.store.capabilities, conditionalPut: false } });
    await expect(at.start(HOLD)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  test("ends with an error when the replication is closed meanwhile", async () => {
    const at = new ReplicationBench();
    const replication = await started(at);
    at.faults.mode = "hang";
    const before = at.database.bytes;
    const held = at.database.writeHeld([2]);
    held.catch(() => {});
    await at.run(replication.close());
    await expect(held).rejects.toMatchObject({ code: "CLOSED" });
    expect(at.database.bytes).toEqual(before);
  });

  test("tells of a stalled store by events, as without a hold", async () => {
    const at = new ReplicationBench();
    const replication = await started(at, { holdDeadlineMs: 300_000 });
    const events = collectEvents(replication);
    at.faults.mode = "refuse";
    const held = at.database.writeHeld([2]);
    await at.platform.clock.advanceAsync(200_000);
    at.faults.mode = "work";
    await at.run(held);
    const types = events.map(({ type }) => type);
    expect(types).toContain("stalled");
    expect(types).toContain("recovered");
    await at.run(replication.close());
  });

  for (const [mode, crash] of [
    ["hang", "power"],
    ["swallow", "power"],
    ["swallow", "process"],
    ["work", "power"],
    ["work", "process"],
  ] as const) {
    test(`survives a ${crash} crash in a hold whose upload does ${mode}`, async () => {
      for (let seed = 1; seed <= 5; seed++) {
        const at = new ReplicationBench();
        await started(at);
        await at.run(at.database.writeHeld([5]));
        const confirmed = at.database.bytes;
        at.faults.mode = mode;
        at.database.afterPrepare = "die";
        at.database.writeHeld([2, 6]).catch(() => {});
        await at.platform.clock.advanceAsync(100);
        at.files.crash(crash, seededRandom(seed));
        at.database.afterPrepare = "commit";
        at.database.revert(at.database.saved);
        const again = await at.start(HOLD);
        expect(await at.restored(2n)).toEqual(confirmed);
        expect(await at.restored()).toEqual(at.database.bytes);
        await at.run(at.database.writeHeld([3]));
        expect(await at.restored()).toEqual(at.database.bytes);
        await at.run(again.close());
      }
    });
  }

  test("survives a crash after a confirmed transaction rolled back and before the replica was set right", async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const at = new ReplicationBench();
      const replication = await started(at);
      at.database.afterPrepare = "roll back";
      await at.database.writeHeld([2, 6]);
      at.faults.mode = "hang";
      await at.platform.clock.advanceAsync(100);
      expect(replication.position.replicated).toBe(2n);
      at.files.crash("power", seededRandom(seed));
      at.database.afterPrepare = "commit";
      const again = await at.start(HOLD);
      expect(await at.restored()).toEqual(at.database.bytes);
      await at.run(again.close());
    }
  });

  for (let seed = 1; seed <= 20; seed++) {
    test(`the replica equals the database after every COMMIT that returned, whatever fails (seed ${seed})`, async () => {
      const random = seededRandom(seed);
      const at = new ReplicationBench(new ModelDatabase(512, seed));
      const replication = await started(at, { holdDeadlineMs: 1 + random.int(3_000) });
      let committed = 0;
      for (let step = 0; step < 60; step++) {
        at.faults.mode = random.pick<PutMode>([
          "work",
          "work",
          "lose",
          "refuse",
          "hang",
          "swallow",
        ]);
        at.database.afterPrepare = random.int(6) === 0 ? "roll back" : "commit";
        const size = at.database.commit;
        const pgnos = Array.from({ length: 1 + random.int(5) }, () => 1 + random.int(size + 2));
        const to = random.int(5) === 0 ? 1 + random.int(12) : undefined;
        const held = at.database.writeHeld(pgnos, to);
        held.catch(() => {});
        if (random.int(3) === 0) {
          await at.platform.clock.advanceAsync(random.int(500));
          at.faults.mode = "work";
        }
        const { sequence } = at.database;
        await at.run(held).catch((error: unknown) => {
          if (!isPagestreamError(error, "OUTCOME_UNKNOWN")) throw error;
        });
        if (at.database.sequence > sequence) {
          committed++;
          expect(await at.restored()).toEqual(at.database.bytes);
        }
        if (random.int(3) === 0) {
          at.faults.mode = "work";
          await settle(at);
        }
      }
      expect(committed).toBeGreaterThan(5);
      at.faults.mode = "work";
      await settle(at);
      await at.run(replication.flush());
      expect(await at.restored()).toEqual(at.database.bytes);
      await at.run(replication.close());
    });
  }
});
