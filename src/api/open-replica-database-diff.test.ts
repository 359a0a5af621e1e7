/* oxlint-disable no-await-in-loop -- one state after the other is the point. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.ts";
import { memoryStore } from "../transports/memory.ts";
import { openReplicaDatabase } from "./open-replica-database.ts";
import type { TableDiff } from "./open-replica-database-options.ts";
import { openReplicated } from "./open-replicated.ts";

const sqlite3 = await sqlite3InitModule();

/** A replica that grows by statements. */
async function replicate(path: string) {
  const store = memoryStore();
  const app = await openReplicated({ sqlite3, path, replica: store });
  const change = async (sql: string): Promise<bigint> => {
    app.db.exec(sql);
    await app.replication.flush();
    return app.replication.position.replicated;
  };
  return { store, app, change };
}

const numbers = (count: number): string =>
  `WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;

describe("diff()", () => {
  test("diff() reads few pages for a row that changed, however large the tables are", async () => {
    const { store, app, change } = await replicate("large.db");
    const from = await change(`
      CREATE TABLE large(id INTEGER PRIMARY KEY, body UNIQUE); CREATE TABLE small(x);
      CREATE TABLE keyed(k PRIMARY KEY, x) WITHOUT ROWID; CREATE TABLE later(body);
      INSERT INTO small VALUES (1);
      ${numbers(5_000)} INSERT INTO large SELECT i, hex(randomblob(150)) FROM n;
      INSERT INTO keyed SELECT body, id FROM large; INSERT INTO later SELECT body FROM large`);
    const to = await change("UPDATE small SET x = 2");
    const last = await change("UPDATE later SET body = 'x' WHERE rowid = 3000");
    for (const [earlier, later, table, key] of [
      [from, to, "small", 1],
      [to, last, "later", 3000],
    ] as const) {
      await using view = await openReplicaDatabase({ sqlite3, replica: store, readAhead: 0 });
      expect(view.reader.latest.commit).toBeGreaterThan(1500);
      const { tables } = await view.diff({ txid: earlier }, { txid: later });
      expect(tables).toMatchObject([{ table, inserted: [], deleted: [], updated: [[key]] }]);
      expect(view.stats.pages).toBeLessThan(40);
    }
    await app.close();
  });

  test("diff() misses nothing, whatever is done to tables and pages", async () => {
    const seed = 20_261_122;
    const random = seededRandom(seed);
    const { store, app, change } = await replicate("random.db");
    type Content = Map<string, Map<string, string>>;
    const content = (): Content => {
      const names = app.db.selectValues("SELECT name FROM sqlite_schema WHERE type = 'table'");
      return new Map(
        names.map((name) => [
          String(name),
          new Map(
            app.db
              .selectArrays(`SELECT rowid, x FROM ${name}`)
              .map(([id, x]) => [String(id), String(x)]),
          ),
        ]),
      );
    };
    const states: { txid: bigint; content: Content }[] = [];
    const see = async (sql: string): Promise<void> => {
      states.push({ txid: await change(sql), content: content() });
    };
    await see(`PRAGMA auto_vacuum = 2; PRAGMA page_size = 512; VACUUM;
      CREATE TABLE t0(x); CREATE TABLE t1(x); CREATE TABLE t2(x); CREATE INDEX i1 ON t1(x);
      ${numbers(400)} INSERT INTO t0 SELECT printf('%060d', i) FROM n; INSERT INTO t1 SELECT x FROM t0`);
    const table = (): string => `t${random.int(3)}`;
    const text = (): string =>
      `printf('%0${random.pick([10, 60, 60, 300, 2000])}d', ${random.int(1e9)})`;
    // As long as before, and equal but for the end: only an overflow page changes.
    const inPlace = (): string =>
      `UPDATE t0 SET x = substr(x, 1, length(x) - 1) || ${random.int(10)} WHERE length(x) > 1000`;
    const steps = [
      () => `${numbers(20)} INSERT INTO ${table()} SELECT ${text()} || i FROM n`,
      () => `DELETE FROM ${table()} WHERE rowid % ${20 + random.int(20)} = 0`,
      () => `DELETE FROM ${table()} WHERE (rowid - ${random.int(360)}) BETWEEN 0 AND 40`,
      () => `DELETE FROM t1 WHERE rowid > ${random.int(400)}`,
      () => `UPDATE ${table()} SET x = ${text()} WHERE rowid % 170 = ${random.int(17)}`,
      () => `UPDATE OR REPLACE ${table()} SET rowid = rowid + 5000 WHERE rowid BETWEEN 200 AND 215`,
      inPlace,
      () => `INSERT INTO ${table()} SELECT x FROM ${table()} LIMIT 9`,
      () => "DROP TABLE t2; CREATE TABLE t2(x); INSERT INTO t2 SELECT x FROM t1 LIMIT 30",
      () =>
        `REPLACE INTO ${table()}(rowid, x) VALUES (${random.pick(["-9223372036854775808", "9007199254740993", "77"])}, ${text()})`,
      () => "PRAGMA incremental_vacuum(5)",
      () => "REINDEX i1",
      () => "VACUUM",
    ];
    for (let i = 0; i < 14; i++) await see(random.pick(steps)());
    await see("INSERT INTO t0 VALUES (printf('%02000d', 0) || 'a')");
    await see(inPlace());
    await using view = await openReplicaDatabase({ sqlite3, replica: store });
    for (const [i, to] of states.slice(1).entries()) {
      const from = random.chance(0.3) && i < 12 ? random.pick(states) : states[i]!;
      const expected = [...to.content].flatMap(([name, later]) => {
        const earlier = from.content.get(name)!;
        const inserted = [...later.keys()].filter((id) => !earlier.has(id)).sort();
        const deleted = [...earlier.keys()].filter((id) => !later.has(id)).sort();
        const updated = [...later.keys()]
          .filter((id) => earlier.has(id) && earlier.get(id) !== later.get(id))
          .sort();
        const isEqual = [inserted, deleted, updated].every((ids) => ids.length === 0);
        return isEqual ? [] : [{ table: name, inserted, deleted, updated }];
      });
      const { tables } = await view.diff(from, to, { maxKeys: 1e6 });
      const ids = (keys: TableDiff["inserted"]) => keys.map(([id]) => String(id)).sort();
      const found = tables.map(({ table: name, inserted, deleted, updated }) => {
        return {
          table: name,
          inserted: ids(inserted),
          deleted: ids(deleted),
          updated: ids(updated),
        };
      });
      expect(found, `seed ${seed}, step ${i}`).toEqual(expected);
    }
    await app.close();
  });
});
