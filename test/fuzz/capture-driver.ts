/**
 * Random work on a captured database. After every commit a replica that is kept from commit events alone must equal
 * the file.
 *
 * @module
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { CommitSource, DatabaseImage } from "../../src/core/commit-source.ts";
import { setJournalHeader } from "../../src/core/database-header.ts";
import { seededRandom, type SeededRandom } from "../../src/testing/seeded-random.ts";
import type { CaptureVfs } from "../../src/vfs/capture-vfs.ts";
import { EventReplica } from "./capture-replica.ts";

/** Where the databases of a run live. */
export interface FuzzBase {
  readonly name: string;
  readonly capture: CaptureVfs;
  /** A path that no run used before. */
  newPath(): string;
  /** The bytes of a database as of its last commit, not by way of SQLite. */
  read(path: string): Uint8Array | undefined;
}

/** What one seed did. */
export interface FuzzResult {
  readonly problem: string | undefined;
  /** The last statements before a problem. */
  readonly history: readonly string[];
  readonly commits: number;
  readonly pages: number;
  readonly images: number;
  readonly xors: number;
}

type Database = InstanceType<Sqlite3Static["oo1"]["DB"]>;

const JOURNAL_MODES = ["delete", "truncate", "persist", "memory", "wal", "wal"] as const;
const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] as const;
const CHECKPOINTS = ["passive", "full", "restart", "truncate"] as const;
/** XOR of these bytes anywhere leaves a page's CRC-64 as it was. */
const CRC_NULL = [0x01, 0, 0, 0, 0, 0, 0, 0xb0, 0x01] as const;

/** Runs one seed: one database, `steps` statements. */
export async function fuzzCapture(
  sqlite3: Sqlite3Static,
  base: FuzzBase,
  options: { readonly seed: number; readonly steps: number },
): Promise<FuzzResult> {
  const run = new FuzzRun(sqlite3, base, options.seed);
  try {
    await run.start();
    for (let step = 0; step < options.steps && run.problem === undefined; step++) await run.step();
    await Promise.race([run.finish(), stuck(run)]);
  } catch (error) {
    run.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    run.close();
  }
  return run.result();
}

/** Fails a run whose images do not end, so that the seed is named instead of a test that timed out. */
async function stuck(run: FuzzRun): Promise<void> {
  // What is left to do takes no timer: it is done before this one fires, however busy the machine is.
  await new Promise((resolve) => setTimeout(resolve, 1000).unref());
  if (!run.finished) run.fail("an image neither ended nor failed");
}

class FuzzRun {
  problem: string | undefined;
  finished = false;
  readonly #sqlite3: Sqlite3Static;
  readonly #base: FuzzBase;
  readonly #random: SeededRandom;
  readonly #path: string;
  readonly #exclusive: boolean;
  readonly #replica: EventReplica;
  readonly #history: string[] = [];
  readonly #images: Promise<void>[] = [];
  #db!: Database;
  /** A second connection to the same path, now and then. */
  #other: Database | undefined;
  #source!: CommitSource;
  #imageCount = 0;
  #steps = 0;
  /** Images that are begun but not read yet, and the step at which they will be. */
  #sleeping: { readonly until: number; readonly wake: () => void }[] = [];
  #xors = 0;

  constructor(sqlite3: Sqlite3Static, base: FuzzBase, seed: number) {
    this.#sqlite3 = sqlite3;
    this.#base = base;
    this.#random = seededRandom(seed);
    this.#path = base.newPath();
    this.#exclusive = this.#random.chance(0.25);
    this.#replica = new EventReplica(() => base.read(this.#path));
  }

  async start(): Promise<void> {
    this.#db = this.#open();
    this.#source = this.#base.capture.source(this.#db);
    this.#source.listen(this.#replica);
    const pageSize = this.#random.pick(PAGE_SIZES);
    this.#exec(`pragma page_size=${pageSize}`);
    this.#exec(`pragma auto_vacuum=${this.#random.int(3)}`);
    this.#exec(`pragma journal_mode=${this.#random.pick(JOURNAL_MODES)}`);
    this.#exec("create table t(a integer primary key, b)");
    this.#exec("create index ti on t(b)");
    this.#exec("create table wr(k primary key, v) without rowid");
    this.#exec("create virtual table ft using fts5(x)");
  }

  async step(): Promise<void> {
    const before = this.#replica.commits;
    this.#work();
    this.#steps++;
    this.#wake(this.#steps);
    // Lets images go on: none of them may see what was committed after its boundary.
    for (let i = this.#random.int(4); i > 0; i--) await Promise.resolve();
    this.problem ??= this.#replica.problem;
    if (this.problem === undefined && this.#replica.commits > before && this.#random.chance(0.03)) {
      this.#checkIntegrity();
    }
  }

  async finish(): Promise<void> {
    this.#exec("rollback");
    this.#other?.close();
    this.#other = undefined;
    // A last commit carries what rolled-back transactions left behind in free pages.
    this.#exec("pragma user_version=1000000");
    // An image may begin only now, at the ROLLBACK above: it must not go to sleep after the last waking.
    this.#steps = Infinity;
    this.#wake(Infinity);
    await Promise.all(this.#images);
    this.finished = true;
    this.#replica.compare("end");
    this.problem ??= this.#replica.problem;
    if (this.problem === undefined) this.#checkIntegrity();
    if (this.problem === undefined) this.#checkContents();
  }

  close(): void {
    this.#other?.close();
    this.#db?.close();
  }

  fail(problem: string): void {
    this.problem ??= problem;
  }

  result(): FuzzResult {
    return {
      problem: this.problem,
      history: this.#history.slice(-40),
      commits: this.#replica.commits,
      pages: this.#replica.pages,
      images: this.#imageCount,
      xors: this.#xors,
    };
  }

  #wake(step: number): void {
    for (const { until, wake } of this.#sleeping) if (until <= step) wake();
    this.#sleeping = this.#sleeping.filter(({ until }) => until > step);
  }

  #open(): Database {
    const name = `file:${this.#path}?vfs=${this.#base.capture.name}`;
    const db = new this.#sqlite3.oo1.DB(name, "c");
    // SQLite's own randomblob() cannot be seeded.
    db.createFunction("chance", (_context: number, length) => this.#random.bytes(Number(length)));
    // Fails where the other connection holds the database: then the default size will do.
    this.#exec(`pragma cache_size=${this.#random.pick([2, 10, 200])}`, db);
    if (this.#exclusive) this.#exec("pragma locking_mode=exclusive", db);
    return db;
  }

  /** One action. */
  #work(): void {
    const random = this.#random;
    const size = random.chance(0.3) ? 3000 : 50;
    const roll = random.int(110);
    if (roll < 20) this.#exec(insertMany(random.int(400), random.int(20), size));
    else if (roll < 30) {
      this.#exec(`update t set b=chance(${size}) where a%${2 + random.int(9)}=0`);
    } else if (roll < 38) {
      this.#exec(`delete from t where a between ${random.int(400)} and ${random.int(500)}`);
    } else if (roll < 43) {
      this.#exec(`insert or replace into wr values(${random.int(100)}, chance(${size}))`);
    } else if (roll < 47) {
      this.#exec(
        `insert into ft values('${random.pick(["alpha", "beta", "gamma"])} ${random.int(1000)}')`,
      );
    } else if (roll < 50) this.#exec(`pragma user_version=${random.int(1000)}`);
    else if (roll < 52) this.#exec("vacuum");
    else if (roll < 54) this.#exec(`pragma incremental_vacuum(${random.int(20)})`);
    else if (roll < 60) this.#exec(random.chance(0.5) ? "begin" : "begin immediate");
    else if (roll < 65) this.#exec("commit");
    else if (roll < 68) this.#exec("rollback");
    else if (roll < 71) this.#exec(`savepoint s${random.int(2)}`);
    else if (roll < 74) this.#exec(`rollback to s${random.int(2)}`);
    else if (roll < 76) this.#exec(`release s${random.int(2)}`);
    else if (roll < 78) this.#exec(`pragma cache_size=${random.pick([2, 10, 200])}`);
    else if (roll < 80) {
      this.#exec(`pragma synchronous=${random.pick(["off", "normal", "full", "extra"])}`);
    } else if (roll < 84) this.#exec(`pragma journal_mode=${random.pick(JOURNAL_MODES)}`);
    else if (roll < 85) this.#refused();
    else if (roll < 87) this.#exec(`create table if not exists x${random.int(5)}(a, b)`);
    else if (roll < 89) this.#exec(`drop table if exists x${random.int(5)}`);
    else if (roll < 90) this.#exec("delete from t");
    else if (roll < 91) this.#exec(random.pick(["reindex", "analyze"]));
    else if (roll < 93 && !this.#exclusive) {
      this.#exec(`pragma page_size=${random.pick(PAGE_SIZES)}`);
      if (random.chance(0.5)) this.#exec("vacuum");
    } else if (roll < 95) this.#reopen();
    else if (roll < 97) this.#xorBlob();
    else if (roll < 98) this.#xorPage();
    else if (roll < 99) this.#allocateAndFree();
    else if (roll < 101) this.#backup();
    else if (roll < 104) this.#image();
    else if (roll < 106) this.#second();
    else this.#exec(`pragma wal_checkpoint(${random.pick(CHECKPOINTS)})`);
  }

  #exec(sql: string, db: Database = this.#db, bind?: readonly (Uint8Array | number)[]): boolean {
    const { commits } = this.#replica;
    let outcome = "ok";
    try {
      db.exec(bind === undefined ? { sql } : { sql, bind: bind as never });
    } catch (error) {
      outcome = (error as Error).message.slice(0, 60);
    }
    const who = db === this.#db ? "" : "other: ";
    this.#history.push(
      `${who}${sql.slice(0, 120)} -> ${outcome}, ${this.#replica.commits - commits} commits`,
    );
    if (/malformed|disk image/u.test(outcome)) this.fail(`${sql}: ${outcome}`);
    return outcome === "ok";
  }

  #autocommit(): boolean {
    return this.#sqlite3.capi.sqlite3_get_autocommit(this.#db.pointer!) !== 0;
  }

  #refused(): void {
    const mode = this.#random.pick(["off", "o", "Of"]);
    if (this.#exec(`pragma journal_mode=${mode}`)) this.fail(`journal_mode=${mode} was accepted`);
  }

  #reopen(): void {
    if (!this.#autocommit()) return;
    this.#history.push("reopen");
    this.#db.close();
    this.#db = this.#open();
    this.#source = this.#base.capture.source(this.#db);
  }

  /** Changes a stored blob so that no CRC-64 shows it. */
  #xorBlob(): void {
    const rows = this.#rows("select a, b from t where length(b) >= 9");
    if (rows.length === 0) return;
    const [a, blob] = this.#random.pick(rows);
    if (typeof a !== "number" || !(blob instanceof Uint8Array)) return;
    const changed = xorAt(blob, this.#random.int(blob.length - 8));
    if (this.#exec("update t set b=? where a=?", this.#db, [changed, a])) this.#xors++;
  }

  /** The same to a page that holds nothing but a blob's bytes. */
  #xorPage(): void {
    const sql = "select pageno from dbstat where name='t' and pagetype='overflow' limit 1";
    const pgno = this.#rows(sql)[0]?.[0];
    if (typeof pgno !== "number") return;
    const page = this.#rows(`select data from sqlite_dbpage where pgno=${pgno}`)[0]?.[0];
    if (!(page instanceof Uint8Array)) return;
    const changed = xorAt(page, 4 + this.#random.int(page.length - 12));
    const update = "update sqlite_dbpage set data=? where pgno=?";
    if (this.#exec(update, this.#db, [changed, pgno])) this.#xors++;
    // The index on b still holds the old bytes.
    this.#exec("reindex");
  }

  #rows(sql: string): unknown[][] {
    try {
      return this.#db.selectArrays(sql);
    } catch {
      return [];
    }
  }

  /** Pages that one transaction allocates and frees are in the file but never written. */
  #allocateAndFree(): void {
    if (!this.#autocommit()) return;
    this.#exec("begin");
    this.#exec("create table gone(a)");
    this.#exec(`insert into gone values(zeroblob(${this.#random.int(200_000)}))`);
    this.#exec(this.#random.chance(0.5) ? "drop table gone" : "delete from gone");
    this.#exec("insert into t(b) values(chance(20))");
    this.#exec("drop table if exists gone");
    this.#exec("commit");
  }

  #backup(): void {
    if (!this.#autocommit()) return;
    const { capi, oo1 } = this.#sqlite3;
    const from = new oo1.DB(":memory:");
    const pageSize = this.#random.chance(0.5)
      ? this.#source.pageSize
      : this.#random.pick(PAGE_SIZES);
    from.exec(`pragma page_size=${pageSize};
      create table t(a integer primary key, b);
      create index ti on t(b);
      create table wr(k primary key, v) without rowid;
      create virtual table ft using fts5(x);
      insert into t values(1, zeroblob(${this.#random.int(90_000)}))`);
    const backup = capi.sqlite3_backup_init(this.#db.pointer!, "main", from.pointer!, "main");
    if (backup !== 0) {
      capi.sqlite3_backup_step(backup, 3);
      capi.sqlite3_backup_step(backup, -1);
      capi.sqlite3_backup_finish(backup);
    }
    this.#history.push(`backup from page size ${pageSize}`);
    from.close();
  }

  #image(): void {
    if (this.#images.length > 60) return;
    this.#imageCount++;
    this.#history.push("image");
    let copy: Uint8Array | undefined;
    let boundary: number | undefined;
    const pending = this.#source.image().then(async (image) => {
      // Nothing ran since the boundary: it is fixed inside a statement, and this is the next thing after it.
      copy = this.#base.read(this.#path);
      boundary = this.#source.sequence;
      await this.#compareImage(image, copy, boundary);
    });
    this.#images.push(
      pending.catch((error: unknown) => {
        const closed = String(error).includes("is not open") || String(error).includes("closed");
        if (!closed) this.fail(`image: ${String(error)}`);
      }),
    );
  }

  async #compareImage(
    image: DatabaseImage,
    copy: Uint8Array | undefined,
    boundary: number,
  ): Promise<void> {
    const bytes = new Uint8Array(image.commit * image.pageSize).fill(0xee);
    const until = this.#steps + this.#random.int(30);
    if (until !== Infinity) {
      await new Promise<void>((wake) => this.#sleeping.push({ until, wake }));
    }
    for await (const run of image.runs) {
      for (const { pgno, data } of run) bytes.set(data, (pgno - 1) * image.pageSize);
    }
    // Several statements may have run in one step; then the copy is of a later state.
    if (image.sequence !== boundary || copy === undefined) return;
    if (Buffer.compare(bytes, copy) !== 0) this.fail(`image at commit ${boundary} differs`);
  }

  /** Work through a second connection, which shares the state of the path. */
  #second(): void {
    if (this.#exclusive) return;
    this.#other ??= this.#open();
    this.#exec(insertMany(this.#random.int(400), this.#random.int(5), 100), this.#other);
    if (this.#random.chance(0.3)) {
      this.#other.close();
      this.#other = undefined;
    }
  }

  #checkIntegrity(): void {
    if (!this.#autocommit()) return;
    const result = this.#rows("pragma integrity_check")[0]?.[0];
    if (result !== undefined && result !== "ok") this.fail(`integrity_check: ${String(result)}`);
  }

  /** Opens the replica's bytes and compares what the two databases hold. */
  #checkContents(): void {
    const { capi, oo1, wasm } = this.#sqlite3;
    const bytes = this.#replica.bytes().slice();
    setJournalHeader(bytes, "rollback");
    const db = new oo1.DB(":memory:");
    try {
      const pointer = wasm.allocFromTypedArray(bytes);
      const free = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
      capi.sqlite3_deserialize(db.pointer!, "main", pointer, bytes.length, bytes.length, free);
      for (const sql of ["select * from t order by a", "select * from wr", "select * from ft"]) {
        const there = JSON.stringify(db.selectArrays(sql));
        if (there !== JSON.stringify(this.#db.selectArrays(sql))) this.fail(`${sql} differs`);
      }
    } finally {
      db.close();
    }
  }
}

function insertMany(first: number, count: number, size: number): string {
  return `with recursive c(i) as (select 0 union all select i+1 from c where i<${count})
    insert or replace into t select ${first}+i, chance(${size}) from c`;
}

function xorAt(bytes: Uint8Array, offset: number): Uint8Array {
  const changed = bytes.slice();
  for (const [i, byte] of CRC_NULL.entries()) changed[offset + i]! ^= byte;
  return changed;
}
