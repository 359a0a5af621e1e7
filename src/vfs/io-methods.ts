/**
 * Turns a file system written in terms of bytes and paths into a VFS that SQLite can call.
 *
 * @module
 */
/* oxlint-disable max-params -- the methods have the parameters that SQLite passes. */
import { isPagestreamError } from "../core/errors.ts";
import {
  type ErrorReport,
  guard,
  IO_METHODS,
  type Implementation,
  IO_METHODS_V2_SIZE,
  type MethodSlot,
  VFS_MEMBERS,
  VFS_METHODS,
  VFS_SIZES,
  WasmMemory,
} from "./bind.ts";
import {
  SQLITE_ACCESS_EXISTS,
  SQLITE_BUSY,
  SQLITE_CANTOPEN,
  SQLITE_IOERR_ACCESS,
  SQLITE_IOERR_CHECKRESERVEDLOCK,
  SQLITE_IOERR_CLOSE,
  SQLITE_IOERR_DELETE,
  SQLITE_IOERR_DELETE_NOENT,
  SQLITE_IOCAP_POWERSAFE_OVERWRITE,
  SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN,
  SQLITE_IOERR,
  SQLITE_IOERR_FSTAT,
  SQLITE_IOERR_FSYNC,
  SQLITE_IOERR_LOCK,
  SQLITE_IOERR_READ,
  SQLITE_IOERR_SHMLOCK,
  SQLITE_IOERR_SHMMAP,
  SQLITE_IOERR_SHORT_READ,
  SQLITE_IOERR_TRUNCATE,
  SQLITE_IOERR_UNLOCK,
  SQLITE_IOERR_WRITE,
  SQLITE_NOTFOUND,
  SQLITE_OK,
  SQLITE_OPEN_CREATE,
  SQLITE_OPEN_MAIN_DB,
  SQLITE_OPEN_READONLY,
  SQLITE_OPEN_READWRITE,
  SQLITE_READONLY,
} from "./constants.ts";
import { VfsError } from "./errors.ts";
import type { HandleLock } from "./file-locks.ts";
import { SharedMemory } from "./shared-memory.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";
import { hybridFunction, SUSPEND } from "./trampoline.ts";

/** One open file. What a method throws becomes the matching SQLITE_IOERR code and is reported. */
export interface VfsFile {
  readonly lock: HandleLock;
  /** SQLite is told so: a write is answered with SQLITE_READONLY before it comes here. @default false */
  readonly readOnly?: boolean;
  /**
   * Fills `into`, a view of wasm memory, and returns the bytes read: fewer at the end of the file, {@linkcode WAIT} for
   * bytes that `wait` brings, {@linkcode MISSING} for bytes that cannot be had now.
   */
  read(into: Uint8Array, offset: number): number;
  /** Resolves when the read that was answered with {@linkcode WAIT} may be tried again. */
  wait?(): Promise<void>;
  /** Writes all of `bytes`, a view of wasm memory that must be copied. */
  write(bytes: Uint8Array, offset: number): void;
  truncate(size: number): void;
  sync(): void;
  size(): number;
  /** Called before `lock` is raised or after it is lowered. */
  locking?(level: number): void;
  /** A file control and its argument; undefined where it is not known. */
  control?(op: number, arg: WasmPointer): number | undefined;
  close(): void;
}

/** A file system under SQLite. */
export interface VfsFileSystem {
  /**
   * `path` is undefined for a temporary file; `name` is where SQLite has it, for `sqlite3_uri_parameter`. Throws where the
   * file cannot be opened.
   */
  open(path: string | undefined, flags: number, name: WasmPointer): VfsFile;
  /** Removes a file; false when there is none. */
  remove(path: string, syncDirectory: boolean): boolean;
  exists(path: string): boolean;
  /** Whether the file exists and has bytes: an empty journal means the same to SQLite as none. */
  existsWithBytes(path: string): boolean;
  fullPath(path: string): string;
}

/** How {@linkcode registerVfs} presents a file system to SQLite. */
export interface VfsOptions {
  readonly name: string;
  /** SQLITE_IOCAP flags. */
  readonly deviceCharacteristics: number;
  /** Whether a read may suspend the wasm stack, as {@linkcode WAIT} asks for. @default false */
  readonly suspends?: boolean;
}

/** A VFS that SQLite knows. */
export interface RegisteredVfs {
  readonly name: string;
  /** The last error that SQLite was told of as a bare result code. */
  readonly lastError: unknown;
}

/** Device characteristics of a file system that stores databases. */
export const STORES_PAGES: number =
  SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN;

/** What `VfsFile.read` returns to have the wasm stack suspended, where the VFS suspends and the call can be. */
export const WAIT: number = -1;

/** What `VfsFile.read` returns to have the read fail without an error to report. */
export const MISSING: number = -2;

const MAX_PATH = 1024;
/** Bytes of a sector, as SQLite is told. */
const SECTOR_SIZE = 4096;
/** SQLite's `sqlite3_file` holds one pointer; eight bytes keep what follows aligned. */
const OS_FILE_SIZE = 8;
const WRITE_FLAGS = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

/** Registers `files` as a VFS. Its tables live as long as the wasm instance. */
export function registerVfs(
  sqlite3: Sqlite3,
  files: VfsFileSystem,
  options: VfsOptions,
): RegisteredVfs {
  const { name } = options;
  if (sqlite3.capi.sqlite3_vfs_find(name) !== 0) {
    throw new VfsError({
      operation: "install VFS",
      object: name,
      what: "the name is taken",
      next: "Choose another name",
    });
  }
  let lastError: unknown;
  const report: ErrorReport = (error) => {
    lastError = error;
  };
  const memory = new WasmMemory(sqlite3);
  const context: Context = {
    sqlite3,
    memory,
    files,
    report,
    open: new Map(),
    databases: new Map(),
    install: (table, slot, failure, implementation) => {
      const guarded = guard(implementation, { failure, report });
      memory.writeU32(table + slot.offset, sqlite3.wasm.installFunction(slot.signature, guarded));
    },
  };
  const io = ioMethods(context, options);
  const vfs = cloneVfs(memory, defaultVfs(sqlite3));
  memory.writeU32(vfs + VFS_MEMBERS.szOsFile, OS_FILE_SIZE);
  memory.writeU32(vfs + VFS_MEMBERS.mxPathname, MAX_PATH);
  memory.writeU32(vfs + VFS_MEMBERS.zName, memory.allocateString(name));
  installVfsMethods(context, vfs, io);
  register(sqlite3, vfs, { name, makeDefault: false });
  return {
    name,
    get lastError(): unknown {
      return lastError;
    },
  };
}

/** What the method tables of one VFS share. */
interface Context {
  readonly sqlite3: Sqlite3;
  readonly memory: WasmMemory;
  readonly files: VfsFileSystem;
  readonly report: ErrorReport;
  /** Open files by their `sqlite3_file*`. */
  readonly open: Map<WasmPointer, VfsFile>;
  /** Paths of the open main databases, likewise. */
  readonly databases: Map<WasmPointer, string>;
  readonly install: (
    table: WasmPointer,
    slot: MethodSlot,
    failure: number,
    implementation: Implementation,
  ) => void;
}

/** Builds the `sqlite3_io_methods` that all files of a VFS share. */
function ioMethods(context: Context, options: VfsOptions): WasmPointer {
  const { memory, open, install } = context;
  const at = (file: WasmPointer): VfsFile => {
    const found = open.get(file);
    if (found === undefined) {
      throw new VfsError({ operation: "use", object: "a file", what: "it is not open" });
    }
    return found;
  };
  const io = memory.allocate(IO_METHODS_V2_SIZE);
  memory.bytes().fill(0, io, io + IO_METHODS_V2_SIZE);
  memory.writeU32(io, 2);
  const sharedMemory = installSharedMemory(context, io);
  install(io, IO_METHODS.xClose, SQLITE_IOERR_CLOSE, (file: number) => {
    const closing = at(file);
    open.delete(file);
    context.databases.delete(file);
    sharedMemory.unmap(file);
    closing.lock.unlock(0);
    closing.close();
    return SQLITE_OK;
  });
  const xRead = (file: number, into: number, amount: number, offset: bigint): number => {
    const heap = memory.bytes();
    const read = at(file).read(heap.subarray(into, into + amount), Number(offset));
    if (read === amount) return SQLITE_OK;
    if (read === WAIT) return SUSPEND;
    if (read === MISSING) return SQLITE_IOERR_READ;
    heap.fill(0, into + read, into + amount);
    return SQLITE_IOERR_SHORT_READ;
  };
  if (options.suspends === true) {
    memory.writeU32(io + IO_METHODS.xRead.offset, installSuspendingRead(context, xRead));
  } else {
    install(io, IO_METHODS.xRead, SQLITE_IOERR_READ, xRead);
  }
  install(
    io,
    IO_METHODS.xWrite,
    SQLITE_IOERR_WRITE,
    (file: number, from: number, amount: number, offset: bigint) => {
      const target = at(file);
      if (target.readOnly === true) return SQLITE_READONLY;
      target.write(memory.bytes().subarray(from, from + amount), Number(offset));
      return SQLITE_OK;
    },
  );
  install(io, IO_METHODS.xTruncate, SQLITE_IOERR_TRUNCATE, (file: number, size: bigint) => {
    const target = at(file);
    if (target.readOnly === true) return SQLITE_READONLY;
    target.truncate(Number(size));
    return SQLITE_OK;
  });
  install(io, IO_METHODS.xSync, SQLITE_IOERR_FSYNC, (file: number, _flags: number) => {
    at(file).sync();
    return SQLITE_OK;
  });
  install(io, IO_METHODS.xFileSize, SQLITE_IOERR_FSTAT, (file: number, out: number) => {
    memory.writeSize(out, at(file).size());
    return SQLITE_OK;
  });
  install(io, IO_METHODS.xLock, SQLITE_IOERR_LOCK, (file: number, level: number) => {
    const locking = at(file);
    locking.locking?.(level);
    return locking.lock.lock(level) ? SQLITE_OK : SQLITE_BUSY;
  });
  install(io, IO_METHODS.xUnlock, SQLITE_IOERR_UNLOCK, (file: number, level: number) => {
    const unlocking = at(file);
    unlocking.lock.unlock(level);
    unlocking.locking?.(level);
    return SQLITE_OK;
  });
  install(
    io,
    IO_METHODS.xCheckReservedLock,
    SQLITE_IOERR_CHECKRESERVEDLOCK,
    (file: number, out: number) => {
      memory.writeU32(out, at(file).lock.reserved() ? 1 : 0);
      return SQLITE_OK;
    },
  );
  install(io, IO_METHODS.xFileControl, SQLITE_IOERR, (file: number, op: number, arg: number) => {
    return at(file).control?.(op, arg) ?? SQLITE_NOTFOUND;
  });
  install(io, IO_METHODS.xSectorSize, SECTOR_SIZE, (_file: number) => SECTOR_SIZE);
  install(
    io,
    IO_METHODS.xDeviceCharacteristics,
    0,
    (_file: number) => options.deviceCharacteristics,
  );
  return io;
}

/** A read that may suspend: the plain function answers SUSPEND, and the one that waits asks it again. */
function installSuspendingRead(
  { open, report, sqlite3 }: Context,
  xRead: (file: number, into: number, amount: number, offset: bigint) => number,
): WasmPointer {
  const { signature } = IO_METHODS.xRead;
  const plain = guard(xRead, { failure: SQLITE_IOERR_READ, report }) as typeof xRead;
  const waiting = async (
    file: number,
    into: number,
    amount: number,
    offset: bigint,
  ): Promise<number> => {
    for (;;) {
      try {
        await open.get(file)?.wait?.();
      } catch (error) {
        report(error);
        return SQLITE_IOERR_READ;
      }
      const code = plain(file, into, amount, offset);
      if (code !== SUSPEND) return code;
    }
  };
  return sqlite3.wasm.installFunction(signature, hybridFunction(signature, plain, waiting));
}

/** Fills in the methods that WAL mode needs where several connections have a database open. */
function installSharedMemory(context: Context, io: WasmPointer): SharedMemory {
  const { memory, databases, install } = context;
  const shared = new SharedMemory(memory);
  install(
    io,
    IO_METHODS.xShmMap,
    SQLITE_IOERR_SHMMAP,
    (file: number, region: number, sizeBytes: number, extend: number, out: number) => {
      const path = databases.get(file)!;
      const address = shared.map(file, path, { region, sizeBytes, extend: extend !== 0 });
      memory.writeU32(out, address);
      return SQLITE_OK;
    },
  );
  install(
    io,
    IO_METHODS.xShmLock,
    SQLITE_IOERR_SHMLOCK,
    (file: number, first: number, count: number, flags: number) => {
      return shared.lock(file, { first, count, flags }) ? SQLITE_OK : SQLITE_BUSY;
    },
  );
  install(io, IO_METHODS.xShmBarrier, SQLITE_OK, (_file: number) => SQLITE_OK);
  install(io, IO_METHODS.xShmUnmap, SQLITE_OK, (file: number, _remove: number) => {
    shared.unmap(file);
    return SQLITE_OK;
  });
  return shared;
}

/** Fills in the methods of a `sqlite3_vfs` whose files get the method table `io`. */
function installVfsMethods(context: Context, vfs: WasmPointer, io: WasmPointer): void {
  const { memory, files, open, databases, install, report } = context;
  install(
    vfs,
    VFS_METHODS.xOpen,
    SQLITE_CANTOPEN,
    (_vfs: number, path: number, file: number, flags: number, outFlags: number) => {
      // Until pMethods is set SQLite takes the file for closed, which is what a failure must leave behind.
      memory.writeU32(file, 0);
      const name = path === 0 ? undefined : memory.readString(path);
      let opened: VfsFile;
      try {
        opened = files.open(name, flags, path);
      } catch (error) {
        report(error);
        return isPagestreamError(error, "DATABASE_LOCKED") ? SQLITE_BUSY : SQLITE_CANTOPEN;
      }
      open.set(file, opened);
      if (name !== undefined && (flags & SQLITE_OPEN_MAIN_DB) !== 0) databases.set(file, name);
      memory.writeU32(file, io);
      const readOnly = opened.readOnly === true;
      const granted = readOnly ? (flags & ~WRITE_FLAGS) | SQLITE_OPEN_READONLY : flags;
      if (outFlags !== 0) memory.writeU32(outFlags, granted);
      return SQLITE_OK;
    },
  );
  install(
    vfs,
    VFS_METHODS.xDelete,
    SQLITE_IOERR_DELETE,
    (_vfs: number, path: number, syncDirectory: number) => {
      return files.remove(memory.readString(path), syncDirectory !== 0)
        ? SQLITE_OK
        : SQLITE_IOERR_DELETE_NOENT;
    },
  );
  install(
    vfs,
    VFS_METHODS.xAccess,
    SQLITE_IOERR_ACCESS,
    (_vfs: number, path: number, question: number, out: number) => {
      const name = memory.readString(path);
      const yes =
        question === SQLITE_ACCESS_EXISTS ? files.existsWithBytes(name) : files.exists(name);
      memory.writeU32(out, yes ? 1 : 0);
      return SQLITE_OK;
    },
  );
  install(
    vfs,
    VFS_METHODS.xFullPathname,
    SQLITE_CANTOPEN,
    (_vfs: number, path: number, capacity: number, out: number) => {
      const full = files.fullPath(memory.readString(path));
      return memory.writeString(full, out, capacity) ? SQLITE_OK : SQLITE_CANTOPEN;
    },
  );
}

/**
 * Copies a `sqlite3_vfs` into memory of its own, unlinked and padded with NULLs to the newest version. What the copy
 * keeps (randomness, sleep, time) runs as the original's does.
 */
export function cloneVfs(memory: WasmMemory, original: WasmPointer): WasmPointer {
  const full = VFS_SIZES[VFS_SIZES.length - 1]!;
  const copy = memory.allocate(full);
  const version = memory.readU32(original + VFS_MEMBERS.iVersion);
  const size = VFS_SIZES[Math.min(version, VFS_SIZES.length) - 1] ?? VFS_SIZES[0]!;
  const heap = memory.bytes();
  heap.fill(0, copy, copy + full);
  heap.copyWithin(copy, original, original + size);
  memory.writeU32(copy + VFS_MEMBERS.pNext, 0);
  return copy;
}

/** Registers a complete `sqlite3_vfs`; SQLite keeps the pointer. */
export function register(
  sqlite3: Sqlite3,
  vfs: WasmPointer,
  options: { readonly name: string; readonly makeDefault: boolean },
): void {
  const code = sqlite3.capi.sqlite3_vfs_register(vfs, options.makeDefault ? 1 : 0);
  if (code !== SQLITE_OK) {
    throw new VfsError({
      operation: "install VFS",
      object: options.name,
      what: `SQLite answered with code ${code}`,
    });
  }
}

/** A VFS whose randomness and clock do not depend on the pointer they are called with. */
function defaultVfs(sqlite3: Sqlite3): WasmPointer {
  const found = sqlite3.capi.sqlite3_vfs_find("unix-none") || sqlite3.capi.sqlite3_vfs_find(null);
  if (found === 0) {
    throw new VfsError({ operation: "install", object: "a VFS", what: "SQLite has no VFS at all" });
  }
  return found;
}
