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
  /** The next prepared statement of a connection, or the first when `after` is 0; 0 where there is none. */
  sqlite3_next_stmt(db: WasmPointer, after: 0): unknown;
  /** The path of a schema's database; empty or null for one without a file. */
  sqlite3_db_filename(db: WasmPointer, schema: string): string | null;
  /** 0 inside a transaction that BEGIN opened. */
  sqlite3_get_autocommit(db: WasmPointer): number;
  /** The message of the last error of a connection. */
  sqlite3_errmsg(db: WasmPointer): string;
  /** Compiles one statement; its address goes to `statementOut`. */
  sqlite3_prepare_v2(
    db: WasmPointer,
    sql: string,
    sizeBytes: number,
    statementOut: WasmPointer,
    tailOut: WasmPointer,
  ): number;
  /** Ends a statement; 0 is allowed. */
  sqlite3_finalize(statement: WasmPointer): number;
  /**
   * Runs SQL, calling `callback` with the texts of each row where it is not 0; the last two pointers may be 0. Returns
   * a result code.
   */
  sqlite3_exec(
    db: WasmPointer,
    sql: string,
    callback: WasmPointer | ((values: readonly unknown[]) => number),
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
  /** The functions of the wasm module itself. */
  readonly exports: object;
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
  /** All rows, each as an object of its columns; throws sqlite-wasm's own error. */
  selectObjects(sql: string): readonly Readonly<Record<string, unknown>>[];
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
