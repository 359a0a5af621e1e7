/**
 * A VFS over another VFS that sees every committed transaction of the databases opened through it.
 *
 * @module
 */
/* oxlint-disable max-params -- the methods have the parameters that SQLite passes. */
import type { CommitSource } from "../core/commit-source.ts";
import { type Implementation, VFS_MEMBERS, VFS_METHODS, WasmMemory } from "./bind.ts";
import { CaptureTables } from "./capture-tables.ts";
import type { CaptureContext } from "./capture-context.ts";
import { CapturedDatabase } from "./captured-database.ts";
import { captureSource, connectionOf, type DatabaseHandle, openFile } from "./captured-source.ts";
import {
  SQLITE_CANTOPEN,
  SQLITE_IOERR,
  SQLITE_OK,
  SQLITE_OPEN_MAIN_DB,
  SQLITE_OPEN_MAIN_JOURNAL,
  SQLITE_OPEN_WAL,
} from "./constants.ts";
import { NotCapturedError, type UnsupportedJournalModeError, VfsError } from "./errors.ts";
import { cloneVfs, register } from "./io-methods.ts";
import { walDatabaseError } from "./journal-mode.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";
import { Transactions } from "./transaction.ts";

/** What to capture and under which name. */
export interface CaptureVfsOptions {
  /** Name of the VFS that stores the files. */
  readonly parent: string;
  /** Name to open databases with. @default "pagestream-" and the parent's name */
  readonly name?: string | undefined;
  /** Whether databases opened without a VFS name are captured. @default false */
  readonly makeDefault?: boolean | undefined;
  /**
   * Whether what is written is copied instead of read back at the commit: right where a read is dear.
   * @default true for parents whose name begins with "opfs", else false
   */
  readonly copyWrites?: boolean | undefined;
}

/** An installed capture VFS. */
export interface CaptureVfs {
  /** What to give SQLite as VFS: `new DB(path, flags, name)`, or `?vfs=` of a URI. */
  readonly name: string;
  /**
   * Why the last open or PRAGMA was refused. SQLite itself only says "unable to open database file" when a database
   * in WAL mode is opened.
   */
  readonly lastRefusal: UnsupportedJournalModeError | undefined;
  /** The last error inside the VFS that SQLite was told of as a bare result code. */
  readonly lastError: unknown;
  /**
   * The commits of an open database. Plays back a hot journal first, if there is one. Throws `NotCapturedError` where
   * the database was not opened through this VFS or was moved away by `sqlite3_deserialize`.
   *
   * @param schema "main", or the name a database was attached under. @default "main"
   */
  source(db: DatabaseHandle, schema?: string): CommitSource;
  /**
   * Runs `work` between BEGIN IMMEDIATE and COMMIT, one transaction at a time. With the holds, this is the only way to
   * commit: COMMIT returns when the store has the transaction, and nothing else may run on the connection while it
   * waits. Resolves with what `work` returned, which must not be a promise; rejects, the transaction rolled back, with
   * what `work` threw or why COMMIT failed.
   */
  transaction<T>(db: DatabaseHandle, work: () => T): Promise<T>;
  /** Whether a COMMIT waits on a connection: nothing else may run on it now. */
  committing(db: DatabaseHandle): boolean;
  /** Takes the VFS out of SQLite. Throws `VfsError` while a database is open through it. */
  uninstall(): void;
}

/**
 * Installs a capture VFS over any VFS of sqlite-wasm.
 *
 * @example
 * ```ts
 * import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
 * import { installCaptureVfs, installMemoryVfs } from "pagestream/vfs";
 *
 * const sqlite3 = await sqlite3InitModule();
 * const memory = installMemoryVfs(sqlite3);
 * const vfs = installCaptureVfs(sqlite3, { parent: memory.name });
 * const db = new sqlite3.oo1.DB(`file:app.db?vfs=${vfs.name}`, "c");
 * const stop = vfs.source(db).listen({
 *   commit: ({ pages }) => console.log("changed pages", pages.pgnos),
 *   needsFull: (reason) => console.log(reason),
 * });
 * ```
 */
export function installCaptureVfs(sqlite3: Sqlite3, options: CaptureVfsOptions): CaptureVfs {
  return new Capture(sqlite3, options);
}

class Capture implements CaptureVfs {
  readonly name: string;
  readonly #sqlite3: Sqlite3;
  readonly #memory: WasmMemory;
  readonly #parent: WasmPointer;
  readonly #vfs: WasmPointer;
  readonly #tables: CaptureTables;
  readonly #transactions: Transactions;
  readonly #context: CaptureContext;
  readonly #databases = new Map<string, CapturedDatabase>();

  constructor(sqlite3: Sqlite3, options: CaptureVfsOptions) {
    this.name = options.name ?? `pagestream-${options.parent}`;
    this.#sqlite3 = sqlite3;
    this.#memory = new WasmMemory(sqlite3);
    this.#parent = sqlite3.capi.sqlite3_vfs_find(options.parent);
    this.#refuseNames(options.parent);
    const wrapper = { committing: false };
    this.#tables = new CaptureTables(sqlite3, this.#memory);
    this.#transactions = new Transactions({
      sqlite3,
      memory: this.#memory,
      tables: this.#tables,
      wrapper,
    });
    const copyWrites = options.copyWrites ?? options.parent.startsWith("opfs");
    this.#context = { sqlite3, wrapper, copyWrites };
    this.#vfs = cloneVfs(this.#memory, this.#parent);
    this.#memory.writeU32(this.#vfs + VFS_MEMBERS.zName, this.#memory.allocateString(this.name));
    this.#installVfsMethods();
    register(sqlite3, this.#vfs, { name: this.name, makeDefault: options.makeDefault ?? false });
  }

  get lastRefusal(): UnsupportedJournalModeError | undefined {
    return this.#tables.lastRefusal;
  }

  get lastError(): unknown {
    return this.#tables.lastError;
  }

  source(db: DatabaseHandle, schema = "main"): CommitSource {
    const connection = connectionOf(db);
    const { scratch } = this.#tables;
    const file =
      connection === undefined ? 0 : openFile(this.#sqlite3, { connection, schema, scratch });
    const handle = this.#tables.main.get(file);
    if (connection === undefined || handle === undefined) {
      throw new NotCapturedError({
        operation: "capture",
        object: `database "${schema}"`,
        what: `it is not open through the VFS ${this.name}`,
        next: `Open it with vfs=${this.name}, and do not move it with sqlite3_deserialize`,
      });
    }
    handle.file.connection = connection;
    return captureSource(this.#sqlite3, { handle, schema, tables: this.#tables });
  }

  transaction<T>(db: DatabaseHandle, work: () => T): Promise<T> {
    const connection = connectionOf(db);
    if (connection !== undefined) return this.#transactions.run(connection, work);
    return Promise.reject(
      new NotCapturedError({
        operation: "run",
        object: "a transaction",
        what: "the database is closed",
      }),
    );
  }

  committing(db: DatabaseHandle): boolean {
    const connection = connectionOf(db);
    return connection !== undefined && this.#transactions.pending(connection);
  }

  uninstall(): void {
    const open = this.#tables.main.size;
    if (open > 0) {
      throw new VfsError({
        operation: "uninstall VFS",
        object: this.name,
        what: `${open} databases are open through it`,
        next: "Close them first",
      });
    }
    this.#sqlite3.capi.sqlite3_vfs_unregister(this.#vfs);
    this.#tables.free();
    this.#memory.free(this.#memory.readU32(this.#vfs + VFS_MEMBERS.zName));
    this.#memory.free(this.#vfs);
  }

  #refuseNames(parent: string): void {
    const taken = this.#sqlite3.capi.sqlite3_vfs_find(this.name) !== 0;
    if (this.#parent !== 0 && !taken) return;
    throw new VfsError({
      operation: "install capture VFS",
      object: this.name,
      what: taken ? "the name is taken" : `there is no VFS named ${parent}`,
      next: taken ? "Choose another name" : "Install the parent first",
    });
  }

  #installVfsMethods(): void {
    const { wasm } = this.#sqlite3;
    const parent = this.#parent;
    const memory = this.#memory;
    const tables = this.#tables;
    const openParent = wasm.functionEntry(memory.readU32(parent + VFS_METHODS.xOpen.offset)) as (
      vfs: number,
      path: number,
      file: number,
      flags: number,
      outFlags: number,
    ) => number;
    const xOpen = tables.install(
      VFS_METHODS.xOpen,
      SQLITE_CANTOPEN,
      (_vfs: number, path: number, file: number, flags: number, outFlags: number) => {
        const code = openParent(parent, path, file, flags, outFlags);
        if (code !== SQLITE_OK || path === 0) return code;
        try {
          this.#adopt(file, memory.readString(path), flags);
        } catch (error) {
          // SQLite does not close what failed to open, unless it has methods.
          tables.patched(memory.readU32(file), "main").xClose(file);
          memory.writeU32(file, 0);
          throw error;
        }
        return SQLITE_OK;
      },
    );
    memory.writeU32(this.#vfs + VFS_METHODS.xOpen.offset, xOpen);

    // Parents written in JavaScript look themselves up by the sqlite3_vfs* they get: they must get their own.
    type Forwarded = (a: number, b?: number, c?: number, d?: number) => number;
    for (const [name, slot] of Object.entries(VFS_METHODS)) {
      const pointer = memory.readU32(this.#vfs + slot.offset);
      if (name === "xOpen" || pointer === 0) continue;
      const call = wasm.functionEntry(pointer) as Forwarded;
      const arity = slot.signature.length - "i()".length;
      const forward: Implementation =
        arity === 2
          ? (_vfs: number, b: number) => call(parent, b)
          : arity === 3
            ? (_vfs: number, b: number, c: number) => call(parent, b, c)
            : (_vfs: number, b: number, c: number, d: number) => call(parent, b, c, d);
      memory.writeU32(this.#vfs + slot.offset, tables.install(slot, SQLITE_IOERR, forward));
    }
  }

  /** Takes over a file that the parent has opened, if commits can be seen in it. */
  #adopt(pointer: WasmPointer, path: string, flags: number): void {
    if ((flags & SQLITE_OPEN_MAIN_DB) !== 0) {
      const database = this.#databases.get(path) ?? this.#newDatabase(path);
      const { methods } = this.#tables.adoptMain(pointer, database);
      this.#databases.set(path, database);
      // SQLite itself only says "unable to open database file".
      if (database.files.headerSaysWal && !methods.sharedMemory) {
        this.#tables.lastRefusal = walDatabaseError(path);
      }
    } else if ((flags & SQLITE_OPEN_WAL) !== 0) {
      const database = this.#databases.get(path.slice(0, -"-wal".length));
      if (database !== undefined) this.#tables.adoptWal(pointer, database);
    } else if ((flags & SQLITE_OPEN_MAIN_JOURNAL) !== 0) {
      const database = this.#databases.get(path.slice(0, -"-journal".length));
      if (database?.preparation.mode === "retry") this.#tables.adoptJournal(pointer, database);
    }
  }

  #newDatabase(path: string): CapturedDatabase {
    const onIdle = (): void => void this.#databases.delete(path);
    return new CapturedDatabase(path, { ...this.#context, onIdle });
  }
}
