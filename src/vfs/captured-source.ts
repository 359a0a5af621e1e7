/**
 * The commit source of a captured database, as the engine gets it.
 *
 * @module
 */
import type { CommitSource, ListenOptions } from "../core/commit-source.ts";
import { UnsupportedError } from "../core/errors.ts";
import type { CaptureTables, Handle } from "./capture-tables.ts";
import { SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_OK } from "./constants.ts";
import { VfsError } from "./errors.ts";
import { refusePreparing } from "./journal-mode.ts";
import { LARGEST_READ, type Scratch } from "./parent-file.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";

/** A database handle of sqlite-wasm's object API, or the `sqlite3*` itself. */
export type DatabaseHandle = WasmPointer | { readonly pointer?: WasmPointer | undefined };

/** The `sqlite3*` of a handle; undefined once it is closed. */
export function connectionOf(db: DatabaseHandle): WasmPointer | undefined {
  return typeof db === "number" ? db : db.pointer;
}

/** The `sqlite3_file*` of a schema's main file; 0 where there is none. */
export function openFile(
  sqlite3: Sqlite3,
  where: { readonly connection: WasmPointer; readonly schema: string; readonly scratch: Scratch },
  control: number = SQLITE_FCNTL_FILE_POINTER,
): WasmPointer {
  const { connection, schema, scratch } = where;
  const out = scratch.pointer + LARGEST_READ;
  scratch.memory.writeU32(out, 0);
  const code = sqlite3.capi.sqlite3_file_control(connection, schema, control, out);
  return code === SQLITE_OK ? scratch.memory.readU32(out) : 0;
}

/** Makes the source of an open database, after a hot journal was played back or a WAL recovered. */
export function captureSource(
  sqlite3: Sqlite3,
  captured: { readonly handle: Handle; readonly schema: string; readonly tables: CaptureTables },
): CommitSource {
  const { handle, schema, tables } = captured;
  const { database, file } = handle;
  // A read lock, taken once.
  pragma(sqlite3, { connection: file.connection, schema, name: "schema_version" });
  database.refresh();
  return {
    name: database.name,
    get pageSize(): number {
      return database.files.pageSize;
    },
    get commit(): number {
      return database.files.commit;
    },
    get sequence(): number {
      return database.sequence;
    },
    listen: (listener, options: ListenOptions = {}) => {
      const { prepare } = options;
      if (prepare !== undefined) {
        const ask = (name: string): string =>
          pragma(sqlite3, { connection: file.connection, schema, name });
        const modes = { journalMode: ask("journal_mode"), lockingMode: ask("locking_mode") };
        const refusal = refusePreparing({ prepare, ...modes }, database.name);
        if (refusal !== undefined) throw refusal;
        file.exclusive = modes.lockingMode === "exclusive";
        if (prepare === "retry") {
          // One that stays open between transactions was opened before anybody cared.
          const where = { connection: file.connection, schema, scratch: tables.scratch };
          const journal = openFile(sqlite3, where, SQLITE_FCNTL_JOURNAL_POINTER);
          if (journal !== 0) tables.adoptJournal(journal, database);
        }
        if (prepare === "suspend" && !tables.enableSuspending()) {
          throw new UnsupportedError({
            operation: "hold commits of",
            object: database.name,
            what: "this runtime has no WebAssembly.Suspending",
            next: "Use Node 24 or newer, Deno, Bun, Chromium or workerd, or another durability",
          });
        }
      }
      return database.listen(listener, options);
    },
    check: () => {
      // In WAL mode the header tells nothing, and the log is opened by the first read only.
      const { headerSaysWal, main, wals } = database.files;
      if (headerSaysWal && wals.size === 0 && main.has(file)) {
        pragma(sqlite3, { connection: file.connection, schema, name: "schema_version" });
        tables.findLog?.();
      }
      database.check();
    },
    image: (options) => database.image(options),
  };
}

/** The first column of a PRAGMA's first row. Throws `VfsError` where SQLite refuses it. */
export function pragma(
  sqlite3: Sqlite3,
  of: { readonly connection: WasmPointer; readonly schema: string; readonly name: string },
): string {
  const { connection, schema, name } = of;
  let answer = "";
  const sql = `PRAGMA "${schema.replaceAll('"', '""')}".${name}`;
  const code = sqlite3.capi.sqlite3_exec(
    connection,
    sql,
    (values) => {
      answer = String(values[0] ?? "");
      return 0;
    },
    0,
    0,
  );
  if (code === SQLITE_OK) return answer;
  throw new VfsError({
    operation: "capture",
    object: `database "${schema}"`,
    what: `SQLite cannot read it, result code ${code}`,
    next: "Check that it is a database and that nobody has it locked",
  });
}
