/**
 * Files of the VFS under a capture: calls to the parent's own methods, and copies of its method tables in which a few
 * entries are ours.
 *
 * @module
 */
/* oxlint-disable max-params -- the methods have the parameters that SQLite passes. */
import { IO_METHODS, IO_METHODS_V1_SIZE, IO_METHODS_V2_SIZE, type WasmMemory } from "./bind.ts";
import { SQLITE_IOERR_SHORT_READ, SQLITE_OK } from "./constants.ts";
import { VfsError } from "./errors.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";
import type { WriteCopies } from "./write-copies.ts";

/** The largest read: no parent has ever been asked by SQLite for more than a page of this size. */
export const LARGEST_READ = 65_536;

/** Function pointers of the entries that capture puts in place of the parent's. */
export interface Overrides {
  readonly xWrite: WasmPointer;
  readonly xTruncate: WasmPointer;
  readonly xClose: WasmPointer;
  /** For WALs. */
  readonly xSync?: WasmPointer | undefined;
  /** For main databases. */
  readonly xFileControl?: WasmPointer | undefined;
  /** Only in the table while somebody waits for a transaction to end. */
  readonly xUnlock?: WasmPointer | undefined;
}

/** The parent's methods behind one of its tables, and our copy of that table. */
export interface ParentMethods {
  /** The parent's `sqlite3_io_methods`. */
  readonly original: WasmPointer;
  /** Ours: version 2 where the parent has shared memory, else version 1. */
  readonly table: WasmPointer;
  /** Whether several connections can share a WAL through this parent. */
  readonly sharedMemory: boolean;
  readonly xClose: (file: WasmPointer) => number;
  readonly xRead: (file: WasmPointer, into: WasmPointer, amount: number, offset: bigint) => number;
  readonly xWrite: (file: WasmPointer, from: WasmPointer, amount: number, offset: bigint) => number;
  readonly xTruncate: (file: WasmPointer, size: bigint) => number;
  readonly xSync: (file: WasmPointer, flags: number) => number;
  readonly xFileSize: (file: WasmPointer, out: WasmPointer) => number;
  readonly xUnlock: (file: WasmPointer, level: number) => number;
  readonly xFileControl: (file: WasmPointer, op: number, arg: WasmPointer) => number;
  /** Some parents have none. */
  readonly xCheckReservedLock: ((file: WasmPointer, out: WasmPointer) => number) | undefined;
  /** Puts our xUnlock into the table, or the parent's back. */
  watchUnlock(watch: boolean): void;
}

/** Copies the parent's table at `original` and puts `overrides` into the copy. */
export function patchMethods(
  sqlite3: Sqlite3,
  memory: WasmMemory,
  tables: { readonly original: WasmPointer; readonly overrides: Overrides },
): ParentMethods {
  const { original, overrides } = tables;
  const method = (name: keyof typeof IO_METHODS): never => {
    const pointer = memory.readU32(original + IO_METHODS[name].offset);
    return (pointer === 0 ? undefined : sqlite3.wasm.functionEntry(pointer)) as never;
  };
  const sharedMemory =
    memory.readU32(original) >= 2 && memory.readU32(original + IO_METHODS.xShmMap.offset) !== 0;
  const size = sharedMemory ? IO_METHODS_V2_SIZE : IO_METHODS_V1_SIZE;
  const table = memory.allocate(size);
  memory.bytes().copyWithin(table, original, original + size);
  memory.writeU32(table, sharedMemory ? 2 : 1);
  for (const name of ["xWrite", "xTruncate", "xSync", "xFileControl", "xClose"] as const) {
    const pointer = overrides[name];
    if (pointer !== undefined) memory.writeU32(table + IO_METHODS[name].offset, pointer);
  }
  const parentUnlock = memory.readU32(original + IO_METHODS.xUnlock.offset);
  let watchers = 0;
  return {
    original,
    table,
    sharedMemory,
    xClose: method("xClose"),
    xRead: method("xRead"),
    xWrite: method("xWrite"),
    xTruncate: method("xTruncate"),
    xSync: method("xSync"),
    xFileSize: method("xFileSize"),
    xUnlock: method("xUnlock"),
    xFileControl: method("xFileControl"),
    xCheckReservedLock: method("xCheckReservedLock"),
    watchUnlock(watch: boolean): void {
      watchers += watch ? 1 : -1;
      memory.writeU32(
        table + IO_METHODS.xUnlock.offset,
        watchers > 0 ? (overrides.xUnlock ?? parentUnlock) : parentUnlock,
      );
    },
  };
}

/** What is read through: memory of ours that the parent's xRead fills. */
export interface Scratch {
  readonly memory: WasmMemory;
  /** {@linkcode LARGEST_READ} bytes, followed by 8 for a size. */
  readonly pointer: WasmPointer;
}

/** What a {@linkcode ParentFile} reads from. */
export interface Reading {
  readonly scratch: Scratch;
  /** Shared by all handles of one file. */
  readonly copies?: WriteCopies | undefined;
}

/** One open file of the parent: a main database, or its WAL. */
export class ParentFile {
  /** The `sqlite3_file*`. */
  readonly pointer: WasmPointer;
  readonly methods: ParentMethods;
  /** The `sqlite3*` of the connection, 0 until SQLite tells it. */
  connection: WasmPointer = 0;
  /** Whether the connection keeps its lock between transactions. */
  exclusive = false;
  readonly #scratch: Scratch;
  readonly #copies: WriteCopies | undefined;

  constructor(pointer: WasmPointer, methods: ParentMethods, reading: Reading) {
    this.pointer = pointer;
    this.methods = methods;
    this.#scratch = reading.scratch;
    this.#copies = reading.copies;
  }

  /**
   * Reads at most {@linkcode LARGEST_READ} bytes through the parent. Returns a view, valid until the next call. Throws
   * `VfsError` where the parent fails or the file is too short.
   */
  read(offset: number, amount: number): Uint8Array {
    const copy = this.#copies?.get(offset, amount);
    if (copy !== undefined) return copy;
    const { memory, pointer } = this.#scratch;
    const code = this.methods.xRead(this.pointer, pointer, amount, BigInt(offset));
    if (code !== SQLITE_OK) throw failed(`read ${amount} bytes at ${offset} of`, code);
    return memory.bytes().subarray(pointer, pointer + amount);
  }

  /** As {@linkcode read}; what lies past the end of the file reads as zeros. */
  readPadded(offset: number, amount: number): Uint8Array {
    const copy = this.#copies?.get(offset, amount);
    if (copy !== undefined) return copy;
    const { memory, pointer } = this.#scratch;
    const code = this.methods.xRead(this.pointer, pointer, amount, BigInt(offset));
    if (code !== SQLITE_OK && code !== SQLITE_IOERR_SHORT_READ) {
      throw failed(`read ${amount} bytes at ${offset} of`, code);
    }
    return memory.bytes().subarray(pointer, pointer + amount);
  }

  /** Whether nobody else can write the file, so that what is known of it stays true. */
  get isPrivate(): boolean {
    return this.#copies?.size !== undefined;
  }

  /** Size of the file in bytes. Throws `VfsError` where the parent fails. */
  size(): number {
    if (this.#copies?.size !== undefined) return this.#copies.size;
    const out = this.#scratch.pointer + LARGEST_READ;
    const code = this.methods.xFileSize(this.pointer, out);
    if (code !== SQLITE_OK) throw failed("tell the size of", code);
    return this.#scratch.memory.readSize(out);
  }

  /** Whether any connection holds RESERVED or more; undefined where the parent cannot tell. */
  reserved(): boolean | undefined {
    const check = this.methods.xCheckReservedLock;
    if (check === undefined) return undefined;
    const out = this.#scratch.pointer + LARGEST_READ;
    if (check(this.pointer, out) !== SQLITE_OK) return undefined;
    return this.#scratch.memory.readU32(out) !== 0;
  }
}

function failed(operation: string, code: number): VfsError {
  return new VfsError({
    operation,
    object: "the database file",
    what: `the VFS below answered with code ${code}`,
  });
}
