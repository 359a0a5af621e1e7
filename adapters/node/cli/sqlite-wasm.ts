/**
 * SQLite as WebAssembly, for the commands that need one.
 *
 * @module
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { usageError } from "./failure.ts";

/** Loads the package, which not every installation has. `what` needs it, for the message. */
export async function loadSqliteWasm(what: string): Promise<Sqlite3Static> {
  try {
    const { default: initialise } = await import("@sqlite.org/sqlite-wasm");
    return await initialise();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw usageError(
      `${what} needs the package @sqlite.org/sqlite-wasm`,
      "npm install @sqlite.org/sqlite-wasm@3.54.1-build1",
    );
  }
}
