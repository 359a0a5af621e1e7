/**
 * Random work on a captured database. After every commit a replica that is kept from commit events alone must equal
 * the file.
 *
 * @module
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { setJournalHeader } from "../../src/core/database-header.ts";
import { FuzzActions } from "./capture-actions.ts";
import { type FuzzBase, FuzzSession } from "./capture-session.ts";
import type { Watched } from "./capture-watched.ts";

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

/** One seed: its beginning, its steps and its end. */
class FuzzRun {
  readonly #on: FuzzSession;
  readonly #actions: FuzzActions;

  constructor(sqlite3: Sqlite3Static, base: FuzzBase, seed: number) {
    this.#on = new FuzzSession(sqlite3, base, seed);
    this.#actions = new FuzzActions(this.#on);
  }

  get failed(): boolean {
    return this.#on.failed;
  }

  fail(problem: string): void {
    this.#on.fail(problem);
  }

  async start(): Promise<void> {
    const { pageSize, autoVacuum, journalMode } = this.#on.plan;
    this.#on.calm = true;
    this.#on.connect();
    for (const schema of this.#on.plan.two ? ["main", "other"] : ["main"]) {
      this.#on.exec(`pragma ${schema}.page_size=${pageSize}`);
      this.#on.exec(`pragma ${schema}.auto_vacuum=${autoVacuum}`);
      this.#on.exec(`pragma ${schema}.journal_mode=${journalMode}`);
    }
    const tables = ["t(a integer primary key, b)", "wr(k primary key, v) without rowid"];
    for (const table of tables) await this.#on.write(`create table ${table}`);
    await this.#on.write("create index ti on t(b)");
    await this.#on.write("create virtual table ft using fts5(x)");
    if (this.#on.plan.two) await this.#on.write("create table other.u(a integer primary key, b)");
    this.#on.calm = false;
  }

  async step(): Promise<void> {
    const before = this.#on.main.replica.commits;
    await this.#actions.work();
    this.#actions.wake(++this.#actions.steps);
    for (const watched of this.#on.watched) watched.settle();
    // Lets images go on: none of them may see what was committed after its boundary.
    for (let i = this.#on.random.int(4); i > 0; i--) await Promise.resolve();
    if (
      !this.#on.failed &&
      this.#on.main.replica.commits > before &&
      this.#on.random.chance(0.03)
    ) {
      this.#checkIntegrity();
    }
  }

  async finish(): Promise<void> {
    this.#on.calm = true;
    this.#on.exec("rollback");
    // In exclusive mode nothing tells that a transaction ended, until the next statement begins.
    for (const { schema } of this.#on.watched) this.#on.exec(`pragma ${schema}.user_version`);
    this.#on.second?.close();
    this.#on.second = undefined;
    this.#on.closeForeign();
    // An image may begin only now, at the ROLLBACK above: it must not go to sleep after the last waking.
    this.#actions.steps = Infinity;
    this.#actions.wake(Infinity);
    await this.#settleAll();
    // A last commit carries what rolled-back transactions left behind in free pages.
    await this.#on.write("pragma main.user_version=1000000");
    if (this.#on.plan.two) await this.#on.write("pragma other.user_version=1000000");
    await this.#settleAll();
    for (const { replica } of this.#on.watched) replica.compare("end");
    if (!this.#on.failed) this.#checkIntegrity();
    if (!this.#on.failed) this.#checkContents();
  }

  /** What can only come last. */
  async end(): Promise<void> {
    const { end } = this.#on.plan;
    if (end === "deserialize") this.#deserialize();
    if (end === "detach") await this.#detachAll();
    if (end === "overrun") await this.#overrun();
  }

  close(): void {
    this.#on.second?.close();
    this.#on.foreign?.close();
    this.#on.db?.close();
  }

  result(): FuzzResult {
    const sum = (of: (watched: Watched) => number): number =>
      this.#on.watched.reduce((total, watched) => total + of(watched), 0);
    return {
      problem: this.#on.problem,
      history: [this.#on.history[0]!, ...this.#on.history.slice(1).slice(-80)],
      counts: {
        commits: sum(({ replica }) => replica.commits),
        pages: sum(({ replica }) => replica.pages),
        prepared: sum(({ replica }) => replica.prepared),
        refused: this.#on.refused,
        foreign: this.#actions.foreignWork,
        doubts: sum(({ replica }) => replica.doubts),
        images: sum(({ images }) => images),
        overruns: sum(({ overruns }) => overruns),
        xors: this.#actions.xors,
      },
    };
  }

  async #settleAll(): Promise<void> {
    for (const watched of this.#on.watched) await watched.ended();
    this.#on.check();
    for (const watched of this.#on.watched) {
      for (let i = 0; i < 3; i++) {
        watched.settle();
        await watched.ended();
      }
      const { doubt } = watched.replica;
      if (doubt !== undefined) this.#on.fail(`an image did not end the doubt: ${doubt}`);
    }
  }

  #deserialize(): void {
    const { capi, wasm } = this.#on.sqlite3;
    const bytes = capi.sqlite3_js_db_export(this.#on.db.pointer!);
    setJournalHeader(bytes, "rollback");
    const pointer = wasm.allocFromTypedArray(bytes);
    const free = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
    const { length } = bytes;
    const code = capi.sqlite3_deserialize(
      this.#on.db.pointer!,
      "main",
      pointer,
      length,
      length,
      free,
    );
    if (code !== 0) this.#on.fail(`sqlite3_deserialize: ${code}`);
    if (this.#on.main.replica.lostBecause === undefined)
      this.#on.fail("deserialize is not reported");
  }

  async #detachAll(): Promise<void> {
    if (this.#on.plan.two) {
      this.#on.exec("detach other");
      if (this.#on.watched[1]!.replica.lostBecause === undefined)
        this.#on.fail("DETACH is not reported");
      this.#on.watched.pop();
    }
    if (!this.#on.main.detach()) return;
    if (this.#on.main.replica.lostBecause === undefined) this.#on.fail("detach() is not reported");
    this.#on.main.replica.excuses++;
    this.#on.exec("insert into t(b) values(1)");
    this.#on.main.connect(this.#on.db);
    await this.#settleAll();
    await this.#on.write("update t set b=2 where b=1");
    this.#on.main.replica.compare("attached again");
  }

  /** More is overwritten under an image than it keeps. */
  async #overrun(): Promise<void> {
    this.#on.exec("pragma cache_size=200");
    await this.#on.write(`insert into t values(-1, zeroblob(${OVERRUN_SIZE}))`);
    let wake = (): void => {};
    this.#on.main.image(() => new Promise((resolve) => (wake = resolve)));
    for (let i = 0; i < 10; i++) await Promise.resolve();
    await this.#on.write(`update t set b=chance(${OVERRUN_SIZE}) where a=-1`);
    this.#on.exec("pragma wal_checkpoint(truncate)");
    wake();
    await this.#settleAll();
    this.#on.main.replica.compare("after an overrun");
  }

  #checkIntegrity(): void {
    if (!this.#on.autocommit()) return;
    const result = this.#on.rows("pragma integrity_check")[0]?.[0];
    if (result !== undefined && result !== "ok")
      this.#on.fail(`integrity_check: ${String(result)}`);
  }

  /** Opens the replica's bytes and compares what the two databases hold. */
  #checkContents(): void {
    const { capi, oo1, wasm } = this.#on.sqlite3;
    const bytes = this.#on.main.replica.bytes().slice();
    setJournalHeader(bytes, "rollback");
    const db = new oo1.DB(":memory:");
    try {
      const pointer = wasm.allocFromTypedArray(bytes);
      const free = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
      capi.sqlite3_deserialize(db.pointer!, "main", pointer, bytes.length, bytes.length, free);
      for (const sql of ["select * from t order by a", "select * from wr", "select * from ft"]) {
        const there = JSON.stringify(db.selectArrays(sql));
        if (there !== JSON.stringify(this.#on.db.selectArrays(sql)))
          this.#on.fail(`${sql} differs`);
      }
    } finally {
      db.close();
    }
  }
}
