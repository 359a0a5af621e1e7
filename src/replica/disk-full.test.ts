import { describe, expect, test } from "vitest";
import { collect } from "../../test/helpers/primary-bench.ts";
import { ReplicationBench, STATE_DIRECTORY } from "../../test/helpers/replication-bench.ts";

/** What a disk that is full refuses; what is there can be read and removed. */
const WRITING: ReadonlySet<string> = new Set(["open", "write", "truncate"]);

describe("a disk that is full", () => {
  test("costs no commit and no restart, whichever write it is that fails first (L46)", async () => {
    let failed = 0;
    for (let first = 1, more = true; more; first++) {
      const at = new ReplicationBench();
      const replication = await at.start();
      at.database.write([1, 2, 3]);
      await at.run(replication.durable());
      const events = collect(replication);
      let calls = 0;
      at.onFileCall = ({ type }) => {
        if (WRITING.has(type) && ++calls >= first)
          throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      };
      for (let i = 0; i < 5; i++) {
        at.database.write([1, 2 + (i % 3)]);
        await at.platform.clock.advanceAsync(2_000);
      }
      more = calls >= first;
      if (events.some(({ type }) => type === "error")) failed++;
      at.onFileCall = undefined;
      await at.run(replication.durable());
      expect(await at.restored()).toEqual(at.database.bytes);
      await at.run(replication.close());
      expect(at.files.list(`${STATE_DIRECTORY}/ltx/0`)).toEqual([]);
    }
    expect(failed).toBeGreaterThan(3);
  });
});
