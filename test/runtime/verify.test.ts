/**
 * A drill in every runtime, by its own SQLite and by sqlite-wasm.
 *
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { memoryDrill, type ObjectStore, type Probe, verify, type VerifyReport } from "pagestream";
import { buildLtx } from "pagestream/testing";
import { adapter, describe, freshDirectory, test } from "./kit.ts";

const { fileDrill, fileStore } = adapter;
const sqlite3 = await sqlite3InitModule();

/** A replica of a database that is marked WAL, as Litestream's are. */
async function replicaOf(sql: string): Promise<ObjectStore> {
  const db = new sqlite3.oo1.DB(":memory:");
  db.exec(sql);
  const bytes = sqlite3.capi.sqlite3_js_db_export(db);
  db.close();
  bytes.fill(2, 18, 20);
  const pages = Object.fromEntries(
    Array.from({ length: bytes.length / 4096 }, (_, i) => [
      i + 1,
      bytes.slice(i * 4096, (i + 1) * 4096),
    ]),
  );
  const file = buildLtx({ pages });
  const store = fileStore(freshDirectory());
  await store.put(`ltx/0/${file.name}`, file.bytes);
  return store;
}

const told = ({ faults }: VerifyReport): string[] =>
  faults.map(({ code, message }) => `${code} ${message}`);

const PROBES: readonly Probe[] = [
  { sql: "SELECT count(*) FROM t", expected: 3 },
  { sql: "SELECT x FROM t WHERE rowid = 3", expected: new Uint8Array([1, 2]) },
  async (database) => {
    const rows = await Promise.all([
      database.query("SELECT 1 AS a"),
      database.query("SELECT 2 AS a"),
    ]);
    assert.deepEqual(rows, [[{ a: 1 }], [{ a: 2 }]]);
  },
];

const ROWS = "CREATE TABLE t(x); INSERT INTO t VALUES ('a'), ('b'), (x'0102');";
const PARENTS = "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id));";

for (const name of ["fileDrill", "memoryDrill"] as const) {
  describe(`${name}()`, () => {
    const directory = freshDirectory();
    const target = () => (name === "fileDrill" ? fileDrill({ directory }) : memoryDrill(sqlite3));

    test(`${name}() checks what was restored, and keeps nothing of it`, async () => {
      const store = await replicaOf(ROWS);
      const report = await verify(store, { restore: target(), probes: PROBES });
      assert.deepEqual(told(report), []);
      assert.equal(report.drill?.probes, 3);
      assert.deepEqual(fs.readdirSync(directory), []);
    });

    test(`${name}() reports broken references and probes that fail`, async () => {
      const store = await replicaOf(`${PARENTS} INSERT INTO c VALUES (7), (8);`);
      const probes = [{ sql: "SELECT count(*) FROM c", expected: 1 }];
      const report = await verify(store, { restore: target(), probes });
      assert.deepEqual(told(report), [
        "FOREIGN_KEY 2 rows of c refer to none of p",
        "PROBE SELECT count(*) FROM c: found 2, expected 1",
      ]);
      assert.deepEqual(fs.readdirSync(directory), []);
    });

    test(`${name}() reports a file that is no database`, async () => {
      const file = buildLtx({ pages: { 1: { seed: 1 } } });
      const store = fileStore(freshDirectory());
      await store.put(`ltx/0/${file.name}`, file.bytes);
      const report = await verify(store, { restore: target() });
      assert.equal(report.faults.length, 1);
      assert.match(told(report)[0] ?? "", /^INTEGRITY .*not a database/);
      assert.deepEqual(fs.readdirSync(directory), []);
    });
  });
}
