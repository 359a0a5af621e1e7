/**
 * The database the kernels are measured on: text, numbers and indexes, as an application has them.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";

/** What to build. */
export interface SampleDatabaseOptions {
  /** Number of rows; 45,000 make about 25 MB. @default 45000 */
  readonly rows?: number;
  /** Page size in bytes. @default 4096 */
  readonly pageSize?: number;
}

const WORDS = (
  "the of and to in that it was for on with he be at by this had not are but from or have an they which one you were all " +
  "her she there would their we him been has when who will no more if out so up said what its about than into them can " +
  "only other time new some could these two may first then do any like my now over such our man me even most made after " +
  "also did many off before must well back through years much where your way down should because long each just state " +
  "people those too mr how little good world make very year still see own work men day get here old life both between " +
  "being under three never know same last another while us might great go come since against right came take used himself"
).split(" ");

/**
 * Builds the database in memory with sqlite-wasm and returns its file; the same options give the same content.
 */
export async function sampleDatabase(
  options: SampleDatabaseOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { rows = 45_000, pageSize = 4096 } = options;
  const sqlite3 = await sqlite3InitModule();
  const db = new sqlite3.oo1.DB(":memory:", "c");
  let state = 20_261_122;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
  const words = (count: number): string => {
    let text = "";
    // Squaring favours the words at the front, roughly as language does.
    for (let i = 0; i < count; i++) text += `${WORDS[random(WORDS.length * random(256)) >> 8]} `;
    return text;
  };
  db.exec(`PRAGMA page_size=${pageSize};
    CREATE TABLE note(id INTEGER PRIMARY KEY, author TEXT, created INTEGER, score REAL, key TEXT, title TEXT, body TEXT);
    CREATE INDEX note_author ON note(author, created);
    CREATE INDEX note_key ON note(key);
    CREATE INDEX note_title ON note(title);
    BEGIN`);
  const insert = db.prepare("INSERT INTO note VALUES(?,?,?,?,?,?,?)");
  for (let id = 1; id <= rows; id++) {
    const key = random(2 ** 32).toString(16) + random(2 ** 32).toString(16);
    const author = `user-${random(5000)}@example.com`;
    const created = 1_700_000_000_000 + id * 1000 + random(1000);
    insert.bind([
      id,
      author,
      created,
      random(1e6) / 997,
      key,
      words(4 + random(6)),
      words(20 + random(90)),
    ]);
    insert.stepReset();
  }
  insert.finalize();
  db.exec("COMMIT");
  const file = sqlite3.capi.sqlite3_js_db_export(db);
  db.close();
  return file.slice();
}
