/**
 * Databases in OPFS, driven by commands: a page hands them to its worker, and the same bundle is both.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import {
  bytesSink,
  callWriter,
  flushOnHide,
  holdWriter,
  hydrate,
  isPagestreamError,
  type ObjectStore,
  openReplicaReader,
  openReplicated,
  openSahPool,
  opfsFiles,
  opfsFileSink,
  opfsHydrationTarget,
  opfsState,
  replicate,
  requestPersistence,
  restore,
  sahPoolSink,
  type SahPool,
  type WriterHold,
} from "pagestream";
import { testLocalState } from "pagestream/testing";
import { installCaptureVfs } from "pagestream/vfs";
import { httpStore } from "../../helpers/http-store.ts";
import { type ContractResult, runContract } from "../../helpers/run-contract.ts";

/** Where the database lies. */
export type Base = "opfs" | "opfs-sahpool";

/** What to open. */
export interface OpenRequest {
  readonly base: Base;
  readonly replica: string;
  readonly journalMode: "truncate" | "wal";
  readonly remembered?: boolean;
}

/** What a session tells of itself. */
export interface State {
  readonly rows: number;
  readonly check: string;
  readonly restored: boolean;
  readonly evicted: boolean;
  /** Bytes that were read of the replica. */
  readonly fetched: number;
}

/** What came of a restore. */
export interface Restored {
  /** Code of the error; empty where there was none. */
  readonly code: string;
  readonly fetched: number;
  /** Of the last report. */
  readonly progress: { readonly bytes: number; readonly totalBytes: number };
  /** Whether a database lies there now. */
  readonly present: boolean;
}

type Sqlite3 = Awaited<ReturnType<typeof sqlite3InitModule>>;
type App = Awaited<ReturnType<typeof openReplicated<Sqlite3>>>;

const PATH = "/notes.db";
const INSERT = "INSERT INTO note(body) VALUES (hex(randomblob(200)))";

let sqlite3: Sqlite3 | undefined;
let pool: SahPool | undefined;
let app: App | undefined;
let fetched = 0;
let durable = 0;

/** The test's store, as one far away, with what is read counted; its bodies end for ever after `limit` bytes. */
function counted(
  url: string,
  options: { readonly far: boolean; readonly limit?: number },
): ObjectStore {
  const store = httpStore(url);
  const { far, limit = Number.POSITIVE_INFINITY } = options;
  return {
    ...store,
    local: !far,
    async get(key, range) {
      const result = await store.get(key, range);
      const body = result.body.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          async transform(chunk, controller) {
            if (fetched >= limit) await new Promise(() => undefined);
            fetched += chunk.length;
            controller.enqueue(chunk);
          },
        }),
      );
      return { ...result, body };
    },
  };
}

async function library(base: Base): Promise<Sqlite3> {
  sqlite3 ??= await sqlite3InitModule();
  // Of a tab that was killed: its files are given back a moment later.
  if (base === "opfs-sahpool") pool ??= await openSahPool(sqlite3);
  return sqlite3;
}

const commands = {
  async load(base: Base): Promise<void> {
    await library(base);
  },

  async contract(): Promise<ContractResult[]> {
    return await runContract((kit) => {
      testLocalState((path) => opfsState({ vfs: "contract", path }), kit);
    });
  },

  async open(request: OpenRequest): Promise<State> {
    const { base, replica, journalMode, remembered } = request;
    const library3 = await library(base);
    fetched = 0;
    app = await openReplicated({
      sqlite3: library3,
      files: opfsFiles(pool),
      path: PATH,
      replica: counted(replica, { far: false }),
      journalMode,
      remembered,
      lease: false,
    });
    app.db.exec("CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body)");
    return state();
  },

  async state(): Promise<State> {
    return state();
  },

  async write(count: number): Promise<State> {
    for (let left = count; left > 0; left--) opened().db.exec(INSERT);
    await opened().replication.durable();
    return state();
  },

  /** Goes on committing until the tab ends. */
  async writeForever(): Promise<void> {
    const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
    const write = async (): Promise<never> => {
      for (;;) {
        for (let i = 0; i < 4; i++) opened().db.exec(INSERT);
        await turn();
      }
    };
    const follow = async (): Promise<never> => {
      for (;;) {
        const { rows } = state();
        await opened().replication.durable();
        durable = rows;
        await turn();
      }
    };
    void write().catch(console.error);
    void follow().catch(console.error);
  },

  async durable(): Promise<number> {
    return durable;
  },

  /** Adds rows of a hundred kilobytes. */
  async fill(count: number): Promise<void> {
    const sql = "INSERT INTO note(body) VALUES (randomblob(100000))";
    for (let left = count; left > 0; left--) opened().db.exec(sql);
    await opened().replication.durable();
  },

  /** Other ways to change pages than adding rows. */
  async work(): Promise<void> {
    const { db, replication } = opened();
    db.exec("UPDATE note SET body = hex(randomblob(300)) WHERE id % 3 = 0");
    db.exec("CREATE INDEX IF NOT EXISTS bodies ON note(body); DELETE FROM note WHERE id % 7 = 0");
    // Larger than the cache: pages are written before the transaction ends.
    db.exec(
      "PRAGMA cache_size=5; BEGIN; UPDATE note SET body = body || 'x' WHERE id = 1; ROLLBACK",
    );
    db.exec("PRAGMA cache_size=-2000; VACUUM; DROP INDEX bodies");
    await replication.durable();
  },

  /** Whether the replica restores to the very bytes of the database. */
  async same(replica: string): Promise<boolean> {
    const sink = bytesSink({ journalHeader: "keep" });
    await restore(counted(replica, { far: false }), sink);
    // Of a page that was freed SQLite may have other bytes in memory, which it does not write.
    opened().db.exec("PRAGMA shrink_memory");
    const file = sqlite3!.capi.sqlite3_js_db_export(opened().db);
    return file.length === sink.bytes.length && file.every((byte, i) => byte === sink.bytes[i]);
  },

  async close(): Promise<void> {
    await opened().close();
    app = undefined;
  },

  /** Removes the database, or with `all` everything that the origin stores. */
  async evict(all: boolean): Promise<void> {
    if (!all) return void pool!.unlink(PATH);
    await (pool as unknown as { wipeFiles(): Promise<void> }).wipeFiles();
    const root = await navigator.storage.getDirectory();
    await root.removeEntry(".pagestream", { recursive: true });
  },

  async restore(request: {
    readonly base: Base;
    readonly replica: string;
    /** Bytes after which the network hangs. */
    readonly limit?: number;
    readonly path: string;
  }): Promise<Restored> {
    const { base, replica, limit, path } = request;
    await library(base);
    fetched = 0;
    let progress = { bytes: 0, totalBytes: 0 };
    const sink =
      pool === undefined ? opfsFileSink(path, { sqlite3 }) : sahPoolSink(pool, path, { sqlite3 });
    const store = counted(replica, { far: true, ...(limit === undefined ? {} : { limit }) });
    let code = "";
    try {
      await restore(store, sink, {
        integrityCheck: "quick",
        onProgress: ({ bytes, totalBytes }) => (progress = { bytes, totalBytes }),
        retry: { attempts: 1, budgetMs: 1000, baseMs: 1, capMs: 1 },
      });
    } catch (error) {
      if (!isPagestreamError(error)) throw error;
      code = error.code;
    }
    const root = await navigator.storage.getDirectory();
    const present =
      pool === undefined
        ? await root.getFileHandle(path.slice(1)).then(
            () => true,
            () => false,
          )
        : pool.getFileNames().includes(path);
    return { code, fetched, progress, present };
  },

  /** Hydrates a copy in a folder of its own until it is complete, and says whether it is what a restore is. */
  async hydrate(request: {
    readonly replica: string;
    /** Bytes after which the network hangs. */
    readonly limit?: number;
  }): Promise<{ readonly fetched: number; readonly same: boolean }> {
    const { replica, limit } = request;
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("copies", { create: true });
    fetched = 0;
    const store = counted(replica, { far: true, ...(limit === undefined ? {} : { limit }) });
    const reader = await openReplicaReader(store);
    const hydration = await hydrate(reader, opfsHydrationTarget(folder, "copy.db"));
    await hydration.complete();
    await hydration.close();
    await reader.close();
    const read = fetched;
    const sink = bytesSink();
    await restore(counted(replica, { far: false }), sink);
    const file = await (await folder.getFileHandle("copy.db")).getFile();
    const copy = new Uint8Array(await file.arrayBuffer());
    const same = copy.every((byte, i) => byte === sink.bytes[i]);
    return { fetched: read, same: same && copy.length === sink.bytes.length };
  },

  /** As the documentation has it: into the pool, then back up from there. */
  async example(replica: string): Promise<{ readonly rows: unknown; readonly full: unknown }> {
    const sqlite3 = await library("opfs-sahpool");
    const pool = await sqlite3.installOpfsSAHPoolVfs({});
    const store = httpStore(replica);
    const { position } = await restore(store, sahPoolSink(pool, "/notes.db"));

    const vfs = installCaptureVfs(sqlite3, { parent: "opfs-sahpool" });
    const db = new sqlite3.oo1.DB(`file:/notes.db?vfs=${vfs.name}`);
    const replication = await replicate(vfs.source(db), store, { position });

    const events = replication.events[Symbol.asyncIterator]();
    const cut = (async () => {
      for (;;) {
        const { value } = await events.next();
        if (value?.type === "cut") return value.full;
      }
    })();
    db.exec(INSERT);
    await replication.durable();
    const rows = db.selectValue("SELECT count(*) FROM note");
    const full = await cut;
    await replication.close();
    db.close();
    return { rows, full };
  },

  async fetched(): Promise<number> {
    return fetched;
  },
};

/** The commands of the worker by name. */
export type Commands = typeof commands;

function opened(): App {
  if (app === undefined) throw new Error("no database is open");
  return app;
}

function state(): State {
  const { db, restored, evicted } = opened();
  return {
    rows: db.selectValue("SELECT count(*) FROM note") as number,
    check: db.selectValue("PRAGMA quick_check") as string,
    restored: restored !== undefined,
    evicted,
    fetched,
  };
}

/** What the test calls on the page. */
export interface DatabaseApi {
  run(command: keyof Commands, argument: unknown): Promise<unknown>;
  /** Holds the right to write; told what happened to it in `log`. */
  hold(options: { readonly refuses?: string; readonly log: string }): Promise<void>;
  release(): Promise<void>;
  call(message: unknown): Promise<unknown>;
  log: string[];
  /** Leaves a sign in `localStorage` when the page is hidden or left. */
  flushOnHide(): void;
  requestPersistence: typeof requestPersistence;
}

if (typeof document === "undefined") {
  addEventListener("message", ({ data, ports }: MessageEvent<[keyof Commands, unknown]>) => {
    const run = commands[data[0]] as (argument: unknown) => Promise<unknown>;
    run(data[1]).then(
      (result) => ports[0]!.postMessage({ result }),
      (error: unknown) => ports[0]!.postMessage({ error: String(error) }),
    );
  });
} else {
  const worker = new Worker(new URL("database.js", import.meta.url), { type: "module" });
  const log: string[] = [];
  let hold: WriterHold | undefined;
  const api: DatabaseApi = {
    log,
    run: (command, argument) =>
      new Promise((resolve, reject) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }: MessageEvent<{ result?: unknown; error?: string }>) => {
          if (data.error === undefined) resolve(data.result);
          else reject(new Error(data.error));
        };
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage([command, argument], [port2]);
      }),
    async hold({ refuses, log: who }) {
      hold = await holdWriter("notes", {
        handOver() {
          if (refuses !== undefined) throw new Error(refuses);
          log.push(`${who} closes`);
        },
      });
      log.push(`${who} holds`);
      void hold.ended.then(() => log.push(`${who} ended`));
      hold.serve((message) => {
        if (message === "fail") throw new RangeError("no such note");
        return { who, message };
      });
    },
    release: async () => await hold?.release(),
    call: (message) => callWriter("notes", message, { timeoutMs: 2000 }),
    flushOnHide() {
      flushOnHide(() =>
        localStorage.setItem("flushed", String(Number(localStorage["flushed"] ?? 0) + 1)),
      );
    },
    requestPersistence,
  };
  Object.assign(globalThis, { api });
}
