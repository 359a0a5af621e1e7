/**
 * Capture of a database that is open already, whichever VFS it was opened through.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { isWalMagic, WAL_HEADER_SIZE } from "../core/wal.ts";
import { WasmMemory } from "./bind.ts";
import { CapturedDatabase } from "./captured-database.ts";
import {
  captureSource,
  connectionOf,
  type DatabaseHandle,
  openFile,
  pragma,
} from "./captured-source.ts";
import { CaptureTables } from "./capture-tables.ts";
import { SQLITE_FCNTL_JOURNAL_POINTER } from "./constants.ts";
import { NotCapturedError, VfsError } from "./errors.ts";
import { refusePragma } from "./journal-mode.ts";
import { ParentFile } from "./parent-file.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";
import { Transactions } from "./transaction.ts";

/** What to attach to. */
export interface AttachCaptureOptions {
  /** "main", or the name a database was attached under. @default "main" */
  readonly schema?: string | undefined;
}

/** A capture of one connection to one database. */
export interface AttachedCapture {
  /** The commits of the connection. Those of other connections are noticed, not seen: see `CommitSource.check`. */
  readonly source: CommitSource;
  /** The last error inside the capture that SQLite was told of as a bare result code. */
  readonly lastError: unknown;
  /** See `CaptureVfs.transaction`. */
  transaction<T>(work: () => T): Promise<T>;
  /** Gives the files back to their VFS; the database stays open. A second call does nothing. */
  detach(): void;
}

/**
 * Captures a database that the application has opened itself.
 *
 * @throws {NotCapturedError} where the schema has no file: a database in SQLite's own memory, or a temporary one.
 * @throws {UnsupportedJournalModeError} where its journal mode is OFF.
 * @throws {VfsError} inside a transaction, and where the database is captured already.
 *
 * @example
 * ```ts
 * import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
 * import { attachCapture } from "pagestream/vfs";
 *
 * const sqlite3 = await sqlite3InitModule();
 * const db = new sqlite3.oo1.DB("file:/app.db?vfs=memdb", "c");
 * const capture = attachCapture(sqlite3, db);
 * const stop = capture.source.listen({
 *   commit: ({ pages }) => console.log("changed pages", pages.pgnos),
 *   needsFull: (reason) => console.log(reason),
 * });
 * ```
 */
export function attachCapture(
  sqlite3: Sqlite3,
  db: DatabaseHandle,
  options: AttachCaptureOptions = {},
): AttachedCapture {
  return new Attached(sqlite3, db, options.schema ?? "main");
}

/** Who captured a file last, in each wasm instance; one that was closed since is captured no more. */
const attached = new WeakMap<Sqlite3, Map<WasmPointer, CaptureTables>>();

class Attached implements AttachedCapture {
  readonly source: CommitSource;
  readonly #sqlite3: Sqlite3;
  readonly #memory: WasmMemory;
  readonly #connection: WasmPointer;
  readonly #schema: string;
  readonly #tables: CaptureTables;
  readonly #transactions: Transactions;
  readonly #database: CapturedDatabase;
  readonly #file: WasmPointer;
  #detached = false;

  constructor(sqlite3: Sqlite3, db: DatabaseHandle, schema: string) {
    this.#sqlite3 = sqlite3;
    this.#memory = new WasmMemory(sqlite3);
    this.#schema = schema;
    this.#connection = connectionOf(db) ?? 0;
    if (this.#connection === 0) throw notCaptured(schema, "the database is closed");
    const wrapper = { committing: false };
    this.#tables = new CaptureTables(sqlite3, this.#memory, () => this.#adoptLog());
    try {
      this.#file = this.#findFile();
      const name = sqlite3.capi.sqlite3_db_filename(this.#connection, schema) || schema;
      const onIdle = (): void => this.detach();
      this.#database = new CapturedDatabase(name, { sqlite3, wrapper, copyWrites: false, onIdle });
      this.#refuseJournalOff(name);
      const handle = this.#tables.adoptMain(this.#file, this.#database);
      handle.file.connection = this.#connection;
      filesOf(sqlite3).set(this.#file, this.#tables);
      this.#adoptLog();
      this.source = captureSource(sqlite3, { handle, schema, tables: this.#tables });
      // Reading opened the WAL, if there is one.
      this.#adoptLog();
      this.#database.refresh();
    } catch (error) {
      this.#tables.release();
      this.#tables.free();
      throw error;
    }
    const memory = this.#memory;
    this.#transactions = new Transactions({ sqlite3, memory, tables: this.#tables, wrapper });
  }

  get lastError(): unknown {
    return this.#tables.lastError;
  }

  transaction<T>(work: () => T): Promise<T> {
    return this.#transactions.run(this.#connection, work);
  }

  detach(): void {
    if (this.#detached) return;
    this.#detached = true;
    const files = filesOf(this.#sqlite3);
    // Another file may have its address by now.
    if (files.get(this.#file) === this.#tables) files.delete(this.#file);
    this.#tables.release();
    this.#database.abandon();
    this.#tables.free();
  }

  #findFile(): WasmPointer {
    const { capi } = this.#sqlite3;
    const connection = this.#connection;
    const schema = this.#schema;
    const file = openFile(this.#sqlite3, { connection, schema, scratch: this.#tables.scratch });
    if (file === 0 || this.#memory.readU32(file) === 0) {
      throw notCaptured(schema, "it has no file: it lives in SQLite's own memory");
    }
    const busy = capi.sqlite3_txn_state(connection, schema) !== 0;
    const taken = filesOf(this.#sqlite3).get(file)?.main.has(file) === true;
    if (!busy && !taken) return file;
    throw new VfsError({
      operation: "capture",
      object: `database "${schema}"`,
      what: taken ? "it is captured already" : "a transaction is open on it",
      next: taken ? "Detach the other capture first" : "Attach between two transactions",
    });
  }

  #refuseJournalOff(database: string): void {
    const of = { connection: this.#connection, schema: this.#schema };
    const value = pragma(this.#sqlite3, { ...of, name: "journal_mode" });
    const setup = { database, file: { exclusive: false }, prepare: undefined, inWal: false };
    const refusal = refusePragma({ name: "journal_mode", value }, setup);
    if (refusal !== undefined) throw refusal;
  }

  /** Takes over the WAL, or the journal of a COMMIT that waits: files are not opened through us. */
  #adoptLog(): void {
    if (this.#database.files.wals.size > 0) return;
    const where = {
      connection: this.#connection,
      schema: this.#schema,
      scratch: this.#tables.scratch,
    };
    const file = openFile(this.#sqlite3, where, SQLITE_FCNTL_JOURNAL_POINTER);
    if (file === 0) return;
    if (this.#isWal(file)) this.#tables.adoptWal(file, this.#database);
    else if (this.#database.preparation.waiting !== undefined) {
      this.#tables.adoptJournal(file, this.#database);
    }
  }

  /** With a rollback journal, SQLite tells that one's file instead. */
  #isWal(pointer: WasmPointer): boolean {
    const original = this.#memory.readU32(pointer);
    if (original === 0) return false;
    const { scratch } = this.#tables;
    const file = new ParentFile(pointer, this.#tables.patched(original, "wal"), { scratch });
    if (file.size() < WAL_HEADER_SIZE) return false;
    return isWalMagic(file.read(0, WAL_HEADER_SIZE));
  }
}

function filesOf(sqlite3: Sqlite3): Map<WasmPointer, CaptureTables> {
  let files = attached.get(sqlite3);
  if (files === undefined) attached.set(sqlite3, (files = new Map()));
  return files;
}

function notCaptured(schema: string, what: string): NotCapturedError {
  return new NotCapturedError({
    operation: "capture",
    object: `database "${schema}"`,
    what,
    next: "Open it from a file, or through a VFS that stores files",
  });
}
