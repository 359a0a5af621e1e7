/**
 * `openReplicated`: a database that is restored where it is missing, captured while it is open, and continued.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import type { SyncFiles } from "../core/sync-files.ts";
import { bytesSink } from "../replica/bytes-sink.ts";
import type { StartEvent } from "../replica/comparison.ts";
import { DatabaseBehindError } from "../replica/errors.ts";
import { fileState, type LocalState, memoryState, stateDirectory } from "../replica/local-state.ts";
import { startPrimary } from "../replica/start-primary.ts";
import type { Replica } from "../replica/replica.ts";
import type { CloseOptions, ReplicateOptions, Replication } from "../replica/replication.ts";
import type { RestoreResult } from "../replica/restore-options.ts";
import type { RestoreSink } from "../replica/restore-sink.ts";
import { syncFileSink } from "../replica/sync-file-sink.ts";
import { recoverFiles } from "../replica/target-files.ts";
import { type CaptureVfs, installCaptureVfs } from "../vfs/capture-vfs.ts";
import { installMemoryVfs, type MemoryVfs } from "../vfs/memory-vfs.ts";
import { guardDatabase } from "../vfs/guarded-database.ts";
import type { Sqlite3, Sqlite3Database } from "../vfs/sqlite3.ts";
import { installSyncFileVfs } from "../vfs/sync-file-vfs.ts";
import {
  fileHasFingerprint,
  type Fingerprint,
  hasFingerprint,
  takeFingerprint,
} from "./fingerprint.ts";
import { newestReplica, openReplicas, type ReplicaTargets } from "./open-replicas.ts";
import { restore } from "./restore.ts";
import { restoreIfMissing } from "./restore-if-missing.ts";
import { webPlatform } from "../transports/web-platform.ts";

/** SQLite's own default, and Litestream users' databases; sqlite-wasm alone would choose 8192. */
const DEFAULT_PAGE_SIZE = 4096;

/** How often a database that is behind is brought to the newest state before its opening fails. */
const CATCH_UP_TURNS = 3;

/** Options of {@linkcode openReplicated}. */
export interface OpenReplicatedOptions<S extends Sqlite3> extends Omit<
  ReplicateOptions,
  "state" | "position" | "onBehind"
> {
  /** What `sqlite3InitModule()` of `@sqlite.org/sqlite-wasm` resolved to. */
  readonly sqlite3: S;
  /** File calls of the runtime; without them the database lives in memory. */
  readonly files?: SyncFiles | undefined;
  /** Path of the database file. */
  readonly path: string;
  /** The replica, as a store, or several. A missing database is restored from the one that goes furthest. */
  readonly replica: ReplicaTargets;
  /**
   * What to do with a database that equals an earlier state of the replica: `catch-up` restores the newest state into its
   * place; `refuse` and `adopt` as for `replicate`. Work of its own is never overwritten.
   * @default "catch-up", or "refuse" where a restore was told to restore the earlier state
   */
  readonly onBehind?: "catch-up" | "refuse" | "adopt" | undefined;
  /** Page size of a database that does not exist yet, in bytes. @default 4096 */
  readonly pageSize?: number | undefined;
  /**
   * Journal mode to run in. `wal` commits faster and lets readers go on meanwhile; its log lies beside the database.
   * @default "truncate" on disk, "memory" in memory
   */
  readonly journalMode?: "delete" | "truncate" | "persist" | "memory" | "wal" | undefined;
}

/** An open database and its replication. */
export interface ReplicatedDatabase<S extends Sqlite3> extends AsyncDisposable {
  /** sqlite-wasm's own database object; with a hold it refuses calls while a COMMIT waits. */
  readonly db: InstanceType<S["oo1"]["DB"]>;
  /**
   * Runs `work` between BEGIN IMMEDIATE and COMMIT, one transaction at a time, and resolves with what it returned once
   * COMMIT has returned. With the holds (`durability`), this is the only way to write. Rejects, the transaction rolled
   * back, with what `work` threw or why COMMIT failed.
   */
  transaction<T>(work: () => T): Promise<T>;
  /** For `durable()`, events and lag; `close()` of the database closes it too. */
  readonly replication: Replication;
  /** What was restored, when the database was missing or behind and the replica had it. */
  readonly restored: RestoreResult | undefined;
  /** Uploads what is left, then closes replication and database; both are closed even when the upload fails. */
  close(options?: CloseOptions): Promise<void>;
}

/**
 * Opens a database for writing with every commit replicated. A database that is missing here and present in the
 * replica is restored first, and so is one that equals an earlier state; a new one gets 4 KiB pages. It runs with
 * `synchronous=FULL`.
 *
 * Native SQLite must not open the file meanwhile: it does not see the lock that keeps the file to one process.
 *
 * @example
 * ```ts ignore
 * await using app = await openReplicated({ sqlite3, files: syncFiles(), path: "app.db", replica: store });
 * app.db.exec("INSERT INTO note(body) VALUES ('hello')");
 * await app.replication.durable();
 * ```
 */
export async function openReplicated<S extends Sqlite3>(
  options: OpenReplicatedOptions<S>,
): Promise<ReplicatedDatabase<S>> {
  const { sqlite3, files } = options;
  const base = baseOf(sqlite3, files);
  const path = files?.fullPath(options.path) ?? options.path;
  let restored = await restoreMissing(base, path, options);
  let caughtUp: StartEvent | undefined;
  for (let turn = 1; ; turn++) {
    try {
      return await open(base, path, { ...options, restored, caughtUp });
    } catch (error) {
      if (!(error instanceof BehindHere)) throw error;
      // Somebody writes the file whenever its lock is free.
      if (turn > CATCH_UP_TURNS) throw error.behind;
      // What the replica is given meanwhile only makes the next turn necessary.
      restored = await catchUp(base, path, { ...options, unchanged: error.unchanged });
      const { txid, newestTxid } = error.behind;
      caughtUp = { type: "behind", txid, newestTxid };
    }
  }
}

/** A database that is to be brought to the newest state, and what it held when it was still open. */
class BehindHere {
  readonly behind: DatabaseBehindError;
  readonly unchanged: Fingerprint;

  constructor(behind: DatabaseBehindError, unchanged: Fingerprint) {
    this.behind = behind;
    this.unchanged = unchanged;
  }
}

/** Opens a database that is there, and replicates it. */
async function open<S extends Sqlite3>(
  base: Base,
  path: string,
  options: OpenReplicatedOptions<S> & {
    readonly restored: RestoreResult | undefined;
    readonly caughtUp: StartEvent | undefined;
  },
): Promise<ReplicatedDatabase<S>> {
  const { sqlite3, files, restored, caughtUp, onBehind } = options;
  const platform = options.platform ?? webPlatform;
  const db = openCaptured(sqlite3, path, base.capture);
  let state: LocalState | undefined;
  try {
    const isNew = db.selectValue("PRAGMA page_count") === 0;
    if (isNew) db.exec(`PRAGMA page_size=${checkedPageSize(options.pageSize)}`);
    const journalMode = options.journalMode ?? (files ? "truncate" : "memory");
    const setJournalMode = (): unknown => db.exec(`PRAGMA journal_mode=${journalMode}`);
    db.exec("PRAGMA synchronous=FULL");
    const replicas = openReplicas(options.replica, platform);
    const start = (durability: ReplicateOptions["durability"]): Promise<Replication> => {
      state = files ? fileState(files, stateDirectory(path)) : (state ?? memoryState());
      return startPrimary(base.capture.source(db), replicas, {
        ...options,
        durability,
        platform,
        state,
        position: restored?.position,
        onBehind: onBehind === "adopt" ? "adopt" : "refuse",
        announce: caughtUp === undefined ? [] : [caughtUp],
      });
    };
    // A change of the mode is a commit: made before the comparison, it would make a database that is behind look as if
    // it held work of its own.
    if (isNew) {
      setJournalMode();
    } else if (options.durability === "hold-retry" && !canRetry(db)) {
      // The hold cannot begin in the mode that the file has.
      const comparing = await start("async");
      setJournalMode();
      await comparing.close();
    }
    const replication = await start(options.durability);
    try {
      setJournalMode();
    } catch (error) {
      await replication.close().catch(() => {});
      throw error;
    }
    const { capture } = base;
    return new OpenDatabase<S>({ db, capture, replication, restored, held: isHold(options) });
  } catch (error) {
    const catchesUp =
      error instanceof DatabaseBehindError &&
      (onBehind === "catch-up" || (onBehind === undefined && !error.chosen));
    try {
      if (!catchesUp) throw error;
      const source = base.capture.source(db);
      throw new BehindHere(error, await takeFingerprint(source, platform));
    } finally {
      state?.close();
      db.close();
    }
  }
}

class OpenDatabase<S extends Sqlite3> implements ReplicatedDatabase<S> {
  readonly db: InstanceType<S["oo1"]["DB"]>;
  readonly replication: Replication;
  readonly restored: RestoreResult | undefined;
  readonly #plain: Sqlite3Database;
  readonly #capture: CaptureVfs;

  constructor(opened: {
    readonly db: Sqlite3Database;
    readonly capture: CaptureVfs;
    readonly replication: Replication;
    readonly restored: RestoreResult | undefined;
    readonly held: boolean;
  }) {
    const { db, capture, replication, restored, held } = opened;
    const own = held ? guardDatabase(db, () => capture.committing(db)) : db;
    this.db = own as InstanceType<S["oo1"]["DB"]>;
    this.replication = replication;
    this.restored = restored;
    this.#plain = db;
    this.#capture = capture;
  }

  transaction<T>(work: () => T): Promise<T> {
    return this.#capture.transaction(this.#plain, work);
  }

  async close(options?: CloseOptions): Promise<void> {
    try {
      await this.replication.close(options);
    } finally {
      this.#plain.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Whether a COMMIT may be repeated in the journal mode that a database has. */
function canRetry(db: Sqlite3Database): boolean {
  return ["delete", "truncate", "memory"].includes(String(db.selectValue("PRAGMA journal_mode")));
}

function isHold({ durability = "async" }: Pick<ReplicateOptions, "durability">): boolean {
  return durability.startsWith("hold");
}

/** Opens a database through the capture; what the VFS refused is told in full, where SQLite has only a result code. */
function openCaptured(
  sqlite3: Sqlite3,
  path: string,
  capture: CaptureVfs,
): InstanceType<Sqlite3["oo1"]["DB"]> {
  const { lastRefusal } = capture;
  try {
    return new sqlite3.oo1.DB(path, "c", capture.name);
  } catch (error) {
    throw capture.lastRefusal === lastRefusal ? error : capture.lastRefusal;
  }
}

/** The VFSes that serve one kind of files in one sqlite-wasm instance. */
interface Base {
  readonly capture: CaptureVfs;
  readonly memory: MemoryVfs | undefined;
}

/** VFSes stay registered for the life of the wasm instance, so each is installed once. */
const bases = new WeakMap<Sqlite3, Map<SyncFiles | undefined, Base>>();

function baseOf(sqlite3: Sqlite3, files: SyncFiles | undefined): Base {
  let installed = bases.get(sqlite3);
  if (installed === undefined) bases.set(sqlite3, (installed = new Map()));
  let base = installed.get(files);
  if (base === undefined) {
    const name = `pagestream-open-${installed.size}`;
    const memory = files === undefined ? installMemoryVfs(sqlite3, { name }) : undefined;
    if (files !== undefined) installSyncFileVfs(sqlite3, { files, name });
    const capture = installCaptureVfs(sqlite3, { parent: name, name: `${name}-capture` });
    installed.set(files, (base = { capture, memory }));
  }
  return base;
}

async function restoreMissing<S extends Sqlite3>(
  base: Base,
  path: string,
  options: OpenReplicatedOptions<S>,
): Promise<RestoreResult | undefined> {
  const { files, platform, signal } = options;
  const from = (): Promise<Replica> => replicaToRestore(options);
  if (files === undefined) {
    if ((base.memory as MemoryVfs).read(path) !== undefined) return undefined;
    const sink = bytesSink();
    const result = await restoreIfMissing(await from(), sink, { platform, signal });
    if (result !== undefined) (base.memory as MemoryVfs).write(path, sink.bytes);
    return result;
  }
  // Two processes that find the database missing must not restore over each other; opening takes the lock anew.
  const lock = files.lock(path);
  try {
    recoverFiles(files, path);
    if ((files.identity(path)?.size ?? 0) > 0) return undefined;
    const sink = sinkOver(files, path, platform);
    return await restoreIfMissing(await from(), sink, { platform, signal });
  } finally {
    lock.release();
  }
}

/** Where the newest state is. */
function replicaToRestore<S extends Sqlite3>(options: OpenReplicatedOptions<S>): Promise<Replica> {
  const { replica, platform = webPlatform, signal } = options;
  return newestReplica(openReplicas(replica, platform), signal);
}

/** Puts the newest state in the place of a closed database, unless that has changed since it was found behind. */
async function catchUp<S extends Sqlite3>(
  base: Base,
  path: string,
  options: OpenReplicatedOptions<S> & { readonly unchanged: Fingerprint },
): Promise<RestoreResult | undefined> {
  const { files, platform, signal, unchanged } = options;
  const replica = await replicaToRestore(options);
  if (files === undefined) {
    const memory = base.memory as MemoryVfs;
    const sink = bytesSink();
    const result = await restore(replica, sink, { platform, signal });
    const bytes = memory.read(path) ?? new Uint8Array(0);
    const isSame = hasFingerprint(unchanged, bytes.length, (into, offset) =>
      into.set(bytes.subarray(offset, offset + into.length)),
    );
    if (!isSame) return undefined;
    memory.write(path, sink.bytes);
    return result;
  }
  const lock = files.lock(path);
  try {
    if (!fileHasFingerprint(files, path, unchanged)) return undefined;
    return await restore(replica, sinkOver(files, path, platform), { platform, signal });
  } finally {
    lock.release();
  }
}

/** A sink that replaces whatever lies at the path: nothing, or what is known not to be needed. */
function sinkOver(files: SyncFiles, path: string, platform = webPlatform): RestoreSink {
  return syncFileSink(files, path, { platform, force: true, journalHeader: "rollback" });
}

function checkedPageSize(pageSize = DEFAULT_PAGE_SIZE): number {
  if (Number.isInteger(Math.log2(pageSize)) && pageSize >= 512 && pageSize <= 65536)
    return pageSize;
  throw new InvalidArgumentError({
    operation: "open",
    object: "the database",
    what: `page size ${pageSize} is not a power of two from 512 to 65536`,
  });
}
