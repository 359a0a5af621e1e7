/**
 * Whether what the daemon replicates could be restored now: not whether it runs.
 *
 * @module
 */
import { formatTxid } from "pagestream/ltx";
import type { DaemonDatabase, DaemonStatus } from "../daemon/status.ts";

/** Options of {@linkcode healthOf}. */
export interface HealthOptions {
  /** Milliseconds that a replica may lag behind. @default 60000 */
  readonly maxLagMs?: number | undefined;
  /** In milliseconds since the epoch. @default now */
  readonly now?: number | undefined;
}

/** The health of one database. */
export interface DatabaseHealth {
  readonly db: string;
  readonly state: DaemonDatabase["state"];
  /** Whether a restore would bring what was committed, but for the last `maxLagMs`. */
  readonly restorable: boolean;
  /** Why not. */
  readonly reason?: string;
  /** 16 hex digits; absent while it is not known. */
  readonly local_txid?: string;
  readonly replicated_txid?: string;
  /** Age of the oldest commit that the replica lacks. */
  readonly lag_seconds?: number;
  /** When the replica was last known to hold all that was committed: RFC 3339. */
  readonly last_success?: string;
}

/** The health of the daemon, as the endpoint answers. */
export interface Health {
  /** `ok` where every database is restorable; one that was stopped by request does not count. */
  readonly status: "ok" | "failing";
  /** Bound of `lag_seconds`. */
  readonly max_lag_seconds: number;
  readonly databases: readonly DatabaseHealth[];
}

/** The health of what a daemon tells of itself. */
export function healthOf(status: DaemonStatus, options: HealthOptions = {}): Health {
  const { maxLagMs = 60_000, now = Date.now() } = options;
  const bounds = { maxLagMs, now, startedAt: status.startedAt };
  const databases = status.databases.map((database) => databaseHealth(database, bounds));
  const isFailing = databases.some(({ restorable, state }) => !restorable && state !== "stopped");
  return { status: isFailing ? "failing" : "ok", max_lag_seconds: maxLagMs / 1000, databases };
}

interface Bounds {
  readonly maxLagMs: number;
  readonly now: number;
  readonly startedAt: number;
}

function databaseHealth(database: DaemonDatabase, bounds: Bounds): DatabaseHealth {
  const { position, syncedAt } = database;
  const lagMs = lagOf(database, bounds);
  const reason = reasonOf(database, lagMs, bounds);
  return {
    db: database.path,
    state: database.state,
    restorable: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
    ...(position === undefined
      ? {}
      : {
          local_txid: formatTxid(position.local),
          replicated_txid: formatTxid(position.replicated),
          lag_seconds: Math.round(lagMs) / 1000,
        }),
    ...(syncedAt === undefined ? {} : { last_success: new Date(syncedAt).toISOString() }),
  };
}

/** Of the replica that is furthest behind; while it does not run, since the replica last had all. */
function lagOf({ destinations, syncedAt }: DaemonDatabase, { now, startedAt }: Bounds): number {
  if (destinations.length === 0) return now - (syncedAt ?? startedAt);
  return Math.max(...destinations.map(({ lagMs }) => lagMs));
}

function reasonOf(database: DaemonDatabase, lagMs: number, bounds: Bounds): string | undefined {
  const { state, error, position } = database;
  if (state === "conflict" || state === "waiting") return error?.message ?? state;
  if (state === "stopped") return "it was stopped by request";
  if (position === undefined) return "it has not started yet";
  if (position.local > 0n && position.replicated === 0n) return "the replica holds nothing of it";
  if (lagMs > bounds.maxLagMs) {
    const why = error === undefined ? "" : `: ${error.message}`;
    return `the replica lags behind by ${Math.round(lagMs / 1000)} s${why}`;
  }
  return undefined;
}
