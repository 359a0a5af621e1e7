/**
 * `bun:sqlite`: locks side files, checks restored ones, and opens databases whose WAL is followed.
 *
 * @module
 */
import process from "node:process";
import {
  type NativeDriver,
  type NativeSqlite,
  preparing,
  type PreparingDatabase,
  type SqliteHandle,
} from "../files/index.ts";

/** What is used of the module `bun:sqlite`. */
interface BunSqlite {
  readonly Database: new (
    path: string,
    options: { readonly create: boolean } | { readonly readonly: boolean },
  ) => SqliteHandle & PreparingDatabase;
}

/** Bun's own SQLite. It waits for no lock unless told to. */
export const bunSqlite: NativeSqlite = {
  open: (path) => new (load().Database)(path, { create: true }),
  openUrl: `(url) => {
    const { Database, constants } = require("bun:sqlite");
    return new Database(url, constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI);
  }`,
};

/** `bun:sqlite` for following a WAL. */
export const bunSqliteDriver: NativeDriver = {
  name: "bun:sqlite",
  open(path, { timeoutMs, readOnly = false }) {
    const database = new (load().Database)(path, readOnly ? { readonly: true } : { create: true });
    database.exec(`PRAGMA busy_timeout = ${timeoutMs}`);
    return preparing(database);
  },
};

/** When it is first needed, so that this file can be loaded, if not used, in other runtimes. */
function load(): BunSqlite {
  return process.getBuiltinModule("bun:sqlite") as BunSqlite;
}
