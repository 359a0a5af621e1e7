/**
 * SQLite's own check of a database file that nobody else writes.
 *
 * @module
 */
import { ioError } from "./errors.ts";
import type { NativeSqlite } from "./native-sqlite.ts";
import { openInThread, SqliteError } from "./thread-database.ts";

/**
 * Runs `PRAGMA quick_check` or `PRAGMA integrity_check` and resolves to the first row: `"ok"`, or the first fault. That
 * a file is no database is a fault too. Throws `IoError` when the check cannot run.
 */
export async function integrityCheck(
  path: string,
  kind: "quick" | "full",
  sqlite: NativeSqlite,
): Promise<string> {
  const database = openInThread(path, sqlite);
  try {
    const pragma = kind === "quick" ? "quick_check" : "integrity_check";
    const [row = {}] = await database.query(`PRAGMA ${pragma}(1)`);
    return String(Object.values(row)[0]);
  } catch (error) {
    if (error instanceof SqliteError && error.isDamage) return error.message;
    throw ioError(error, "check", path);
  } finally {
    await database.close();
  }
}
