/**
 * A connection to a replica, and the ways in which its statements wait for pages.
 *
 * @module
 */
/* oxlint-disable no-await-in-loop -- what a statement misses depends on what it was given before. */
import { abortable } from "../core/abortable.ts";
import { ClosedError, UnsupportedError } from "../core/errors.ts";
import type { PageSource, PageView } from "../core/page-source.ts";
import type { Platform } from "../core/platform.ts";
import { WasmMemory } from "./bind.ts";
import { VfsError } from "./errors.ts";
import { ReplicaAuthorizer } from "./replica-authorizer.ts";
import { replicaCalls } from "./replica-calls.ts";
import { QueryLimits, type QueryOptions, tooMuch } from "./replica-limits.ts";
import { refuseInTransaction } from "./replica-pragmas.ts";
import {
  checkSql,
  type ConnectionContext,
  type Rows,
  runStatement,
  type StatementRequest,
  type WasmCall,
} from "./replica-query.ts";
import {
  type ReplicaDriver,
  ReplicaSession,
  type SessionHydration,
  type SessionTarget,
  unplanned,
} from "./replica-session.ts";
import { exportsOf, type QueryParameters } from "./replica-values.ts";
import { replicaVfs } from "./replica-vfs.ts";
import type { Sqlite3, Sqlite3Database, WasmPointer } from "./sqlite3.ts";
import { oneAtATime } from "./suspended-calls.ts";
import { canSuspend, promising } from "./trampoline.ts";

/** What a connection to a replica is made of. */
export interface ReplicaConnectionOptions<V extends PageView> {
  readonly source: PageSource<V>;
  readonly driver: ReplicaDriver;
  readonly platform: Platform;
  /** Refuse every statement that changes anything at all. */
  readonly readOnly: boolean;
  /** Most bytes of pages that one statement may need with the driver `retry`. */
  readonly maxStatementBytes: number;
  /** The view to begin with; undefined to follow the newest. */
  readonly view?: V | undefined;
  /** The time that `view` was asked for, as SQL is told it. */
  readonly label?: string | undefined;
  /** Finds a state that SQL asked for; undefined stands for the newest, which is then followed. */
  readonly resolve: (target: SessionTarget, signal?: AbortSignal) => Promise<V | undefined>;
  /** How far a local copy has come; undefined where there is none. */
  readonly hydration?: (() => SessionHydration | undefined) | undefined;
  /** Ends the opening. */
  readonly signal?: AbortSignal | undefined;
}

/** Looks for a row by its key, as most first statements do. */
const SCHEMA = "SELECT name FROM sqlite_schema WHERE rowid = 1";

/** What begins a transaction, or sets a savepoint in it, or takes one away. */
const CONTROL = /^\s*(begin|savepoint|release|rollback)\b/i;

const LIMIT_LENGTH = 0;
/** SQLite's own bound of one value. */
const MAX_LENGTH = 1_000_000_000;
/** Least bound of one value: statements may need some that they do not give. */
const MIN_LENGTH = 16 * 1024 * 1024;

/** The driver to use where none was named. Throws `UnsupportedError` where a named one cannot be had. */
export function chooseDriver(wanted: ReplicaDriver | "auto", source: PageSource): ReplicaDriver {
  const blocks = source.fetchSync !== undefined;
  if (wanted === "auto") {
    if (blocks && source.isLocal !== true) return "block";
    if (canSuspend()) return "jspi";
    return blocks ? "block" : "retry";
  }
  if (wanted === "block" && !blocks) {
    throw unsupported(
      "the driver block needs a way to read that blocks",
      "Give blockingReads, or a store of local files",
    );
  }
  if (wanted === "jspi" && !canSuspend()) {
    throw unsupported(
      "this runtime has no WebAssembly.Suspending",
      "Use Node 24 or newer, Deno, Bun, Chromium or workerd, or the driver retry",
    );
  }
  if (/^(retry|jspi|block)$/.test(wanted)) return wanted;
  throw unsupported(`there is no driver ${wanted}`, "Use auto, retry, jspi or block");
}

/** A connection. Its statements run one after another. */
export class ReplicaConnection<V extends PageView> {
  readonly db: Sqlite3Database;
  readonly session: ReplicaSession<V>;
  /** What the database is called: another name for it in SQL does not exist. */
  readonly path: string;
  readonly #options: ReplicaConnectionOptions<V>;
  readonly #context: ConnectionContext;
  readonly #forget: () => void;
  readonly #dismiss: () => void;
  readonly #suspending: Partial<Record<string, (...args: unknown[]) => Promise<number>>> = {};
  #limits: QueryLimits | undefined;
  #valueLimit = MAX_LENGTH;
  /** The open transaction has changed temporary tables. */
  #hasWritten = false;
  /** The statements that began the open transaction and set its savepoints. */
  readonly #controls: string[] = [];
  #isClosed = false;

  private constructor(
    sqlite3: Sqlite3,
    options: ReplicaConnectionOptions<V>,
    session: ReplicaSession<V>,
  ) {
    this.#options = options;
    this.session = session;
    const vfs = replicaVfs(sqlite3);
    const { path, forget } = vfs.add(session as unknown as ReplicaSession);
    this.path = path;
    this.#forget = forget;
    const memory = new WasmMemory(sqlite3);
    const exports = exportsOf(sqlite3);
    try {
      this.db = new sqlite3.oo1.DB(path, "r", vfs.name);
    } catch (error) {
      forget();
      throw session.failure ?? error;
    }
    const connection = this.db.pointer as WasmPointer;
    const authorizer = options.readOnly ? new ReplicaAuthorizer(memory) : undefined;
    const statements = new Map<string, WasmPointer>();
    this.#context = { sqlite3, exports, memory, connection, authorizer, statements };
    session.isInTransaction = () => sqlite3.capi.sqlite3_get_autocommit(connection) === 0;
    const isOver = (): boolean => this.#limits?.isOver === true;
    const readable = session as unknown as ReplicaSession;
    const calls = replicaCalls(sqlite3);
    this.#dismiss = calls.serve(connection, { session: readable, authorizer, isOver });
  }

  /** Opens a connection. The first page is fetched before SQLite asks for it. */
  static async open<V extends PageView>(
    sqlite3: Sqlite3,
    options: ReplicaConnectionOptions<V>,
  ): Promise<ReplicaConnection<V>> {
    const { source, driver, platform, readOnly, view, hydration, signal } = options;
    const now = (): number => platform.clock.now();
    const context = { source, driver, now, platform, hydration, mayTravel: !readOnly };
    const session = new ReplicaSession(context);
    session.fix(view, options.label);
    session.isRunning = true;
    session.hold();
    const { next } = session;
    try {
      // Others read meanwhile: it may have gone again before its turn has come.
      while (next.commit > 0 && source.peek(next, 1) === undefined) {
        await source.fetch(next, [1], { signal });
      }
      return new ReplicaConnection(sqlite3, options, session);
    } catch (error) {
      session.fix(undefined);
      throw error;
    } finally {
      session.isRunning = false;
      session.release();
    }
  }

  /** Why the last read failed. */
  get lastError(): unknown {
    const { session } = this;
    if (session.failure !== undefined || session.isComplete) return session.failure;
    if (session.lacksState) return unplanned("another state");
    return new VfsError({
      operation: "read",
      object: session.source.name,
      what: "a page is not in memory, and SQLite cannot wait for it",
      next: `Use query() of the replica database${session.driver === "block" ? "" : ", or the driver block"}`,
    });
  }

  /**
   * Has SQLite read the schema, as far as its pages are in memory. The first statement needs it, and SQLite's own code: while
   * other pages are on their way there is time for both. What fails is told by that statement.
   */
  async readSchema(): Promise<void> {
    const { session } = this;
    const limits = new QueryLimits({}, this.#options.platform);
    session.isRunning = true;
    session.hold();
    try {
      await this.#drive(
        runStatement(this.#context, { sql: SCHEMA, parameters: [], limits }),
        false,
      );
    } catch {
      // Whatever it was, it is no statement of anybody's.
    } finally {
      session.clear();
      session.isRunning = false;
      session.release();
    }
  }

  /** Runs one statement to its end. */
  async run(
    sql: string,
    parameters: QueryParameters = [],
    options: QueryOptions = {},
  ): Promise<Rows> {
    const limits = new QueryLimits(options, this.#options.platform);
    const work = this.#oneAtATime(async () => {
      limits.check();
      this.#refuseClosed();
      checkSql(sql);
      this.#limits = limits;
      this.session.signal = limits.signal;
      this.session.releaseIfIdle();
      this.session.isRunning = true;
      this.#limitValues(limits.maxBytes);
      this.session.hold();
      const endKeeping = this.session.driver === "retry" ? this.session.keep() : undefined;
      try {
        const rows = await this.#tryUntilComplete({ sql, parameters, limits });
        if (rows.writes) this.#hasWritten = true;
        if (CONTROL.test(sql)) this.#controls.push(sql);
        return rows;
      } finally {
        endKeeping?.();
        this.#limits = undefined;
        this.session.signal = undefined;
        this.session.isRunning = false;
        if (!this.session.isInTransaction()) {
          this.#hasWritten = false;
          this.#controls.length = 0;
          this.session.release();
        }
      }
    });
    try {
      return await limits.race(work);
    } finally {
      limits.dispose();
    }
  }

  /** Looks at another state from now on. Throws `UnsupportedError` in a transaction. */
  travel(view: V | undefined, label: string | undefined): Promise<void> {
    return this.#oneAtATime(() => {
      this.#refuseClosed();
      refuseInTransaction(this.session, "another state");
      this.session.fix(view, label);
    });
  }

  /** Closes the connection, after the statement that runs. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#oneAtATime(() => {
      const { exports, statements } = this.#context;
      for (const statement of statements.values()) exports.sqlite3_finalize(statement);
      this.db.close();
      this.#dismiss();
      this.session.close();
      this.#forget();
    });
  }

  /** Statements that suspend share one stack with all others of the wasm instance. */
  #oneAtATime<T>(work: () => T | Promise<T>): Promise<T> {
    const { driver } = this.session;
    return oneAtATime(driver === "jspi" ? this.#context.sqlite3 : this.session, work);
  }

  #refuseClosed(): void {
    if (!this.#isClosed && this.db.pointer !== undefined) return;
    throw new ClosedError({
      operation: "use",
      object: this.session.source.name,
      what: "the database is closed",
    });
  }

  /** Keeps one value from taking all memory, where rows are bounded. */
  #limitValues(maxBytes: number | undefined): void {
    const limit = maxBytes === undefined ? MAX_LENGTH : Math.max(MIN_LENGTH, maxBytes);
    if (limit === this.#valueLimit) return;
    this.#context.exports.sqlite3_limit(this.#context.connection, LIMIT_LENGTH, limit);
    this.#valueLimit = limit;
  }

  async #tryUntilComplete(request: StatementRequest): Promise<Rows> {
    const { session } = this;
    const { limits, sql } = request;
    const wasInTransaction = session.isInTransaction();
    // A call that can be suspended costs more than most queries whose pages are in memory, as those of a query that ran before
    // are. Not in a transaction, which a failed read would end.
    let isLikelyWarm =
      !wasInTransaction && (session.source.isLocal === true || this.#context.statements.has(sql));
    for (;;) {
      limits.check();
      session.clear();
      let outcome: { readonly rows: Rows } | { readonly error: unknown };
      try {
        const statement = runStatement(this.#context, request);
        const suspends = session.driver === "jspi" && !isLikelyWarm;
        session.beginTurn(suspends);
        outcome = { rows: await this.#drive(statement, suspends) };
      } catch (error) {
        outcome = { error };
      }
      if (session.failure === undefined && session.isComplete) {
        if ("rows" in outcome) return outcome.rows;
        throw outcome.error;
      }
      // A failed read ends the transaction for SQLite alone; the view is still held, so it can begin where it was.
      const hasEnded = wasInTransaction && !session.isInTransaction();
      if (hasEnded && !this.#hasWritten) this.#beginAgain();
      if (session.failure !== undefined) {
        limits.check();
        throw session.failure;
      }
      isLikelyWarm = false;
      await this.#fetchMissed(limits);
      if (!hasEnded || !this.#hasWritten) continue;
      throw unsupported(
        "a page was missing inside a transaction that has changed temporary tables, and they are lost",
        "Use the driver jspi or block",
      );
    }
  }

  /** Runs a statement. Its calls may suspend, or wait for nothing. */
  async #drive(statement: Generator<WasmCall, Rows, number>, suspends: boolean): Promise<Rows> {
    const { session } = this;
    const { exports } = this.#context;
    for (let turn = statement.next(); ;) {
      if (turn.done) return turn.value;
      const { name, args } = turn.value;
      const call = exports[name] as unknown as (...args: readonly number[]) => number;
      let code: number;
      session.canSuspend = suspends;
      try {
        code = suspends
          ? await (this.#suspending[name] ??= promising(call))(...args)
          : call(...args);
      } catch (error) {
        statement.return({ columns: [], rows: [], writes: false });
        throw error;
      } finally {
        session.canSuspend = false;
      }
      turn = statement.next(code);
    }
  }

  async #fetchMissed(limits: QueryLimits): Promise<void> {
    const { session } = this;
    const { source, maxStatementBytes, resolve } = this.#options;
    const { signal } = limits;
    const object = source.name;
    const waiting = <T>(step: Promise<T>): Promise<T> =>
      abortable(step, { operation: "read", object, signal }).catch((error: unknown) => {
        limits.check();
        throw error;
      });
    for (const target of session.takeWanted()) {
      session.plan(target, await waiting(resolve(target, signal)));
    }
    const needed = (session.kept?.size ?? 0) * session.next.pageSize;
    if (needed > maxStatementBytes) {
      throw tooMuch(
        `it needs more than ${maxStatementBytes} bytes of pages at once`,
        "maxStatementBytes, or use the driver jspi or block",
      );
    }
    for (const [view, pgnos] of session.takeMissed()) {
      await waiting(source.fetch(view, [...pgnos], { signal }));
    }
  }

  #beginAgain(): void {
    const { sqlite3, connection } = this.#context;
    // One without any was begun on the database itself.
    for (const sql of this.#controls.length > 0 ? this.#controls : ["BEGIN"]) {
      sqlite3.capi.sqlite3_exec(connection, sql, 0, 0, 0);
    }
  }
}

function unsupported(what: string, next: string): UnsupportedError {
  return new UnsupportedError({ operation: "read", object: "the replica", what, next });
}
