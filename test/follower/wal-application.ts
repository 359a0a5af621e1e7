/**
 * An application in a process of its own: `node wal-application.ts '{"path": …}'` does what its argument says, and prints
 * what came of it as JSON.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import process from "node:process";

/** What the application does. */
export interface ApplicationTask {
  readonly path: string;
  readonly timeoutMs: number;
  /**
   * `write`: inserts as fast as it can; `update`: changes rows all over; `mixed`: all kinds of statements and checkpoints, with naps; `hostile`: opens,
   * checkpoints, spills, takes back, vacuums and closes; `checkpoints`: commits and checkpoints `count` times; `paced`:
   * commits `count` times, with pauses of `pauseMs`, or of 30 to 60 ms.
   */
  readonly kind: "write" | "update" | "mixed" | "hostile" | "checkpoints" | "paced";
  readonly ms: number;
  readonly seed: number;
  readonly autoCheckpoint?: number;
  readonly mode?: string;
  readonly count?: number;
  readonly pauseMs?: number;
}

/** What came of it. */
export interface ApplicationResult {
  readonly commits: number;
  /** Statements that SQLite refused with SQLITE_BUSY. */
  readonly busy: number;
  /** Checkpoints that could not end. */
  readonly refused: number;
  readonly commitsPerSecond: number;
  /** Of `paced`: when each commit returned, in milliseconds since 1970. */
  readonly times: readonly number[];
}

const SPILL = `PRAGMA cache_size = 5; BEGIN IMMEDIATE;
  WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n LIMIT 300)
  INSERT INTO t(body) SELECT zeroblob(300) FROM n`;

const task = JSON.parse(process.argv[2] ?? "") as ApplicationTask;
const { path, timeoutMs: timeout, kind, ms, autoCheckpoint = 1000, mode, count = 0 } = task;
const result = { commits: 0, busy: 0, refused: 0, times: [] as number[] };
let seed = task.seed >>> 0;

function random(below: number): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}

function nap(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function attempt(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof Error) || !error.message.includes("locked")) throw error;
    result.busy++;
  }
}

function open(): DatabaseSync {
  const database = new DatabaseSync(path, { timeout });
  database.exec(`PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${autoCheckpoint}`);
  return database;
}

function checkpoint(database: DatabaseSync, how: string): void {
  const row = database.prepare(`PRAGMA wal_checkpoint(${how})`).get();
  if (row?.["busy"] !== 0) result.refused++;
}

const MODES = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] as const;
const begin = performance.now();
const end = begin + ms;

if (kind === "hostile") {
  while (performance.now() < end) {
    const database = open();
    for (let i = random(3); i >= 0; i--) {
      attempt(() => checkpoint(database, MODES[random(4)] as string));
    }
    if (random(2) === 0)
      attempt(() => database.exec(`${SPILL}; ${["ROLLBACK", "COMMIT"][random(2)]}`));
    if (random(20) === 0) attempt(() => database.exec("VACUUM"));
    database.close();
    nap(random(20));
  }
} else if (kind === "checkpoints") {
  const database = open();
  for (let i = 0; i < count; i++) {
    database.exec(`INSERT INTO t(body) VALUES (${i})`);
    nap(50);
    attempt(() => checkpoint(database, mode ?? "TRUNCATE"));
    nap(50);
  }
  database.close();
} else if (kind === "paced") {
  const database = open();
  for (let i = 0; i < count; i++) {
    nap(task.pauseMs ?? 30 + random(30));
    database.exec(`INSERT INTO t(body) VALUES (${i})`);
    result.times.push(performance.timeOrigin + performance.now());
  }
  database.close();
} else {
  const database = open();
  const insert = database.prepare("INSERT INTO t(body) VALUES (?)");
  const update = database.prepare("UPDATE t SET body = ? WHERE id = ?");
  const remove = database.prepare("DELETE FROM t WHERE id = ?");
  for (let i = 0; performance.now() < end; i++) {
    attempt(() => {
      const act = kind === "mixed" ? random(100) : kind === "write" ? 100 : 0;
      if (kind === "update") update.run("u".repeat(3700), 1 + random(300_000));
      else if (act < 5) remove.run(random(i + 1));
      else if (act < 10) update.run("u".repeat(random(3000)), random(i + 1));
      else if (act < 11) checkpoint(database, MODES[random(4)] as string);
      else insert.run(`row ${i} `.repeat(20));
      result.commits++;
    });
    if (kind === "mixed" && random(10) === 0) nap(random(10));
  }
  database.close();
}
const commitsPerSecond = (result.commits * 1000) / (performance.now() - begin);
process.stdout.write(JSON.stringify({ ...result, commitsPerSecond }));
