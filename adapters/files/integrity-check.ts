/**
 * SQLite's own check of a database file that nobody else writes.
 *
 * @module
 */
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { ioError } from "./errors.ts";
import type { NativeSqlite } from "./native-sqlite.ts";

// In a thread, because a check of some gigabytes takes seconds in which the process could answer nobody. Errors 11 and
// 26 say that the file is damaged or no database at all: that is a result, not a failure to check.
const program = (openUrl: string): string => `
const { parentPort, workerData } = require("node:worker_threads");
try {
  const database = (${openUrl})(workerData.url);
  const row = database.prepare(workerData.sql).get();
  database.close();
  parentPort.postMessage({ result: String(Object.values(row)[0]) });
} catch (error) {
  const damaged = [11, 26].includes((error.errcode ?? error.errno) & 0xff);
  parentPort.postMessage({ [damaged ? "result" : "failure"]: error.message });
}`;

/**
 * Runs `PRAGMA quick_check` or `PRAGMA integrity_check` and resolves to the first row: `"ok"`, or the first fault.
 *
 * The file is opened read-only and as immutable, so that no `-wal` or `-shm` appears beside it even when it is marked
 * WAL, and no lock is taken. Throws `IoError` when the check cannot run.
 */
export async function integrityCheck(
  path: string,
  kind: "quick" | "full",
  sqlite: NativeSqlite,
): Promise<string> {
  const url = pathToFileURL(path);
  url.searchParams.set("immutable", "1");
  const sql = kind === "quick" ? "PRAGMA quick_check(1)" : "PRAGMA integrity_check(1)";
  const worker = new Worker(program(sqlite.openUrl), {
    eval: true,
    workerData: { url: url.href, sql },
  });
  try {
    const { result, failure } = await answerOf(worker);
    if (result !== undefined) return result;
    throw new Error(failure);
  } catch (error) {
    throw ioError(error, "check", path);
  } finally {
    await worker.terminate();
  }
}

interface Answer {
  readonly result?: string;
  readonly failure?: string;
}

function answerOf(worker: Worker): Promise<Answer> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the checking thread ended with code ${code}`)));
  });
}
