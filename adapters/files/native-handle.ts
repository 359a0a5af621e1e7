/**
 * Database handles of the native SQLite libraries: what is asked of them, and how a follower opens the same file through
 * the same library.
 *
 * @module
 */
import { ClosedError, UnsupportedError } from "pagestream";
import { type NativeDriver, type PreparedStatement, preparing } from "./native-driver.ts";

/** A compiled statement, in the part that all libraries have. */
export interface NativeStatement {
  /** All rows. */
  all(): unknown[];
  /** The first row. */
  get(): unknown;
  /** Runs it. */
  run(): unknown;
  /** Whether it gives rows, as better-sqlite3 tells it. */
  readonly reader?: boolean;
  /** Lets go of it, where closing the database does not. */
  finalize?(): void;
}

/**
 * An open database of a native SQLite library, in the part that they all have: `DatabaseSync` of `node:sqlite`, `Database`
 * of better-sqlite3 and of `bun:sqlite`.
 */
export interface NativeHandle {
  /** Runs statements, separated by semicolons. */
  exec(sql: string): unknown;
  /** Compiles one statement. */
  prepare(sql: string): NativeStatement;
  /** Closes it. */
  close(): unknown;
  /** Whether a transaction is open, as `node:sqlite` tells it. */
  readonly isTransaction?: boolean;
  /** Whether a transaction is open, as the others tell it. */
  readonly inTransaction?: boolean;
}

/**
 * Opens another connection to a database file through the library of a handle. One that is closed last and could write would
 * bring the whole log into the file.
 */
export type OpenNative = (path: string, options: { readonly readOnly: boolean }) => NativeHandle;

const OPERATION = "replicate";

/** Tells a handle from a source of commits. */
export function isNativeHandle(database: object): database is NativeHandle {
  return "prepare" in database && "exec" in database;
}

/** Whether a transaction of the handle is open; a handle that is closed has none. */
export function inTransaction(handle: NativeHandle): boolean {
  try {
    return handle.isTransaction ?? handle.inTransaction ?? false;
  } catch {
    return false;
  }
}

/**
 * Path of the file that a handle writes. Throws `ClosedError` where the handle is closed, and `UnsupportedError` where its
 * commits are in no file, or not all in one, or where it can make none.
 */
export function pathOfHandle(handle: NativeHandle): string {
  const databases = databasesOf(handle);
  const path = databases.get("main") ?? "";
  if (path === "") {
    throw new UnsupportedError({
      operation: OPERATION,
      object: "the database",
      what: "it is in memory or temporary, so there is no file whose WAL could be followed",
      next: "Open a database file, or use openReplicated, which keeps databases in memory, too",
    });
  }
  for (const [name, file] of databases) {
    if (name === "main" || file === "") continue;
    throw new UnsupportedError({
      operation: OPERATION,
      object: path,
      what: `the handle has ${file} attached as ${name}, whose commits would not be replicated`,
      next: "Detach it, or replicate each file through a handle of its own and attach afterwards",
    });
  }
  if (isReadOnly(handle)) {
    throw new UnsupportedError({
      operation: OPERATION,
      object: path,
      what: "the handle is read-only",
      next: "Replicate through the handle that writes, in the process that writes",
    });
  }
  return path;
}

/** File of each database of a handle by name; an empty string for what is in no file. */
function databasesOf(handle: NativeHandle): Map<string, string> {
  let rows: unknown[];
  try {
    rows = using(handle, "PRAGMA database_list", (statement) => statement.all());
  } catch (error) {
    // Each library says in words of its own that a handle is closed.
    throw new ClosedError({
      operation: OPERATION,
      object: "the database",
      what: `the handle answers no query: ${error instanceof Error ? error.message : String(error)}`,
      next: "Replicate while the database is open",
    });
  }
  // A handle may be set to give rows as arrays.
  const columns = rows.map((row) => Object.values(row as object));
  return new Map(columns.map(([, name, file]) => [String(name), String(file ?? "")]));
}

/** Bun's database stays open as long as one of its statements lives. */
function using<T>(handle: NativeHandle, sql: string, use: (statement: NativeStatement) => T): T {
  const statement = handle.prepare(sql);
  try {
    return use(statement);
  } finally {
    statement.finalize?.();
  }
}

/** No library but one tells, so a write is tried that changes nothing, and rolled back. */
function isReadOnly(handle: NativeHandle): boolean {
  if (inTransaction(handle)) return false;
  const ask = (sql: string): string => {
    const row = using(handle, sql, (statement) => statement.get());
    return String(Object.values(row as object)[0]);
  };
  const timeout = ask("PRAGMA busy_timeout");
  try {
    handle.exec("PRAGMA busy_timeout = 0; BEGIN IMMEDIATE");
    handle.exec(`PRAGMA user_version = ${ask("PRAGMA user_version")}`);
    return false;
  } catch (error) {
    return /readonly|read-only/i.test(String(error));
  } finally {
    if (inTransaction(handle)) handle.exec("ROLLBACK");
    handle.exec(`PRAGMA busy_timeout = ${timeout}`);
  }
}

/**
 * How to open more connections through the library that a handle is of; `open` where its class is not constructed from a
 * path, as one that the application has derived.
 */
export function driverOf(handle: NativeHandle, open?: OpenNative): NativeDriver {
  const Database = handle.constructor as new (path: string, options?: object) => NativeHandle;
  const name = libraryName(handle);
  const readOnlyOption = name === "node:sqlite" ? { readOnly: true } : { readonly: true };
  const construct: OpenNative = (path, { readOnly }) =>
    readOnly ? new Database(path, readOnlyOption) : new Database(path);
  return {
    name,
    open(path, { timeoutMs, readOnly = false }) {
      const database = (open ?? construct)(path, { readOnly });
      database.exec(`PRAGMA busy_timeout = ${timeoutMs}`);
      return preparing({
        exec: (sql) => database.exec(sql),
        prepare: (sql) => gettable(database.prepare(sql)),
        close: () => database.close(),
      });
    },
  };
}

/** better-sqlite3 gets rows only of statements that give some. */
function gettable(statement: NativeStatement): PreparedStatement {
  return statement.reader === false ? { get: () => void statement.run() } : statement;
}

/** What all handles of one library share, and no others: where their methods are. */
export function libraryOf(handle: NativeHandle): object {
  let library: object = handle;
  while (!Object.hasOwn(library, "prepare")) library = Object.getPrototypeOf(library) as object;
  return library;
}

/** What to call the library of a handle in errors. */
export function libraryName(handle: NativeHandle): string {
  if ("isTransaction" in handle || "location" in handle) return "node:sqlite";
  if ("filename" in handle) return "bun:sqlite";
  return "memory" in handle ? "better-sqlite3" : handle.constructor.name;
}
