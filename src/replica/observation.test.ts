import { describe, expect, test } from "vitest";
import { collectEvents, ReplicationBench } from "../../test/helpers/replication-bench.ts";
import { NotCapturedError } from "../vfs/errors.ts";

const details = { operation: "observe", object: "model.db", what: "it was taken away" };

describe("a database that can no longer be observed", () => {
  test("is told by an event, ends waits, and lets nothing be called durable from then on", async () => {
    const at = new ReplicationBench();
    const replication = await at.start();
    const events = collectEvents(replication);
    at.database.write([1, 2]);
    await at.run(replication.flush());
    at.faults.mode = "hang";
    at.database.write([2]);
    const waiting = replication.durable();
    waiting.catch(() => {});
    await at.platform.clock.advanceAsync(2_000);
    const seen = at.database.bytes;
    at.database.lose(new NotCapturedError(details));
    await expect(waiting).rejects.toMatchObject({ code: "NOT_CAPTURED" });
    at.database.write([1]);
    at.faults.mode = "work";
    await expect(at.run(replication.flush())).rejects.toMatchObject({ code: "NOT_CAPTURED" });
    await expect(at.run(replication.durable())).rejects.toMatchObject({ code: "NOT_CAPTURED" });
    expect(events).toContainEqual(expect.objectContaining({ type: "error" }));
    // What was seen is uploaded all the same.
    expect(await at.restored()).toEqual(seen);
    await expect(at.run(replication.close())).rejects.toMatchObject({ code: "NOT_CAPTURED" });
  });

  test("fails a COMMIT that is held", async () => {
    const at = new ReplicationBench();
    const replication = await at.start({ durability: "hold-retry" });
    at.faults.mode = "hang";
    const held = at.database.writeHeld([1]);
    at.database.lose(new Error("gone"));
    await expect(held).rejects.toMatchObject({ code: "IO" });
    at.faults.mode = "work";
    await expect(at.run(replication.close())).rejects.toMatchObject({ code: "IO" });
  });

  test("is looked at before flush() and durable() say that all is well", async () => {
    const at = new ReplicationBench();
    const replication = await at.start();
    const { checks } = at.database;
    await at.run(replication.durable());
    expect(at.database.checks).toBe(checks + 1);
    await at.run(replication.flush());
    expect(at.database.checks).toBe(checks + 2);
    await at.run(replication.close());
  });

  test("is looked at once a second, not without a pause, while it is empty and cannot be read", async () => {
    const at = new ReplicationBench();
    const replication = await at.start({ groupMs: 0 });
    at.database.beforeImage = () => at.database.needsFull("it could not be read");
    at.database.needsFull("it could not be read");
    await at.platform.clock.advanceAsync(10_000);
    expect(at.database.images).toBeGreaterThan(5);
    expect(at.database.images).toBeLessThan(15);
    at.database.beforeImage = undefined;
    await at.run(replication.durable());
    await at.run(replication.close());
  });
});
