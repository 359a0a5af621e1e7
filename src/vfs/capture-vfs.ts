/**
 * A VFS over another VFS that sees every committed transaction of the databases opened through it.
 *
 * The parent opens each file in place. Main database files then get a copy of the parent's method table in which
 * xWrite, xTruncate, xFileControl and xClose are ours, so reads stay as fast as the parent's. The one sign of a commit
 * is SQLITE_FCNTL_COMMIT_PHASETWO on the main file: it comes in every journal mode and at every level of
 * `synchronous`, before COMMIT returns, and neither on ROLLBACK nor when a hot journal is played back.
 *
 * @module
 */
/* oxlint-disable max-params -- the methods have the parameters that SQLite passes. */
import type { CommitSource } from "../core/commit-source.ts";
import {
  guard,
  type Implementation,
  IO_METHODS,
  type MethodSlot,
  VFS_MEMBERS,
  VFS_METHODS,
  WasmMemory,
} from "./bind.ts";
import { CapturedDatabase } from "./captured-database.ts";
import {
  SQLITE_CANTOPEN,
  SQLITE_ERROR,
  SQLITE_FCNTL_COMMIT_PHASETWO,
  SQLITE_FCNTL_FILE_POINTER,
  SQLITE_FCNTL_PDB,
  SQLITE_FCNTL_PRAGMA,
  SQLITE_IOERR,
  SQLITE_IOERR_CLOSE,
  SQLITE_IOERR_TRUNCATE,
  SQLITE_IOERR_UNLOCK,
  SQLITE_IOERR_WRITE,
  SQLITE_OK,
  SQLITE_OPEN_MAIN_DB,
  SQLITE_OPEN_WAL,
} from "./constants.ts";
import { NotCapturedError, type UnsupportedJournalModeError, VfsError } from "./errors.ts";
import { readFileHeader } from "./file-header.ts";
import { cloneVfs, register } from "./io-methods.ts";
import { refusePragma, walDatabaseError, walFileError } from "./journal-mode.ts";
import {
  LARGEST_READ,
  ParentFile,
  type ParentMethods,
  patchMethods,
  type Overrides,
  type Scratch,
} from "./parent-file.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";

/** What to capture and under which name. */
export interface CaptureVfsOptions {
  /** Name of the VFS that stores the files. */
  readonly parent: string;
  /** Name to open databases with. @default "pagestream-" and the parent's name */
  readonly name?: string | undefined;
  /** Whether databases opened without a VFS name are captured. @default false */
  readonly makeDefault?: boolean | undefined;
}

/** A database handle of sqlite-wasm's object API, or the `sqlite3*` itself. */
export type DatabaseHandle = WasmPointer | { readonly pointer?: WasmPointer | undefined };

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
   * the database was not opened through this VFS or was moved away by `sqlite3_deserialize`, and
   * `UnsupportedJournalModeError` where its header says WAL.
   *
   * @param schema "main", or the name a database was attached under. @default "main"
   */
  source(db: DatabaseHandle, schema?: string): CommitSource;
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

/** One open main file and the state of its path. */
interface Handle {
  readonly file: ParentFile;
  readonly methods: ParentMethods;
  readonly database: CapturedDatabase;
}

class Capture implements CaptureVfs {
  readonly name: string;
  lastRefusal: UnsupportedJournalModeError | undefined;
  lastError: unknown;
  readonly #sqlite3: Sqlite3;
  readonly #memory: WasmMemory;
  readonly #parent: WasmPointer;
  readonly #vfs: WasmPointer;
  readonly #scratch: Scratch;
  readonly #overrides: Overrides;
  /** Open main files by their `sqlite3_file*`. */
  readonly #handles = new Map<WasmPointer, Handle>();
  readonly #databases = new Map<string, CapturedDatabase>();
  /** Patched tables by the parent's own. */
  readonly #methods = new Map<WasmPointer, ParentMethods>();
  readonly #installed: WasmPointer[] = [];

  constructor(sqlite3: Sqlite3, options: CaptureVfsOptions) {
    this.name = options.name ?? `pagestream-${options.parent}`;
    this.#sqlite3 = sqlite3;
    this.#memory = new WasmMemory(sqlite3);
    this.#parent = sqlite3.capi.sqlite3_vfs_find(options.parent);
    this.#refuseNames(options.parent);
    this.#scratch = {
      memory: this.#memory,
      pointer: this.#memory.allocate(LARGEST_READ + 8),
    };
    this.#overrides = this.#installOverrides();
    this.#vfs = cloneVfs(this.#memory, this.#parent);
    this.#memory.writeU32(this.#vfs + VFS_MEMBERS.zName, this.#memory.allocateString(this.name));
    this.#installVfsMethods();
    register(sqlite3, this.#vfs, { name: this.name, makeDefault: options.makeDefault ?? false });
  }

  source(db: DatabaseHandle, schema = "main"): CommitSource {
    const connection = typeof db === "number" ? db : db.pointer;
    const handle = connection === undefined ? undefined : this.#find(connection, schema);
    if (connection === undefined || handle === undefined) {
      throw new NotCapturedError({
        operation: "capture",
        object: `database "${schema}"`,
        what: `it is not open through the VFS ${this.name}`,
        next: `Open it with vfs=${this.name}, and do not move it with sqlite3_deserialize`,
      });
    }
    const { database, file } = handle;
    this.#recover(connection, schema, database.name);
    if (readFileHeader(file, file.size()).wal) {
      this.lastRefusal = walDatabaseError(database.name);
      throw this.lastRefusal;
    }
    database.refresh();
    return {
      name: database.name,
      get pageSize(): number {
        return database.pageSize;
      },
      get commit(): number {
        return database.commit;
      },
      get sequence(): number {
        return database.sequence;
      },
      listen: (listener) => database.listen(listener),
      image: (imageOptions) => database.image(imageOptions),
    };
  }

  uninstall(): void {
    if (this.#handles.size > 0) {
      throw new VfsError({
        operation: "uninstall VFS",
        object: this.name,
        what: `${this.#handles.size} databases are open through it`,
        next: "Close them first",
      });
    }
    this.#sqlite3.capi.sqlite3_vfs_unregister(this.#vfs);
    for (const pointer of this.#installed.splice(0)) this.#sqlite3.wasm.uninstallFunction(pointer);
    for (const { table } of this.#methods.values()) this.#memory.free(table);
    this.#methods.clear();
    this.#memory.free(this.#scratch.pointer);
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

  /** The captured file behind a schema of a connection. */
  #find(connection: WasmPointer, schema: string): Handle | undefined {
    const out = this.#scratch.pointer + LARGEST_READ;
    this.#memory.writeU32(out, 0);
    const code = this.#sqlite3.capi.sqlite3_file_control(
      connection,
      schema,
      SQLITE_FCNTL_FILE_POINTER,
      out,
    );
    return code === SQLITE_OK ? this.#handles.get(this.#memory.readU32(out)) : undefined;
  }

  /** Makes SQLite take a read lock once, which plays back a hot journal. */
  #recover(connection: WasmPointer, schema: string, name: string): void {
    const sql = `PRAGMA "${schema.replaceAll('"', '""')}".schema_version`;
    const code = this.#sqlite3.capi.sqlite3_exec(connection, sql, 0, 0, 0);
    if (code === SQLITE_OK) return;
    throw new VfsError({
      operation: "capture",
      object: name,
      what: `SQLite cannot read it, result code ${code}`,
      next: "Check that it is a database and that nobody has it locked",
    });
  }

  #install(slot: MethodSlot, failure: number, implementation: Implementation): WasmPointer {
    const report = (error: unknown): void => {
      this.lastError = error;
    };
    const guarded = guard(implementation, { failure, report });
    const pointer = this.#sqlite3.wasm.installFunction(slot.signature, guarded);
    this.#installed.push(pointer);
    return pointer;
  }

  #installOverrides(): Overrides {
    const handles = this.#handles;
    return {
      xWrite: this.#install(
        IO_METHODS.xWrite,
        SQLITE_IOERR_WRITE,
        (file: number, from: number, amount: number, offset: bigint) => {
          const { database, methods } = handles.get(file)!;
          // Noted before the write: one that fails may still have changed the file.
          database.writing(Number(offset), amount);
          return methods.xWrite(file, from, amount, offset);
        },
      ),
      xTruncate: this.#install(
        IO_METHODS.xTruncate,
        SQLITE_IOERR_TRUNCATE,
        (file: number, size: bigint) => {
          const { database, methods } = handles.get(file)!;
          database.truncating(Number(size));
          return methods.xTruncate(file, size);
        },
      ),
      xFileControl: this.#install(
        IO_METHODS.xFileControl,
        SQLITE_IOERR,
        (file: number, op: number, arg: number) => this.#control(file, op, arg),
      ),
      xClose: this.#install(IO_METHODS.xClose, SQLITE_IOERR_CLOSE, (file: number) => {
        const { database, file: parentFile, methods } = handles.get(file)!;
        handles.delete(file);
        database.closing(parentFile);
        if (database.idle) this.#databases.delete(database.name);
        return methods.xClose(file);
      }),
      xUnlock: this.#install(
        IO_METHODS.xUnlock,
        SQLITE_IOERR_UNLOCK,
        (file: number, level: number) => {
          const { database, file: parentFile, methods } = handles.get(file)!;
          const code = methods.xUnlock(file, level);
          if (code === SQLITE_OK) database.unlocked(parentFile, level);
          return code;
        },
      ),
    };
  }

  #control(file: WasmPointer, op: number, arg: WasmPointer): number {
    const handle = this.#handles.get(file)!;
    if (op === SQLITE_FCNTL_COMMIT_PHASETWO) {
      // The transaction is committed whatever is answered here; an error would only mislead the application.
      const code = handle.methods.xFileControl(file, op, arg);
      handle.database.committed(handle.file);
      return code;
    }
    if (op === SQLITE_FCNTL_PRAGMA) {
      const refusal = this.#refusePragma(handle.database.name, arg);
      if (refusal !== undefined) return refusal;
    } else if (op === SQLITE_FCNTL_PDB) {
      handle.file.connection = this.#memory.readU32(arg);
    }
    handle.database.retryWaiting();
    return handle.methods.xFileControl(file, op, arg);
  }

  /** `arg` is an array of three strings: room for an answer, the name, the value or NULL. */
  #refusePragma(database: string, arg: WasmPointer): number | undefined {
    const memory = this.#memory;
    const value = memory.readU32(arg + 8);
    if (value === 0) return undefined;
    const name = memory.readString(memory.readU32(arg + 4));
    const refusal = refusePragma(database, name, memory.readString(value));
    if (refusal === undefined) return undefined;
    this.lastRefusal = refusal;
    memory.writeU32(arg, memory.allocateString(refusal.message));
    return SQLITE_ERROR;
  }

  #installVfsMethods(): void {
    const { wasm } = this.#sqlite3;
    const parent = this.#parent;
    const memory = this.#memory;
    const openParent = wasm.functionEntry(memory.readU32(parent + VFS_METHODS.xOpen.offset)) as (
      vfs: number,
      path: number,
      file: number,
      flags: number,
      outFlags: number,
    ) => number;
    const xOpen = this.#install(
      VFS_METHODS.xOpen,
      SQLITE_CANTOPEN,
      (_vfs: number, path: number, file: number, flags: number, outFlags: number) => {
        if ((flags & SQLITE_OPEN_WAL) !== 0) {
          // A PRAGMA on a main database that is not captured reaches attached ones past their xFileControl.
          this.lastRefusal = walFileError(memory.readString(path));
          memory.writeU32(file, 0);
          return SQLITE_CANTOPEN;
        }
        const code = openParent(parent, path, file, flags, outFlags);
        if (code !== SQLITE_OK || path === 0 || (flags & SQLITE_OPEN_MAIN_DB) === 0) return code;
        return this.#adopt(file, memory.readString(path));
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
      memory.writeU32(this.#vfs + slot.offset, this.#install(slot, SQLITE_IOERR, forward));
    }
  }

  /** Takes over a main file that the parent has opened. */
  #adopt(pointer: WasmPointer, path: string): number {
    const original = this.#memory.readU32(pointer);
    const methods = this.#patched(original);
    try {
      const file = new ParentFile(pointer, methods, this.#scratch);
      if (readFileHeader(file, file.size()).wal) {
        this.lastRefusal = walDatabaseError(path);
        throw this.lastRefusal;
      }
      const database = this.#databases.get(path) ?? new CapturedDatabase(this.#sqlite3, path);
      database.opened(file);
      this.#databases.set(path, database);
      this.#handles.set(pointer, { file, methods, database });
      this.#memory.writeU32(pointer, methods.table);
      return SQLITE_OK;
    } catch (error) {
      // SQLite does not close what failed to open, unless it has methods.
      methods.xClose(pointer);
      this.#memory.writeU32(pointer, 0);
      throw error;
    }
  }

  #patched(original: WasmPointer): ParentMethods {
    let methods = this.#methods.get(original);
    if (methods === undefined) {
      const tables = { original, overrides: this.#overrides };
      methods = patchMethods(this.#sqlite3, this.#memory, tables);
      this.#methods.set(original, methods);
    }
    return methods;
  }
}
