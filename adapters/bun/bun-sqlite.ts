/**
 * `bun:sqlite`, which locks side files and checks restored ones.
 *
 * @module
 */
import process from "node:process";
import type { NativeSqlite, SqliteHandle } from "../files/index.ts";

/** What is used of the module `bun:sqlite`. */
interface BunSqlite {
  readonly Database: new (path: string, options: { readonly create: boolean }) => SqliteHandle;
}

/** Bun's own SQLite. It waits for no lock unless told to. */
export const bunSqlite: NativeSqlite = {
  open(path) {
    // When it is first needed, so that the module can be loaded, if not used, in other runtimes.
    const { Database } = process.getBuiltinModule("bun:sqlite") as BunSqlite;
    return new Database(path, { create: true });
  },
  openUrl: `(url) => {
    const { Database, constants } = require("bun:sqlite");
    return new Database(url, constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI);
  }`,
};
