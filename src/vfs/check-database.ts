/**
 * SQLite's own check of a database that is only bytes so far.
 *
 * @module
 */
import { setJournalHeader } from "../core/database-header.ts";
import { installMemoryVfs, type MemoryVfs } from "./memory-vfs.ts";
import type { Sqlite3 } from "./sqlite3.ts";

const NAME = "pagestream-check";
const PATH = "checked.db";
const vfses = new WeakMap<Sqlite3, MemoryVfs>();

/**
 * Runs `PRAGMA quick_check` or `PRAGMA integrity_check` on a copy of `bytes`, and returns the first row: `"ok"` when all
 * is well. A file marked WAL is checked as it would be with a rollback journal, which changes nothing the check sees.
 */
export function checkDatabase(sqlite3: Sqlite3, bytes: Uint8Array, kind: "quick" | "full"): string {
  if (bytes.length === 0) return "ok";
  let vfs = vfses.get(sqlite3);
  if (vfs === undefined) vfses.set(sqlite3, (vfs = installMemoryVfs(sqlite3, { name: NAME })));
  const copy = bytes.slice();
  setJournalHeader(copy, "rollback");
  vfs.write(PATH, copy);
  const db = new sqlite3.oo1.DB(PATH, "r", vfs.name);
  try {
    return String(
      db.selectValue(kind === "quick" ? "PRAGMA quick_check" : "PRAGMA integrity_check"),
    );
  } catch (error) {
    // A header that SQLite cannot even open is a finding like any other.
    return error instanceof Error ? error.message : String(error);
  } finally {
    db.close();
    vfs.remove(PATH);
  }
}
