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
import { isPagestreamError, openReplicated, type OpenReplicatedOptions } from "pagestream";
import { adapter } from "./kit.ts";

/** What a child is told, as JSON in its first argument. */
export interface ChildOptions {
  /**
   * `write`: rows without end, each acknowledged once it is durable; `flush-at-exit`: some rows that only closing
   * uploads; `lock`: takes the lock of the file and holds it.
   */
  readonly task: "write" | "flush-at-exit" | "lock";
  readonly path: string;
  readonly replica: string;
  /** How the database is opened. */
  readonly mode?: Mode;
}

/** What of `openReplicated` a case varies. */
export type Mode = Pick<OpenReplicatedOptions<Sqlite3Static>, "journalMode" | "durability">;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Runs what the parent asks for. */
async function main({ task, path, replica, mode }: ChildOptions): Promise<void> {
  setInterval(() => undefined, 1000);
  if (task === "lock") {
    adapter.syncFiles().lock(path);
    // Nobody keeps what it returned, and still only release() may end it.
    collectGarbage();
    return say("locked");
  }
  const app = await openReplicated({
    sqlite3: await sqlite3InitModule(),
    files: adapter.syncFiles(),
    path,
    replica: adapter.fileStore(replica),
    ...mode,
    groupMs: task === "write" ? 5 : 3_600_000,
  });
  await app.transaction(() => {
    app.db.exec("CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body)");
  });
  const insert = (): Promise<number> =>
    app.transaction(() => {
      app.db.exec("INSERT INTO note(body) VALUES (randomblob(abs(random()) % 6000))");
      return app.db.selectValue("SELECT count(*) FROM note") as number;
    });
  if (task === "flush-at-exit") {
    adapter.closeOnExit(app, { deadlineMs: 20_000 });
    for (let i = 0; i < 10; i++) await insert();
    return say("ready");
  }
  // Some transactions are always on their way to the replica, so that the end falls among them.
  const waiting = new Set<Promise<void>>();
  for (;;) {
    const rows = await insert();
    // COMMIT itself has waited.
    if (mode?.durability?.startsWith("hold")) {
      say(`durable ${rows}`);
      continue;
    }
    const durable: Promise<void> = app.replication.durable().then(() => {
      waiting.delete(durable);
      say(`durable ${rows}`);
    });
    waiting.add(durable);
    await (waiting.size > 4 ? Promise.race(waiting) : setTimeout(1));
  }
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
