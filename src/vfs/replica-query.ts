/**
 * One statement, from its text to its rows.
 *
 * Written as a generator that yields each call into SQLite which may read a page, so that the same steps serve those who
 * make such a call and those who suspend in it.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import {
  SQLITE_AUTH,
  SQLITE_DONE,
  SQLITE_ERROR,
  SQLITE_INTERRUPT,
  SQLITE_OK,
  SQLITE_ROW,
  SQLITE_TOOBIG,
} from "./constants.ts";
import { QueryError } from "./errors.ts";
import type { ReplicaAuthorizer } from "./replica-authorizer.ts";
import { type QueryLimits, tooMuch } from "./replica-limits.ts";
import {
  bindParameters,
  columnNames,
  type QueryParameters,
  readRow,
  type SqlValue,
  type StatementContext,
} from "./replica-values.ts";
import type { WasmPointer } from "./sqlite3.ts";

/** A row as an object of its columns. */
export type Row = Record<string, SqlValue>;

/** The rows of a statement. */
export interface Rows {
  readonly columns: readonly string[];
  readonly rows: SqlValue[][];
  /** Whether the statement may have changed something: a temporary table. */
  readonly writes: boolean;
}

/** A call into SQLite that may read pages, and so may have to wait. */
export interface WasmCall {
  readonly name: "sqlite3_prepare_v2" | "sqlite3_step";
  readonly args: readonly number[];
}

/** A statement that is to run. */
export interface StatementRequest {
  readonly sql: string;
  readonly parameters: QueryParameters;
  readonly limits: QueryLimits;
}

/** What a statement runs on. */
export interface ConnectionContext extends StatementContext {
  readonly connection: WasmPointer;
  /** Undefined where statements may change what a replica cannot keep from changing. */
  readonly authorizer: ReplicaAuthorizer | undefined;
  /** Queries that were run and may be run again, prepared, by their text, the one used last at the end. */
  readonly statements: Map<string, WasmPointer>;
}

/** Statements that are kept prepared, and the longest text of one. */
const KEPT_STATEMENTS = 16;
const KEPT_LENGTH = 4096;

/** What does nothing while it is prepared, as a PRAGMA does. */
const QUERY = /^\s*(select|with)/i;

/** Runs one statement to its end. Each call that is yielded is answered with its result code. */
export function* runStatement(
  context: ConnectionContext,
  request: StatementRequest,
): Generator<WasmCall, Rows, number> {
  const { exports, memory, authorizer, statements } = context;
  const { sql, parameters, limits } = request;
  authorizer?.reset();
  let statement = statements.get(sql) ?? 0;
  statements.delete(sql);
  const out = memory.allocate(8);
  let text = 0;
  let writes = false;
  let isDone = false;
  try {
    if (statement === 0) {
      text = memory.allocateString(sql);
      const prepare = (from: WasmPointer): WasmCall => ({
        name: "sqlite3_prepare_v2",
        args: [context.connection, from, -1, out, out + 4],
      });
      const code = yield prepare(text);
      if (code !== SQLITE_OK) throw failed(context, request, code);
      statement = memory.readU32(out);
      if (statement === 0) throw refused(sql, "it is empty");
      yield* refuseMore(context, request, prepare);
      writes = exports.sqlite3_stmt_readonly(statement) === 0;
      // SQLite takes PRAGMA journal_mode for one that writes even where it only asks.
      if (authorizer !== undefined && writes && !authorizer.hasReadPragma) {
        throw refused(sql, "it writes, and the database is read-only");
      }
    }
    bindParameters(context, statement, parameters);
    // A kept statement knows the columns of `*` only when its first step has seen the schema of this state.
    let columns: string[] | undefined;
    const rows: SqlValue[][] = [];
    const step: WasmCall = { name: "sqlite3_step", args: [statement] };
    let sizeBytes = 0;
    for (;;) {
      const stepped = yield step;
      isDone = stepped === SQLITE_DONE;
      if (!isDone && stepped !== SQLITE_ROW) throw failed(context, request, stepped);
      columns ??= columnNames(context, statement);
      if (isDone) return { columns, rows, writes };
      const row = readRow(context, statement, columns.length);
      sizeBytes += row.sizeBytes;
      rows.push(row.values);
      limits.count(rows.length, sizeBytes);
    }
  } finally {
    if (isDone && !writes && sql.length <= KEPT_LENGTH && QUERY.test(sql)) {
      exports.sqlite3_reset(statement);
      exports.sqlite3_clear_bindings(statement);
      statements.set(sql, statement);
      const [oldest] = statements;
      statement = 0;
      if (oldest && statements.size > KEPT_STATEMENTS) {
        statements.delete(oldest[0]);
        statement = oldest[1];
      }
    }
    exports.sqlite3_finalize(statement);
    memory.free(out);
    memory.free(text);
  }
}

/** Refuses text after the first statement, unless it is blank or a comment: its parameters would be anybody's guess. */
function* refuseMore(
  { exports, memory }: ConnectionContext,
  { sql }: StatementRequest,
  prepare: (from: WasmPointer) => WasmCall,
): Generator<WasmCall, void, number> {
  const call = prepare(0);
  const out = call.args[3] as WasmPointer;
  const tail = memory.readU32(out + 4);
  if (memory.bytes()[tail] === 0) return;
  const code = yield prepare(tail);
  const second = memory.readU32(out);
  exports.sqlite3_finalize(second);
  if (code === SQLITE_OK && second === 0) return;
  throw refused(sql, "it is more than one statement", "Run them one by one");
}

/** What SQLite's result code means, in words. */
function failed(context: ConnectionContext, request: StatementRequest, code: number): Error {
  const { sqlite3, exports, connection, authorizer } = context;
  const { sql, limits } = request;
  const primary = code & 0xff;
  if (primary === SQLITE_INTERRUPT) limits.check();
  if (primary === SQLITE_TOOBIG && limits.maxBytes !== undefined) {
    return tooMuch("a value in it is too large", "maxBytes");
  }
  if (primary === SQLITE_AUTH && authorizer?.refused !== undefined) {
    const what = `it needs ${authorizer.refused}, and the database is read-only`;
    return refused(sql, what, authorizer.next);
  }
  const message = sqlite3.capi.sqlite3_errmsg(connection);
  const resultCode = exports.sqlite3_extended_errcode(connection);
  return new QueryError(
    { operation: "run", object: shortened(sql), what: `SQLite says: ${message}` },
    { resultCode },
  );
}

function refused(sql: string, what: string, next?: string): QueryError {
  const details = { operation: "run", object: shortened(sql), what, next };
  return new QueryError(details, { resultCode: SQLITE_ERROR });
}

/** As much of a statement as a message can hold. */
function shortened(sql: string): string {
  const plain = sql.replaceAll(/\s+/g, " ").trim();
  return JSON.stringify(plain.length > 80 ? `${plain.slice(0, 79)}…` : plain);
}

/** SQL is text, and C ends it at the first zero. */
export function checkSql(sql: unknown): void {
  if (typeof sql === "string" && !sql.includes("\0")) return;
  throw new InvalidArgumentError({
    operation: "run",
    object: "the statement",
    what: "it is no text, or there is a zero character in it",
  });
}
