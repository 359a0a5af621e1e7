/**
 * `pagestream status` of the databases of a configuration: what is here, what the replica has, and what lies between.
 *
 * @module
 */
import { resolve } from "node:path";
import { isPagestreamError, replicaStatus, type ReplicaStatus } from "pagestream";
import { formatTxid, parseTxid } from "pagestream/ltx";
import type { Config, DatabaseConfig } from "../config/config.ts";
import { maskSecrets } from "../telemetry/secrets.ts";
import { type ConfigFlags, databasesOf, readConfiguration } from "./configuration.ts";
import { offlineStatus, type OfflineStatus, stagedFiles, writtenAt } from "./database-state.ts";
import { EXIT } from "./failure.ts";
import { formatBytes, formatTable } from "./format.ts";
import { openDatabase } from "./location.ts";

/** Flags of `pagestream status`. */
export interface StatusFlags extends ConfigFlags {
  readonly offline?: boolean;
  readonly json?: boolean;
}

/** Replicas that are looked at at once. */
const CONCURRENCY = 8;
/** How long a replica may take to answer, in milliseconds. */
const DEADLINE_MS = 15_000;
/** Times of files and of the file system differ by about as much as commits are grouped. */
const TOLERANCE_MS = 2000;

/** One database, as `--json` prints it: Litestream's fields first. */
interface DatabaseStatus extends OfflineStatus {
  /** 16 hex digits, or `-` where the replica holds nothing or cannot be asked. */
  readonly replicated_txid: string;
  /** Age of what the replica lacks, at most; null where that is not known. */
  readonly lag_seconds: number | null;
  /** Bytes of files that wait for their upload. */
  readonly pending_bytes: number;
  /** What went wrong last; null where nothing did. */
  readonly error: string | null;
}

/** Prints the status of every database of the configuration, or of the one of a path. */
export async function runConfigStatus(
  path: string | undefined,
  flags: StatusFlags,
): Promise<number> {
  const config = await readConfiguration(flags);
  const wanted = path === undefined ? undefined : resolve(path.replace(/^sqlite3?:\/\//, ""));
  const databases = databasesOf(config).filter(
    (each) => wanted === undefined || each.path === wanted,
  );
  if (flags.offline === true) {
    printOffline(databases.map(offlineStatus), flags);
    return EXIT.ok;
  }
  const told = await daemonStatus(config);
  const rows: DatabaseStatus[] = [];
  for (let i = 0; i < databases.length; i += CONCURRENCY) {
    const some = databases.slice(i, i + CONCURRENCY);
    rows.push(...(await Promise.all(some.map((each) => statusOf(each, told.get(each.path))))));
  }
  print(rows, flags);
  return EXIT.ok;
}

/** Prints Litestream's columns. */
export function printOffline(rows: readonly OfflineStatus[], flags: StatusFlags): void {
  if (flags.json === true) return printJson(rows);
  const head = ["database", "status", "local txid", "wal size"];
  process.stdout.write(
    formatTable([
      head,
      ...rows.map((row) => [row.database, row.status, row.local_txid, row.wal_size]),
    ]),
  );
}

async function statusOf(
  database: DatabaseConfig,
  told: DaemonAnswer | undefined,
): Promise<DatabaseStatus> {
  const offline = offlineStatus(database);
  const remote = await lookAt(database);
  const replicated = typeof remote === "string" ? undefined : remote?.newest;
  const staged = stagedFiles(database);
  const local = told?.txid === undefined ? offline.local_txid : formatTxid(BigInt(told.txid));
  const pending = staged.reduce((sum, { size }) => sum + size, 0);
  return {
    ...offline,
    local_txid: local,
    replicated_txid: replicated === undefined ? "-" : formatTxid(replicated.txid),
    lag_seconds: told?.lag_seconds ?? lagOf({ database, replicated, local, staged }),
    pending_bytes: told?.pending_bytes ?? pending,
    error: told?.error ?? (typeof remote === "string" ? remote : null),
  };
}

/** What the replica says of itself; undefined where it is empty, a text where it cannot be asked. */
async function lookAt(database: DatabaseConfig): Promise<ReplicaStatus | string | undefined> {
  try {
    const { store } = await openDatabase(database);
    try {
      return await replicaStatus(store, { signal: AbortSignal.timeout(DEADLINE_MS) });
    } finally {
      await store.close?.();
    }
  } catch (error) {
    if (isPagestreamError(error, "NO_BACKUP")) return undefined;
    if (isPagestreamError(error, "ABORTED")) return `no answer in ${DEADLINE_MS / 1000} s`;
    return maskSecrets(error instanceof Error ? error.message : String(error));
  }
}

/**
 * Seconds since the oldest commit that the replica lacks, as far as it can be told without opening the database: by the
 * files that wait, else by the last write of anybody, which came at the earliest right after the replica's newest state.
 */
function lagOf(what: {
  readonly database: DatabaseConfig;
  readonly replicated: ReplicaStatus["newest"] | undefined;
  readonly local: string;
  readonly staged: readonly { readonly maxTxid: bigint; readonly at: number }[];
}): number | null {
  const { database, replicated, local, staged } = what;
  if (replicated === undefined) return null;
  const waiting = staged.filter(({ maxTxid }) => maxTxid > replicated.txid).map(({ at }) => at);
  if (waiting.length > 0) return secondsSince(Math.min(...waiting));
  const isAhead = local !== "-" && parseTxid(local) > replicated.txid;
  const isWritten = writtenAt(database.path) > replicated.time.getTime() + TOLERANCE_MS;
  return isAhead || isWritten ? secondsSince(replicated.time.getTime()) : 0;
}

function secondsSince(time: number): number {
  return Math.max(0, Math.round(Date.now() - time) / 1000);
}

/** What a running daemon says of a database. */
interface DaemonAnswer {
  readonly path: string;
  readonly txid?: number;
  readonly lag_seconds?: number;
  readonly pending_bytes?: number;
  readonly error?: string;
}

/** What the daemon of a configuration says, by path; nothing where none answers. */
async function daemonStatus({ socket }: Config): Promise<ReadonlyMap<string, DaemonAnswer>> {
  if (!socket.enabled) return new Map();
  try {
    const { askDaemon } = await import("../daemon/control-client.ts");
    const question = { socket: socket.path, route: "/debug/sync-status", timeoutMs: 5000 };
    const { body } = await askDaemon(question);
    const { databases = [] } = body as { readonly databases?: readonly DaemonAnswer[] };
    return new Map(databases.map((each) => [each.path, each]));
  } catch {
    return new Map();
  }
}

function print(rows: readonly DatabaseStatus[], flags: StatusFlags): void {
  if (flags.json === true) return printJson(rows);
  const head = "database,status,local txid,wal size,replicated txid,lag,pending,last error";
  const cells = rows.map((row) => [
    row.database,
    row.status,
    row.local_txid,
    row.wal_size,
    row.replicated_txid,
    row.lag_seconds === null ? "-" : `${row.lag_seconds} s`,
    formatBytes(row.pending_bytes),
    row.error ?? "",
  ]);
  process.stdout.write(formatTable([head.split(","), ...cells]));
}

function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}
