// The notes: a database in the origin's private files, replicated whenever the server can be reached.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import {
  holdWriter,
  openReplicated,
  openSahPool,
  opfsFiles,
  type ReplicatedDatabase,
} from "pagestream";
import { httpStore } from "pagestream/transports/http";
import type { News, Note, Order } from "./notebook.ts";

type Sqlite3 = Awaited<ReturnType<typeof sqlite3InitModule>>;
type Notebook = ReplicatedDatabase<Sqlite3>;

const sqlite3 = await sqlite3InitModule();
let app: Notebook | undefined;
let opening: Promise<void> | undefined;
let isOnline = true;
/** Counts the changes of this session; for each note its last one, and how many of them the replica has. */
let count = 0;
const changes = new Map<number, number>();
let safeUpTo: number | undefined;

function tell(news: News): void {
  self.postMessage(news);
}

function isSafe(id: number): boolean | undefined {
  const change = changes.get(id) ?? 0;
  return safeUpTo === undefined ? (change === 0 ? undefined : false) : change <= safeUpTo;
}

function showNotes({ db }: Notebook): void {
  const rows = db.selectObjects("SELECT id, body FROM note ORDER BY id DESC");
  const notes = (rows as { id: number; body: string }[]).map(({ id, body }): Note => ({
    id,
    body,
    safe: isSafe(id),
  }));
  // What was deleted is safe when it is deleted in the replica.
  const ids = new Set([...notes.map(({ id }) => id), ...changes.keys()]);
  const waiting = [...ids].filter((id) => isSafe(id) !== true).length;
  tell({ type: "notes", notes, waiting, checked: safeUpTo !== undefined, online: isOnline });
}

/** Shows what there is, and shows it again once all of it is safe. */
async function settle(opened: Notebook): Promise<void> {
  const upTo = count;
  showNotes(opened);
  try {
    await opened.replication.durable();
  } catch {
    return; // Offline: what is left goes out later, which the events tell.
  }
  if (app !== opened) return;
  isOnline = true;
  safeUpTo = Math.max(safeUpTo ?? 0, upTo);
  showNotes(opened);
}

async function follow(opened: Notebook): Promise<void> {
  for await (const event of opened.replication.events) {
    if (app !== opened) return;
    if (event.type === "conflict") tell({ type: "failed", message: event.error.message });
    if (event.type === "stalled") isOnline = false;
    if (event.type === "stalled" || event.type === "uploaded") void settle(opened);
  }
}

/** Waits until no other tab has the notes, opens them, and gives them up when another tab asks. */
async function begin(notebook: string, remembered: boolean): Promise<void> {
  tell({ type: "waiting" });
  const hold = await holdWriter("notes", {
    async handOver() {
      await opening;
      // Offline the upload fails; what is left waits beside the database for whoever opens it next.
      await app?.close({ deadlineMs: 1000 }).catch(() => {});
      app = undefined;
      (await openSahPool(sqlite3)).pauseVfs();
      tell({ type: "elsewhere" });
    },
  });
  opening = open(notebook, remembered);
  // Where it fails another tab may try.
  opening.catch(() => hold.release()).catch(() => {});
  await opening;
}

async function open(notebook: string, remembered: boolean): Promise<void> {
  const pool = await openSahPool(sqlite3);
  try {
    app = await openReplicated({
      sqlite3,
      files: opfsFiles(pool),
      path: `/${notebook}.db`,
      replica: httpStore(new URL("/replica", location.href).href, {
        headers: { authorization: `Bearer ${notebook}` },
      }),
      lease: false, // a tab that is closed gives none back, and the next one would wait for half a minute
      remembered,
      startWithinMs: navigator.onLine ? 2000 : 0, // the notes open without a network, too
      onProgress: ({ bytes, totalBytes }) => tell({ type: "restoring", part: bytes / totalBytes }),
    });
  } catch (error) {
    pool.pauseVfs();
    throw error;
  }
  app.db.exec("CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body TEXT NOT NULL)");
  changes.clear();
  safeUpTo = undefined;
  if (app.evicted) tell({ type: "evicted", restored: app.restored !== undefined });
  void follow(app);
  void settle(app);
}

function change(work: (db: Notebook["db"]) => number): void {
  if (app === undefined) return;
  changes.set(work(app.db), ++count);
  void settle(app);
}

async function obey(order: Order): Promise<void> {
  if (order.type === "begin") await begin(order.notebook, order.remembered);
  if (order.type === "flush") await app?.replication.flush();
  if (order.type === "add") {
    // Written while the notes went to another tab.
    if (app === undefined) return tell({ type: "returned", body: order.body });
    change((db) => {
      db.exec({ sql: "INSERT INTO note(body) VALUES (?)", bind: [order.body] });
      return db.selectValue("SELECT last_insert_rowid()") as number;
    });
  }
  if (order.type === "delete") {
    change((db) => {
      db.exec({ sql: "DELETE FROM note WHERE id = ?", bind: [order.id] });
      return order.id;
    });
  }
}

self.addEventListener("message", ({ data }: MessageEvent<Order>) => {
  obey(data).catch((error: Error) => {
    // That nothing can be sent now is told by the events.
    if (data.type !== "flush") tell({ type: "failed", message: error.message });
  });
});
self.postMessage("ready"); // what was posted before had no listener yet
