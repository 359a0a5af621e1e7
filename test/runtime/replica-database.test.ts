/**
 * A replica on disk queried without restoring it, by every way to wait for a page that the runtime has; two of them read it
 * while the thread blocks.
 *
 * @module
 */
import assert from "node:assert/strict";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated } from "pagestream";
import { openReplicaDatabase, type ReplicaDriver } from "pagestream/vfs";
import { adapter, describe, freshDirectory, test } from "./kit.ts";

const sqlite3 = await sqlite3InitModule();

/** Node 22 cannot suspend WebAssembly. */
const hasJspi = "Suspending" in WebAssembly;

const DRIVERS: readonly ReplicaDriver[] = ["retry", "jspi", "block"];

describe("openReplicaDatabase()", () => {
  for (const driver of DRIVERS) {
    test(`openReplicaDatabase() reads and follows a replica with the driver ${driver}`, async () => {
      const store = adapter.fileStore(freshDirectory());
      const path = `replica-${driver}.db`;
      const app = await openReplicated({ sqlite3, path, replica: store });
      const change = async (sql: string): Promise<void> => {
        app.db.exec(sql);
        await app.replication.flush();
      };
      await change(`CREATE TABLE t(id INTEGER PRIMARY KEY, body);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO t SELECT i, hex(randomblob(40)) FROM n`);
      const options = { sqlite3, replica: store, driver };
      if (driver === "jspi" && !hasJspi) {
        await assert.rejects(openReplicaDatabase(options), /WebAssembly.Suspending/);
        await app.close();
        return;
      }
      const view = await openReplicaDatabase(options);
      const count = "SELECT count(*) n, sum(length(body)) s FROM t";
      assert.deepEqual(await view.query("PRAGMA quick_check"), [{ quick_check: "ok" }]);
      const answers = await Promise.all(Array.from({ length: 4 }, () => view.query(count)));
      assert.deepEqual(new Set(answers.map(String)).size, 1);
      assert.deepEqual(answers[0], [{ n: 5000, s: 400_000 }]);
      const first = view.txid;
      await view.query("BEGIN");
      await view.query(count);
      await change("DELETE FROM t WHERE id > 100; VACUUM");
      await view.refresh();
      assert.deepEqual(await view.query(count), [{ n: 5000, s: 400_000 }]);
      await view.query("COMMIT");
      assert.deepEqual(await view.query(count), [{ n: 100, s: 8000 }]);
      await view.setTime({ txid: first });
      assert.deepEqual(await view.query(count), [{ n: 5000, s: 400_000 }]);
      await assert.rejects(view.query("DELETE FROM t"), /read-only/);
      if (driver !== "retry") assert.equal(view.db.selectValue("SELECT count(*) FROM t"), 5000);
      await view.close();
      await app.close();
    });
  }
});
