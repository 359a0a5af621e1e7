/**
 * `bytesSink`: a restored database in memory.
 *
 * @module
 */
import { type BytesSink, bytesSink as newSink } from "../replica/bytes-sink.ts";
import { checkDatabase } from "../vfs/check-database.ts";
import type { Sqlite3 } from "../vfs/sqlite3.ts";

export type { BytesSink } from "../replica/bytes-sink.ts";

/** Options of {@linkcode bytesSink}. */
export interface BytesSinkOptions {
  /**
   * A database in memory has no WAL, and sqlite-wasm refuses one that is marked for it.
   * @default "rollback"
   */
  readonly journalHeader?: "keep" | "rollback" | undefined;
  /** sqlite-wasm, where the restored database is to be checked with `integrityCheck`. */
  readonly sqlite3?: Sqlite3 | undefined;
}

/**
 * A sink that keeps the restored database in memory.
 *
 * @example
 * ```ts ignore
 * import { bytesSink, restore } from "pagestream";
 *
 * const sink = bytesSink();
 * await restore(store, sink);
 * console.log(sink.bytes.length);
 * ```
 */
export function bytesSink(options: BytesSinkOptions = {}): BytesSink {
  const { journalHeader, sqlite3 } = options;
  return newSink({
    journalHeader,
    check: sqlite3 && ((bytes, kind) => checkDatabase(sqlite3, bytes, kind)),
  });
}
