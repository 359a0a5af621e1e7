/**
 * A drill in memory, for every runtime that has sqlite-wasm.
 *
 * @module
 */
import { bytesSink } from "../replica/bytes-sink.ts";
import type { DrillDatabase, DrillTarget } from "../replica/verify-drill.ts";
import { installMemoryVfs, type MemoryVfs } from "../vfs/memory-vfs.ts";
import type { Sqlite3, Sqlite3Database } from "../vfs/sqlite3.ts";

/** VFSes stay registered for the life of the wasm instance, so each gets one. */
const installed = new WeakMap<Sqlite3, MemoryVfs>();

let count = 0;

/**
 * Makes a target for the `restore` of `verify`: the database is restored into memory, which must hold it twice, and opened by
 * sqlite-wasm. Good for one call.
 *
 * @example
 * ```ts ignore
 * import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
 *
 * const report = await verify(store, { restore: memoryDrill(await sqlite3InitModule()) });
 * ```
 */
export function memoryDrill(sqlite3: Sqlite3): DrillTarget {
  let vfs = installed.get(sqlite3);
  if (vfs === undefined) {
    vfs = installMemoryVfs(sqlite3, { name: "pagestream-drill" });
    installed.set(sqlite3, vfs);
  }
  const memory = vfs;
  const path = `drill-${++count}`;
  const sink = bytesSink();
  let db: Sqlite3Database | undefined;
  return {
    sink,
    open(): DrillDatabase {
      memory.write(path, sink.bytes);
      const opened = new sqlite3.oo1.DB(path, "r", memory.name);
      db = opened;
      // sqlite-wasm's rows have no prototype, unlike those of the native drivers.
      return { query: (sql) => opened.selectObjects(sql).map((row) => ({ ...row })) };
    },
    dispose() {
      db?.close();
      memory.remove(path);
    },
  };
}
