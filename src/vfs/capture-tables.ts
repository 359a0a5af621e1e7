/**
 * The method tables through which a capture sees what SQLite does to its files, and the files that use them.
 *
 * Each table is a copy of the parent's in which a few entries are ours, so reads stay as fast as the parent's. The one
 * sign of a commit is SQLITE_FCNTL_COMMIT_PHASETWO on the main file: it comes in every journal mode and at every level
 * of `synchronous`, before COMMIT returns, and neither on ROLLBACK nor when a hot journal is played back.
 *
 * @module
 */
/* oxlint-disable max-params -- the methods have the parameters that SQLite passes. */
import {
  guard,
  type Implementation,
  IO_METHODS,
  type MethodSlot,
  type WasmMemory,
} from "./bind.ts";
import { WAL_FRAME_HEADER_SIZE, WAL_HEADER_SIZE } from "../core/wal.ts";
import type { CapturedDatabase } from "./captured-database.ts";
import {
  SQLITE_BUSY,
  SQLITE_ERROR,
  SQLITE_FCNTL_CKPT_DONE,
  SQLITE_FCNTL_CKPT_START,
  SQLITE_FCNTL_COMMIT_PHASETWO,
  SQLITE_FCNTL_PDB,
  SQLITE_FCNTL_PRAGMA,
  SQLITE_FCNTL_SYNC,
  SQLITE_IOERR,
  SQLITE_IOERR_CLOSE,
  SQLITE_IOERR_FSYNC,
  SQLITE_IOERR_TRUNCATE,
  SQLITE_IOERR_UNLOCK,
  SQLITE_IOERR_WRITE,
  SQLITE_LOCK_SHARED,
  SQLITE_NOTFOUND,
  SQLITE_OK,
} from "./constants.ts";
import type { UnsupportedJournalModeError } from "./errors.ts";
import { refusePragma } from "./journal-mode.ts";
import {
  LARGEST_READ,
  type Overrides,
  ParentFile,
  type ParentMethods,
  patchMethods,
  type Scratch,
} from "./parent-file.ts";
import type { Verdict } from "./preparation.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";
import { canSuspend, hybridFunction, SUSPEND } from "./trampoline.ts";

/** One open file and the state of its path. */
export interface Handle {
  readonly file: ParentFile;
  readonly methods: ParentMethods;
  readonly database: CapturedDatabase;
}

/** Which table a file gets. */
type FileKind = "main" | "wal" | "journal";

/** The tables of one capture and its open files. */
export class CaptureTables {
  /** Why the last open or PRAGMA was refused. */
  lastRefusal: UnsupportedJournalModeError | undefined;
  /** The last error that SQLite was told of as a bare result code. */
  lastError: unknown;
  /** Open main files by their `sqlite3_file*`. */
  readonly main: Map<WasmPointer, Handle> = new Map();
  readonly scratch: Scratch;
  readonly #sqlite3: Sqlite3;
  readonly #memory: WasmMemory;
  readonly #others: Map<WasmPointer, Handle> = new Map();
  readonly #overrides: Readonly<Record<FileKind, Overrides>>;
  /** Patched tables by kind and by the parent's own. */
  readonly #methods: Readonly<Record<FileKind, Map<WasmPointer, ParentMethods>>> = {
    main: new Map(),
    wal: new Map(),
    journal: new Map(),
  };
  readonly #installed: WasmPointer[] = [];
  /** Looks for a WAL or journal that was opened past us; only where files are not opened through us. */
  readonly findLog: (() => void) | undefined;
  #suspending: { readonly xFileControl: WasmPointer; readonly xWrite: WasmPointer } | undefined;
  /** What a call that answered {@linkcode SUSPEND} waits for. */
  #awaited: Promise<void> | undefined;
  /** The call now made was suspended before. */
  #resumed = false;

  constructor(sqlite3: Sqlite3, memory: WasmMemory, findLog?: () => void) {
    this.#sqlite3 = sqlite3;
    this.#memory = memory;
    this.findLog = findLog;
    this.scratch = { memory, pointer: memory.allocate(LARGEST_READ + 8) };
    this.#overrides = this.#installOverrides();
  }

  /** Takes over a main file that the parent has opened. Throws `VfsError` where its header cannot be read. */
  adoptMain(pointer: WasmPointer, database: CapturedDatabase): Handle {
    const handle = this.#handle(pointer, database, "main");
    database.opened(handle.file);
    this.main.set(pointer, handle);
    // Copies are only right as long as nobody else can write.
    if (database.files.copies.main !== undefined) handle.methods.watchUnlock(true);
    this.#memory.writeU32(pointer, handle.methods.table);
    return handle;
  }

  /** Takes over a WAL that the parent has opened. */
  adoptWal(pointer: WasmPointer, database: CapturedDatabase): void {
    const handle = this.#handle(pointer, database, "wal");
    database.walOpened(handle.file);
    this.#others.set(pointer, handle);
    this.#memory.writeU32(pointer, handle.methods.table);
  }

  /** Takes over a journal that the parent has opened, to keep it as it is while a COMMIT waits. */
  adoptJournal(pointer: WasmPointer, database: CapturedDatabase): void {
    const table = this.#memory.readU32(pointer);
    if (this.#others.has(pointer) || table === 0) return;
    // SQLite knows a journal of its own, in memory, by its table. Only those cannot be locked.
    if (this.#memory.readU32(table + IO_METHODS.xLock.offset) === 0) return;
    this.#others.set(pointer, this.#handle(pointer, database, "journal"));
    this.#memory.writeU32(pointer, this.#others.get(pointer)!.methods.table);
  }

  /** Gives all files back to the parent; SQLite goes on using them. */
  release(): void {
    for (const handles of [this.main, this.#others]) {
      for (const [pointer, { methods }] of handles) {
        this.#memory.writeU32(pointer, methods.original);
      }
      handles.clear();
    }
  }

  /** Makes COMMITs of the databases open here able to suspend the wasm stack; false where the runtime cannot. */
  enableSuspending(): boolean {
    if (this.#suspending !== undefined) return true;
    if (!canSuspend()) return false;
    const install = (slot: MethodSlot, plain: Implementation, failure: number): WasmPointer => {
      const report = (error: unknown): void => {
        this.lastError = error;
      };
      const guarded = guard(plain, { failure, report });
      const pointer = this.#sqlite3.wasm.installFunction(
        slot.signature,
        hybridFunction(slot.signature, guarded, async (...args: never[]) => {
          try {
            await this.#awaited;
          } catch (error) {
            report(error);
            return failure;
          }
          // Again from the start: what was prepared is known now.
          this.#resumed = true;
          try {
            return guarded(...args);
          } finally {
            this.#resumed = false;
          }
        }),
      );
      this.#installed.push(pointer);
      return pointer;
    };
    const xFileControl = install(
      IO_METHODS.xFileControl,
      (file: number, op: number, arg: number) => this.#control(file, op, arg),
      SQLITE_IOERR,
    );
    const xWrite = install(
      IO_METHODS.xWrite,
      (file: number, from: number, amount: number, offset: bigint) =>
        this.#walWrite(file, from, amount, Number(offset)),
      SQLITE_IOERR_WRITE,
    );
    this.#suspending = { xFileControl, xWrite };
    for (const { table } of this.#methods.main.values()) {
      this.#memory.writeU32(table + IO_METHODS.xFileControl.offset, xFileControl);
    }
    for (const { table } of this.#methods.wal.values()) {
      this.#memory.writeU32(table + IO_METHODS.xWrite.offset, xWrite);
    }
    return true;
  }

  /** Installs a function for C; {@linkcode free} takes it back. */
  install(slot: MethodSlot, failure: number, implementation: Implementation): WasmPointer {
    const report = (error: unknown): void => {
      this.lastError = error;
    };
    const guarded = guard(implementation, { failure, report });
    const pointer = this.#sqlite3.wasm.installFunction(slot.signature, guarded);
    this.#installed.push(pointer);
    return pointer;
  }

  /** Gives everything back; no file may be open any more. */
  free(): void {
    for (const pointer of this.#installed.splice(0)) this.#sqlite3.wasm.uninstallFunction(pointer);
    for (const methods of Object.values(this.#methods)) {
      for (const { table } of methods.values()) this.#memory.free(table);
      methods.clear();
    }
    this.#memory.free(this.scratch.pointer);
  }

  #handle(pointer: WasmPointer, database: CapturedDatabase, kind: FileKind): Handle {
    const methods = this.patched(this.#memory.readU32(pointer), kind);
    // Somebody else may write a WAL that is shared.
    const copied = kind === "main" || (kind === "wal" && !methods.sharedMemory);
    const copies = copied ? database.files.copies[kind] : undefined;
    const file = new ParentFile(pointer, methods, { scratch: this.scratch, copies });
    return { file, methods, database };
  }

  /** Our copy of a table of the parent. */
  patched(original: WasmPointer, kind: FileKind): ParentMethods {
    let methods = this.#methods[kind].get(original);
    if (methods === undefined) {
      const own = this.#overrides[kind];
      const suspending = this.#suspending;
      const overrides = {
        ...own,
        xFileControl: kind === "main" ? (suspending?.xFileControl ?? own.xFileControl) : undefined,
        xWrite: kind === "wal" ? (suspending?.xWrite ?? own.xWrite) : own.xWrite,
      };
      methods = patchMethods(this.#sqlite3, this.#memory, { original, overrides });
      this.#methods[kind].set(original, methods);
    }
    return methods;
  }

  #installOverrides(): Readonly<Record<FileKind, Overrides>> {
    const { main } = this;
    const others = this.#others;
    const memory = this.#memory;
    const close = (handles: Map<WasmPointer, Handle>): WasmPointer =>
      this.install(IO_METHODS.xClose, SQLITE_IOERR_CLOSE, (pointer: number) => {
        const { database, file, methods } = handles.get(pointer)!;
        try {
          if (handles === main) database.closing(file);
          else if (database.files.wals.has(file)) database.walClosing(file);
        } finally {
          handles.delete(pointer);
        }
        return methods.xClose(pointer);
      });
    const xCloseOther = close(others);
    return {
      main: {
        xWrite: this.install(
          IO_METHODS.xWrite,
          SQLITE_IOERR_WRITE,
          (pointer: number, from: number, amount: number, offset: bigint) => {
            const { database, methods } = main.get(pointer)!;
            const at = Number(offset);
            // Noted before the write: one that fails may still have changed the file.
            database.writing(at, amount);
            if (at === 0) database.headerWriting(memory.bytes().subarray(from, from + amount));
            database.files.copies.main?.note(memory.bytes().subarray(from, from + amount), at);
            return methods.xWrite(pointer, from, amount, offset);
          },
        ),
        xTruncate: this.install(
          IO_METHODS.xTruncate,
          SQLITE_IOERR_TRUNCATE,
          (pointer: number, size: bigint) => {
            const { database, methods } = main.get(pointer)!;
            database.truncating(Number(size));
            return methods.xTruncate(pointer, size);
          },
        ),
        xFileControl: this.install(
          IO_METHODS.xFileControl,
          SQLITE_IOERR,
          (pointer: number, op: number, arg: number) => this.#control(pointer, op, arg),
        ),
        xClose: close(main),
        xUnlock: this.install(
          IO_METHODS.xUnlock,
          SQLITE_IOERR_UNLOCK,
          (pointer: number, level: number) => {
            const { database, file, methods } = main.get(pointer)!;
            const code = methods.xUnlock(pointer, level);
            if (level <= SQLITE_LOCK_SHARED) database.files.copies.main?.forget();
            if (code === SQLITE_OK) database.unlocked(file, level);
            return code;
          },
        ),
      },
      wal: {
        xWrite: this.install(
          IO_METHODS.xWrite,
          SQLITE_IOERR_WRITE,
          (pointer: number, from: number, amount: number, offset: bigint) =>
            this.#walWrite(pointer, from, amount, Number(offset)),
        ),
        xSync: this.install(
          IO_METHODS.xSync,
          SQLITE_IOERR_FSYNC,
          (pointer: number, flags: number) => {
            const { database, methods } = others.get(pointer)!;
            const code = methods.xSync(pointer, flags);
            if (code !== SQLITE_OK) database.walFailed();
            return code;
          },
        ),
        xTruncate: this.install(
          IO_METHODS.xTruncate,
          SQLITE_IOERR_TRUNCATE,
          (pointer: number, size: bigint) => {
            const { database, methods } = others.get(pointer)!;
            database.walTruncating(Number(size));
            return methods.xTruncate(pointer, size);
          },
        ),
        xClose: xCloseOther,
      },
      journal: {
        xWrite: this.install(
          IO_METHODS.xWrite,
          SQLITE_IOERR_WRITE,
          (pointer: number, from: number, amount: number, offset: bigint) => {
            const { database, methods } = others.get(pointer)!;
            // A journal record after the journal was settled would corrupt the database at the next COMMIT.
            if (database.preparation.frozen) return SQLITE_IOERR_WRITE;
            return methods.xWrite(pointer, from, amount, offset);
          },
        ),
        xTruncate: this.install(
          IO_METHODS.xTruncate,
          SQLITE_IOERR_TRUNCATE,
          (pointer: number, size: bigint) => others.get(pointer)!.methods.xTruncate(pointer, size),
        ),
        xClose: xCloseOther,
      },
    };
  }

  #walWrite(pointer: WasmPointer, from: WasmPointer, amount: number, offset: number): number {
    const { database, file, methods } = this.#others.get(pointer)!;
    const heap = this.#memory.bytes();
    // SQLite may write a header or a page in two pieces, with a sync in between: the rest lies behind the first piece.
    const whole = amount <= WAL_HEADER_SIZE ? WAL_FRAME_HEADER_SIZE : LARGEST_READ;
    const end = from + Math.max(amount, whole);
    const resumed = this.#resumed;
    const verdict = database.walWriting(file, offset, { bytes: heap.subarray(from, end), resumed });
    if (verdict !== "commit") return this.#answer(verdict);
    if (!methods.sharedMemory) {
      database.files.copies.wal?.note(this.#memory.bytes().subarray(from, from + amount), offset);
    }
    const code = methods.xWrite(pointer, from, amount, BigInt(offset));
    if (code !== SQLITE_OK) database.walFailed();
    return code;
  }

  #control(pointer: WasmPointer, op: number, arg: WasmPointer): number {
    const handle = this.main.get(pointer)!;
    const { database, file, methods } = handle;
    switch (op) {
      case SQLITE_FCNTL_COMMIT_PHASETWO: {
        // The transaction is committed whatever is answered here; an error would only mislead the application.
        const code = methods.xFileControl(pointer, op, arg);
        if (database.clean) this.findLog?.();
        database.committed(file);
        return code;
      }
      case SQLITE_FCNTL_SYNC: {
        // The parent first: what it refuses is not prepared.
        const code = methods.xFileControl(pointer, op, arg);
        if (code !== SQLITE_OK && code !== SQLITE_NOTFOUND) return code;
        const verdict = database.syncing(file);
        if (verdict === "busy") this.findLog?.();
        return verdict === "commit" ? code : this.#answer(verdict);
      }
      case SQLITE_FCNTL_PRAGMA: {
        const refusal = this.#refusePragma(handle, arg);
        if (refusal !== undefined) return refusal;
        break;
      }
      case SQLITE_FCNTL_CKPT_START:
      case SQLITE_FCNTL_CKPT_DONE:
        database.checkpointing(op === SQLITE_FCNTL_CKPT_START);
        break;
      case SQLITE_FCNTL_PDB:
        file.connection = this.#memory.readU32(arg);
        break;
    }
    database.retryImages();
    return methods.xFileControl(pointer, op, arg);
  }

  #answer(verdict: Exclude<Verdict, "commit">): number {
    if (verdict === "busy") return SQLITE_BUSY;
    this.#awaited = verdict;
    return SUSPEND;
  }

  /** `arg` is an array of three strings: room for an answer, the name, the value or NULL. */
  #refusePragma({ database, file }: Handle, arg: WasmPointer): number | undefined {
    const memory = this.#memory;
    const value = memory.readU32(arg + 8);
    if (value === 0) return undefined;
    const refusal = refusePragma(
      { name: memory.readString(memory.readU32(arg + 4)), value: memory.readString(value) },
      {
        database: database.name,
        file,
        prepare: database.preparation.mode,
        inWal: database.files.wals.size > 0,
      },
    );
    if (refusal === undefined) return undefined;
    this.lastRefusal = refusal;
    memory.writeU32(arg, memory.allocateString(refusal.message));
    return SQLITE_ERROR;
  }
}
