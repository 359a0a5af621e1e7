/**
 * `openReplicaDatabase`: SQL on a replica, now or in the past, without restoring it.
 *
 * @module
 */
import { abortable } from "../core/abortable.ts";
import { InvalidArgumentError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { HydrationTarget } from "../replica/hydrate-target.ts";
import { hydrate, type Hydrated, type HydrateOptions } from "../replica/hydrate.ts";
import type { RestoreTarget } from "../replica/plan.ts";
import type { ReaderInside } from "../replica/reader-inside.ts";
import type { ReaderStats, ReaderWait, ReplicaReader, ReplicaView } from "../replica/reader.ts";
import { resolveTarget } from "../replica/restore-options.ts";
import { webPlatform } from "../transports/web-platform.ts";
import { guardDatabase } from "../vfs/guarded-database.ts";
import {
  chooseDriver,
  ReplicaConnection,
  type ReplicaConnectionOptions,
} from "../vfs/replica-connection.ts";
import { QueryLimits } from "../vfs/replica-limits.ts";
import type { ReplicaDriver, SessionTarget } from "../vfs/replica-session.ts";
import type { Sqlite3 } from "../vfs/sqlite3.ts";
import { changedRows } from "./changed-rows.ts";
import type {
  DiffOptions,
  OpenReplicaDatabaseOptions,
  QueryOptions,
  QueryParameters,
  QueryResult,
  ReplicaDatabase,
  ReplicaDiff,
  Row,
  ViewTarget,
} from "./open-replica-database-options.ts";
import { compareStates } from "./open-replica-database-diff.ts";
import { openReplicaReader } from "./open-replica-reader.ts";
import { touchedTables } from "./touched-tables.ts";

export type {
  DiffOptions,
  OpenReplicaDatabaseOptions,
  QueryOptions,
  QueryParameters,
  QueryResult,
  QueryStats,
  ReplicaDatabase,
  ReplicaDiff,
  ReplicaDriver,
  Row,
  RowKey,
  SqlParameter,
  SqlValue,
  TableDiff,
  ViewTarget,
} from "./open-replica-database-options.ts";

const QUERYING = { what: "a query of it waits for the store", next: "Await the query first" };

const STATEMENT_BYTES = 64 * 1024 * 1024;

/**
 * Opens a replica as a read-only database. Only the pages that statements touch are read from the store.
 *
 * Without `txid` and `timestamp` the newest state is followed: each statement sees the newest that is known when it begins,
 * each transaction one state to its end.
 *
 * Throws what `openReplicaReader` throws, and `UnsupportedError` for a driver that the runtime does not have.
 *
 * @example
 * ```ts
 * import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
 * import { openReplicated } from "pagestream";
 * import { memoryStore } from "pagestream/transports/memory";
 * import { openReplicaDatabase } from "pagestream/vfs";
 *
 * const sqlite3 = await sqlite3InitModule();
 * const store = memoryStore();
 * await using app = await openReplicated({ sqlite3, path: "app.db", replica: store });
 * app.db.exec("CREATE TABLE doc(id INTEGER PRIMARY KEY, title); INSERT INTO doc VALUES (42, 'hello')");
 * await app.replication.durable();
 *
 * await using view = await openReplicaDatabase({ sqlite3, replica: store });
 * const rows = await view.query("SELECT title FROM doc WHERE id = ?", [42]);
 * console.log(rows, view.txid, view.stats.requests);
 * ```
 */
export async function openReplicaDatabase<S extends Sqlite3>(
  options: OpenReplicaDatabaseOptions<S>,
): Promise<ReplicaDatabase<S>> {
  const { replica, signal } = options;
  const isGiven = "peek" in replica;
  const platform = options.platform ?? (isGiven ? replica.replica.platform : webPlatform);
  const target = resolveTarget(options, platform.clock.now());
  const { txid: _txid, timestamp: _timestamp, ...reading } = options;
  const reader = isGiven
    ? replica
    : await openReplicaReader(replica, { ...reading, platform, target });
  try {
    const isNewest = target.txid === undefined && target.timestamp === undefined;
    const given = isGiven && !isNewest ? await reader.viewAt(target, { signal }) : reader.latest;
    const driver = chooseDriver(options.driver ?? "auto", reader);
    const hydration: { current?: Hydrated } = {};
    const connection: ReplicaConnectionOptions<ReplicaView> = {
      source: reader,
      driver,
      platform,
      readOnly: options.readOnly ?? true,
      maxStatementBytes: options.maxStatementBytes ?? STATEMENT_BYTES,
      view: isNewest ? undefined : given,
      label: labelOf(target),
      resolve: (wanted, waiting) => resolveWanted(reader, wanted, { platform, signal: waiting }),
      hydration: () => {
        const { current } = hydration;
        if (current === undefined) return undefined;
        return { percent: percentageOf(current), path: current.target.path };
      },
      signal,
    };
    const { sqlite3 } = options;
    const opened = await ReplicaConnection.open(sqlite3, connection);
    try {
      await opened.readSchema();
      if (!isGiven) {
        const { readingAhead } = reader as ReplicaReader & ReaderInside;
        await abortable(readingAhead, { operation: "read", object: reader.name, signal });
      }
    } catch (error) {
      await opened.close();
      throw error;
    }
    return new Database<S>({ sqlite3, reader, isGiven, connection, opened, hydration });
  } catch (error) {
    if (!isGiven) await reader.close();
    throw error;
  }
}

/** What an open database is made of. */
interface Parts<S extends Sqlite3> {
  readonly sqlite3: S;
  readonly reader: ReplicaReader;
  readonly isGiven: boolean;
  readonly connection: ReplicaConnectionOptions<ReplicaView>;
  readonly opened: ReplicaConnection<ReplicaView>;
  /** The last that was begun through the database. */
  readonly hydration: { current?: Hydrated };
}

class Database<S extends Sqlite3> implements ReplicaDatabase<S> {
  readonly db: InstanceType<S["oo1"]["DB"]>;
  readonly driver: ReplicaDriver;
  readonly reader: ReplicaReader;
  readonly #parts: Parts<S>;
  readonly #connection: ReplicaConnection<ReplicaView>;

  constructor(parts: Parts<S>) {
    this.#parts = parts;
    this.#connection = parts.opened;
    this.reader = parts.reader;
    this.driver = parts.connection.driver;
    const { db, session } = parts.opened;
    // A call in between would run on the connection whose call is suspended.
    const own = this.driver === "jspi" ? guardDatabase(db, () => session.isRunning, QUERYING) : db;
    this.db = own as InstanceType<S["oo1"]["DB"]>;
  }

  get txid(): bigint {
    return this.#connection.session.view.txid;
  }

  get time(): Date {
    return this.#connection.session.view.time;
  }

  get stats(): ReaderStats {
    return this.reader.stats;
  }

  get lastError(): unknown {
    return this.#connection.lastError;
  }

  async query(sql: string, params?: QueryParameters, options?: QueryOptions): Promise<Row[]> {
    const { columns, rows } = await this.#connection.run(sql, params, options);
    return rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]!])));
  }

  async execute(
    sql: string,
    params?: QueryParameters,
    options?: QueryOptions,
  ): Promise<QueryResult> {
    const before = { ...this.stats };
    const { columns, rows } = await this.#connection.run(sql, params, options);
    const { requests, bytes, pages } = this.stats;
    const stats = {
      requests: requests - before.requests,
      bytes: bytes - before.bytes,
      pages: pages - before.pages,
    };
    return { columns, rows, stats };
  }

  async refresh(options?: ReaderWait): Promise<ReplicaView> {
    await this.reader.refresh(options);
    return this.#connection.session.view;
  }

  async setTime(target: ViewTarget | undefined, options?: ReaderWait): Promise<ReplicaView> {
    const wanted = target === undefined ? {} : this.#resolve(target);
    const isNewest = wanted.txid === undefined && wanted.timestamp === undefined;
    const view = await this.reader.viewAt(wanted, options);
    await this.#connection.travel(isNewest ? undefined : view, labelOf(wanted));
    return view;
  }

  async diff(from: ViewTarget, to: ViewTarget, options: DiffOptions = {}): Promise<ReplicaDiff> {
    const { sqlite3, reader, connection } = this.#parts;
    const before = await reader.viewAt(this.#resolve(from), options);
    const after = await reader.viewAt(this.#resolve(to), options);
    const pages = reader.changedPages(before, after);
    if (pages.length === 0) return { from: before, to: after, pages, tables: [] };
    const { signal, timeoutMs, maxKeys } = options;
    const comparing = await ReplicaConnection.open(sqlite3, {
      ...connection,
      view: after,
      readOnly: false,
      resolve: () => Promise.resolve(before),
      signal,
    });
    const limits = new QueryLimits({ signal, timeoutMs }, connection.platform);
    const releases = [reader.pin(before), reader.pin(after)];
    try {
      const difference = { from: before, to: after, pages };
      const touched = await limits.race(touchedTables(reader, difference, limits.signal));
      const changed = (root: number): ReturnType<typeof changedRows> =>
        limits.race(changedRows(reader, difference, { root, signal: limits.signal }));
      const comparison = { limits, signal, maxKeys, touched, changed };
      const tables = await compareStates(comparing, comparison);
      return { ...difference, tables };
    } finally {
      for (const release of releases) release();
      limits.dispose();
      await comparing.close();
    }
  }

  async hydrate(target: HydrationTarget, options?: HydrateOptions): Promise<Hydrated> {
    const hydrated = await hydrate(this.reader, target, options);
    this.#parts.hydration.current = hydrated;
    return hydrated;
  }

  async close(): Promise<void> {
    await this.#connection.close();
    if (!this.#parts.isGiven) await this.#parts.hydration.current?.close();
    if (!this.#parts.isGiven) await this.reader.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #resolve(target: ViewTarget): RestoreTarget {
    return resolveTarget(target, this.#parts.connection.platform.clock.now());
  }
}

/** The state that SQL asked for; undefined for the newest. */
async function resolveWanted(
  reader: ReplicaReader,
  wanted: SessionTarget,
  context: { readonly platform: Platform; readonly signal: AbortSignal | undefined },
): Promise<ReplicaView | undefined> {
  const { platform, signal } = context;
  if ("latest" in wanted) {
    await reader.refresh({ signal });
    return undefined;
  }
  if ("txid" in wanted && wanted.txid === "") {
    throw new InvalidArgumentError({
      operation: "look at",
      object: reader.name,
      what: "the TXID is empty",
      next: "Give its 16 hex digits",
    });
  }
  return await reader.viewAt(resolveTarget(wanted, platform.clock.now()), { signal });
}

/** How much of the newest state is in the copy, of 100. */
function percentageOf(hydrated: Hydrated): number {
  const { pages, totalPages } = hydrated.progress;
  return totalPages === 0 ? 0 : (100 * pages) / totalPages;
}

/** The time that was asked for, as SQL is told it. */
function labelOf({ timestamp }: RestoreTarget): string | undefined {
  return timestamp?.toISOString();
}
