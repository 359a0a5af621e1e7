/**
 * Access to wasm memory, and installation of JavaScript functions that SQLite calls.
 *
 * @module
 */
/* oxlint-disable max-params -- guards have the arity of the C functions they stand for. */
import { VfsError } from "./errors.ts";
import type { Sqlite3, Sqlite3Wasm, WasmPointer } from "./sqlite3.ts";

/** Address in the method table and signature of one entry of a C struct of functions. */
export interface MethodSlot {
  /** Offset in bytes in the struct on wasm32. */
  readonly offset: number;
  /** Result and argument types: `p` pointer, `i` 32-bit integer, `j` 64-bit integer (a bigint here). */
  readonly signature: string;
}

/** The methods of an open file. */
export type IoMethod =
  | "xClose"
  | "xRead"
  | "xWrite"
  | "xTruncate"
  | "xSync"
  | "xFileSize"
  | "xLock"
  | "xUnlock"
  | "xCheckReservedLock"
  | "xFileControl"
  | "xSectorSize"
  | "xDeviceCharacteristics"
  | "xShmMap"
  | "xShmLock"
  | "xShmBarrier"
  | "xShmUnmap";

/** The methods of a VFS that this library defines or forwards. */
export type VfsMethod =
  | "xOpen"
  | "xDelete"
  | "xAccess"
  | "xFullPathname"
  | "xRandomness"
  | "xSleep"
  | "xCurrentTime"
  | "xGetLastError"
  | "xCurrentTimeInt64";

/**
 * Offsets in `sqlite3_io_methods`.
 *
 * | bytes | version | entries                                                     |
 * | ----- | ------- | ----------------------------------------------------------- |
 * | 0     | 1       | iVersion                                                    |
 * | 4..51 | 1       | xClose … xDeviceCharacteristics                             |
 * | 52..67| 2       | xShmMap, xShmLock, xShmBarrier, xShmUnmap                   |
 * | 68..75| 3       | xFetch, xUnfetch (never set by us)                          |
 */
export const IO_METHODS: Readonly<Record<IoMethod, MethodSlot>> = {
  xClose: { offset: 4, signature: "i(p)" },
  xRead: { offset: 8, signature: "i(ppij)" },
  xWrite: { offset: 12, signature: "i(ppij)" },
  xTruncate: { offset: 16, signature: "i(pj)" },
  xSync: { offset: 20, signature: "i(pi)" },
  xFileSize: { offset: 24, signature: "i(pp)" },
  xLock: { offset: 28, signature: "i(pi)" },
  xUnlock: { offset: 32, signature: "i(pi)" },
  xCheckReservedLock: { offset: 36, signature: "i(pp)" },
  xFileControl: { offset: 40, signature: "i(pip)" },
  xSectorSize: { offset: 44, signature: "i(p)" },
  xDeviceCharacteristics: { offset: 48, signature: "i(p)" },
  xShmMap: { offset: 52, signature: "i(piiip)" },
  xShmLock: { offset: 56, signature: "i(piii)" },
  xShmBarrier: { offset: 60, signature: "v(p)" },
  xShmUnmap: { offset: 64, signature: "i(pi)" },
};

/** Bytes of `sqlite3_io_methods` up to version 1. */
export const IO_METHODS_V1_SIZE = 52;
/** Bytes of `sqlite3_io_methods` up to version 2. */
export const IO_METHODS_V2_SIZE = 68;

/** Offsets of the data members of `sqlite3_vfs`. */
export const VFS_MEMBERS: Readonly<
  Record<"iVersion" | "szOsFile" | "mxPathname" | "pNext" | "zName", number>
> = {
  iVersion: 0,
  szOsFile: 4,
  mxPathname: 8,
  pNext: 12,
  zName: 16,
};

/** Offsets of the methods of `sqlite3_vfs`. */
export const VFS_METHODS: Readonly<Record<VfsMethod, MethodSlot>> = {
  xOpen: { offset: 24, signature: "i(pppip)" },
  xDelete: { offset: 28, signature: "i(ppi)" },
  xAccess: { offset: 32, signature: "i(ppip)" },
  xFullPathname: { offset: 36, signature: "i(ppip)" },
  xRandomness: { offset: 56, signature: "i(pip)" },
  xSleep: { offset: 60, signature: "i(pi)" },
  xCurrentTime: { offset: 64, signature: "i(pp)" },
  xGetLastError: { offset: 68, signature: "i(pip)" },
  xCurrentTimeInt64: { offset: 72, signature: "i(pp)" },
};

/** Bytes of `sqlite3_vfs` in version 1, 2 and 3. */
export const VFS_SIZES: readonly number[] = [72, 76, 88];

/** Receives what was thrown inside a function that SQLite called. */
export type ErrorReport = (error: unknown) => void;

/** A function that SQLite calls: pointers and 32-bit integers arrive as numbers, 64-bit ones as bigints. */
export type Implementation = (...args: never[]) => number;
type Loose = (a?: unknown, b?: unknown, c?: unknown, d?: unknown, e?: unknown) => number;

/** What an error guard answers with, and whom it tells. */
export interface GuardOptions {
  /** Result code SQLite gets instead of an exception. */
  readonly failure: number;
  readonly report: ErrorReport;
}

/**
 * Wraps a function so that no exception leaves it. An exception that unwinds wasm leaves locks set and leaks its
 * stack. One wrapper per arity keeps the call free of argument arrays.
 */
export function guard(implementation: Implementation, options: GuardOptions): Implementation {
  const run = implementation as unknown as Loose;
  const failed = (error: unknown): number => {
    try {
      options.report(error);
    } catch {
      // Whoever is told of an error cannot make SQLite unwind either.
    }
    return options.failure;
  };
  const byArity: readonly Loose[] = [
    () => run(),
    (a) => {
      try {
        return run(a);
      } catch (error) {
        return failed(error);
      }
    },
    (a, b) => {
      try {
        return run(a, b);
      } catch (error) {
        return failed(error);
      }
    },
    (a, b, c) => {
      try {
        return run(a, b, c);
      } catch (error) {
        return failed(error);
      }
    },
    (a, b, c, d) => {
      try {
        return run(a, b, c, d);
      } catch (error) {
        return failed(error);
      }
    },
    (a, b, c, d, e) => {
      try {
        return run(a, b, c, d, e);
      } catch (error) {
        return failed(error);
      }
    },
  ];
  return byArity[implementation.length] as unknown as Implementation;
}

/** A helper that sqlite-wasm's types leave out. */
interface Decoder {
  typedArrayToString(bytes: Uint8Array, begin: number, end: number): string;
}

/** Wasm memory as numbers and strings. Every call takes a fresh view, for the memory may have grown. */
export class WasmMemory {
  readonly #wasm: Sqlite3Wasm;
  readonly #sqlite3: Sqlite3;

  constructor(sqlite3: Sqlite3) {
    // A 64-bit build hands out pointers as bigints; the struct offsets above would be wrong there.
    if (typeof sqlite3.capi.sqlite3_vfs_find(null) !== "number") {
      throw new VfsError({
        operation: "bind to",
        object: "sqlite-wasm",
        what: "its pointers have 64 bits",
        next: "Use the 32-bit build",
      });
    }
    this.#sqlite3 = sqlite3;
    this.#wasm = sqlite3.wasm;
  }

  /** The whole memory; valid until wasm code runs again. */
  bytes(): Uint8Array {
    return this.#wasm.heap8u();
  }

  readU32(pointer: WasmPointer): number {
    const heap = this.#wasm.heap8u();
    return (
      (heap[pointer]! |
        (heap[pointer + 1]! << 8) |
        (heap[pointer + 2]! << 16) |
        (heap[pointer + 3]! << 24)) >>>
      0
    );
  }

  writeU32(pointer: WasmPointer, value: number): void {
    const heap = this.#wasm.heap8u();
    heap[pointer] = value;
    heap[pointer + 1] = value >>> 8;
    heap[pointer + 2] = value >>> 16;
    heap[pointer + 3] = value >>> 24;
  }

  /** Reads a 64-bit size, exact up to 2^53. */
  readSize(pointer: WasmPointer): number {
    return this.readU32(pointer) + this.readU32(pointer + 4) * 0x1_0000_0000;
  }

  writeSize(pointer: WasmPointer, value: number): void {
    this.writeU32(pointer, value >>> 0);
    this.writeU32(pointer + 4, Math.floor(value / 0x1_0000_0000));
  }

  /** The C string at a pointer; empty for NULL. */
  readString(pointer: WasmPointer): string {
    return this.#wasm.cstrToJs(pointer) ?? "";
  }

  /** The UTF-8 text of so many bytes at a pointer, zeros included. */
  readText(pointer: WasmPointer, sizeBytes: number): string {
    const wasm = this.#wasm as unknown as Decoder;
    return wasm.typedArrayToString(this.#wasm.heap8u(), pointer, pointer + sizeBytes);
  }

  /** Length of `text` in UTF-8 bytes. */
  stringLength(text: string): number {
    return this.#wasm.jstrlen(text) ?? 0;
  }

  /** Writes a C string into a buffer of SQLite's; false, and nothing written, where it does not fit. */
  writeString(text: string, into: WasmPointer, capacity: number): boolean {
    const length = this.stringLength(text);
    if (length + 1 > capacity) return false;
    this.#wasm.jstrcpy(text, this.#wasm.heap8u(), into, length + 1);
    return true;
  }

  /** Allocates with SQLite's allocator, so that SQLite may free it. */
  allocate(sizeBytes: number): WasmPointer {
    const pointer = this.#sqlite3.capi.sqlite3_malloc(sizeBytes);
    if (pointer === 0) {
      throw new VfsError({
        operation: "allocate",
        object: `${sizeBytes} bytes of wasm memory`,
        what: "there is no memory left",
      });
    }
    return pointer;
  }

  /** A copy of `text` as a C string in memory of SQLite's allocator. */
  allocateString(text: string): WasmPointer {
    const capacity = this.stringLength(text) + 1;
    const pointer = this.allocate(capacity);
    this.writeString(text, pointer, capacity);
    return pointer;
  }

  free(pointer: WasmPointer): void {
    this.#sqlite3.capi.sqlite3_free(pointer);
  }
}
