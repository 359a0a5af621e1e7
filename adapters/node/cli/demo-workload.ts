/**
 * The transactions that the demonstration writes: small and large, automatic and explicit, with everything that moves
 * pages about.
 *
 * @module
 */
import type { Database } from "@sqlite.org/sqlite-wasm";

/** Creates the tables. */
export function createTables(db: Database): void {
  db.exec("CREATE TABLE note (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT, data BLOB)");
  db.exec("CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID");
  db.exec("CREATE INDEX note_title ON note (title)");
  db.exec("CREATE VIRTUAL TABLE search USING fts5 (title, body)");
}

const WORDS =
  "page commit frame level snapshot index journal replica restore header trailer checksum lag position".split(
    " ",
  );

/** Writes transaction number `i`; `random` yields numbers from 0 up to 1. */
export function writeTransaction(db: Database, i: number, random: () => number): void {
  // The rare kinds first, at fixed places, so that each run has all of them.
  if (i % 500 === 499) db.exec("VACUUM");
  else if (i % 200 === 150) deleteMany(db);
  else if (i % 100 === 60) changeSchema(db, i);
  else if (i % 50 === 20) rollBack(db, random);
  else if (i % 25 === 10) nest(db, random);
  else if (i % 10 === 3) deleteOne(db);
  else if (i % 5 === 2) update(db, random);
  else insert(db, i, random);
}

/** Each row's content in a fixed order, one text a row: two databases with the same answer hold the same. */
export const CONTENT_SQL: string =
  "SELECT id || ':' || title || ':' || body || ':' || hex(data) AS row FROM note ORDER BY id";

function insert(db: Database, i: number, random: () => number): void {
  const title = text(random, 3);
  const body = text(random, 5 + Math.floor(random() * 60));
  const data = blob(random, i % 20 === 0 ? 20_000 : Math.floor(random() * 400));
  if (i % 2 === 0) {
    db.exec({
      sql: "INSERT INTO note (title, body, data) VALUES (?, ?, ?)",
      bind: [title, body, data],
    });
    return;
  }
  db.transaction(() => {
    db.exec({
      sql: "INSERT INTO note (title, body, data) VALUES (?, ?, ?)",
      bind: [title, body, data],
    });
    db.exec({ sql: "INSERT INTO search (title, body) VALUES (?, ?)", bind: [title, body] });
    count(db, "inserted");
  });
}

function update(db: Database, random: () => number): void {
  db.exec({
    sql: "UPDATE note SET body = ?, data = ? WHERE id % 7 = ? AND id > (SELECT max(id) - 50 FROM note)",
    bind: [text(random, 20), blob(random, 100), Math.floor(random() * 7)],
  });
}

function deleteOne(db: Database): void {
  db.exec("DELETE FROM note WHERE id = (SELECT min(id) FROM note)");
}

function deleteMany(db: Database): void {
  db.exec("DELETE FROM note WHERE id % 10 < 3");
}

function changeSchema(db: Database, i: number): void {
  db.transaction(() => {
    db.exec(`CREATE TABLE extra_${i} AS SELECT id, title FROM note LIMIT 50`);
    if (i >= 200) db.exec(`DROP TABLE extra_${i - 200}`);
  });
}

/** A transaction that leaves nothing behind. */
function rollBack(db: Database, random: () => number): void {
  db.exec("BEGIN IMMEDIATE");
  for (let n = 0; n < 20; n++) {
    db.exec({
      sql: "INSERT INTO note (title, data) VALUES (?, ?)",
      bind: ["undone", blob(random, 2000)],
    });
  }
  db.exec("ROLLBACK");
}

/** A transaction of which a part is undone. */
function nest(db: Database, random: () => number): void {
  db.transaction(() => {
    count(db, "nested");
    db.exec(
      "SAVEPOINT inner; DELETE FROM note; DELETE FROM search; ROLLBACK TO inner; RELEASE inner",
    );
    db.exec({
      sql: "INSERT INTO note (title, body) VALUES (?, ?)",
      bind: ["kept", text(random, 4)],
    });
  });
}

function count(db: Database, name: string): void {
  db.exec({
    sql: "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
    bind: [name],
  });
}

function text(random: () => number, words: number): string {
  return Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(" ");
}

function blob(random: () => number, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, () => random() * 256);
}

/** Numbers from 0 up to 1, the same in each run. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
