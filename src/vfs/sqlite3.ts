/**
 * The parts of sqlite-wasm that this room uses, as structural types. The object that sqlite-wasm's initialiser
 * resolves to is assignable to {@linkcode Sqlite3}; the package itself is never imported here.
 *
 * @module
 */

/** An address in wasm memory; 0 is NULL. */
export type WasmPointer = number;

/** The C API functions used here. */
export interface Sqlite3Capi {
  /** The `sqlite3_vfs*` of a name, or the default one's; 0 where there is none. */
  sqlite3_vfs_find(name: string | null): WasmPointer;
  /** Keeps the struct at `vfs`, which must outlive its registration; returns a result code. */
  sqlite3_vfs_register(vfs: WasmPointer, makeDefault: number): number;
  /** Forgets a VFS; databases open through it go on using it. */
  sqlite3_vfs_unregister(vfs: WasmPointer): number;
  /** Used to find the `sqlite3_file*` of a schema; `arg` points to where the answer goes. */
  sqlite3_file_control(db: WasmPointer, schema: string, op: number, arg: WasmPointer): number;
  /** 0 none, 1 read, 2 write; the highest of all schemas when `schema` is 0. */
  sqlite3_txn_state(db: WasmPointer, schema: string | WasmPointer): number;
  /** Runs SQL without results when the last three pointers are 0; returns a result code. */
  sqlite3_exec(
    db: WasmPointer,
    sql: string,
    callback: WasmPointer,
    callbackArg: WasmPointer,
    errorOut: WasmPointer,
  ): number;
  /** Memory of SQLite's allocator; 0 when there is none left. May detach every view of the heap. */
  sqlite3_malloc(sizeBytes: number): WasmPointer;
  /** Takes back memory of `sqlite3_malloc`; 0 is allowed. */
  sqlite3_free(pointer: WasmPointer): void;
}

/** The wasm helper functions used here. */
export interface Sqlite3Wasm {
  /** A view of the whole memory, detached as soon as the memory grows: ask anew in every call. */
  heap8u(): Uint8Array;
  /** Decodes a zero-terminated UTF-8 string; null for address 0. */
  cstrToJs(pointer: WasmPointer): string | null;
  /** Encodes text as UTF-8 with a final zero, never cutting a character; returns the bytes written. */
  jstrcpy(text: string, into: Uint8Array, offset: number, maxBytes: number): number;
  /** Length of text in UTF-8 bytes, without a final zero; null for anything but a string. */
  jstrlen(text: string): number | null;
  /** The function behind a C function pointer; null or undefined where there is none. */
  functionEntry(pointer: WasmPointer): unknown;
  /** Makes a C function pointer of a function; `signature` is result, then arguments: `i(ppij)`. */
  installFunction(signature: string, implementation: (...args: never[]) => unknown): WasmPointer;
  /** Frees the slot of an installed function, which C must not call any more. */
  uninstallFunction(pointer: WasmPointer): unknown;
}

/** A database handle of sqlite-wasm's object API, as far as this library uses it. */
export interface Sqlite3Database {
  /** The `sqlite3*`; undefined after `close()`. */
  readonly pointer?: WasmPointer | undefined;
  /** Runs statements; throws sqlite-wasm's own error. */
  exec(sql: string): unknown;
  /** First column of the first row; undefined where there is no row. */
  selectValue(sql: string): unknown;
  /** Closes the connection, after which `pointer` is undefined; a second call does nothing. */
  close(): void;
}

/** What `sqlite3InitModule()` resolves to, as far as this library uses it. */
export interface Sqlite3 {
  /** The C API as functions. */
  readonly capi: Sqlite3Capi;
  /** Access to wasm memory and its function table. */
  readonly wasm: Sqlite3Wasm;
  /** The object API; `openReplicated` opens databases with it. */
  readonly oo1: {
    readonly DB: new (filename: string, flags?: string, vfs?: string) => Sqlite3Database;
  };
}
