/**
 * What the applications of a simulation do to their databases.
 *
 * @module
 */
import type { SeededRandom } from "../../src/testing/seeded-random.ts";

/** As much of sqlite-wasm's database object as is used. */
export interface Sql {
  exec(sql: string): unknown;
  selectValue(sql: string): unknown;
  selectArray(sql: string): unknown[] | undefined;
}

const SCHEMA =
  "CREATE TABLE IF NOT EXISTS n(value, rows, bytes); CREATE TABLE IF NOT EXISTS t(a, b);" +
  "CREATE INDEX IF NOT EXISTS ta ON t(a)";
const SUMS = "count(*), total(length(b))";
/** Rows beyond which more are deleted than inserted. */
const MANY_ROWS = 60;

/** The statements of one transaction that leaves `value` behind. */
export function change(db: Sql, value: number, random: SeededRandom): void {
  db.exec(SCHEMA);
  const rows = Number(db.selectValue("SELECT count(*) FROM t"));
  const turns = 1 + random.int(3);
  for (let turn = 0; turn < turns; turn++) {
    const kind = random.int(10);
    const a = random.int(40);
    if (kind < 5) db.exec(`INSERT INTO t VALUES(${a}, randomblob(${random.int(1_500)}))`);
    else if (kind < 7) db.exec(`UPDATE t SET b=randomblob(length(b)) WHERE a=${a}`);
    else if (kind < 8) db.exec(`UPDATE t SET b=zeroblob(${random.int(3_000)}) WHERE a=${a}`);
    else db.exec(`DELETE FROM t WHERE a=${a}`);
  }
  if (rows > MANY_ROWS) db.exec(`DELETE FROM t WHERE a % 3 = ${random.int(3)}`);
  db.exec("DELETE FROM n");
  db.exec(`INSERT INTO n SELECT ${value}, ${SUMS} FROM t`);
}

/** The value that a database holds; 0 for one without any, and what is wrong with it where something is. */
export function valueOf(db: Sql): number | string {
  const sound = db.selectValue("PRAGMA integrity_check");
  if (sound !== "ok") return `integrity_check: ${String(sound)}`;
  if (db.selectValue("SELECT count(*) FROM sqlite_schema WHERE name='n'") === 0) return 0;
  const row = db.selectArray("SELECT value, rows, bytes FROM n");
  if (row === undefined) return "its value is gone";
  const [rows, bytes] = db.selectArray(`SELECT ${SUMS} FROM t`) ?? [];
  if (row[1] !== rows || row[2] !== bytes) return `it is a mixture around value ${String(row[0])}`;
  return Number(row[0]);
}
