/**
 * Values on their way into a statement and out of it.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import type { WasmMemory } from "./bind.ts";
import { SQLITE_OK, SQLITE_TEXT, SQLITE_TRANSIENT } from "./constants.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";

/**
 * A value of SQLite. An INTEGER is a number where that is exact and a bigint otherwise, a BLOB is an Uint8Array of the
 * caller's own.
 */
export type SqlValue = null | number | bigint | string | Uint8Array<ArrayBuffer>;

/** What a parameter can be given; `true` and `false` become 1 and 0, `undefined` NULL. */
export type SqlParameter = null | undefined | boolean | number | bigint | string | Uint8Array;

/** Parameters by position, or by name, with `:`, `@` or `$` in front or without. Every one must be given, and no other. */
export type QueryParameters = readonly SqlParameter[] | Readonly<Record<string, SqlParameter>>;

/** The functions of sqlite-wasm's module that statements need, called without its conversions. */
export interface StatementExports {
  sqlite3_prepare_v2(
    db: WasmPointer,
    sql: WasmPointer,
    sizeBytes: number,
    statementOut: WasmPointer,
    tailOut: WasmPointer,
  ): number;
  sqlite3_step(statement: WasmPointer): number;
  sqlite3_reset(statement: WasmPointer): number;
  sqlite3_clear_bindings(statement: WasmPointer): number;
  sqlite3_finalize(statement: WasmPointer): number;
  sqlite3_stmt_readonly(statement: WasmPointer): number;
  sqlite3_extended_errcode(db: WasmPointer): number;
  sqlite3_bind_parameter_count(statement: WasmPointer): number;
  sqlite3_bind_parameter_name(statement: WasmPointer, index: number): WasmPointer;
  sqlite3_bind_null(statement: WasmPointer, index: number): number;
  sqlite3_bind_double(statement: WasmPointer, index: number, value: number): number;
  sqlite3_bind_int64(statement: WasmPointer, index: number, value: bigint): number;
  sqlite3_bind_text(
    statement: WasmPointer,
    index: number,
    value: WasmPointer,
    sizeBytes: number,
    destructor: number,
  ): number;
  sqlite3_bind_blob(
    statement: WasmPointer,
    index: number,
    value: WasmPointer,
    sizeBytes: number,
    destructor: number,
  ): number;
  sqlite3_column_count(statement: WasmPointer): number;
  sqlite3_column_name(statement: WasmPointer, column: number): WasmPointer;
  sqlite3_column_type(statement: WasmPointer, column: number): number;
  sqlite3_column_double(statement: WasmPointer, column: number): number;
  sqlite3_column_int64(statement: WasmPointer, column: number): bigint;
  sqlite3_column_text(statement: WasmPointer, column: number): WasmPointer;
  sqlite3_column_blob(statement: WasmPointer, column: number): WasmPointer;
  sqlite3_column_bytes(statement: WasmPointer, column: number): number;
  sqlite3_limit(db: WasmPointer, id: number, value: number): number;
  sqlite3_progress_handler(
    db: WasmPointer,
    steps: number,
    handler: WasmPointer,
    user: number,
  ): void;
  sqlite3_set_authorizer(db: WasmPointer, authorizer: WasmPointer, user: number): number;
  sqlite3_uri_parameter(name: WasmPointer, key: WasmPointer): WasmPointer;
  sqlite3_create_function_v2(
    db: WasmPointer,
    name: WasmPointer,
    arity: number,
    flags: number,
    user: number,
    call: WasmPointer,
    step: WasmPointer,
    final: WasmPointer,
    destroy: WasmPointer,
  ): number;
  sqlite3_user_data(context: WasmPointer): number;
  sqlite3_value_type(value: WasmPointer): number;
  sqlite3_value_text(value: WasmPointer): WasmPointer;
  sqlite3_result_int(context: WasmPointer, value: number): void;
  sqlite3_result_text(
    context: WasmPointer,
    text: WasmPointer,
    sizeBytes: number,
    destructor: number,
  ): void;
  sqlite3_result_error(context: WasmPointer, text: WasmPointer, sizeBytes: number): void;
}

/** The module's own functions. */
export function exportsOf(sqlite3: Sqlite3): StatementExports {
  return sqlite3.wasm.exports as StatementExports;
}

const INTEGER = 1;
const FLOAT = 2;
const BLOB = 4;

const MAX_INTEGER = (1n << 63n) - 1n;

/** How a statement is spoken to. */
export interface StatementContext {
  readonly sqlite3: Sqlite3;
  readonly exports: StatementExports;
  readonly memory: WasmMemory;
}

/** Gives a statement its parameters. Throws `InvalidArgumentError` where one is missing, unknown, or of another type. */
export function bindParameters(
  context: StatementContext,
  statement: WasmPointer,
  parameters: QueryParameters,
): void {
  const { exports, memory } = context;
  const count = exports.sqlite3_bind_parameter_count(statement);
  if (Array.isArray(parameters)) {
    const given = parameters as readonly SqlParameter[];
    if (given.length !== count) {
      throw refused(`it has ${count} parameters, and ${given.length} values are given`);
    }
    for (const [i, value] of given.entries()) bind(context, { statement, index: i + 1, value });
    return;
  }
  const named = parameters as Readonly<Record<string, SqlParameter>>;
  const unused = new Set(Object.keys(named));
  for (let index = 1; index <= count; index++) {
    const name = memory.readString(exports.sqlite3_bind_parameter_name(statement, index));
    if (name === "") throw refused(`parameter ${index} has no name`);
    const key = [name, name.slice(1)].find((candidate) => Object.hasOwn(named, candidate));
    if (key === undefined) throw refused(`parameter ${name} has no value`);
    unused.delete(key);
    bind(context, { statement, index, value: named[key] });
  }
  const [unknown] = unused;
  if (unknown !== undefined) throw refused(`it has no parameter ${unknown}`);
}

function bind(
  { exports, memory }: StatementContext,
  to: { readonly statement: WasmPointer; readonly index: number; readonly value: SqlParameter },
): void {
  const { statement, index, value } = to;
  let code: number;
  if (value === null || value === undefined) {
    code = exports.sqlite3_bind_null(statement, index);
  } else if (typeof value === "number") {
    code = Number.isSafeInteger(value)
      ? exports.sqlite3_bind_int64(statement, index, BigInt(value))
      : exports.sqlite3_bind_double(statement, index, value);
  } else if (typeof value === "bigint" || typeof value === "boolean") {
    const integer = BigInt(value);
    if (integer > MAX_INTEGER || integer < -MAX_INTEGER - 1n) {
      throw refused(`parameter ${index} does not fit into 64 bits`);
    }
    code = exports.sqlite3_bind_int64(statement, index, integer);
  } else if (typeof value === "string") {
    const text = memory.allocateString(value);
    const length = memory.stringLength(value);
    code = exports.sqlite3_bind_text(statement, index, text, length, SQLITE_TRANSIENT);
    memory.free(text);
  } else if (value instanceof Uint8Array) {
    // An address that is not NULL, for that would be the value NULL.
    const bytes = memory.allocate(value.length + 1);
    memory.bytes().set(value, bytes);
    code = exports.sqlite3_bind_blob(statement, index, bytes, value.length, SQLITE_TRANSIENT);
    memory.free(bytes);
  } else {
    throw refused(`parameter ${index} is neither a number, a text, bytes, a boolean nor null`);
  }
  if (code !== SQLITE_OK) throw refused(`parameter ${index} is too large`);
}

/** Names of a statement's columns. */
export function columnNames(
  { exports, memory }: StatementContext,
  statement: WasmPointer,
): string[] {
  return Array.from({ length: exports.sqlite3_column_count(statement) }, (_, i) =>
    memory.readString(exports.sqlite3_column_name(statement, i)),
  );
}

/** The row that a statement stands on, and the bytes that its values take. */
export function readRow(
  { exports, memory }: StatementContext,
  statement: WasmPointer,
  width: number,
): { readonly values: SqlValue[]; readonly sizeBytes: number } {
  const values: SqlValue[] = [];
  let sizeBytes = 0;
  for (let i = 0; i < width; i++) {
    switch (exports.sqlite3_column_type(statement, i)) {
      case INTEGER: {
        const near = exports.sqlite3_column_double(statement, i);
        const exact = Number.isSafeInteger(near);
        values.push(exact ? near : exports.sqlite3_column_int64(statement, i));
        sizeBytes += 8;
        break;
      }
      case FLOAT:
        values.push(exports.sqlite3_column_double(statement, i));
        sizeBytes += 8;
        break;
      case SQLITE_TEXT: {
        const pointer = exports.sqlite3_column_text(statement, i);
        const length = exports.sqlite3_column_bytes(statement, i);
        values.push(memory.readText(pointer, length));
        sizeBytes += length;
        break;
      }
      case BLOB: {
        const pointer = exports.sqlite3_column_blob(statement, i);
        const length = exports.sqlite3_column_bytes(statement, i);
        values.push(memory.bytes().slice(pointer, pointer + length) as Uint8Array<ArrayBuffer>);
        sizeBytes += length;
        break;
      }
      default:
        values.push(null);
        sizeBytes += 1;
    }
  }
  return { values, sizeBytes };
}

function refused(what: string): InvalidArgumentError {
  return new InvalidArgumentError({ operation: "run", object: "the statement", what });
}
