/**
 * An application: a process of its own that writes a database with the SQLite of its runtime.
 *
 * @module
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { answer, argument, Peer } from "./peer.ts";
import { mixedChange } from "./workload.ts";

/** A row of an answer. */
export type Row = Readonly<Record<string, unknown>>;

/** How an application opens its database. */
export interface ApplicationOptions {
  readonly path: string;
  /** Statements before anything else. @default what makes it a WAL database */
  readonly setup?: string | undefined;
  /** Milliseconds SQLite waits for locks. @default 5000 */
  readonly timeout?: number | undefined;
}

/** What a piece of work was. */
export interface Work {
  readonly seed: number;
  /** Changes to make; goes on until `rest` when left out. */
  readonly changes?: number | undefined;
  /** Tells one application's work from another's. @default 0 */
  readonly who?: number | undefined;
  /** Whether it checkpoints, and how often it runs VACUUM. */
  readonly hostile?: boolean | undefined;
}

/** What came of it. */
export interface WorkDone {
  readonly commits: number;
  /** Statements that SQLite refused because of a lock. */
  readonly busy: number;
}

/** How long a repeated statement took, by the clock and of the process's own time. */
export interface Repeated {
  readonly ms: number;
  readonly cpuMs: number;
}

type Ask =
  | { readonly run: string }
  | { readonly digest: true }
  | { readonly repeat: string; readonly times: number }
  | { readonly work: Work }
  | { readonly rest: true };

/** A running application. */
export class Application {
  readonly #peer: Peer;

  private constructor(peer: Peer) {
    this.#peer = peer;
  }

  /** Starts one and opens its database. */
  static async open(options: ApplicationOptions): Promise<Application> {
    const application = new Application(new Peer(fileURLToPath(import.meta.url), options));
    await application.run("SELECT 1");
    return application;
  }

  get pid(): number {
    return this.#peer.pid;
  }

  /** Runs statements; the rows of the last one. Rejects with SQLite's message and code. */
  run(sql: string): Promise<readonly Row[]> {
    return this.#peer.ask({ run: sql });
  }

  /** Runs a checkpoint; whether it was refused because of a lock. */
  async checkpoint(mode: string): Promise<boolean> {
    const [row] = await this.run(`PRAGMA wal_checkpoint(${mode})`);
    return row?.["busy"] === 1;
  }

  /** Runs a statement many times as fast as it can. */
  repeat(sql: string, times: number): Promise<Repeated> {
    return this.#peer.ask({ repeat: sql, times });
  }

  /** A digest of all that its database holds. */
  digest(): Promise<string> {
    return this.#peer.ask({ digest: true });
  }

  /** Makes random changes. */
  work(work: Work): Promise<WorkDone> {
    return this.#peer.ask({ work });
  }

  /** Begins to make random changes, until `rest`. */
  async begin(work: Omit<Work, "changes">): Promise<void> {
    await this.#peer.ask({ work });
  }

  /** Ends what `begin` began. */
  rest(): Promise<WorkDone> {
    return this.#peer.ask({ rest: true });
  }

  /** Ends it in the middle of whatever it does. */
  kill(): Promise<void> {
    return this.#peer.kill();
  }

  /** Stops it where it stands, or lets it go on. */
  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#peer.signal(name);
  }

  /** Closes its database and ends. */
  close(): Promise<void> {
    return this.#peer.end();
  }
}

/** A digest of all rows of all tables: what a reader of the database can tell. */
export function contentDigest(db: DatabaseSync): string {
  const hash = createHash("sha256");
  const tables = db.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name, sql").all();
  for (const { name, sql } of tables) {
    hash.update(`${String(name)}\n${String(sql)}\n`);
    if (!String(sql).startsWith("CREATE TABLE")) continue;
    const rows = db.prepare(`SELECT * FROM "${String(name)}" ORDER BY rowid`);
    rows.setReadBigInts(true);
    for (const row of rows.iterate()) {
      for (const value of Object.values(row)) {
        hash.update(value instanceof Uint8Array ? value : `${String(value)}\n`);
      }
    }
  }
  return hash.digest("hex");
}

const WAL = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL";

function serve({ path, setup = WAL, timeout = 5_000 }: ApplicationOptions): void {
  const db = new DatabaseSync(path, { timeout });
  const version = String(db.prepare("SELECT sqlite_version() AS version").get()?.["version"]);
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  // Before, a race of checkpoints could damage a database in WAL mode: a failure would not be ours.
  if (major * 1e6 + minor * 1e3 + patch < 3_051_003) throw new Error("SQLite is older than 3.51.3");
  db.exec(setup);
  let background: { stopping: boolean; readonly done: Promise<WorkDone> } | undefined;
  const work = async (work: Work, isOver: () => boolean): Promise<WorkDone> => {
    const random = seededRandom(work.seed);
    let [commits, busy] = [0, 0];
    for (let i = 0; i < (work.changes ?? Number.POSITIVE_INFINITY) && !isOver(); i++) {
      const made = mixedChange(db, random, work);
      commits += made.commits;
      busy += made.busy;
      // Others on the machine have work to do as well.
      if (work.changes === undefined) await new Promise((resolve) => void setTimeout(resolve, 1));
    }
    return { commits, busy };
  };
  answer(async (ask: Ask) => {
    if ("run" in ask) {
      const at = ask.run.lastIndexOf(";") + 1;
      if (at > 0) db.exec(ask.run.slice(0, at));
      const last = ask.run.slice(at);
      return last.trim() === "" ? [] : db.prepare(last).all();
    }
    if ("digest" in ask) return contentDigest(db);
    if ("repeat" in ask) {
      const statement = db.prepare(ask.repeat);
      const start = performance.now();
      const before = process.cpuUsage();
      for (let i = 0; i < ask.times; i++) statement.run();
      const { user, system } = process.cpuUsage(before);
      return { ms: performance.now() - start, cpuMs: (user + system) / 1_000 };
    }
    if ("rest" in ask) {
      if (background === undefined) throw new Error("nothing was begun");
      background.stopping = true;
      const done = await background.done;
      background = undefined;
      return done;
    }
    if (ask.work.changes !== undefined) return await work(ask.work, () => false);
    const state = { stopping: false };
    background = Object.assign(state, { done: work(ask.work, () => state.stopping) });
    return undefined;
  });
  process.on("disconnect", () => {
    if (background !== undefined) background.stopping = true;
    db.close();
    process.exit(0);
  });
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  serve(argument());
}
