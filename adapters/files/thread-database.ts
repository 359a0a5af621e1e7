/**
 * A database file that nobody else writes, open for reading in a thread.
 *
 * @module
 */
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import type { DrillDatabase, DrillRow } from "pagestream";
import type { NativeSqlite } from "./native-sqlite.ts";

// In a thread, because a check of some gigabytes takes seconds in which the process could answer nobody. Errors 11 and
// 26 say that the file is damaged or no database at all.
const program = (openUrl: string): string => `
const { parentPort, workerData } = require("node:worker_threads");
let database;
parentPort.on("message", ({ id, sql }) => {
  try {
    database ??= (${openUrl})(workerData);
    parentPort.postMessage({ id, rows: database.prepare(sql).all().map((row) => ({ ...row })) });
  } catch (error) {
    const isDamage = [11, 26].includes((error.errcode ?? error.errno) & 0xff);
    parentPort.postMessage({ id, failure: error.message, isDamage });
  }
});`;

/** What SQLite says of a statement that failed. */
export class SqliteError extends Error {
  /** Whether it says that the file is damaged, or no database at all. */
  readonly isDamage: boolean;

  constructor(message: string, isDamage: boolean) {
    super(message);
    this.isDamage = isDamage;
  }
}

/** A database in a thread. Statements run one after the other. */
export interface ThreadDatabase extends DrillDatabase {
  /** All rows; `SqliteError` where SQLite refuses, and what the thread failed with. */
  query(sql: string): Promise<readonly DrillRow[]>;
  /** Ends the thread. */
  close(): Promise<void>;
}

interface Answer {
  readonly id: number;
  readonly rows?: readonly DrillRow[];
  readonly failure?: string;
  readonly isDamage?: boolean;
}

interface Waiting {
  readonly resolve: (rows: readonly DrillRow[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Opens a file read-only and as immutable, so that no `-wal` or `-shm` appears beside it even when it is marked WAL, and no
 * lock is taken. It is opened with the first query.
 */
export function openInThread(path: string, sqlite: NativeSqlite): ThreadDatabase {
  const url = pathToFileURL(path);
  url.searchParams.set("immutable", "1");
  const worker = new Worker(program(sqlite.openUrl), { eval: true, workerData: url.href });
  const waiting = new Map<number, Waiting>();
  let count = 0;
  const failAll = (error: Error): void => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on("message", ({ id, rows, failure, isDamage }: Answer) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (rows !== undefined) asked?.resolve(rows);
    else asked?.reject(new SqliteError(failure ?? "no answer", isDamage === true));
  });
  worker.on("error", failAll);
  worker.on("exit", (code) => failAll(new Error(`the reading thread ended with code ${code}`)));
  return {
    query: (sql) =>
      new Promise((resolve, reject) => {
        const id = ++count;
        waiting.set(id, { resolve, reject });
        worker.postMessage({ id, sql });
      }),
    close: async () => void (await worker.terminate()),
  };
}
