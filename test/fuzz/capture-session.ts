/**
 * The databases of one run, the connections to them, and what was asked of them.
 *
 * @module
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { seededRandom, type SeededRandom } from "../../src/testing/seeded-random.ts";
import { type CaptureVfs, installCaptureVfs } from "../../src/vfs/capture-vfs.ts";
import { type FuzzPlan, fuzzPlan, insertMany, randomChange } from "./capture-plan.ts";
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

/** A connection of sqlite-wasm. */
export type Database = InstanceType<Sqlite3Static["oo1"]["DB"]>;

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

/** What the work of one seed is done on. */
export class FuzzSession {
  readonly sqlite3: Sqlite3Static;
  readonly random: SeededRandom;
  readonly plan: FuzzPlan;
  /** The plan, and each statement with its outcome. */
  readonly history: string[] = [];
  /** The database of the schema `main`. */
  readonly main: Watched;
  /** That, and the attached one where there is one. */
  readonly watched: Watched[];
  /** What all work goes through. */
  db!: Database;
  /** A second captured connection, now and then. */
  second: Database | undefined;
  /** A connection that is not captured. */
  foreign: Database | undefined;
  /** Nothing is refused any more. */
  calm = false;
  /** Transactions that did not commit. */
  refused = 0;
  readonly #base: FuzzBase;
  readonly #capture: CaptureVfs | undefined;
  #problem: string | undefined;

  constructor(sqlite3: Sqlite3Static, base: FuzzBase, seed: number) {
    this.sqlite3 = sqlite3;
    this.#base = base;
    this.random = seededRandom(seed);
    this.plan = fuzzPlan(this.random);
    const { attach, copyWrites, two, prepare } = this.plan;
    this.#capture = attach ? undefined : captureOver(sqlite3, base.parent, copyWrites);
    const watch = (schema: "main" | "other"): Watched => {
      // Two `attachCapture` have two wrappers, of which only one can own a COMMIT.
      const own = schema === "main" || !attach || prepare === "sync" ? prepare : undefined;
      const path = base.newPath();
      const read = (of: string): Uint8Array | undefined => base.read(of);
      return new Watched({ sqlite3, capture: this.#capture, schema, path, prepare: own, read });
    };
    this.main = watch("main");
    this.watched = two ? [this.main, watch("other")] : [this.main];
    for (const { replica } of this.watched) replica.answer = () => this.#answer(replica);
    this.history.push(JSON.stringify(this.plan));
  }

  /** What went wrong first. */
  get problem(): string | undefined {
    this.#problem ??= this.watched.find(({ replica }) => replica.problem)?.replica.problem;
    return this.#problem;
  }

  /** Whether anything did. */
  get failed(): boolean {
    return this.problem !== undefined;
  }

  /** Ends the run. */
  fail(problem: string): void {
    this.#problem ??= problem;
  }

  #open(vfs: string): Database {
    const db = new this.sqlite3.oo1.DB(`file:${this.main.path}?vfs=${vfs}`, "c");
    // SQLite's own randomblob() cannot be seeded.
    db.createFunction("chance", (_context: number, length) => this.random.bytes(Number(length)));
    return db;
  }

  /** Opens a connection that is captured. */
  openCaptured(): Database {
    const db = this.#open(this.#capture?.name ?? this.#base.parent);
    // Fails where another connection holds the database: then the default size will do.
    this.exec(`pragma cache_size=${this.random.pick([2, 10, 200])}`, db);
    if (this.plan.exclusive) this.exec("pragma locking_mode=exclusive", db);
    return db;
  }

  /** Opens what all work goes through, and begins to watch it. */
  connect(): void {
    for (const { replica } of this.watched) replica.excuses++;
    this.db = this.openCaptured();
    const vfs = this.#capture?.name ?? this.#base.parent;
    for (const watched of this.watched.slice(1)) {
      this.exec(`attach 'file:${watched.path}?vfs=${vfs}' as other`);
    }
    for (const watched of this.watched) watched.connect(this.db);
  }

  /** The same once more, where no transaction is open. */
  reopen(): void {
    if (!this.autocommit()) return;
    const detach = this.random.chance(0.5);
    this.history.push(detach ? "detach, reopen" : "reopen");
    if (detach) for (const watched of this.watched) watched.detach();
    this.db.close();
    this.connect();
  }

  /** Captures anew what stays open. */
  attachAgain(): void {
    if (!this.autocommit() || !this.main.detach()) return;
    this.history.push("detach");
    if (this.random.chance(0.5)) {
      // Nobody sees this one.
      this.exec(insertMany(this.random.int(400), 3, 50));
    }
    this.history.push("attach again");
    this.main.replica.excuses++;
    this.main.connect(this.db);
  }

  /** The connection that is not captured, open from here on. */
  openForeign(): Database {
    this.foreign ??= this.#open(this.#base.parent);
    return this.foreign;
  }

  /** Closes it, where it is open. */
  closeForeign(): void {
    if (this.foreign === undefined) return;
    this.foreign.close();
    this.foreign = undefined;
    this.main.replica.excuses++;
    this.main.replica.looseFreePages ||= this.plan.foreign === "spills";
  }

  /** A random statement that changes something. */
  change(): string {
    const random = this.random;
    if (!this.plan.two || random.chance(0.6)) return randomChange(random);
    return random.chance(0.7)
      ? `insert or replace into u values(${random.int(50)}, chance(${random.int(4000)}))`
      : `delete from u where a%${2 + random.int(5)}=0`;
  }

  /** Runs a statement, which may fail: whether it did not. */
  exec(sql: string, db: Database = this.db, bind?: readonly (Uint8Array | number)[]): boolean {
    const { commits } = this.main.replica;
    let outcome = "ok";
    try {
      db.exec(bind === undefined ? { sql } : { sql, bind: bind as never });
    } catch (error) {
      outcome = (error as Error).message.slice(0, 60);
    }
    const who = db === this.db ? "" : db === this.foreign ? "foreign: " : "second: ";
    const seen = this.main.replica.commits - commits;
    this.history.push(`${who}${sql.slice(0, 120)} -> ${outcome}, ${seen} commits`);
    if (/malformed|disk image/u.test(outcome)) this.fail(`${sql}: ${outcome}`);
    return outcome === "ok";
  }

  /** The rows of a query; none where it fails. */
  rows(sql: string): unknown[][] {
    try {
      return this.db.selectArrays(sql);
    } catch {
      return [];
    }
  }

  /** A random transaction that commits through the wrapper. */
  async transaction(): Promise<void> {
    const changes = Array.from({ length: 1 + this.random.int(4) }, () => this.change());
    const breaks = this.random.chance(0.1);
    await this.write(...changes, ...(breaks ? ["select no_such_function()"] : []));
  }

  /** One of these statements. */
  async write(...statements: readonly string[]): Promise<void> {
    const { commits, prepared } = this.main.replica;
    let outcome = "ok";
    try {
      await this.main.transaction(this.db, () => {
        for (const sql of statements) this.db.exec(sql);
      });
    } catch (error) {
      outcome = String((error as Error).message).slice(0, 80);
      this.refused++;
    }
    const seen = this.main.replica.commits - commits;
    const asked = this.main.replica.prepared - prepared;
    const sql = statements.join("; ").slice(0, 160);
    this.history.push(`transaction: ${sql} -> ${outcome}, ${asked} prepared, ${seen} commits`);
    if (/malformed|disk image/u.test(outcome)) this.fail(`${sql}: ${outcome}`);
  }

  /** What a listener answers at the point where a transaction could commit. */
  #answer(replica: EventReplica): void | Promise<void> {
    if (this.calm) return undefined;
    // In WAL mode each file commits by itself: when the second is refused, the first has committed.
    if (replica !== this.main.replica) {
      return this.plan.prepare === "sync" ? undefined : Promise.resolve();
    }
    const roll = this.random.int(20);
    if (roll === 0) throw new Error("refused");
    if (this.plan.prepare === "sync") {
      // Nobody waits for a promise here, so it is refused.
      return roll === 1 ? Promise.resolve() : undefined;
    }
    return roll < 4 ? undefined : this.#later(roll);
  }

  async #later(roll: number): Promise<void> {
    for (let i = this.random.int(5); i >= 0; i--) await Promise.resolve();
    if (roll < 7) throw new Error("refused later");
    // Not allowed, but it must do no harm. While the wasm stack is suspended nothing may run at all.
    if (roll < 9 && this.plan.prepare === "retry" && !this.plan.two) {
      this.exec(this.random.pick([this.change(), "rollback", "commit", "select * from t"]));
    }
  }

  /** Looks for commits that did not pass through the capture. */
  check(): void {
    const idle = (db: Database | undefined): boolean =>
      db === undefined || this.sqlite3.capi.sqlite3_get_autocommit(db.pointer!) !== 0;
    const settled = idle(this.db) && idle(this.second) && idle(this.foreign);
    this.history.push("check()");
    for (const watched of this.watched) watched.check(settled);
  }

  /** Whether no transaction is open. */
  autocommit(): boolean {
    return this.sqlite3.capi.sqlite3_get_autocommit(this.db.pointer!) !== 0;
  }
}
