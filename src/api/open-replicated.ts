/**
 * `openReplicated`: a database that is restored where it is missing, captured while it is open, and continued.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { SyncFiles } from "../core/sync-files.ts";
import type { StartEvent } from "../replica/comparison.ts";
import { DatabaseBehindError } from "../replica/errors.ts";
import type { LocalState } from "../replica/local-state.ts";
import { startPrimary } from "../replica/start-primary.ts";
import type { Replica } from "../replica/replica.ts";
import type { CloseOptions, ReplicateOptions, Replication } from "../replica/replication.ts";
import type { RestoreProgress, RestoreResult } from "../replica/restore-options.ts";
import { type CaptureVfs, installCaptureVfs } from "../vfs/capture-vfs.ts";
import { installMemoryVfs } from "../vfs/memory-vfs.ts";
import { guardDatabase } from "../vfs/guarded-database.ts";
import type { Sqlite3, Sqlite3Database } from "../vfs/sqlite3.ts";
import { installSyncFileVfs } from "../vfs/sync-file-vfs.ts";
import { type DatabaseFiles, memoryDatabaseFiles, syncDatabaseFiles } from "./database-files.ts";
import { type Fingerprint, takeFingerprint } from "./fingerprint.ts";
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
  /** File calls of the runtime, or in a browser `opfsFiles()`; without them the database lives in memory. */
  readonly files?: SyncFiles | DatabaseFiles | undefined;
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
   * Journal mode to run in. `wal` commits faster and lets readers go on meanwhile; its log lies beside the database. In a
   * browser's files it is for one connection alone, which locks them (`locking_mode=EXCLUSIVE`).
   * @default "truncate" on disk, "memory" in memory
   */
  readonly journalMode?: "delete" | "truncate" | "persist" | "memory" | "wal" | undefined;
  /**
   * The application knows that this database was here, for instance from `localStorage`. Where it is missing all the same,
   * `evicted` says so, even if the browser has cleared everything that it granted.
   * @default false
   */
  readonly remembered?: boolean | undefined;
  /** Called while the database is restored. */
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
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
  /**
   * Whether the database had been here and was gone, which browsers do to an origin whose storage is not persistent. What
   * was not in the replica is lost; `restored` says what came back. Told by the event `evicted`, too.
   */
  readonly evicted: boolean;
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
  const base = baseOf(options);
  const path = base.files.fullPath(options.path);
  const missing = await restoreMissing(base.files, path, options);
  let { restored } = missing;
  const { evicted } = missing;
  const announce: StartEvent[] = evicted ? [{ type: "evicted", restored: restored?.txid }] : [];
  for (let turn = 1; ; turn++) {
    try {
      return await open(base, path, { ...options, restored, evicted, announce });
    } catch (error) {
      if (!(error instanceof BehindHere)) throw error;
      // Somebody writes the file whenever its lock is free.
      if (turn > CATCH_UP_TURNS) throw error.behind;
      // What the replica is given meanwhile only makes the next turn necessary.
      restored = await catchUp(base.files, path, { ...options, unchanged: error.unchanged });
      const { txid, newestTxid } = error.behind;
      announce.splice(evicted ? 1 : 0, 1, { type: "behind", txid, newestTxid });
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
    readonly evicted: boolean;
    readonly announce: readonly StartEvent[];
  },
): Promise<ReplicatedDatabase<S>> {
  const { sqlite3, restored, evicted, announce, onBehind } = options;
  const { files } = base;
  const platform = options.platform ?? webPlatform;
  const db = openCaptured(sqlite3, path, base.capture);
  let state: LocalState | undefined;
  try {
    // Before anything is read, or SQLite looks for the shared memory that these files do not have.
    if (isBrowsers(options.files) && options.journalMode === "wal") {
      db.exec("PRAGMA locking_mode=EXCLUSIVE");
    }
    const isNew = db.selectValue("PRAGMA page_count") === 0;
    if (isNew) db.exec(`PRAGMA page_size=${checkedPageSize(options.pageSize)}`);
    const journalMode = options.journalMode ?? files.journalMode;
    const setJournalMode = (): unknown => db.exec(`PRAGMA journal_mode=${journalMode}`);
    db.exec("PRAGMA synchronous=FULL");
    const replicas = openReplicas(options.replica, platform);
    const start = async (durability: ReplicateOptions["durability"]): Promise<Replication> => {
      state = await files.openState(path);
      return await startPrimary(base.capture.source(db), replicas, {
        ...options,
        durability,
        platform,
        state,
        position: restored?.position,
        onBehind: onBehind === "adopt" ? "adopt" : "refuse",
        announce,
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
    const held = isHold(options);
    return new OpenDatabase<S>({ db, capture, replication, restored, evicted, held });
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
  readonly evicted: boolean;
  readonly #plain: Sqlite3Database;
  readonly #capture: CaptureVfs;

  constructor(opened: {
    readonly db: Sqlite3Database;
    readonly capture: CaptureVfs;
    readonly replication: Replication;
    readonly restored: RestoreResult | undefined;
    readonly evicted: boolean;
    readonly held: boolean;
  }) {
    const { db, capture, replication, restored, evicted, held } = opened;
    const own = held ? guardDatabase(db, () => capture.committing(db)) : db;
    this.db = own as InstanceType<S["oo1"]["DB"]>;
    this.replication = replication;
    this.restored = restored;
    this.evicted = evicted;
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

/** One kind of files in one sqlite-wasm instance, and the capture over the VFS that serves it. */
interface Base {
  readonly files: DatabaseFiles;
  readonly capture: CaptureVfs;
}

/** What is installed once: how the files are served is said anew by each who opens, for it has that one's clock. */
interface Installed {
  readonly filesFor: (platform: Platform) => DatabaseFiles;
  readonly capture: CaptureVfs;
}

/** VFSes stay registered for the life of the wasm instance, so each is installed once. */
const bases = new WeakMap<Sqlite3, Map<SyncFiles | string | undefined, Installed>>();

function baseOf<S extends Sqlite3>(options: OpenReplicatedOptions<S>): Base {
  const { sqlite3, files, platform = webPlatform } = options;
  let installed = bases.get(sqlite3);
  if (installed === undefined) bases.set(sqlite3, (installed = new Map()));
  // A pool that was removed and installed again is another VFS under the same name.
  const key = isBrowsers(files)
    ? `${files.vfs} at ${sqlite3.capi.sqlite3_vfs_find(files.vfs)}`
    : files;
  let base = installed.get(key);
  if (base === undefined) {
    const name = `pagestream-open-${installed.size}`;
    const filesFor = isBrowsers(files) ? () => files : serve(sqlite3, files, name);
    const parent = isBrowsers(files) ? files.vfs : name;
    const capture = installCaptureVfs(sqlite3, { parent, name: `${name}-capture` });
    installed.set(key, (base = { filesFor, capture }));
  }
  const { filesFor, capture } = base;
  return { files: isBrowsers(files) ? files : filesFor(platform), capture };
}

/** Installs the VFS that serves the files of a runtime, or memory. */
function serve(
  sqlite3: Sqlite3,
  files: SyncFiles | undefined,
  name: string,
): Installed["filesFor"] {
  if (files === undefined) {
    const inMemory = memoryDatabaseFiles(installMemoryVfs(sqlite3, { name }), name);
    return () => inMemory;
  }
  installSyncFileVfs(sqlite3, { files, name });
  return (platform) => syncDatabaseFiles(files, name, platform);
}

/** Whether a VFS of sqlite-wasm's own serves the files. */
function isBrowsers(files: SyncFiles | DatabaseFiles | undefined): files is DatabaseFiles {
  return files !== undefined && "vfs" in files;
}

async function restoreMissing<S extends Sqlite3>(
  files: DatabaseFiles,
  path: string,
  options: OpenReplicatedOptions<S>,
): Promise<{ readonly restored: RestoreResult | undefined; readonly evicted: boolean }> {
  const { platform, signal, onProgress, remembered = false } = options;
  // Two who find the database missing must not restore over each other; opening takes the lock anew.
  const lock = await files.lock(path);
  try {
    if (await files.isPresent(path)) return { restored: undefined, evicted: false };
    const evicted = remembered || (await files.isKnown(path));
    const replica = await replicaToRestore(options);
    const how = { platform, signal, onProgress };
    const restored = await restoreIfMissing(replica, files.sink(path), how);
    return { restored, evicted };
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
  files: DatabaseFiles,
  path: string,
  options: OpenReplicatedOptions<S> & { readonly unchanged: Fingerprint },
): Promise<RestoreResult | undefined> {
  const { platform, signal, onProgress, unchanged } = options;
  const replica = await replicaToRestore(options);
  return await files.replace(path, unchanged, (sink) =>
    restore(replica, sink, { platform, signal, onProgress, journalHeader: "rollback" }),
  );
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
