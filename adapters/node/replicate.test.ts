import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import BetterSqlite3 from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { sqliteTable, text } from "drizzle-orm/sqlite-core";
import { isPagestreamError, type ObjectStore, restore } from "pagestream";
import {
  type NativeHandle,
  nodeSqliteDriver,
  openWalFollower,
  SecondLibraryError,
} from "pagestream/files-kit";
import { faultyStore, storeFault } from "pagestream/testing";
import { memoryStore } from "pagestream/transports/memory";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileSink, syncFiles } from "./files.ts";
import { replicate } from "./replicate.ts";

let folder = "";
let path = "";
let store: ObjectStore;
const opened: NativeHandle[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pagestream-native-"));
  path = join(folder, "app.db");
  store = memoryStore();
});
afterEach(() => {
  for (const handle of opened.splice(0)) handle.close();
  rmSync(folder, { recursive: true });
});

const LIBRARIES: readonly { readonly name: string; open(path: string): NativeHandle }[] = [
  { name: "node:sqlite", open: (file) => new DatabaseSync(file) },
  { name: "better-sqlite3", open: (file) => new BetterSqlite3(file) },
];

/** A handle of a database in WAL mode, closed after the test. */
function create(open: (path: string) => NativeHandle): NativeHandle {
  const handle = open(path);
  opened.push(handle);
  handle.exec("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS note(body)");
  return handle;
}

/** What the newest state of the replica holds. */
async function replicaNotes(): Promise<readonly unknown[]> {
  const copy = join(folder, "copy.db");
  await restore(store, fileSink(copy, { force: true }), { integrityCheck: "full" });
  return notes(copy);
}

function notes(file: string): readonly unknown[] {
  const handle = new DatabaseSync(file, { readOnly: true, returnArrays: true });
  try {
    return handle.prepare("SELECT body FROM note ORDER BY rowid").all().flat();
  } finally {
    handle.close();
  }
}

/** Code and class of what a promise rejects with. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "no refusal";
  } catch (error) {
    return isPagestreamError(error) ? `${error.code} ${error.message}` : String(error);
  }
}

describe.each(LIBRARIES)("replicate() with a handle of $name", ({ name, open }) => {
  test("replicate() ships what the handle commits: durable() includes the write just before", async () => {
    const handle = create(open);
    await using replication = await replicate(handle, store);
    for (let i = 0; i < 4; i++) {
      handle.exec(`INSERT INTO note VALUES (${i})`);
      await replication.durable();
      expect(await replicaNotes()).toHaveLength(i + 1);
    }
    expect(replication.stats.lagMs).toBe(0);
  });

  test("replicate() tells the TXID of the write just before, for waitFor(), and flush() uploads it", async () => {
    const handle = create(open);
    await using replication = await replicate(handle, store, { groupMs: 3_600_000 });
    await replication.flush();
    const before = replication.position.local;
    handle.exec("INSERT INTO note VALUES ('one'); INSERT INTO note VALUES ('two')");
    const { local, replicated } = replication.position;
    expect([local, replicated]).toEqual([before + 1n, before]);
    const confirmed = replication.waitFor(local);
    await replication.flush();
    await confirmed;
    expect(await replicaNotes()).toEqual(["one", "two"]);
  });

  test("committed() resolves with what the work gave once that is in the store", async () => {
    const handle = create(open);
    await using replication = await replicate(handle, store);
    const insert = (body: string): string => {
      handle.exec(`INSERT INTO note VALUES ('${body}')`);
      return body;
    };
    expect(await replication.committed(() => insert("plain"))).toBe("plain");
    expect(await replicaNotes()).toEqual(["plain"]);
    expect(await replication.committed(() => Promise.resolve().then(() => insert("later")))).toBe(
      "later",
    );
    expect(await replicaNotes()).toEqual(["plain", "later"]);
  });

  test("committed() rejects with what the work threw, and where it committed nothing", async () => {
    const handle = create(open);
    await using replication = await replicate(handle, store);
    const boom = new Error("boom");
    await expect(
      replication.committed(() => {
        throw boom;
      }),
    ).rejects.toBe(boom);
    await expect(replication.committed(() => Promise.reject(boom))).rejects.toBe(boom);
    const unfinished = replication.committed(() =>
      handle.exec("BEGIN; INSERT INTO note VALUES (1)"),
    );
    expect(await refusal(unfinished)).toMatch(/^INVALID_ARGUMENT .*left its transaction open/);
    handle.exec("ROLLBACK");
  });

  test("close() uploads the last write, and lets go of the database: the handle may leave WAL mode", async () => {
    const handle = create(open);
    const replication = await replicate(handle, store, { groupMs: 3_600_000 });
    handle.exec("INSERT INTO note VALUES ('last')");
    await Promise.all([replication.close(), replication.close()]);
    expect(await replicaNotes()).toEqual(["last"]);
    handle.exec("PRAGMA journal_mode = DELETE");
    const mode = handle.prepare("PRAGMA journal_mode").get();
    expect(mode).toEqual({ journal_mode: "delete" });
  });

  test("follower.pause() lets the handle leave WAL mode meanwhile, and resume() misses nothing", async () => {
    const handle = create(open);
    await using replication = await replicate(handle, store);
    replication.follower.pause();
    handle.exec("PRAGMA journal_mode = DELETE; INSERT INTO note VALUES ('unseen')");
    expect(handle.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "delete" });
    handle.exec("PRAGMA journal_mode = WAL");
    replication.follower.resume();
    handle.exec("INSERT INTO note VALUES ('seen')");
    await replication.durable();
    expect(await replicaNotes()).toEqual(["unseen", "seen"]);
  });

  test("replicate() goes on where the last one ended, from the local state beside the database", async () => {
    const handle = create(open);
    handle.exec(
      `INSERT INTO note WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        SELECT randomblob(3000) FROM n`,
    );
    await (await replicate(handle, store)).close();
    handle.exec("UPDATE note SET body = 'new' WHERE rowid = 7");
    await using replication = await replicate(handle, store);
    await replication.durable();
    expect(replication.stats.pages).toBeLessThan(20);
    expect((await replicaNotes())[6]).toBe("new");
  });

  test("replicate() refuses a database that is replicated already, or followed through another library", async () => {
    const handle = create(open);
    await using replication = await replicate(handle, store);
    expect(await refusal(replicate(handle, memoryStore()))).toMatch(/^DATABASE_LOCKED/);
    const other = LIBRARIES.find((library) => library.name !== name)?.open(path);
    opened.push(other as NativeHandle);
    const second = replicate(other as NativeHandle, memoryStore());
    await expect(second).rejects.toBeInstanceOf(SecondLibraryError);
    handle.exec("INSERT INTO note VALUES ('still')");
    await replication.durable();
  });

  test("replicate() refuses what is not in WAL mode, unless it may switch it", async () => {
    const handle = open(path);
    opened.push(handle);
    handle.exec("CREATE TABLE note(body)");
    expect(await refusal(replicate(handle, store))).toContain("WAL");
    await using replication = await replicate(handle, store, { enforceWal: true });
    handle.exec("INSERT INTO note VALUES ('switched')");
    await replication.durable();
    expect(await replicaNotes()).toEqual(["switched"]);
  });

  test("replicate() lets go of everything when the start fails", async () => {
    const handle = create(open);
    const failing = faultyStore(store, { fault: () => ({ before: storeFault("no", false) }) });
    expect(await refusal(replicate(handle, failing))).toMatch(/^STORE/);
    await (await replicate(handle, store)).close();
    handle.exec("PRAGMA journal_mode = DELETE");
    expect(handle.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "delete" });
  });
});

describe("replicate", () => {
  test("committed() runs a query of Drizzle once, which is no promise and runs whenever it is waited for", async () => {
    const client = create((file) => new BetterSqlite3(file)) as BetterSqlite3.Database;
    const note = sqliteTable("note", { body: text() });
    await using replication = await replicate(client, store);
    const rows = await replication.committed(() =>
      drizzle(client).insert(note).values({ body: "built" }).returning(),
    );
    expect(rows).toEqual([{ body: "built" }]);
    expect(await replicaNotes()).toEqual(["built"]);
  });

  test("replicate() of a path follows what any connection commits", async () => {
    // Opened by path beside better-sqlite3 in this process it would be refused; here node:sqlite is alone.
    const elsewhere = join(folder, "elsewhere.db");
    await using replication = await replicate(elsewhere, store);
    const handle = new DatabaseSync(elsewhere);
    handle.exec("PRAGMA journal_mode = WAL; CREATE TABLE note(body)");
    handle.exec("INSERT INTO note VALUES ('by path')");
    await replication.durable();
    expect(await replicaNotes()).toEqual(["by path"]);
    handle.close();
  });

  test("replicate() of a source of commits is the one of pagestream", async () => {
    const handle = create((file) => new DatabaseSync(file));
    const options = { driver: nodeSqliteDriver, files: syncFiles() };
    await using follower = await openWalFollower(path, options);
    await using replication = await replicate(follower, store);
    handle.exec("INSERT INTO note VALUES ('by source')");
    await replication.durable();
    expect("follower" in replication).toBe(false);
    expect(await replicaNotes()).toEqual(["by source"]);
  });

  test("replicate() refuses to hold a COMMIT that it only sees afterwards", async () => {
    const handle = create((file) => new DatabaseSync(file));
    for (const durability of ["local", "hold-retry"] as const) {
      const options = { durability } as object;
      expect(await refusal(replicate(handle, store, options))).toMatch(/^UNSUPPORTED/);
    }
  });
});
