/**
 * A replica that the real daemon writes, compacts and prunes all the while: a verification finds no fault in it.
 *
 * @module
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileDrill, fileStore } from "@pagestream/node";
import { verify } from "pagestream";
import { afterEach, expect, test } from "vitest";
import {
  describeWithLitestream,
  removeTemporary,
  startDaemon,
  temporaryDirectory,
} from "../helpers/litestream.ts";

describeWithLitestream("verify", () => {
  afterEach(removeTemporary);

  test("verify() finds no fault while the daemon writes, compacts and removes files", async () => {
    const directory = temporaryDirectory();
    const database = join(directory, "app.db");
    const replica = join(directory, "replica");
    const db = new DatabaseSync(database);
    db.exec("PRAGMA journal_mode=WAL; CREATE TABLE note(body)");
    await using daemon = await startDaemon({
      databases: { [database]: replica },
      levels: ["1s", "2s"],
      snapshotInterval: "2s",
      snapshotRetention: "3s",
      l0Retention: "1s",
    });
    const seen = new Set<number>();
    // Until both levels and snapshots were there, and files were removed; each turn takes a round trip of the daemon.
    for (let turn = 1; turn <= 100 && !(seen.has(2) && seen.has(9) && turn > 12); turn++) {
      db.exec("INSERT INTO note VALUES (hex(randomblob(500)))");
      const txid = await daemon.sync(database);
      const report = await verify(fileStore(replica), {
        restore: turn % 4 === 0 ? fileDrill({ directory }) : undefined,
      });
      expect({ turn, faults: report.faults }).toEqual({ turn, faults: [] });
      expect(report.newest?.txid).toBeGreaterThanOrEqual(txid);
      for (const { level } of report.levels) seen.add(level);
    }
    db.close();
    expect([...seen].sort()).toEqual([0, 1, 2, 9]);
  });
});
