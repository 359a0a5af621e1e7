/**
 * Random changes of a database, of every kind that an application makes.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";

/** Tables that {@linkcode mixedChange} works on. */
export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS item(id INTEGER PRIMARY KEY, who, n, body);
  CREATE INDEX IF NOT EXISTS item_n ON item(n);
  CREATE TABLE IF NOT EXISTS blob(id INTEGER PRIMARY KEY, body)`;

/** Rows that are never exceeded: what is inserted past them replaces something. */
const ROWS = 2_000;
const CHECKPOINTS = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;

/** What a change was. */
export interface Change {
  readonly commits: number;
  readonly busy: number;
}

/** Makes one change, most often one commit; what is refused because of a lock is no error. */
export function mixedChange(
  db: DatabaseSync,
  random: SeededRandom,
  {
    who = 0,
    hostile = false,
  }: { readonly who?: number | undefined; readonly hostile?: boolean | undefined },
): Change {
  const sql = randomStatement(random, { who, hostile });
  try {
    db.exec(sql);
    return { commits: sql.includes("COMMIT") || /^[IUDV]/u.test(sql) ? 1 : 0, busy: 0 };
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    const code = Number((error as { errcode?: number }).errcode) & 0xff;
    if (code === SQLITE_BUSY || code === SQLITE_LOCKED) return { commits: 0, busy: 1 };
    throw error;
  }
}

function randomStatement(
  random: SeededRandom,
  { who, hostile }: { readonly who: number; readonly hostile: boolean },
): string {
  const id = (): number => 1 + random.int(ROWS);
  const text = (size: number): string =>
    `replace(hex(zeroblob(${random.int(size)})), '00', '${random.next().toString(36).slice(0, 4)}')`;
  const insert = (): string =>
    `REPLACE INTO item VALUES (${id()}, ${who}, ${random.int(1_000)}, ${text(300)})`;
  const kind = random.int(100);
  if (hostile && kind < 3) return `PRAGMA wal_checkpoint(${random.pick(CHECKPOINTS)})`;
  if (hostile && kind === 3) return "VACUUM";
  if (kind < 40) return `BEGIN IMMEDIATE; ${insert()}; COMMIT`;
  if (kind < 60)
    return `UPDATE item SET n = n + 1, body = body || 'x' WHERE id % 97 = ${random.int(97)}`;
  if (kind < 70) return `DELETE FROM item WHERE id = ${id()}`;
  if (kind < 80) {
    const several = Array.from({ length: 1 + random.int(20) }, insert).join("; ");
    return `BEGIN IMMEDIATE; ${several}; COMMIT`;
  }
  if (kind < 86) {
    return `INSERT OR REPLACE INTO blob VALUES (${1 + random.int(8)}, ${text(50_000)})`;
  }
  if (kind < 90) return `DELETE FROM blob WHERE id = ${1 + random.int(8)}`;
  if (kind < 95) return `BEGIN IMMEDIATE; ${insert()}; DELETE FROM item WHERE id % 3 = 0; ROLLBACK`;
  const save = "SAVEPOINT s; DELETE FROM item; ROLLBACK TO s; RELEASE s";
  return `BEGIN IMMEDIATE; ${save}; ${insert()}; COMMIT`;
}
