/**
 * Lives of a process that replicates a database in a file, each ended by a crash, and what must hold after each.
 *
 * @module
 */
import { openReplicated, type ReplicatedDatabase } from "../../src/api/open-replicated.ts";
import { restore } from "../../src/api/restore.ts";
import { webPlatform } from "../../src/transports/web-platform.ts";
import { setJournalHeader } from "../../src/core/database-header.ts";
import type { Platform } from "../../src/core/platform.ts";
import type { SyncFiles } from "../../src/core/sync-files.ts";
import { bytesSink } from "../../src/replica/bytes-sink.ts";
import type { Durability } from "../../src/replica/replication.ts";
import { checkpointed } from "../../src/testing/checkpointed.ts";
import { type MemorySyncFiles, memorySyncFiles } from "../../src/testing/memory-sync-files.ts";
import { type SeededRandom, seededRandom } from "../../src/testing/seeded-random.ts";
import { memoryStore } from "../../src/transports/memory.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";
import type { Sqlite3 } from "../../src/vfs/sqlite3.ts";
import { firstDifference } from "./free-pages.ts";

/** One cell of the matrix. */
export interface CrashCell {
  readonly journal: "delete" | "truncate" | "persist" | "memory" | "wal" | "wal-exclusive";
  readonly synchronous: "off" | "normal" | "full";
  /** `power` loses unsynced sectors by chance, `directories` also each directory entry that was not synced. */
  readonly loss: "process" | "power" | "directories";
  readonly durability: Extract<Durability, "async" | "local" | "hold-retry">;
}

/** How often a cell's lives came to what. */
export interface CrashCounts {
  crashes: number;
  /** The local database was corrupt afterwards. */
  corrupt: number;
  /** Opening refused, because the database is behind its replica. */
  behind: number;
  /** TXIDs that were confirmed, and restores that were compared. */
  confirmed: number;
  restored: number;
}

const PATH = "/data/app.db";

/** Whether a cell's local database may be corrupt after a crash. */
export function mayCorrupt({ journal, synchronous, loss }: CrashCell): boolean {
  if (journal === "memory") return true;
  if (loss === "process" || journal.startsWith("wal")) return false;
  return synchronous === "off" || (synchronous === "normal" && journal === "truncate");
}

/** Runs one seed of a cell: `lives` lives of one database and one replica. Throws what did not hold. */
export async function crashLives(
  sqlite3: Sqlite3,
  cell: CrashCell,
  options: { readonly seed: number; readonly lives: number; readonly counts: CrashCounts },
): Promise<void> {
  const run = new CrashRun(sqlite3, cell, options.seed, options.counts);
  for (let life = 0; life < options.lives && !run.ended; life++) await run.life();
}

/** A process: what it sends and what it plans end with it. */
interface Process {
  readonly files: SyncFiles;
  readonly store: ObjectStore;
  readonly platform: Platform;
  /** Rejects when a file call was refused: nothing the process does counts after that. */
  readonly dead: Promise<never>;
  /** Throws once it has ended: what was on its way may still come back to it. */
  check(): void;
  end(): void;
}

class CrashRun {
  /** The local database was lost, and with it the promise that the newest state is a sound one. */
  ended = false;
  readonly #sqlite3: Sqlite3;
  readonly #cell: CrashCell;
  readonly #counts: CrashCounts;
  readonly #random: SeededRandom;
  readonly #replica = memoryStore();
  readonly #files: MemorySyncFiles;
  readonly #confirmed = new Map<bigint, Uint8Array>();
  /** Value of the last commit that was acknowledged, and of the last one that was confirmed. */
  #acknowledged = 0;
  #next = 0;
  #callsLeft = Infinity;
  #onCrash = (): void => {};

  // oxlint-disable-next-line max-params -- the cell and its seed.
  constructor(sqlite3: Sqlite3, cell: CrashCell, seed: number, counts: CrashCounts) {
    this.#sqlite3 = sqlite3;
    this.#cell = cell;
    this.#counts = counts;
    this.#random = seededRandom(seed);
    this.#files = memorySyncFiles({
      onOperation: () => {
        if (--this.#callsLeft >= 0) return;
        this.#onCrash();
        throw new Error("the machine is gone");
      },
    });
    this.#files.makeDirectory("/data");
    this.#files.syncDirectory("/");
  }

  async life(): Promise<void> {
    this.#callsLeft = Infinity;
    let process = this.#begin();
    const opened = await this.#openSoundly(process);
    if (opened === undefined) return;
    await opened.replication.durable();
    await this.#compareNewest();
    await opened.close();
    process.end();
    process = this.#begin();
    // Sometimes it dies while it opens.
    this.#callsLeft = this.#random.int(this.#random.chance(0.2) ? 120 : 900);
    const work = this.#work(process);
    await Promise.race([work, process.dead]).catch(() => {});
    work.catch(() => {});
    process.end();
    this.#callsLeft = Infinity;
    const { loss } = this.#cell;
    const directories = loss === "directories" ? "any" : "ordered";
    this.#files.crash(loss === "process" ? "process" : "power", this.#random, { directories });
    this.#counts.crashes++;
    await this.#restoreConfirmed();
  }

  #begin(): Process {
    let alive = true;
    const never = new Promise<never>(() => {});
    const store = this.#replica;
    const dead = new Promise<never>((_, reject) => {
      this.#onCrash = () => reject(new Error("the process is dead"));
    });
    dead.catch(() => {});
    const { clock } = webPlatform;
    return {
      // An object of its own, so that nothing the dead one left in SQLite is used again.
      files: bound(this.#files),
      store: {
        ...store,
        put: (...args) => (alive ? store.put(...args) : never),
        get: (...args) => (alive ? store.get(...args) : never),
        head: (...args) => (alive ? store.head(...args) : never),
      },
      platform: {
        ...webPlatform,
        clock: {
          ...clock,
          schedule: (callback, delayMs) => clock.schedule(() => alive && callback(), delayMs),
        },
      },
      dead,
      check: () => {
        if (!alive) throw new Error("the process is dead");
      },
      end: () => void (alive = false),
    };
  }

  #open({ files, store, platform }: Process): Promise<ReplicatedDatabase<Sqlite3>> {
    const { journal, durability } = this.#cell;
    return openReplicated({
      sqlite3: this.#sqlite3,
      files,
      path: PATH,
      replica: store,
      platform,
      groupMs: 0,
      durability,
      journalMode: journal === "wal-exclusive" ? "wal" : journal,
    });
  }

  /** Opens what a crash left; undefined where it may be corrupt or behind and is. */
  async #openSoundly(process: Process): Promise<ReplicatedDatabase<Sqlite3> | undefined> {
    let app: ReplicatedDatabase<Sqlite3> | undefined;
    try {
      app = await this.#open(process);
      this.#checkLocal(app);
      return app;
    } catch (error) {
      const behind = (error as { code?: unknown }).code === "DATABASE_BEHIND";
      if (!behind && !mayCorrupt(this.#cell)) throw error;
      this.#counts[behind ? "behind" : "corrupt"]++;
      await app?.close().catch(() => {});
      this.ended = true;
      await this.#restoreConfirmed();
      return undefined;
    }
  }

  #checkLocal({ db }: ReplicatedDatabase<Sqlite3>): void {
    const sound = db.selectValue("PRAGMA integrity_check");
    if (sound !== "ok") throw new Error(`integrity_check: ${String(sound)}`);
    const { synchronous, durability, loss } = this.#cell;
    const kept = loss === "process" || synchronous === "full" || durability !== "async";
    if (!kept || mayCorrupt(this.#cell)) return;
    const value = this.#value(db);
    if (value >= this.#acknowledged) return;
    throw new Error(`commit ${this.#acknowledged} was acknowledged, the database has ${value}`);
  }

  #value(db: ReplicatedDatabase<Sqlite3>["db"]): number {
    const exists = db.selectValue("SELECT count(*) FROM sqlite_schema WHERE name='n'");
    return exists === 0 ? 0 : (db.selectValue("SELECT value FROM n") as number);
  }

  async #work(process: Process): Promise<void> {
    const random = this.#random;
    const app = await this.#open(process);
    const { db } = app;
    db.exec(`PRAGMA synchronous=${this.#cell.synchronous}; PRAGMA cache_size=10`);
    if (this.#cell.journal === "wal-exclusive") db.exec("PRAGMA locking_mode=EXCLUSIVE");
    this.#next = Math.max(this.#next, this.#value(db));
    for (;;) {
      const value = ++this.#next;
      await app.transaction(() => {
        db.exec("CREATE TABLE IF NOT EXISTS n(value); CREATE TABLE IF NOT EXISTS t(a, b)");
        if (db.selectValue("SELECT count(*) FROM n") === 0) db.exec("INSERT INTO n VALUES(0)");
        db.exec(`UPDATE n SET value=${value}`);
        db.exec(`INSERT INTO t VALUES(${random.int(50)}, randomblob(${random.int(6_000)}))`);
        if (random.chance(0.3)) db.exec(`DELETE FROM t WHERE a=${random.int(50)}`);
        if (random.chance(0.1)) db.exec("UPDATE t SET b=randomblob(length(b))");
      });
      process.check();
      this.#acknowledged = value;
      if (random.chance(0.4)) {
        await app.replication.durable();
        process.check();
        this.#counts.confirmed++;
        this.#confirmed.set(app.replication.position.replicated, this.#bytes());
      }
      if (random.chance(0.05)) await app.replication.snapshot();
    }
  }

  #bytes(): Uint8Array {
    const main = this.#files.bytes(PATH) ?? new Uint8Array(0);
    return checkpointed(main, this.#files.bytes(`${PATH}-wal`));
  }

  /** The newest state of the replica is the database. */
  async #compareNewest(): Promise<void> {
    const bytes = this.#bytes();
    if (bytes.length > 0) await this.#compare(undefined, bytes);
  }

  /** What was confirmed restores to what it was then. */
  async #restoreConfirmed(): Promise<void> {
    const txids = [...this.#confirmed.keys()];
    const chosen = new Set([...txids.slice(-2), ...this.#random.shuffle(txids).slice(0, 2)]);
    for (const txid of chosen) await this.#compare(txid, this.#confirmed.get(txid)!);
  }

  async #compare(txid: bigint | undefined, expected: Uint8Array): Promise<void> {
    const sink = bytesSink();
    await restore(this.#replica, sink, { position: false, txid });
    this.#counts.restored++;
    const [there, here] = [sink.bytes.slice(), expected.slice()];
    if (there.length >= 100) setJournalHeader(there, "rollback");
    if (here.length >= 100) setJournalHeader(here, "rollback");
    const pageSize = (here[16]! << 8) | here[17]! || 4096;
    const header = new DataView(here.buffer);
    // A crash may leave bytes past the end that the header tells.
    const size = here.length < 100 ? 0 : Math.min(here.length, header.getUint32(28) * pageSize);
    const different = firstDifference(here.subarray(0, size), there, { pageSize, free: true });
    if (different !== undefined) throw new Error(`txid ${txid ?? "newest"}: ${different}`);
  }
}

function bound(files: MemorySyncFiles): SyncFiles {
  return {
    fullPath: (path) => files.fullPath(path),
    open: (path, options) => files.open(path, options),
    identity: (path) => files.identity(path),
    remove: (path) => files.remove(path),
    rename: (from, to) => files.rename(from, to),
    list: (directory) => files.list(directory),
    makeDirectory: (path) => files.makeDirectory(path),
    syncDirectory: (path) => files.syncDirectory(path),
    lock: (path) => files.lock(path),
  };
}
