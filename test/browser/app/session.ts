/**
 * A replicated database in a browser, driven by commands: the same on a page and in a worker.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import {
  bytesSink,
  memoryDrill,
  openReplicated,
  replicate,
  type Replication,
  type RestoreResult,
  restoreIfMissing,
  verify,
} from "pagestream";
import { type CaptureVfs, installCaptureVfs } from "pagestream/vfs";
import { httpStore } from "../../helpers/http-store.ts";

/** Where the database lies. */
export type Base = "memory" | "opfs" | "opfs-sahpool";

/** What to open. */
export interface OpenRequest {
  readonly base: Base;
  /** URL of the replica. */
  readonly replica: string;
  /** Removes what lies in OPFS first. @default false */
  readonly fresh?: boolean;
  /** Over OPFS; in memory it is "memory". */
  readonly journalMode: string;
  /** In memory; over OPFS it is "async". */
  readonly durability: "async" | "hold-jspi";
}

/** What a session tells of itself. */
export interface State {
  readonly rows: number;
  /** The most rows that a commit had of which the store is known to have it. */
  readonly durable: number;
  /** Of SQLite's integrity check. */
  readonly check: string;
  /** Whether the database was missing and came from the replica. */
  readonly restored: boolean;
  readonly journalMode: string;
}

type Sqlite3 = Awaited<ReturnType<typeof sqlite3InitModule>>;
type Database = InstanceType<Sqlite3["oo1"]["DB"]>;

interface Open {
  readonly db: Database;
  readonly replication: Replication;
  readonly restored: RestoreResult | undefined;
  /** Present where each COMMIT is held until the store has it. */
  readonly transaction?: <T>(work: () => T) => Promise<T>;
}

const PATH = "/notes.db";

let sqlite3: Sqlite3 | undefined;
const captures = new Map<Base, CaptureVfs>();
let current: Open | undefined;
let durable = 0;

const INSERT = "INSERT INTO note(body) VALUES (hex(randomblob(200)))";

/** The commands; each takes and gives only what can be posted. */
export const commands = {
  async open(request: OpenRequest): Promise<State> {
    sqlite3 ??= await sqlite3InitModule();
    current = await (request.base === "memory"
      ? openMemory(sqlite3, request)
      : openOpfs(sqlite3, request));
    await commit("CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body)");
    return state();
  },

  /** Commits rows one by one and waits until the store has them. */
  async write(count: number): Promise<State> {
    for (let left = count; left > 0; left--) await commit(INSERT);
    await settle();
    return state();
  },

  /** Goes on committing until the page or worker ends. */
  async writeForever(): Promise<State> {
    const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
    const write = async (): Promise<never> => {
      for (;;) {
        await commit(INSERT);
        await turn();
      }
    };
    // With a turn as well: when all is durable the wait gives nobody one.
    const follow = async (): Promise<never> => {
      for (;;) {
        await settle();
        await turn();
      }
    };
    void write().catch(console.error);
    void follow().catch(console.error);
    return state();
  },

  async state(): Promise<State> {
    return state();
  },

  /** Rows of which the store is known to have them, without a look at the database. */
  async durable(): Promise<number> {
    return durable;
  },

  /** Puts the file, as SQLite sees it, into a store under the key `database`: posting it would take longer. */
  async export(url: string): Promise<void> {
    await httpStore(url).put("database", sqlite3!.capi.sqlite3_js_db_export(opened().db));
  },

  /** Restores the replica into memory and counts its rows; what is wrong, as text. */
  async drill(replica: string): Promise<string[]> {
    const probes = [{ sql: "SELECT count(*) FROM note", expected: countRows(opened().db) }];
    const store = httpStore(replica);
    const { faults } = await verify(store, { restore: memoryDrill(sqlite3 as Sqlite3), probes });
    return faults.map(({ message }) => message);
  },

  async close(): Promise<void> {
    const { db, replication } = opened();
    await replication.close();
    db.close();
    current = undefined;
  },
};

/** The commands by name. */
export type Commands = typeof commands;

function opened(): Open {
  if (current === undefined) throw new Error("no database is open");
  return current;
}

/** Runs what touches the database; while a COMMIT is held nothing else may. */
async function use<T>(work: (db: Database) => T): Promise<T> {
  const { db, transaction } = opened();
  return transaction === undefined ? work(db) : transaction(() => work(db));
}

async function commit(sql: string): Promise<void> {
  await use((db) => db.exec(sql));
  if (opened().transaction !== undefined && sql === INSERT) durable++;
}

async function settle(): Promise<void> {
  const { db, replication, transaction } = opened();
  if (transaction !== undefined) return;
  const rows = countRows(db);
  await replication.durable();
  durable = Math.max(durable, rows);
}

function countRows(db: Database): number {
  return db.selectValue("SELECT count(*) FROM note") as number;
}

function state(): Promise<State> {
  const { restored } = opened();
  return use((db) => ({
    rows: countRows(db),
    durable,
    check: db.selectValue("PRAGMA integrity_check") as string,
    restored: restored !== undefined,
    journalMode: db.selectValue("PRAGMA journal_mode") as string,
  }));
}

async function openMemory(sqlite3: Sqlite3, request: OpenRequest): Promise<Open> {
  const { replica, durability } = request;
  const app = await openReplicated({
    sqlite3,
    path: PATH,
    replica: httpStore(replica),
    durability,
    lease: false,
  });
  const { db, replication, restored } = app;
  const open = { db, replication, restored };
  return durability === "async" ? open : { ...open, transaction: (work) => app.transaction(work) };
}

async function openOpfs(sqlite3: Sqlite3, request: OpenRequest): Promise<Open> {
  const { base, replica, fresh = false, journalMode } = request;
  const files = await (base === "opfs" ? plainFiles(sqlite3) : pooledFiles(sqlite3));
  if (fresh) await files.remove();
  const store = httpStore(replica);
  let restored: RestoreResult | undefined;
  if (!(await files.exists())) {
    const sink = bytesSink();
    restored = await restoreIfMissing(store, sink);
    if (restored !== undefined) await files.write(sink.bytes);
  }
  const capture = captures.get(base) ?? installCaptureVfs(sqlite3, { parent: base });
  captures.set(base, capture);
  const db = new sqlite3.oo1.DB(PATH, "c", capture.name);
  // Before anything is read: there is no shared memory for the WAL's index.
  if (journalMode === "wal") db.exec("PRAGMA locking_mode=EXCLUSIVE");
  if (db.selectValue("PRAGMA page_count") === 0) db.exec("PRAGMA page_size=4096");
  db.exec(`PRAGMA journal_mode=${journalMode}`);
  // A page that ends gives nothing back: its lease would keep the next one waiting for half a minute.
  const position = restored?.position;
  const replication = await replicate(capture.source(db), store, { position, lease: false });
  return { db, replication, restored };
}

/** The files of a VFS, as far as a restore needs them. */
interface Files {
  exists(): Promise<boolean>;
  write(bytes: Uint8Array): Promise<unknown>;
  remove(): Promise<void>;
}

async function pooledFiles(sqlite3: Sqlite3): Promise<Files> {
  const pool = await sqlite3.installOpfsSAHPoolVfs({ initialCapacity: 6 });
  return {
    exists: async () => pool.getFileNames().includes(PATH),
    write: async (bytes) => pool.importDb(PATH, bytes),
    remove: async () => pool.wipeFiles(),
  };
}

async function plainFiles(sqlite3: Sqlite3): Promise<Files> {
  const root = await navigator.storage.getDirectory();
  const names = async (): Promise<string[]> => {
    const found: string[] = [];
    for await (const name of (root as unknown as { keys(): AsyncIterable<string> }).keys()) {
      if (name.startsWith(PATH.slice(1))) found.push(name);
    }
    return found;
  };
  return {
    exists: async () => (await names()).length > 0,
    write: async (bytes) => sqlite3.oo1.OpfsDb!.importDb(PATH, bytes),
    remove: async () => {
      for (const name of await names()) await root.removeEntry(name);
    },
  };
}
