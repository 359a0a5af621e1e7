/**
 * The SQLite that a runtime brings: it locks side files and checks restored ones, and never opens a captured database.
 *
 * @module
 */
import process from "node:process";

/** An open database, as far as a lock needs one. */
export interface SqliteHandle {
  /** Runs statements, separated by semicolons; throws SQLite's errors. */
  exec(sql: string): unknown;
  /** Closes it, which ends a transaction. */
  close(): void;
}

/** How a runtime's SQLite is reached. */
export interface NativeSqlite {
  /** Opens the database file at `path`, made where it is missing; it must not wait for locks. */
  open(path: string): SqliteHandle;
  /**
   * A JavaScript function of a `file:` URL, as text for a thread: opens it read-only and gives an object with
   * `prepare(sql).all()`.
   */
  readonly openUrl: string;
}

/** `node:sqlite`, which Node and Deno have. */
export const nodeSqlite: NativeSqlite = {
  open(path) {
    // When it is first needed: some versions of Node announce on loading that it is experimental, and a program that
    // takes no lock should not hear of it.
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    return new DatabaseSync(path, { timeout: 0 });
  },
  openUrl: '(url) => new (require("node:sqlite").DatabaseSync)(url, { readOnly: true })',
};
