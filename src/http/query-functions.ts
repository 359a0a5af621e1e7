/**
 * What takes SQLite as long as two lengths multiplied, and is one step to it, which no deadline ends: `instr` of two texts of a
 * megabyte keeps the thread for minutes. Here such functions refuse what would take long, and are SQLite's own otherwise.
 *
 * @module
 */
import type { Sqlite3, WasmPointer } from "../vfs/sqlite3.ts";

/** Most bytes of one argument times those of another: a second or two. */
const MOST_WORK = 2 ** 28;
/** Longest pattern of LIKE and GLOB, in bytes. */
const PATTERN_BYTES = 50;

const LIMIT_LENGTH = 0;
const LIMIT_LIKE_PATTERN_LENGTH = 8;
const UTF8_DETERMINISTIC_INNOCUOUS = 0x1 | 0x800 | 0x20_0000;
const TRANSIENT = -1;
const BLOB = 4;
const NULL = 5;

/** The functions of the module that are called without conversions. */
interface Exports {
  sqlite3_limit(db: WasmPointer, id: number, value: number): number;
  sqlite3_value_type(value: WasmPointer): number;
  sqlite3_value_blob(value: WasmPointer): WasmPointer;
  sqlite3_value_bytes(value: WasmPointer): number;
  sqlite3_result_null(context: WasmPointer): void;
  sqlite3_result_int(context: WasmPointer, value: number): void;
  sqlite3_result_text(context: WasmPointer, at: WasmPointer, size: number, kind: number): void;
  sqlite3_result_error(context: WasmPointer, message: WasmPointer, size: number): void;
  sqlite3_result_error_toobig(context: WasmPointer): void;
  sqlite3_result_error_nomem(context: WasmPointer): void;
}

/** A function of the C API that sqlite-wasm has with conversions of its own. */
interface Capi {
  sqlite3_create_function_v2(
    db: WasmPointer,
    name: string,
    arity: number,
    flags: number,
    user: 0,
    ...functions: readonly [WasmPointer, 0, 0, 0]
  ): number;
}

/** An argument: its bytes as text, or as a blob. */
interface Argument {
  readonly bytes: Uint8Array;
  readonly isBlob: boolean;
}

/** What a function does with two arguments that are not NULL, and perhaps a third; undefined is NULL. */
type Work = (one: Argument, two: Argument, three?: Argument) => number | Uint8Array | undefined;

/** Gives a connection for the statements of strangers the functions. Call what is returned once it is closed. */
export function boundFunctions(sqlite3: Sqlite3, connection: WasmPointer): () => void {
  const { wasm } = sqlite3;
  const exports = wasm.exports as Exports;
  const capi = sqlite3.capi as unknown as Capi;
  const installed: WasmPointer[] = [];
  exports.sqlite3_limit(connection, LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES);

  const give = (context: WasmPointer, bytes: Uint8Array, fail?: "fail"): void => {
    const at = sqlite3.capi.sqlite3_malloc(Math.max(1, bytes.length));
    if (at === 0) return exports.sqlite3_result_error_nomem(context);
    wasm.heap8u().set(bytes, at);
    if (fail === undefined) exports.sqlite3_result_text(context, at, bytes.length, TRANSIENT);
    else exports.sqlite3_result_error(context, at, bytes.length);
    sqlite3.capi.sqlite3_free(at);
  };
  const argumentAt = (at: WasmPointer): Argument | undefined => {
    const value = new DataView(wasm.heap8u().buffer).getUint32(at, true);
    const type = exports.sqlite3_value_type(value);
    if (type === NULL) return undefined;
    const from = exports.sqlite3_value_blob(value);
    const size = exports.sqlite3_value_bytes(value);
    return { bytes: wasm.heap8u().slice(from, from + size), isBlob: type === BLOB };
  };
  const define = (name: string, arity: number, work: Work): void => {
    const implementation = (context: WasmPointer, count: number, at: WasmPointer): void => {
      try {
        const [one, two] = [argumentAt(at), argumentAt(at + 4)];
        if (one === undefined || two === undefined) return exports.sqlite3_result_null(context);
        if (one.bytes.length * two.bytes.length > MOST_WORK) throw new RangeError();
        const result = work(one, two, count > 2 ? argumentAt(at + 8) : undefined);
        if (result === undefined) return exports.sqlite3_result_null(context);
        if (typeof result === "number") exports.sqlite3_result_int(context, result);
        else if (result.length > exports.sqlite3_limit(connection, LIMIT_LENGTH, -1)) {
          exports.sqlite3_result_error_toobig(context);
        } else give(context, result);
      } catch {
        const isAbsent = work === absent;
        const message = `${name}() ${isAbsent ? "is not to be had" : "of so much takes too long"} here`;
        give(context, new TextEncoder().encode(message), "fail");
      }
    };
    const pointer = wasm.installFunction("v(pip)", implementation);
    installed.push(pointer);
    const functions = [pointer, 0, 0, 0] as const;
    const flags = UTF8_DETERMINISTIC_INNOCUOUS;
    capi.sqlite3_create_function_v2(connection, name, arity, flags, 0, ...functions);
  };

  define("instr", 2, positionOf);
  define("replace", 3, (text, part, by) => replaced(text.bytes, part.bytes, by?.bytes));
  for (const [name, ends] of [
    ["trim", "both"],
    ["ltrim", "left"],
    ["rtrim", "right"],
  ] as const) {
    define(name, 2, (text, chars) => trimmed(text.bytes, charactersOf(chars.bytes), ends));
  }
  // Nobody needs them to read, and they would have to be written anew.
  for (const name of ["json_patch", "jsonb_patch", "unhex"]) {
    define(name, 2, absent);
  }
  return () => {
    for (const pointer of installed) wasm.uninstallFunction(pointer);
  };
}

function absent(): never {
  throw new RangeError();
}

/** Index of `part` from `from` on; -1 where it is not. */
function indexOf(bytes: Uint8Array, part: Uint8Array, from: number): number {
  const last = bytes.length - part.length;
  for (let at = from; at <= last; at++) if (isAt(bytes, part, at)) return at;
  return -1;
}

function isAt(bytes: Uint8Array, part: Uint8Array, at: number): boolean {
  if (at < 0 || at + part.length > bytes.length) return false;
  for (let i = 0; i < part.length; i++) if (bytes[at + i] !== part[i]) return false;
  return true;
}

/** Position from 1 in characters, or in bytes of two blobs; 0 where it is not there. */
function positionOf(text: Argument, part: Argument): number {
  const at = indexOf(text.bytes, part.bytes, 0);
  if (at < 0 || (text.isBlob && part.isBlob)) return at + 1;
  let position = 1;
  for (let i = 0; i < at; i++) if (isStart(text.bytes[i + 1])) position++;
  return position;
}

/** Whether a byte begins a character. */
function isStart(byte: number | undefined): boolean {
  return byte === undefined || (byte & 0xc0) !== 0x80;
}

function replaced(
  bytes: Uint8Array,
  part: Uint8Array,
  by: Uint8Array | undefined,
): Uint8Array | undefined {
  if (part.length === 0 || part[0] === 0) return bytes;
  if (by === undefined) return undefined;
  const found: number[] = [];
  for (let at = 0; (at = indexOf(bytes, part, at)) >= 0; at += part.length) found.push(at);
  const size = bytes.length + found.length * (by.length - part.length);
  if (size > MOST_WORK) throw new RangeError();
  const result = new Uint8Array(size);
  let [from, to] = [0, 0];
  for (const at of found) {
    result.set(bytes.subarray(from, at), to);
    result.set(by, to + at - from);
    to += at - from + by.length;
    from = at + part.length;
  }
  result.set(bytes.subarray(from), to);
  return result;
}

function charactersOf(bytes: Uint8Array): Uint8Array[] {
  const characters: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    let end = at + 1;
    while (end < bytes.length && !isStart(bytes[end])) end++;
    characters.push(bytes.subarray(at, end));
    at = end;
  }
  return characters;
}

function trimmed(
  bytes: Uint8Array,
  characters: readonly Uint8Array[],
  ends: "both" | "left" | "right",
): Uint8Array {
  let [from, to] = [0, bytes.length];
  const sizeAt = (at: (size: number) => number): number =>
    from === to
      ? 0
      : (characters.find((each) => each.length <= to - from && isAt(bytes, each, at(each.length)))
          ?.length ?? 0);
  if (ends !== "right") for (let size; (size = sizeAt(() => from)) > 0;) from += size;
  if (ends !== "left") for (let size; (size = sizeAt((length) => to - length)) > 0;) to -= size;
  return bytes.subarray(from, to);
}
