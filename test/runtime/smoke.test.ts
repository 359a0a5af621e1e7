/**
 * Write, crash, open again, restore, go on: in every runtime, from the packages as they are published.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import {
  fileState,
  openReplicated,
  type ReplicatedDatabase,
  replicate,
  restore,
  stateDirectory,
} from "pagestream";
import { difference, failure } from "pagestream/testing";
import { attachCapture, installSyncFileVfs } from "pagestream/vfs";
import type { Mode } from "./child.ts";
import { adapter, Child, describe, freshDirectory, test } from "./kit.ts";

const ACKNOWLEDGED = 15;

const sqlite3 = await sqlite3InitModule();
type App = ReplicatedDatabase<typeof sqlite3>;

/** Another runtime's command line, for what must hold between runtimes. */
const neighbour = JSON.parse(process.env["PAGESTREAM_NEIGHBOUR"] ?? "null") as string[] | null;

/** How databases are opened. */
const MODES: Readonly<Record<string, Mode>> = {
  "journal mode TRUNCATE": {},
  "journal mode WAL": { journalMode: "wal" },
  "durability local": { durability: "local" },
  "durability local in a WAL": { durability: "local", journalMode: "wal" },
  "durability hold-retry": { durability: "hold-retry" },
  "durability hold-jspi": { durability: "hold-jspi" },
};

/** Node 22 cannot suspend WebAssembly. */
const hasJspi = "Suspending" in WebAssembly;

interface Place {
  readonly path: string;
  readonly replica: string;
  readonly mode?: Mode;
}

/** Where one test keeps its database and its replica. */
function places(): Place {
  const directory = freshDirectory();
  return { path: join(directory, "data", "app.db"), replica: join(directory, "backup") };
}

function open({ path, replica, mode }: Place): Promise<App> {
  const files = adapter.syncFiles();
  files.makeDirectory(dirname(path));
  return openReplicated({ sqlite3, files, path, replica: adapter.fileStore(replica), ...mode });
}

const countRows = (app: App): number => app.db.selectValue("SELECT count(*) FROM note") as number;

/** Restores the newest state beside the database and gives its bytes. */
async function restored({ path, replica }: Place): Promise<Uint8Array> {
  const copy = `${path}.copy`;
  const sink = adapter.fileSink(copy, { force: true, journalHeader: "rollback" });
  await restore(adapter.fileStore(replica), sink, { integrityCheck: "full" });
  // SQLite takes no subclass of Uint8Array.
  return new Uint8Array(readFileSync(copy));
}

describe("openReplicated()", () => {
  for (const [name, mode] of Object.entries(MODES)) {
    test(`a killed process loses nothing that was durable, and the next one goes on, with ${name}`, async () => {
      const place = { ...places(), mode };
      adapter.syncFiles().makeDirectory(dirname(place.path));
      const child = new Child({ task: "write", ...place });
      if (mode.durability === "hold-jspi" && !hasJspi) {
        assert.equal(await child.line("failed"), "UNSUPPORTED");
        return;
      }
      let acknowledged = 0;
      while (acknowledged < ACKNOWLEDGED) acknowledged = Number(await child.line("durable"));
      await child.end("SIGKILL");

      const copy = contentOfCopy(await restored(place));
      assert.ok(copy.rows >= acknowledged, `${copy.rows} rows of ${acknowledged} are restored`);

      const again = await open(place);
      assert.equal(again.db.selectValue("PRAGMA journal_mode"), mode.journalMode ?? "truncate");
      assert.ok(countRows(again) >= acknowledged);
      assert.equal(again.db.selectValue("PRAGMA integrity_check"), "ok");
      await again.replication.durable();
      assert.deepEqual(contentOfCopy(await restored(place)), contentOf(again));
      await again.transaction(() => {
        again.db.exec("INSERT INTO note(body) VALUES ('after the crash')");
      });
      const content = contentOf(again);
      await again.close();
      assert.deepEqual(contentOfCopy(await restored(place)), content);
    });
  }

  test("a lost database is restored and continued without a file that holds every page", async () => {
    const place = places();
    const first = await open(place);
    first.db.exec("CREATE TABLE note(id INTEGER PRIMARY KEY, body)");
    for (let i = 0; i < 200; i++) first.db.exec("INSERT INTO note(body) VALUES (randomblob(2000))");
    await first.close();
    const before = readFileSync(place.path);
    rmSync(dirname(place.path), { recursive: true });

    const second = await open(place);
    assert.equal(second.restored?.commit, before.length / 4096);
    assert.equal(countRows(second), 200);
    second.db.exec("UPDATE note SET body = 'new' WHERE id = 7");
    await second.close();
    const { pages } = second.replication.stats;
    assert.ok(pages > 0 && pages < 20, `${pages} pages were shipped`);
    assert.equal(difference(await restored(place), readFileSync(place.path)), "");
  });

  test("a database is one process's, until that process is killed", async () => {
    const place = places();
    adapter.syncFiles().makeDirectory(dirname(place.path));
    const child = new Child({ task: "write", ...place });
    await child.line("durable");
    assert.equal(await failure(() => open(place)), "DATABASE_LOCKED");
    const rival = new Child({ task: "write", ...place });
    assert.equal(await rival.line("failed"), "DATABASE_LOCKED");
    await child.end("SIGKILL");
    const app = await open(place);
    assert.ok(countRows(app) > 0);
    assert.equal(await failure(() => open(place)), "DATABASE_LOCKED");
    await app.close();
  });

  test("a database that another runtime has open is refused, and the other way round", async () => {
    const place = places();
    adapter.syncFiles().makeDirectory(dirname(place.path));
    const child = new Child({ task: "lock", ...place }, neighbour ?? undefined);
    await child.line("locked");
    assert.equal(await failure(() => open(place)), "DATABASE_LOCKED");
    await child.end("SIGKILL");
    const app = await open(place);
    const rival = new Child({ task: "lock", ...place }, neighbour ?? undefined);
    assert.equal(await rival.line("failed"), "DATABASE_LOCKED");
    await app.close();
  });
});

describe("attachCapture()", () => {
  test("attachCapture() replicates a database that the application opened, on files", async () => {
    const { path, replica } = places();
    const files = adapter.syncFiles();
    files.makeDirectory(dirname(path));
    const vfs = installSyncFileVfs(sqlite3, { files, name: "smoke-files" });
    const db = new sqlite3.oo1.DB(path, "c", vfs.name);
    db.exec("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; CREATE TABLE note(id, body)");
    const capture = attachCapture(sqlite3, db);
    const replication = await replicate(capture.source, adapter.fileStore(replica), {
      state: fileState(files, stateDirectory(path)),
    });
    db.exec("INSERT INTO note VALUES (1, 'seen')");
    await replication.durable();
    assert.deepEqual(contentOfCopy(await restored({ path, replica })), contentOf({ db }));
    await replication.close();
    capture.detach();
    db.close();
  });
});

describe("closeOnExit()", () => {
  test("closeOnExit() uploads what is left when the process is told to end", async () => {
    const place = places();
    adapter.syncFiles().makeDirectory(dirname(place.path));
    const child = new Child({ task: "flush-at-exit", ...place });
    await child.line("ready");
    assert.equal(await child.end("SIGTERM"), 143);
    assert.equal(contentOfCopy(await restored(place)).rows, 10);
  });
});

/** What a database holds. */
interface Content {
  readonly rows: number;
  readonly digest: string;
}

function contentOf(app: Pick<App, "db">): Content {
  const rows = app.db.selectArrays("SELECT id, hex(body) FROM note ORDER BY id");
  return { rows: rows.length, digest: createHash("sha256").update(String(rows)).digest("hex") };
}

/** What the bytes of a database hold, read by SQLite. */
function contentOfCopy(bytes: Uint8Array): Content {
  const db = new sqlite3.oo1.DB(":memory:");
  try {
    const { capi, wasm } = sqlite3;
    const pointer = wasm.allocFromTypedArray(bytes);
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE;
    const { length } = bytes;
    db.checkRc(capi.sqlite3_deserialize(db.pointer!, "main", pointer, length, length, flags));
    assert.equal(db.selectValue("PRAGMA integrity_check"), "ok");
    return contentOf({ db });
  } finally {
    db.close();
  }
}
