/**
 * What the daemon measures, for Prometheus: Litestream's metrics by Litestream's names, and what those do not tell.
 *
 * @module
 */
import { COST_PRICES, type CostPrices, type ObjectStore } from "pagestream";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { DaemonDatabase, DaemonEvent, DaemonStatus } from "../daemon/status.ts";
import { L0Ledger } from "./l0-ledger.ts";
import { MeteredStore, type StoreCall } from "./metered-store.ts";

/** What is measured: the daemon. */
export interface MetricsSource {
  /** As of now. */
  status(): DaemonStatus;
  /** Calls `listener` with every event; returns the function that ends it. */
  subscribe(listener: (event: DaemonEvent) => void): () => void;
}

/** Options of {@linkcode Metrics}. */
export interface MetricsOptions {
  /** How long level 0 is kept, in milliseconds; 0 for ever. @default 300000 */
  readonly l0RetentionMs?: number | undefined;
  /** Whether the process and its runtime are measured too. @default true */
  readonly process?: boolean | undefined;
  /** Milliseconds since the epoch. @default the clock */
  readonly now?: (() => number) | undefined;
}

/** States in the order of {@linkcode DaemonDatabase.state}. */
const STATES = [
  "starting",
  "replicating",
  "resting",
  "stalled",
  "closing",
  "waiting",
  "conflict",
  "stopped",
] as const satisfies readonly DaemonDatabase["state"][];

/** Litestream's. */
const OPERATION_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60];
const SYNC_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Cuts that wait for their upload and are remembered; past it the oldest are not measured. */
const MAX_CUTS = 10_000;

/** List prices by type of store; those of the others are not known, or nothing. */
const PRICES: Readonly<Record<string, CostPrices>> = {
  s3: COST_PRICES.s3,
  gs: COST_PRICES.gcs,
  abs: COST_PRICES.azure,
};

/** What is remembered of a database between two events. */
interface Memory {
  readonly l0: L0Ledger;
  /** When each file that is not uploaded yet was cut, in milliseconds. */
  readonly cuts: Map<bigint, number>;
}

/** The metrics of one daemon. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #l0RetentionMs: number;
  readonly #now: () => number;
  readonly #memories = new Map<string, Memory>();
  readonly #gauges = gaugesOf(this.#registry);
  readonly #counters = countersOf(this.#registry);
  readonly #operationSeconds = new Histogram({
    name: "litestream_replica_operation_duration_seconds",
    help: "Duration of calls of the store",
    labelNames: ["db", "replica_type", "operation"],
    buckets: OPERATION_SECONDS,
    registers: [this.#registry],
  });
  readonly #syncSeconds = new Histogram({
    name: "litestream_sync_duration_seconds",
    help: "Time from when a file of level 0 was cut until the store had it",
    labelNames: ["db"],
    buckets: SYNC_SECONDS,
    registers: [this.#registry],
  });
  #source: MetricsSource | undefined;

  /** Measures nothing before {@linkcode attach}. */
  constructor(options: MetricsOptions = {}) {
    this.#l0RetentionMs = options.l0RetentionMs ?? 300_000;
    this.#now = options.now ?? Date.now;
    if (options.process !== false) collectDefaultMetrics({ register: this.#registry });
  }

  /** Begins to measure; returns the function that ends it. */
  attach(source: MetricsSource): () => void {
    this.#source = source;
    return source.subscribe((event) => this.#observe(event));
  }

  /** The same store, measured as one of a database. */
  meter(store: ObjectStore, database: string): ObjectStore {
    return new MeteredStore(store, (call) => this.#called(call, database, store.type));
  }

  /** Media type of {@linkcode text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Everything, in Prometheus' text format. */
  async text(): Promise<string> {
    this.#refresh();
    return await this.#registry.metrics();
  }

  /** Everything, with numbers as numbers. */
  async read(): ReturnType<Registry["getMetricsAsJSON"]> {
    this.#refresh();
    return await this.#registry.getMetricsAsJSON();
  }

  #observe(event: DaemonEvent): void {
    const { database: db, type } = event;
    const counters = this.#counters;
    const memory = this.#memoryOf(db);
    const now = this.#now();
    if (type === "commit") counters.commits.inc({ db });
    else if (type === "cut") {
      counters.walBytes.inc({ db }, event.size);
      if (memory.cuts.size < MAX_CUTS) memory.cuts.set(event.txid, now);
    } else if (type === "uploaded" && event.level === 0) {
      const cutAt = memory.cuts.get(event.txid);
      memory.cuts.delete(event.txid);
      // Of several replicas the first that has it ends the sync.
      if (cutAt === undefined) return;
      memory.l0.add(event.txid, now);
      counters.syncs.inc({ db });
      counters.syncSeconds.inc({ db }, (now - cutAt) / 1000);
      this.#syncSeconds.observe({ db }, (now - cutAt) / 1000);
    } else if (type === "compacted") {
      counters.compactions.inc({ db, level: String(event.level) });
      if (event.level === 1) memory.l0.compact(event.maxTxid);
    } else if (type === "snapshot") counters.compactions.inc({ db, level: "9" });
    else if (type === "retained") memory.l0.retain(now);
    else if (type === "checkpoint") {
      const labels = { db, mode: event.mode };
      counters.checkpoints.inc(labels);
      counters.checkpointErrors.inc(labels, event.error === undefined ? 0 : 1);
      counters.checkpointSeconds.inc(labels, event.durationMs / 1000);
    } else if (type === "level-fault") counters.levelFaults.inc({ db });
    else if (type === "stalled" || type === "error" || type === "waiting" || type === "conflict") {
      counters.syncErrors.inc({ db });
    } else if (type === "unregistered") void this.#forget(db);
  }

  #called(call: StoreCall, db: string, type: string): void {
    const { operation, bytes, requests, seconds, error } = call;
    const labels = { db, replica_type: type, operation };
    const { operations, operationBytes, operationErrors, cost } = this.#counters;
    operations.inc(labels, requests);
    operationBytes.inc(labels, bytes);
    this.#operationSeconds.observe(labels, seconds);
    if (error !== undefined) operationErrors.inc({ ...labels, code: error });
    const prices = PRICES[type];
    if (prices === undefined) return;
    const { millionPuts, millionGets, millionLists, millionDeletes = 0 } = prices;
    const price = {
      PUT: millionPuts,
      GET: millionGets,
      LIST: millionLists,
      DELETE: millionDeletes,
    }[operation];
    cost.inc({ db, replica_type: type }, (requests * price) / 1e6);
  }

  #memoryOf(db: string): Memory {
    let memory = this.#memories.get(db);
    if (memory === undefined) {
      memory = { l0: new L0Ledger(this.#l0RetentionMs), cuts: new Map() };
      this.#memories.set(db, memory);
    }
    return memory;
  }

  /** A database that is gone leaves no series behind. */
  async #forget(db: string): Promise<void> {
    this.#memories.delete(db);
    const counters = Object.values(this.#counters);
    for (const metric of [...counters, this.#operationSeconds, this.#syncSeconds]) {
      const { values } = await metric.get();
      for (const { labels } of values) {
        const { le: _, ...own } = labels as Record<string, string | number>;
        if (own["db"] === db) (metric as Counter).remove(own);
      }
    }
  }

  #refresh(): void {
    const gauges = this.#gauges;
    for (const gauge of Object.values(gauges)) gauge.reset();
    const status = this.#source?.status();
    for (const database of status?.databases ?? []) {
      this.#show(database, status?.startedAt ?? this.#now());
    }
  }

  #show(database: DaemonDatabase, startedAt: number): void {
    const gauges = this.#gauges;
    const now = this.#now();
    const { path: db, position, stats, state, syncedAt } = database;
    gauges.size.set({ db }, database.sizeBytes);
    gauges.walSize.set({ db }, database.walBytes);
    gauges.diskFull.set({ db }, isDiskFull(database.error) ? 1 : 0);
    gauges.pendingBytes.set({ db }, stats?.pendingBytes ?? 0);
    for (const each of STATES) gauges.state.set({ db, state: each }, each === state ? 1 : 0);
    const {
      eligible = 0,
      not_compacted = 0,
      too_recent = 0,
    } = this.#memories.get(db)?.l0.counts(now) ?? {};
    for (const [kind, count] of Object.entries({ eligible, not_compacted, too_recent })) {
      gauges.l0Files.set({ db, status: kind }, count);
    }
    if (syncedAt !== undefined) gauges.lastSuccess.set({ db }, syncedAt / 1000);
    if (position !== undefined) {
      gauges.txid.set({ db }, Number(position.local));
      gauges.pendingTxids.set({ db }, Number(position.local - position.replicated));
    }
    for (const { name, lagMs, replicated } of database.destinations) {
      gauges.lag.set({ db, replica: name }, lagMs / 1000);
      gauges.replicated.set({ db, replica: name }, Number(replicated));
    }
    if (database.destinations.length > 0 || state === "stopped") return;
    // It does not run although it should: what is committed now waits since the replica last had all.
    const replica = database.replica;
    gauges.lag.set({ db, replica }, (now - (syncedAt ?? startedAt)) / 1000);
    if (position !== undefined) gauges.replicated.set({ db, replica }, Number(position.replicated));
  }
}

function gaugesOf(registry: Registry) {
  const gauge = <Label extends string>(name: string, help: string, labels: readonly Label[]) =>
    new Gauge({ name: `litestream_${name}`, help, labelNames: labels, registers: [registry] });
  return {
    size: gauge("db_size", "Size of the database in bytes", ["db"]),
    walSize: gauge("wal_size", "Size of the WAL in bytes", ["db"]),
    txid: gauge("txid", "Last TXID of the database", ["db"]),
    diskFull: gauge("disk_full", "1 while there is no room for the local state", ["db"]),
    l0Files: gauge(
      "l0_retention_files_total",
      "Files of level 0 uploaded since the start, by what retention may do",
      ["db", "status"],
    ),
    lag: gauge(
      "replica_lag_seconds",
      "Age of the oldest commit that the replica lacks; 0 when it has all",
      ["db", "replica"],
    ),
    replicated: gauge("replicated_txid", "Last TXID that the replica has confirmed", [
      "db",
      "replica",
    ]),
    lastSuccess: gauge(
      "last_success_timestamp_seconds",
      "When the replica was last known to hold all that was committed",
      ["db"],
    ),
    pendingBytes: gauge("pending_bytes", "Bytes captured that the replica lacks", ["db"]),
    pendingTxids: gauge("pending_txids", "TXIDs captured that the replica lacks", ["db"]),
    state: gauge("database_state", "1 for the state that the database is in", ["db", "state"]),
  };
}

function countersOf(registry: Registry) {
  const counter = <Label extends string>(name: string, help: string, labels: readonly Label[]) =>
    new Counter({ name: `litestream_${name}`, help, labelNames: labels, registers: [registry] });
  const ofWal = ["db", "mode"] as const;
  const ofReplica = ["db", "replica_type", "operation"] as const;
  return {
    walBytes: counter("total_wal_bytes", "Bytes of the level 0 files cut from the WAL", ["db"]),
    syncs: counter("sync_count", "Files of level 0 that the store has", ["db"]),
    syncErrors: counter("sync_error_count", "Failures that stopped uploads, or a start", ["db"]),
    syncSeconds: counter("sync_seconds", "Time from cut to upload, all files together", ["db"]),
    levelFaults: counter("compaction_verify_error_count", "Gaps and overlaps found", ["db"]),
    checkpoints: counter("checkpoint_count", "Checkpoints past the limit of the WAL", ofWal),
    checkpointErrors: counter("checkpoint_error_count", "Checkpoints that failed", ofWal),
    checkpointSeconds: counter("checkpoint_seconds", "Time of all checkpoints together", ofWal),
    commits: counter("commits_total", "Commits captured", ["db"]),
    compactions: counter("compaction_count", "Files written above level 0", ["db", "level"]),
    operations: counter("replica_operation_total", "Requests to the store", ofReplica),
    operationBytes: counter("replica_operation_bytes", "Bytes sent and read", ofReplica),
    operationErrors: counter("replica_operation_errors_total", "Calls of the store that failed", [
      ...ofReplica,
      "code",
    ]),
    cost: counter("replica_cost_dollars_total", "Requests at list prices, without free ones", [
      "db",
      "replica_type",
    ]),
  };
}

function isDiskFull(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    if ((each as NodeJS.ErrnoException).code === "ENOSPC") return true;
  }
  return false;
}
