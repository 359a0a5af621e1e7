/**
 * Transactions whose COMMIT may have to wait: the wrapper that owns COMMIT.
 *
 * Where the listener keeps transactions back, COMMIT either fails with SQLITE_BUSY and is repeated here once the
 * listener is done, or suspends the wasm stack. Between the two nothing else may run on the connection.
 *
 * @module
 */
import { InvalidArgumentError, isPagestreamError } from "../core/errors.ts";
import type { WasmMemory } from "./bind.ts";
import type { CaptureTables, Handle } from "./capture-tables.ts";
import { SQLITE_BUSY, SQLITE_DONE, SQLITE_OK } from "./constants.ts";
import { VfsError } from "./errors.ts";
import type { CommitWrapper } from "./preparation.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";
import { oneAtATime } from "./suspended-calls.ts";
import { promising, type WasmFunction } from "./trampoline.ts";

/** What transactions run on. */
export interface TransactionContext {
  readonly sqlite3: Sqlite3;
  readonly memory: WasmMemory;
  readonly tables: CaptureTables;
  readonly wrapper: CommitWrapper;
}

/** The connections of one capture whose COMMIT waits now. */
export class Transactions {
  readonly #context: TransactionContext;
  readonly #pending = new Set<WasmPointer>();
  /** The last transaction of each connection that has one. */
  readonly #queues = new Map<WasmPointer, Promise<unknown>>();

  constructor(context: TransactionContext) {
    this.#context = context;
  }

  /** Whether a COMMIT waits on a connection: nothing else may run on it now. */
  pending(connection: WasmPointer): boolean {
    return this.#pending.has(connection);
  }

  /**
   * Runs `work` between BEGIN IMMEDIATE and COMMIT. Resolves when COMMIT has returned; rejects with what `work` threw, or
   * with why COMMIT failed, and then the transaction is rolled back.
   */
  run<T>(connection: WasmPointer, work: () => T): Promise<T> {
    const earlier = this.#queues.get(connection) ?? Promise.resolve();
    const mine = earlier.then(() => this.#run(connection, work));
    const ended = mine.then(
      () => {},
      () => {},
    );
    this.#queues.set(connection, ended);
    void ended.then(() => {
      if (this.#queues.get(connection) === ended) this.#queues.delete(connection);
    });
    return mine;
  }

  async #run<T>(connection: WasmPointer, work: () => T): Promise<T> {
    this.#execute(connection, "BEGIN IMMEDIATE");
    let result: T;
    try {
      result = work();
      if (result instanceof Promise) {
        result.catch(() => {});
        throw new InvalidArgumentError({
          operation: "run",
          object: "a transaction",
          what: "it returned a promise, and nothing may wait inside a transaction",
          next: "Await first, then write",
        });
      }
      await this.#commit(connection);
    } catch (error) {
      this.#rollBack(connection);
      for (const { database } of this.#own(connection)) database.takenBack();
      throw error;
    }
    return result;
  }

  #own(connection: WasmPointer): Handle[] {
    const handles = [...this.#context.tables.main.values()];
    return handles.filter(({ file }) => file.connection === connection);
  }

  async #commit(connection: WasmPointer): Promise<void> {
    const own = this.#own(connection);
    const suspends = own.some(({ database }) => database.preparation.mode === "suspend");
    this.#pending.add(connection);
    try {
      if (suspends) {
        await oneAtATime(this.#context.sqlite3, () => this.#suspendingCommit(connection));
        return;
      }
      for (;;) {
        const code = this.#committing(() => this.#exec(connection, "COMMIT"));
        if (code === SQLITE_OK) return;
        const held = own.find(({ database }) => database.preparation.waiting !== undefined);
        if (code !== SQLITE_BUSY || held === undefined)
          throw this.#failed(connection, "COMMIT", code);
        await held.database.preparation.waiting;
      }
    } finally {
      this.#pending.delete(connection);
    }
  }

  async #suspendingCommit(connection: WasmPointer): Promise<void> {
    const { sqlite3, memory } = this.#context;
    const { capi, wasm } = sqlite3;
    const out = memory.allocate(4);
    let statement: WasmPointer;
    try {
      const code = capi.sqlite3_prepare_v2(connection, "COMMIT", -1, out, 0);
      if (code !== SQLITE_OK) throw this.#failed(connection, "COMMIT", code);
      statement = memory.readU32(out);
    } finally {
      memory.free(out);
    }
    try {
      const { sqlite3_step } = wasm.exports as { readonly sqlite3_step: WasmFunction };
      const step = promising(sqlite3_step);
      const code = await this.#committing(() => step(statement));
      if (code !== SQLITE_DONE) throw this.#failed(connection, "COMMIT", code);
    } finally {
      this.#context.wrapper.committing = false;
      capi.sqlite3_finalize(statement);
    }
  }

  /** Marks what runs synchronously inside as a COMMIT of this wrapper. */
  #committing<T>(call: () => T): T {
    const { wrapper, tables } = this.#context;
    wrapper.committing = true;
    tables.lastError = undefined;
    try {
      return call();
    } finally {
      wrapper.committing = false;
    }
  }

  #rollBack(connection: WasmPointer): void {
    if (this.#context.sqlite3.capi.sqlite3_get_autocommit(connection) !== 0) return;
    this.#execute(connection, "ROLLBACK");
  }

  #execute(connection: WasmPointer, sql: string): void {
    const code = this.#exec(connection, sql);
    if (code !== SQLITE_OK) throw this.#failed(connection, sql, code);
  }

  #exec(connection: WasmPointer, sql: string): number {
    return this.#context.sqlite3.capi.sqlite3_exec(connection, sql, 0, 0, 0);
  }

  #failed(connection: WasmPointer, sql: string, code: number): Error {
    const { tables, sqlite3 } = this.#context;
    // The listener's own reason says more than "disk I/O error".
    if (sql === "COMMIT" && isPagestreamError(tables.lastError)) return tables.lastError;
    return new VfsError({
      operation: "run",
      object: sql,
      what: `SQLite answered "${sqlite3.capi.sqlite3_errmsg(connection)}" (code ${code})`,
    });
  }
}
