/**
 * What a replica opened as a database can be told, and what it gives.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { HydrationTarget } from "../replica/hydrate-target.ts";
import type { Hydrated, HydrateOptions } from "../replica/hydrate.ts";
import type {
  ReaderRequest,
  ReaderStats,
  ReaderWait,
  ReplicaReader,
  ReplicaView,
} from "../replica/reader-options.ts";
import type { Replica } from "../replica/replica.ts";
import type { TimeInput } from "../replica/timestamps.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import type { QueryOptions } from "../vfs/replica-limits.ts";
import type { Row } from "../vfs/replica-query.ts";
import type { ReplicaDriver } from "../vfs/replica-session.ts";
import type { QueryParameters, SqlParameter, SqlValue } from "../vfs/replica-values.ts";
import type { Sqlite3 } from "../vfs/sqlite3.ts";

export type { QueryOptions, QueryParameters, ReplicaDriver, Row, SqlParameter, SqlValue };

/** Which state of a replica to look at: a TXID, or a time, or neither for the newest. */
export interface ViewTarget {
  /** A TXID or its 16 hex digits. */
  readonly txid?: bigint | string | undefined;
  /** The state of this time, inclusive; one in the future is an error. Excludes `txid`. */
  readonly timestamp?: TimeInput | undefined;
}

/** Options of {@linkcode openReplicaDatabase}. */
export interface OpenReplicaDatabaseOptions<S extends Sqlite3>
  extends Omit<ReaderRequest, "target" | "allowFuture">, ViewTarget {
  /** What `sqlite3InitModule()` of `@sqlite.org/sqlite-wasm` resolved to. */
  readonly sqlite3: S;
  /**
   * What to read: a store, a replica, or a reader that several databases share. Such a reader stays open when the database
   * is closed, and has options of its own: those of this call that are about reading are for the other two.
   */
  readonly replica: ObjectStore | Replica | ReplicaReader;
  /**
   * How a page that is not in memory is waited for. `retry` lets the statement fail, fetches and runs it again; `jspi`
   * suspends the wasm stack; `block` blocks the thread, and needs `blockingReads` or local files. `auto` blocks where it was
   * given `blockingReads`, else suspends where the runtime can, else blocks for local files, else retries.
   *
   * Pages of local files are read at once, in microseconds, by `jspi` too: it suspends only every 20 ms, so that others get
   * their turn. @default "auto"
   */
  readonly driver?: ReplicaDriver | "auto" | undefined;
  /**
   * Refuse every statement that changes anything at all: temporary tables, ATTACH, settings, `litestream_set_time`. With
   * `false` those are allowed; the replica is never written to. @default true
   */
  readonly readOnly?: boolean | undefined;
  /** Most memory in bytes for the pages of one statement with the driver `retry`. @default 67108864 (64 MiB) */
  readonly maxStatementBytes?: number | undefined;
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** How often and how long each request is tried. @default four tries within 15 seconds */
  readonly retry?: RetryPolicy | undefined;
}

/** What a query has cost. Queries that run at the same time on one reader are counted in each other's. */
export type QueryStats = Pick<ReaderStats, "requests" | "bytes" | "pages">;

/** The answer to a statement, as columns and rows. */
export interface QueryResult {
  /** Names of the columns, in order. */
  readonly columns: readonly string[];
  /** The values of each row, in the order of the columns. */
  readonly rows: readonly (readonly SqlValue[])[];
  /** What it has cost. */
  readonly stats: QueryStats;
}

/** Options of `diff`. */
export interface DiffOptions extends ReaderWait {
  /** Most keys that are listed for a table, of each kind. @default 1000 */
  readonly maxKeys?: number | undefined;
  /** Milliseconds after which `TimeoutError` ends it. @default no limit */
  readonly timeoutMs?: number | undefined;
}

/** The key of a row: its rowid, or the columns of its primary key in their order. */
export type RowKey = readonly SqlValue[];

/** How a table differs between two states. */
export interface TableDiff {
  /** Name of the table. */
  readonly table: string;
  /** Whether the table is in one of the states only, or has other columns; its rows are then compared by those in both. */
  readonly schema: "same" | "created" | "dropped" | "altered";
  /** What the keys are made of: `rowid`, or the columns of the primary key. */
  readonly key: readonly string[];
  /** Keys of the rows that only the later state has. */
  readonly inserted: readonly RowKey[];
  /** Keys of the rows that only the earlier state has. */
  readonly deleted: readonly RowKey[];
  /** Keys of the rows that both states have with other values. */
  readonly updated: readonly RowKey[];
  /** Whether all keys are listed; false where there are more than `maxKeys` of a kind. */
  readonly complete: boolean;
}

/** How two states differ. */
export interface ReplicaDiff {
  /** The state that was compared from. */
  readonly from: ReplicaView;
  /** The state that was compared to. */
  readonly to: ReplicaView;
  /** Numbers of the pages that may differ, in ascending order. */
  readonly pages: Uint32Array;
  /** The tables that differ, by name. Virtual tables are told by the tables that hold their rows. */
  readonly tables: readonly TableDiff[];
}

/**
 * A replica as a database. Calls may overlap: statements run one after another, each on one state of the replica. Between
 * BEGIN and COMMIT, all run on the state that the first of them saw.
 */
export interface ReplicaDatabase<S extends Sqlite3 = Sqlite3> extends AsyncDisposable {
  /** TXID of the state that is looked at: inside a transaction the one that it sees. */
  readonly txid: bigint;
  /** When that state came to be. */
  readonly time: Date;
  /** How pages are waited for. */
  readonly driver: ReplicaDriver;
  /** What the pages come from. */
  readonly reader: ReplicaReader;
  /** What reading has cost since the reader was opened, by whomever. */
  readonly stats: ReaderStats;
  /**
   * sqlite-wasm's own database object. With the driver `block`, and with `jspi` on local files, it can be used as any other.
   * Else a statement that needs a page from the store fails with SQLITE_IOERR.
   */
  readonly db: InstanceType<S["oo1"]["DB"]>;
  /** Why the last page could not be read, where SQLite has only a result code. */
  readonly lastError: unknown;
  /**
   * Runs one statement and resolves to its rows as objects; of columns with the same name the last one counts.
   *
   * Throws `QueryError` for what SQLite refuses, `QueryLimitError`, `TimeoutError`, `AbortedError`, `DamagedFileError`, and
   * the errors of the store. A statement that failed leaves the database as usable as it was.
   */
  query(sql: string, params?: QueryParameters, options?: QueryOptions): Promise<Row[]>;
  /** As `query`, with columns and rows apart, and what the statement has cost. */
  execute(sql: string, params?: QueryParameters, options?: QueryOptions): Promise<QueryResult>;
  /** Asks the replica for newer states now; resolves to the state that is looked at from now on. */
  refresh(options?: ReaderWait): Promise<ReplicaView>;
  /**
   * Looks at another state from now on, or with undefined at the newest, and follows it. Throws what `viewAt` of the reader
   * throws, and `UnsupportedError` inside a transaction; the state then stays as it was.
   */
  setTime(target: ViewTarget | undefined, options?: ReaderWait): Promise<ReplicaView>;
  /**
   * Compares two states, table by table. Reads every table that may have changed in both; each page that they share is read
   * once.
   */
  diff(from: ViewTarget, to: ViewTarget, options?: DiffOptions): Promise<ReplicaDiff>;
  /**
   * Makes a full local copy in the background, which serves reads as far as it has come; as `hydrate` of `pagestream` does
   * for the reader. It ends when it is closed, and with a reader of the database's own.
   */
  hydrate(target: HydrationTarget, options?: HydrateOptions): Promise<Hydrated>;
  /** Closes the database, and the reader unless it was given. Safe to call again. */
  close(): Promise<void>;
}
