/**
 * How the WAL follower reaches a native SQLite.
 *
 * A process may have a database open through one SQLite library only: each library keeps its own account of the locks that
 * the process holds on a file, and two of them drop each other's. So a follower takes the driver of the application's handle.
 *
 * @module
 */
import process from "node:process";

/** A connection of a native SQLite; it waits for locks no longer than it was told to. */
export interface NativeConnection {
  /** Runs statements, separated by semicolons; throws SQLite's errors. */
  exec(sql: string): void;
  /** The first row of one statement, `undefined` without one; throws SQLite's errors. Statements are kept prepared. */
  get(sql: string): Readonly<Record<string, unknown>> | undefined;
  /** Closes it, which ends a transaction. */
  close(): void;
}

/** Options of {@linkcode NativeDriver.open}. */
export interface NativeOpenOptions {
  /** Milliseconds to wait for locks; 0 does not wait. */
  readonly timeoutMs: number;
  /** Opens a file that must exist, and writes nothing but its shared memory. @default false */
  readonly readOnly?: boolean | undefined;
}

/** A native SQLite library. */
export interface NativeDriver {
  /** What to call it in errors: `node:sqlite`. */
  readonly name: string;
  /** Opens a database file. Throws SQLite's errors. */
  open(path: string, options: NativeOpenOptions): NativeConnection;
}

/** `node:sqlite`, which Node and Deno have. */
export const nodeSqliteDriver: NativeDriver = {
  name: "node:sqlite",
  open(path, { timeoutMs: timeout, readOnly = false }) {
    // When it is first needed: some versions of Node announce on loading that it is experimental.
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    return preparing(new DatabaseSync(path, { timeout, readOnly }));
  },
};

/** A statement as `node:sqlite` and its relatives prepare it. */
export interface PreparedStatement {
  /** The first row, `undefined` (or `null`) without one. */
  get(): unknown;
  /** Lets go of it, where closing the database does not: Bun's would stay open as long as one of its statements lives. */
  finalize?(): void;
}

/** A database as `node:sqlite` and its relatives open it. */
export interface PreparingDatabase {
  /** Runs statements, separated by semicolons. */
  exec(sql: string): unknown;
  /** Prepares one statement. */
  prepare(sql: string): PreparedStatement;
  /** Closes it. */
  close(): unknown;
}

/** Makes a connection of a database that prepares statements, each of them once. */
export function preparing(database: PreparingDatabase): NativeConnection {
  const statements = new Map<string, PreparedStatement>();
  return {
    exec: (sql) => void database.exec(sql),
    get(sql) {
      let statement = statements.get(sql);
      if (statement === undefined) statements.set(sql, (statement = database.prepare(sql)));
      return (statement.get() ?? undefined) as Readonly<Record<string, unknown>> | undefined;
    },
    close() {
      for (const statement of statements.values()) statement.finalize?.();
      statements.clear();
      database.close();
    },
  };
}
