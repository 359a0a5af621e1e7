/**
 * What a child process of the smoke suite does, in the runtime that its parent runs in or in another. It says where it
 * stands in lines on standard output, and goes on until it is ended.
 *
 * @module
 */
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import {
  isPagestreamError,
  openReplicated,
  type OpenReplicatedOptions,
  type Replication,
} from "pagestream";
import type { Closable } from "pagestream/bun";
import { adapter, type Library, openNative } from "./kit.ts";

/** What a child is told, as JSON in its first argument. */
export interface ChildOptions {
  /**
   * `write`: rows without end, each acknowledged once it is durable; `flush-at-exit`: some rows that only closing
   * uploads; `exit`: some rows, and then an end without closing; `lock`: takes the lock of the file and holds it.
   */
  readonly task: "write" | "flush-at-exit" | "exit" | "lock";
  readonly path: string;
  readonly replica: string;
  /** How the database is opened. */
  readonly mode?: Mode;
  /** Writes through a handle of this library, not through a capture. */
  readonly library?: Library;
  /** Whether this process replicates what it writes. */
  readonly replicates?: boolean;
}

/** What of `openReplicated` a case varies. */
export type Mode = Pick<OpenReplicatedOptions<Sqlite3Static>, "journalMode" | "durability">;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** What a task works with. */
interface App {
  readonly insert: () => Promise<number> | number;
  readonly replication: Replication | undefined;
  readonly closable: Closable | undefined;
}

/** Runs what the parent asks for. */
async function main(options: ChildOptions): Promise<void> {
  const { task, path, mode, library } = options;
  setInterval(() => undefined, 1000);
  if (task === "lock") {
    adapter.syncFiles().lock(path);
    // Nobody keeps what it returned, and still only release() may end it.
    collectGarbage();
    return say("locked");
  }
  const { insert, replication, closable } =
    library === undefined ? await capture(options) : await followHandle(options, library);
  if (task === "flush-at-exit" || task === "exit") {
    if (closable !== undefined) adapter.closeOnExit(closable, { deadlineMs: 20_000 });
    for (let i = 0; i < 10; i++) await insert();
    if (task === "exit") process.exit(3);
    return say("ready");
  }
  // Some transactions are always on their way to the replica, so that the end falls among them.
  const waiting = new Set<Promise<void>>();
  for (;;) {
    const rows = await insert();
    // COMMIT itself has waited.
    if (replication === undefined || mode?.durability?.startsWith("hold")) {
      say(`durable ${rows}`);
      await setTimeout(1);
      continue;
    }
    const durable: Promise<void> = replication.durable().then(() => {
      waiting.delete(durable);
      say(`durable ${rows}`);
    });
    waiting.add(durable);
    await (waiting.size > 4 ? Promise.race(waiting) : setTimeout(1));
  }
}

const CREATE = "CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body)";
const INSERT = "INSERT INTO note(body) VALUES (randomblob(abs(random()) % 6000))";
const COUNT = "SELECT count(*) AS rows FROM note";
const groupMs = (task: ChildOptions["task"]): number => (task === "write" ? 5 : 3_600_000);

async function capture({ task, path, replica, mode }: ChildOptions): Promise<App> {
  const app = await openReplicated({
    sqlite3: await sqlite3InitModule(),
    files: adapter.syncFiles(),
    path,
    replica: adapter.fileStore(replica),
    ...mode,
    groupMs: groupMs(task),
  });
  await app.transaction(() => void app.db.exec(CREATE));
  const insert = (): Promise<number> =>
    app.transaction(() => {
      app.db.exec(INSERT);
      return app.db.selectValue(COUNT) as number;
    });
  return { insert, replication: app.replication, closable: app };
}

async function followHandle(options: ChildOptions, library: Library): Promise<App> {
  const { task, path, replica, replicates = true } = options;
  const handle = await openNative(library, path);
  handle.exec(`PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; ${CREATE}`);
  const store = adapter.fileStore(replica);
  const replication = replicates
    ? await adapter.replicate(handle, store, { groupMs: groupMs(task) })
    : undefined;
  const count = handle.prepare(COUNT);
  const insert = (): number => {
    handle.exec(INSERT);
    return (count.get() as { readonly rows: number }).rows;
  };
  return { insert, replication, closable: replication };
}

function collectGarbage(): void {
  const { Bun: bun } = globalThis as { readonly Bun?: { gc(force: boolean): void } };
  if (bun !== undefined) return bun.gc(true);
  setFlagsFromString("--expose-gc");
  runInNewContext("gc()");
}

try {
  await main(JSON.parse(process.argv[2] ?? "{}") as ChildOptions);
} catch (error) {
  say(`failed ${isPagestreamError(error) ? error.code : String(error)}`);
  process.exit(1);
}
