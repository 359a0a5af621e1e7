/**
 * A database that a test changes, and whose states it takes.
 *
 * @module
 */
import { installMemoryVfs, type MemoryVfs } from "../vfs/memory-vfs.ts";
import type { Sqlite3, Sqlite3Database } from "../vfs/sqlite3.ts";

const vfses = new WeakMap<Sqlite3, MemoryVfs>();
let count = 0;

/** A database in memory whose file can be taken after each change. */
export interface EvolvingDatabase {
  /** The open database. */
  readonly db: Sqlite3Database;
  /** Runs SQL, and gives the file as it is then, its log included. */
  after(sql: string): Uint8Array<ArrayBuffer>;
}

/** Makes a new database; `mode` is its journal mode. */
export function evolvingDatabase(
  sqlite3: Sqlite3,
  { pageSize = 4096, mode = "memory" }: { readonly pageSize?: number; readonly mode?: string } = {},
): EvolvingDatabase {
  let vfs = vfses.get(sqlite3);
  if (vfs === undefined) {
    vfs = installMemoryVfs(sqlite3, { name: "pagestream-evolving" });
    vfses.set(sqlite3, vfs);
  }
  const { name, read } = vfs;
  const path = `evolving-${++count}.db`;
  const db = new sqlite3.oo1.DB(path, "c", name);
  db.exec(`PRAGMA page_size=${pageSize}`);
  db.exec(`PRAGMA journal_mode=${mode}`);
  return {
    db,
    after: (sql) => {
      db.exec(sql);
      if (mode === "wal") db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      return read(path) as Uint8Array<ArrayBuffer>;
    },
  };
}

/** SQL of a table `t` of rows `id, body`, the bodies of `size` bytes. */
export function rowsSql(rows: number, size = 100): string {
  return `CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, body);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO t SELECT i, printf('%0${size}d', i) FROM n`;
}
