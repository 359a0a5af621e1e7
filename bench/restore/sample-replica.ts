/**
 * The replica that the restore is measured on: a database of text and indexes, as Litestream itself replicated it.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** What to build. */
export interface SampleReplicaOptions {
  /** Path of the command `litestream`. */
  readonly litestream: string;
  /** Rows of the database; 395,000 make about 200 MB. */
  readonly rows: number;
  /** Changes that follow the first file, one LTX file each. */
  readonly changes: number;
}

/** A replica and what is in it. */
export interface SampleReplica {
  readonly directory: string;
  /** Bytes of all its LTX files. */
  readonly size: number;
  readonly files: number;
  readonly databaseSize: number;
}

const SEED = 20_261_122;
const ROWS_PER_COMMIT = 20_000;
const ROWS_PER_CHANGE = 500;

const WORDS = (
  "the of and to in that it was for on with he be at by this had not are but from or have an they which one you were all " +
  "her she there would their we him been has when who will no more if out so up said what its about than into them can " +
  "only other time new some could these two may first then do any like my now over such our man me even most made after " +
  "also did many off before must well back through years much where your way down should because long each just state " +
  "people those too mr how little good world make very year still see own work men day get here old life both between " +
  "being under three never know same last another while us might great go come since against right came take used himself"
).split(" ");

/** Builds database and replica below `directory`; what an earlier run left there with the same options is taken. */
export function sampleReplica(directory: string, options: SampleReplicaOptions): SampleReplica {
  const { litestream, rows, changes } = options;
  const folder = join(directory, `${rows}-${changes}`);
  const database = join(folder, "app.db");
  const replica = join(folder, "replica");
  if (!existsSync(join(folder, "done"))) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const random = randomNumbers(SEED);
    const replicate = (): void => {
      execFileSync(litestream, ["replicate", "-once", database, `file://${replica}`], {
        stdio: ["ignore", "ignore", "inherit"],
      });
    };
    // Held open to the end: closing it would restart the WAL, and Litestream would send the whole database again.
    const db = new DatabaseSync(database);
    fillSample(db, rows, random);
    replicate();
    for (let i = 0; i < changes; i++) {
      change(db, rows, random);
      replicate();
    }
    db.close();
    mkdirSync(join(folder, "done"));
  }
  const sizes = readdirSync(replica, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ltx"))
    .map((name) => statSync(join(replica, name)).size);
  return {
    directory: replica,
    size: sizes.reduce((sum, size) => sum + size, 0),
    files: sizes.length,
    databaseSize: statSync(database).size,
  };
}

/** Makes a table of text with indexes, in WAL mode; LZ4 leaves about two thirds of it. */
export function fillSample(
  db: DatabaseSync,
  rows: number,
  random: (below: number) => number = randomNumbers(SEED),
): void {
  db.exec(`PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
    CREATE TABLE note(id INTEGER PRIMARY KEY, author TEXT, created INTEGER, score REAL, key TEXT, title TEXT, body TEXT);
    CREATE INDEX note_author ON note(author, created);
    CREATE INDEX note_key ON note(key);
    CREATE INDEX note_title ON note(title)`);
  const insert = db.prepare("INSERT INTO note VALUES(?,?,?,?,?,?,?)");
  for (let id = 1; id <= rows; id++) {
    if (id % ROWS_PER_COMMIT === 1) db.exec("BEGIN");
    insert.run(
      id,
      `user-${random(5000)}@example.com`,
      1_700_000_000_000 + id * 1000 + random(1000),
      random(1e6) / 997,
      random(2 ** 32).toString(16) + random(2 ** 32).toString(16),
      words(4 + random(6), random),
      words(20 + random(90), random),
    );
    if (id % ROWS_PER_COMMIT === 0 || id === rows) db.exec("COMMIT");
  }
}

/** One transaction on rows all over the database. */
function change(db: DatabaseSync, rows: number, random: (below: number) => number): void {
  const update = db.prepare("UPDATE note SET score = ?, body = ? WHERE id = ?");
  db.exec("BEGIN");
  for (let i = 0; i < ROWS_PER_CHANGE; i++) {
    update.run(random(1e6) / 997, words(20 + random(90), random), 1 + random(rows));
  }
  db.exec("COMMIT");
}

function words(count: number, random: (below: number) => number): string {
  let text = "";
  // Squaring favours the words at the front, roughly as language does.
  for (let i = 0; i < count; i++) text += `${WORDS[random(WORDS.length * random(256)) >> 8]} `;
  return text;
}

/** Whole numbers below a bound, the same ones for the same seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
}
