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
  sqlite3_vfs_find(name: string | null): WasmPointer;
  sqlite3_vfs_register(vfs: WasmPointer, makeDefault: number): number;
  sqlite3_vfs_unregister(vfs: WasmPointer): number;
  sqlite3_file_control(db: WasmPointer, schema: string, op: number, arg: WasmPointer): number;
  sqlite3_txn_state(db: WasmPointer, schema: string | WasmPointer): number;
  sqlite3_exec(
    db: WasmPointer,
    sql: string,
    callback: WasmPointer,
    callbackArg: WasmPointer,
    errorOut: WasmPointer,
  ): number;
  sqlite3_malloc(sizeBytes: number): WasmPointer;
  sqlite3_free(pointer: WasmPointer): void;
}

/** The wasm helper functions used here. */
export interface Sqlite3Wasm {
  /** A view of the whole memory, detached as soon as the memory grows: ask anew in every call. */
  heap8u(): Uint8Array;
  cstrToJs(pointer: WasmPointer): string | null;
  jstrcpy(text: string, into: Uint8Array, offset: number, maxBytes: number): number;
  jstrlen(text: string): number | null;
  functionEntry(pointer: WasmPointer): unknown;
  installFunction(signature: string, implementation: (...args: never[]) => unknown): WasmPointer;
  uninstallFunction(pointer: WasmPointer): unknown;
}

/** A database handle of sqlite-wasm's object API, as far as this library uses it. */
export interface Sqlite3Database {
  /** The `sqlite3*`; undefined after `close()`. */
  readonly pointer?: WasmPointer | undefined;
  exec(sql: string): unknown;
  selectValue(sql: string): unknown;
  close(): void;
}

/** What `sqlite3InitModule()` resolves to, as far as this library uses it. */
export interface Sqlite3 {
  readonly capi: Sqlite3Capi;
  readonly wasm: Sqlite3Wasm;
  readonly oo1: {
    readonly DB: new (filename: string, flags?: string, vfs?: string) => Sqlite3Database;
  };
}
