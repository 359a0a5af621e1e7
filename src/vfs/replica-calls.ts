/**
 * What SQLite calls in the name of connections to replicas: Litestream's functions, what ends a statement that takes too
 * long, and what says which statements may run.
 *
 * Each is installed once for a wasm instance and told by a number whom it is called for: to install one compiles a module of
 * its own.
 *
 * @module
 */
/* oxlint-disable max-params -- the functions have the parameters that SQLite passes. */
import { guard, type Implementation, WasmMemory } from "./bind.ts";
import { SQLITE_DIRECTONLY, SQLITE_TEXT, SQLITE_TRANSIENT, SQLITE_UTF8 } from "./constants.ts";
import type { ReplicaAuthorizer } from "./replica-authorizer.ts";
import { FUNCTIONS } from "./replica-pragmas.ts";
import type { ReplicaSession } from "./replica-session.ts";
import { exportsOf, type StatementExports } from "./replica-values.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";

/** A connection, as SQLite's calls need it. */
export interface ReplicaCallee {
  readonly session: ReplicaSession;
  /** Undefined where statements may change what a replica cannot keep from changing. */
  readonly authorizer: ReplicaAuthorizer | undefined;
  /** Whether the statement that runs is to end now. */
  readonly isOver: () => boolean;
}

/** Steps of the virtual machine between two looks at the clock. */
const PROGRESS_STEPS = 1000;

const calls = new WeakMap<Sqlite3, ReplicaCalls>();

/** The calls of a wasm instance, installed when they are first asked for. */
export function replicaCalls(sqlite3: Sqlite3): ReplicaCalls {
  let known = calls.get(sqlite3);
  if (known === undefined) calls.set(sqlite3, (known = new ReplicaCalls(sqlite3)));
  return known;
}

/** The calls of one wasm instance. */
export class ReplicaCalls {
  readonly #memory: WasmMemory;
  readonly #exports: StatementExports;
  readonly #callees = new Map<number, ReplicaCallee>();
  readonly #names: readonly WasmPointer[];
  readonly #onFunction: WasmPointer;
  readonly #onProgress: WasmPointer;
  readonly #onAuthorize: WasmPointer;
  #count = 0;

  constructor(sqlite3: Sqlite3) {
    this.#memory = new WasmMemory(sqlite3);
    this.#exports = exportsOf(sqlite3);
    this.#names = FUNCTIONS.map(({ name }) => this.#memory.allocateString(name));
    const install = (signature: string, implementation: Implementation): WasmPointer => {
      const guarded = guard(implementation, { failure: 1, report: () => {} });
      return sqlite3.wasm.installFunction(signature, guarded);
    };
    this.#onFunction = install("v(pip)", (context: number, _count: number, values: number) => {
      this.#call(context, values);
      return 0;
    });
    this.#onProgress = install("i(p)", (id: number) =>
      this.#callees.get(id)?.isOver() === true ? 1 : 0,
    );
    // It throws nothing, and has more parameters than a guard.
    this.#onAuthorize = sqlite3.wasm.installFunction(
      "i(pipppp)",
      (id: number, action: number, first: number, second: number) =>
        this.#callees.get(id)?.authorizer?.decide(action, first, second) ?? 0,
    );
  }

  /** Has SQLite call for a connection. The result is to be called when the connection has been closed. */
  serve(connection: WasmPointer, callee: ReplicaCallee): () => void {
    const exports = this.#exports;
    const id = ++this.#count;
    this.#callees.set(id, callee);
    for (const [i, { arity }] of FUNCTIONS.entries()) {
      const flags = SQLITE_UTF8 | (arity > 0 ? SQLITE_DIRECTONLY : 0);
      const user = id * FUNCTIONS.length + i;
      const name = this.#names[i]!;
      exports.sqlite3_create_function_v2(
        connection,
        name,
        arity,
        flags,
        user,
        this.#onFunction,
        0,
        0,
        0,
      );
    }
    exports.sqlite3_progress_handler(connection, PROGRESS_STEPS, this.#onProgress, id);
    if (callee.authorizer !== undefined) {
      exports.sqlite3_set_authorizer(connection, this.#onAuthorize, id);
    }
    return () => void this.#callees.delete(id);
  }

  #call(context: WasmPointer, values: WasmPointer): void {
    const exports = this.#exports;
    const user = exports.sqlite3_user_data(context);
    const { run, arity } = FUNCTIONS[user % FUNCTIONS.length]!;
    try {
      const { session } = this.#callees.get(Math.floor(user / FUNCTIONS.length))!;
      const argument = arity === 0 ? undefined : this.#text(values);
      const result = session.noting(() => run(session, argument));
      if (typeof result === "number") exports.sqlite3_result_int(context, result);
      else
        this.#withText(result, (text) =>
          exports.sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT),
        );
    } catch (error) {
      this.#withText(String(error), (text) => exports.sqlite3_result_error(context, text, -1));
    }
  }

  /** The first argument; undefined where it is no text. */
  #text(values: WasmPointer): string | undefined {
    const value = this.#memory.readU32(values);
    if (this.#exports.sqlite3_value_type(value) !== SQLITE_TEXT) return undefined;
    return this.#memory.readString(this.#exports.sqlite3_value_text(value));
  }

  #withText(text: string, use: (pointer: WasmPointer) => void): void {
    const pointer = this.#memory.allocateString(text);
    use(pointer);
    this.#memory.free(pointer);
  }
}
