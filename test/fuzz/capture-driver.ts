/**
 * Random work on a captured database. After every commit a replica that is kept from commit events alone must equal
 * the file.
 *
 * @module
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { setJournalHeader } from "../../src/core/database-header.ts";
import { seededRandom, type SeededRandom } from "../../src/testing/seeded-random.ts";
import { type CaptureVfs, installCaptureVfs } from "../../src/vfs/capture-vfs.ts";
import {
  type FuzzPlan,
  fuzzPlan,
  insertMany,
  JOURNAL_MODES,
  PAGE_SIZES,
  randomChange,
  randomControl,
} from "./capture-plan.ts";
import type { EventReplica } from "./capture-replica.ts";
import { Watched } from "./capture-watched.ts";

/** Where the databases of a run live. */
export interface FuzzBase {
  readonly name: string;
  /** The VFS that stores the files. */
  readonly parent: string;
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
  readonly counts: {
    readonly commits: number;
    readonly pages: number;
    readonly prepared: number;
    readonly refused: number;
    readonly foreign: number;
    readonly doubts: number;
    readonly images: number;
    readonly overruns: number;
    readonly xors: number;
  };
}

type Database = InstanceType<Sqlite3Static["oo1"]["DB"]>;

/** XOR of these bytes anywhere leaves a page's CRC-64 as it was. */
const CRC_NULL = [0x01, 0, 0, 0, 0, 0, 0, 0xb0, 0x01] as const;
/** More than an image keeps of what is overwritten. */
const OVERRUN_SIZE = 17 << 20;

/** Runs one seed: one set-up, `steps` actions. */
export async function fuzzCapture(
  sqlite3: Sqlite3Static,
  base: FuzzBase,
  options: { readonly seed: number; readonly steps: number },
): Promise<FuzzResult> {
  const run = new FuzzRun(sqlite3, base, options.seed);
  try {
    await run.start();
    for (let step = 0; step < options.steps && !run.failed; step++) await run.step();
    if (!run.failed) await orStuck(run.finish());
    if (!run.failed) await run.end();
  } catch (error) {
    run.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    run.close();
  }
  return run.result();
}

/** Fails work that does not end, so that the seed is named instead of a test that timed out. */
async function orStuck(work: Promise<void>): Promise<void> {
  // What is left to do takes no timer: it is done before this one fires, however busy the machine is.
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stuck = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("an image neither ended nor failed")), 2000);
  });
  await Promise.race([work, stuck]).finally(() => clearTimeout(timer));
}

/** Capture VFSes stay installed. */
const captures = new Map<string, CaptureVfs>();

function captureOver(sqlite3: Sqlite3Static, parent: string, copyWrites: boolean): CaptureVfs {
  const name = `fuzz-${parent}-${copyWrites ? "copy" : "read"}`;
  let capture = captures.get(name);
  if (capture === undefined) {
    captures.set(name, (capture = installCaptureVfs(sqlite3, { parent, name, copyWrites })));
  }
  return capture;
}

class FuzzRun {
  readonly #sqlite3: Sqlite3Static;
  readonly #base: FuzzBase;
  readonly #random: SeededRandom;
  readonly #plan: FuzzPlan;
  readonly #capture: CaptureVfs | undefined;
  readonly #history: string[] = [];
  readonly #main: Watched;
  readonly #watched: Watched[];
  #db!: Database;
  /** A second captured connection, now and then. */
  #second: Database | undefined;
  /** A connection that is not captured. */
  #foreign: Database | undefined;
  #problem: string | undefined;
  #steps = 0;
  /** Nothing is refused any more. */
  #calm = false;
  /** Images that are begun but not read yet, and the step at which they will be. */
  #sleeping: { readonly until: number; readonly wake: () => void }[] = [];
  #refused = 0;
  #foreignWork = 0;
  #xors = 0;

  constructor(sqlite3: Sqlite3Static, base: FuzzBase, seed: number) {
    this.#sqlite3 = sqlite3;
    this.#base = base;
    this.#random = seededRandom(seed);
    this.#plan = fuzzPlan(this.#random);
    const { attach, copyWrites, two, prepare } = this.#plan;
    this.#capture = attach ? undefined : captureOver(sqlite3, base.parent, copyWrites);
    const watch = (schema: "main" | "other"): Watched => {
      // Two `attachCapture` have two wrappers, of which only one can own a COMMIT.
      const own = schema === "main" || !attach || prepare === "sync" ? prepare : undefined;
      const path = base.newPath();
      const read = (of: string): Uint8Array | undefined => base.read(of);
      return new Watched({ sqlite3, capture: this.#capture, schema, path, prepare: own, read });
    };
    this.#main = watch("main");
    this.#watched = two ? [this.#main, watch("other")] : [this.#main];
    for (const { replica } of this.#watched) replica.answer = () => this.#answer(replica);
    this.#history.push(JSON.stringify(this.#plan));
  }

  get failed(): boolean {
    this.#problem ??= this.#watched.find(({ replica }) => replica.problem)?.replica.problem;
    return this.#problem !== undefined;
  }

  async start(): Promise<void> {
    const { pageSize, autoVacuum, journalMode } = this.#plan;
    this.#calm = true;
    this.#connect();
    for (const schema of this.#plan.two ? ["main", "other"] : ["main"]) {
      this.#exec(`pragma ${schema}.page_size=${pageSize}`);
      this.#exec(`pragma ${schema}.auto_vacuum=${autoVacuum}`);
      this.#exec(`pragma ${schema}.journal_mode=${journalMode}`);
    }
    const tables = ["t(a integer primary key, b)", "wr(k primary key, v) without rowid"];
    for (const table of tables) await this.#write(`create table ${table}`);
    await this.#write("create index ti on t(b)");
    await this.#write("create virtual table ft using fts5(x)");
    if (this.#plan.two) await this.#write("create table other.u(a integer primary key, b)");
    this.#calm = false;
  }

  async step(): Promise<void> {
    const before = this.#main.replica.commits;
    await this.#work();
    this.#steps++;
    this.#wake(this.#steps);
    for (const watched of this.#watched) watched.settle();
    // Lets images go on: none of them may see what was committed after its boundary.
    for (let i = this.#random.int(4); i > 0; i--) await Promise.resolve();
    if (!this.failed && this.#main.replica.commits > before && this.#random.chance(0.03)) {
      this.#checkIntegrity();
    }
  }

  async finish(): Promise<void> {
    this.#calm = true;
    this.#exec("rollback");
    // In exclusive mode nothing tells that a transaction ended, until the next statement begins.
    for (const { schema } of this.#watched) this.#exec(`pragma ${schema}.user_version`);
    this.#second?.close();
    this.#second = undefined;
    this.#closeForeign();
    // An image may begin only now, at the ROLLBACK above: it must not go to sleep after the last waking.
    this.#steps = Infinity;
    this.#wake(Infinity);
    await this.#settleAll();
    // A last commit carries what rolled-back transactions left behind in free pages.
    await this.#write("pragma main.user_version=1000000");
    if (this.#plan.two) await this.#write("pragma other.user_version=1000000");
    await this.#settleAll();
    for (const { replica } of this.#watched) replica.compare("end");
    if (!this.failed) this.#checkIntegrity();
    if (!this.failed) this.#checkContents();
  }

  /** What can only come last. */
  async end(): Promise<void> {
    const { end } = this.#plan;
    if (end === "deserialize") this.#deserialize();
    if (end === "detach") await this.#detachAll();
    if (end === "overrun") await this.#overrun();
  }

  close(): void {
    this.#second?.close();
    this.#foreign?.close();
    this.#db?.close();
  }

  fail(problem: string): void {
    this.#problem ??= problem;
  }

  result(): FuzzResult {
    const sum = (of: (watched: Watched) => number): number =>
      this.#watched.reduce((total, watched) => total + of(watched), 0);
    return {
      problem: this.failed ? this.#problem : undefined,
      history: [this.#history[0]!, ...this.#history.slice(1).slice(-80)],
      counts: {
        commits: sum(({ replica }) => replica.commits),
        pages: sum(({ replica }) => replica.pages),
        prepared: sum(({ replica }) => replica.prepared),
        refused: this.#refused,
        foreign: this.#foreignWork,
        doubts: sum(({ replica }) => replica.doubts),
        images: sum(({ images }) => images),
        overruns: sum(({ overruns }) => overruns),
        xors: this.#xors,
      },
    };
  }

  // Connections.

  #open(vfs: string): Database {
    const db = new this.#sqlite3.oo1.DB(`file:${this.#main.path}?vfs=${vfs}`, "c");
    // SQLite's own randomblob() cannot be seeded.
    db.createFunction("chance", (_context: number, length) => this.#random.bytes(Number(length)));
    return db;
  }

  #openCaptured(): Database {
    const db = this.#open(this.#capture?.name ?? this.#base.parent);
    // Fails where another connection holds the database: then the default size will do.
    this.#exec(`pragma cache_size=${this.#random.pick([2, 10, 200])}`, db);
    if (this.#plan.exclusive) this.#exec("pragma locking_mode=exclusive", db);
    return db;
  }

  #connect(): void {
    for (const { replica } of this.#watched) replica.excuses++;
    this.#db = this.#openCaptured();
    const vfs = this.#capture?.name ?? this.#base.parent;
    for (const watched of this.#watched.slice(1)) {
      this.#exec(`attach 'file:${watched.path}?vfs=${vfs}' as other`);
    }
    for (const watched of this.#watched) watched.connect(this.#db);
  }

  #reopen(): void {
    if (!this.#autocommit()) return;
    const detach = this.#random.chance(0.5);
    this.#history.push(detach ? "detach, reopen" : "reopen");
    if (detach) for (const watched of this.#watched) watched.detach();
    this.#db.close();
    this.#connect();
  }

  /** Captures anew what stays open. */
  #attachAgain(): void {
    if (!this.#autocommit() || !this.#main.detach()) return;
    this.#history.push("detach");
    if (this.#random.chance(0.5)) {
      // Nobody sees this one.
      this.#exec(insertMany(this.#random.int(400), 3, 50));
    }
    this.#history.push("attach again");
    this.#main.replica.excuses++;
    this.#main.connect(this.#db);
  }

  #closeForeign(): void {
    if (this.#foreign === undefined) return;
    this.#foreign.close();
    this.#foreign = undefined;
    this.#main.replica.excuses++;
    this.#main.replica.looseFreePages ||= this.#plan.foreign === "spills";
  }

  // Actions.

  async #work(): Promise<void> {
    const random = this.#random;
    const roll = random.int(100);
    const waits = this.#plan.prepare === "retry" || this.#plan.prepare === "suspend";
    if (roll < 38) {
      if (random.chance(waits ? 0.9 : 0.2)) await this.#transaction();
      else this.#exec(this.#change());
    } else if (roll < 64) this.#exec(randomControl(random, this.#plan.two));
    else if (roll < 68) this.#explicitTransaction();
    else if (roll < 71) this.#reopen();
    else if (roll < 73) this.#xorBlob();
    else if (roll < 75) this.#xorPage();
    else if (roll < 77) this.#allocateAndFree();
    else if (roll < 79) this.#backup();
    else if (roll < 83) this.#image();
    else if (roll < 86) this.#workOnSecond();
    else if (roll < 92) this.#workBeside();
    else if (roll < 93) this.#refuseOff();
    else if (roll < 95) {
      this.#exec(`pragma page_size=${random.pick(PAGE_SIZES)}`);
      if (random.chance(0.5)) this.#exec("vacuum");
    } else if (roll < 98) this.#check();
    else this.#attachAgain();
  }

  #change(): string {
    const random = this.#random;
    if (!this.#plan.two || random.chance(0.6)) return randomChange(random);
    return random.chance(0.7)
      ? `insert or replace into u values(${random.int(50)}, chance(${random.int(4000)}))`
      : `delete from u where a%${2 + random.int(5)}=0`;
  }

  #exec(sql: string, db: Database = this.#db, bind?: readonly (Uint8Array | number)[]): boolean {
    const { commits } = this.#main.replica;
    let outcome = "ok";
    try {
      db.exec(bind === undefined ? { sql } : { sql, bind: bind as never });
    } catch (error) {
      outcome = (error as Error).message.slice(0, 60);
    }
    const who = db === this.#db ? "" : db === this.#foreign ? "foreign: " : "second: ";
    const seen = this.#main.replica.commits - commits;
    this.#history.push(`${who}${sql.slice(0, 120)} -> ${outcome}, ${seen} commits`);
    if (/malformed|disk image/u.test(outcome)) this.fail(`${sql}: ${outcome}`);
    return outcome === "ok";
  }

  /** A transaction that commits through the wrapper. */
  async #transaction(): Promise<void> {
    const changes = Array.from({ length: 1 + this.#random.int(4) }, () => this.#change());
    const breaks = this.#random.chance(0.1);
    await this.#write(...changes, ...(breaks ? ["select no_such_function()"] : []));
  }

  async #write(...statements: readonly string[]): Promise<void> {
    const { commits, prepared } = this.#main.replica;
    let outcome = "ok";
    try {
      await this.#main.transaction(this.#db, () => {
        for (const sql of statements) this.#db.exec(sql);
      });
    } catch (error) {
      outcome = String((error as Error).message).slice(0, 80);
      this.#refused++;
    }
    const seen = this.#main.replica.commits - commits;
    const asked = this.#main.replica.prepared - prepared;
    const sql = statements.join("; ").slice(0, 160);
    this.#history.push(`transaction: ${sql} -> ${outcome}, ${asked} prepared, ${seen} commits`);
    if (/malformed|disk image/u.test(outcome)) this.fail(`${sql}: ${outcome}`);
  }

  /** What a listener answers at the point where a transaction could commit. */
  #answer(replica: EventReplica): void | Promise<void> {
    if (this.#calm) return undefined;
    // In WAL mode each file commits by itself: when the second is refused, the first has committed.
    if (replica !== this.#main.replica) {
      return this.#plan.prepare === "sync" ? undefined : Promise.resolve();
    }
    const roll = this.#random.int(20);
    if (roll === 0) throw new Error("refused");
    if (this.#plan.prepare === "sync") {
      // Nobody waits for a promise here, so it is refused.
      return roll === 1 ? Promise.resolve() : undefined;
    }
    return roll < 4 ? undefined : this.#later(roll);
  }

  async #later(roll: number): Promise<void> {
    for (let i = this.#random.int(5); i >= 0; i--) await Promise.resolve();
    if (roll < 7) throw new Error("refused later");
    // Not allowed, but it must do no harm. While the wasm stack is suspended nothing may run at all.
    if (roll < 9 && this.#plan.prepare === "retry" && !this.#plan.two) {
      this.#exec(this.#random.pick([this.#change(), "rollback", "commit", "select * from t"]));
    }
  }

  #explicitTransaction(): void {
    this.#exec("begin");
    for (let i = this.#random.int(4); i >= 0; i--) this.#exec(this.#change());
    this.#exec(this.#random.chance(0.7) ? "commit" : "rollback");
  }

  #refuseOff(): void {
    const mode = this.#random.pick(["off", "o", "Of"]);
    if (this.#exec(`pragma journal_mode=${mode}`)) this.fail(`journal_mode=${mode} was accepted`);
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
    const calm = this.#calm;
    this.#calm = true;
    if (this.#exec(update, this.#db, [changed, pgno])) this.#xors++;
    // The index on b still holds the old bytes.
    this.#exec("reindex");
    this.#calm = calm;
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
      ? this.#main.source.pageSize
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

  /** An image that is read some steps later. */
  #image(): void {
    const watched = this.#random.pick(this.#watched);
    if (watched.images > 60) return;
    this.#history.push("image");
    watched.image(async () => {
      const until = this.#steps + this.#random.int(30);
      if (until === Infinity) return;
      await new Promise<void>((wake) => this.#sleeping.push({ until, wake }));
    });
  }

  #wake(step: number): void {
    for (const { until, wake } of this.#sleeping) if (until <= step) wake();
    this.#sleeping = this.#sleeping.filter(({ until }) => until > step);
  }

  /** Work through a second captured connection, which shares the state of the path. */
  #workOnSecond(): void {
    if (this.#plan.exclusive || this.#plan.attach) return;
    this.#second ??= this.#openCaptured();
    this.#exec(insertMany(this.#random.int(400), this.#random.int(5), 100), this.#second);
    if (!this.#random.chance(0.3)) return;
    this.#second.close();
    this.#second = undefined;
  }

  /** Work through a connection that nobody captures. */
  #workBeside(): void {
    const { foreign } = this.#plan;
    if (foreign === "no") return;
    const random = this.#random;
    const { replica } = this.#main;
    const spills = foreign === "spills";
    this.#foreign ??= this.#open(this.#base.parent);
    this.#exec(`pragma cache_size=${spills ? 2 : -20_000}`, this.#foreign);
    this.#foreignWork++;
    replica.excuses++;
    replica.looseFreePages ||= spills;
    const roll = random.int(20);
    if (roll < 9) this.#exec(randomChange(random), this.#foreign);
    else if (roll < 11) {
      // What it spills can be read before it is committed, and nobody could tell.
      if (!spills) this.#exec("begin immediate", this.#foreign);
    } else if (roll < 13) this.#exec("commit", this.#foreign);
    else if (roll < 14) this.#exec("rollback", this.#foreign);
    else if (roll < 16) this.#exec(`pragma wal_checkpoint(truncate)`, this.#foreign);
    else if (roll < 17)
      this.#exec(`pragma journal_mode=${random.pick(JOURNAL_MODES)}`, this.#foreign);
    else if (roll < 18) {
      this.#exec(`pragma page_size=${random.pick(PAGE_SIZES)}`, this.#foreign);
      this.#exec("vacuum", this.#foreign);
    } else this.#closeForeign();
    if (random.chance(0.4)) this.#check();
  }

  #check(): void {
    const idle = (db: Database | undefined): boolean =>
      db === undefined || this.#sqlite3.capi.sqlite3_get_autocommit(db.pointer!) !== 0;
    const settled = idle(this.#db) && idle(this.#second) && idle(this.#foreign);
    this.#history.push("check()");
    for (const watched of this.#watched) watched.check(settled);
  }

  // The end.

  async #settleAll(): Promise<void> {
    for (const watched of this.#watched) await watched.ended();
    this.#check();
    for (const watched of this.#watched) {
      for (let i = 0; i < 3; i++) {
        watched.settle();
        await watched.ended();
      }
      const { doubt } = watched.replica;
      if (doubt !== undefined) this.fail(`an image did not end the doubt: ${doubt}`);
    }
  }

  #deserialize(): void {
    const { capi, wasm } = this.#sqlite3;
    const bytes = capi.sqlite3_js_db_export(this.#db.pointer!);
    setJournalHeader(bytes, "rollback");
    const pointer = wasm.allocFromTypedArray(bytes);
    const free = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
    const { length } = bytes;
    const code = capi.sqlite3_deserialize(this.#db.pointer!, "main", pointer, length, length, free);
    if (code !== 0) this.fail(`sqlite3_deserialize: ${code}`);
    if (this.#main.replica.lostBecause === undefined) this.fail("deserialize is not reported");
  }

  async #detachAll(): Promise<void> {
    if (this.#plan.two) {
      this.#exec("detach other");
      if (this.#watched[1]!.replica.lostBecause === undefined) this.fail("DETACH is not reported");
      this.#watched.pop();
    }
    if (!this.#main.detach()) return;
    if (this.#main.replica.lostBecause === undefined) this.fail("detach() is not reported");
    this.#main.replica.excuses++;
    this.#exec("insert into t(b) values(1)");
    this.#main.connect(this.#db);
    await this.#settleAll();
    await this.#write("update t set b=2 where b=1");
    this.#main.replica.compare("attached again");
  }

  /** More is overwritten under an image than it keeps. */
  async #overrun(): Promise<void> {
    this.#exec("pragma cache_size=200");
    await this.#write(`insert into t values(-1, zeroblob(${OVERRUN_SIZE}))`);
    let wake = (): void => {};
    this.#main.image(() => new Promise((resolve) => (wake = resolve)));
    for (let i = 0; i < 10; i++) await Promise.resolve();
    await this.#write(`update t set b=chance(${OVERRUN_SIZE}) where a=-1`);
    this.#exec("pragma wal_checkpoint(truncate)");
    wake();
    await this.#settleAll();
    this.#main.replica.compare("after an overrun");
  }

  // Checks.

  #autocommit(): boolean {
    return this.#sqlite3.capi.sqlite3_get_autocommit(this.#db.pointer!) !== 0;
  }

  #checkIntegrity(): void {
    if (!this.#autocommit()) return;
    const result = this.#rows("pragma integrity_check")[0]?.[0];
    if (result !== undefined && result !== "ok") this.fail(`integrity_check: ${String(result)}`);
  }

  /** Opens the replica's bytes and compares what the two databases hold. */
  #checkContents(): void {
    const { capi, oo1, wasm } = this.#sqlite3;
    const bytes = this.#main.replica.bytes().slice();
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

function xorAt(bytes: Uint8Array, offset: number): Uint8Array {
  const changed = bytes.slice();
  for (const [i, byte] of CRC_NULL.entries()) changed[offset + i]! ^= byte;
  return changed;
}
