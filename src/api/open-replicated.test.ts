import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { bytesSink } from "../replica/bytes-sink.ts";
import { syncFileSink } from "../replica/sync-file-sink.ts";
import { fakePlatform } from "../testing/index.ts";
import { type MemorySyncFiles, memorySyncFiles } from "../testing/memory-sync-files.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import {
  openReplicated,
  type OpenReplicatedOptions,
  type ReplicatedDatabase,
} from "./open-replicated.ts";
import { restore } from "./restore.ts";
import { restoreIfMissing } from "./restore-if-missing.ts";

type Sqlite3 = Awaited<ReturnType<typeof newSqlite3>>;

/** A new wasm instance: what a new process has. */
async function newSqlite3() {
  const sqlite3 = await sqlite3InitModule();
  sqlite3.config.warn = sqlite3.config.error = () => {};
  return sqlite3;
}

const PATH = "/data/app.db";

async function open(
  options: Partial<OpenReplicatedOptions<Sqlite3>> &
    Pick<OpenReplicatedOptions<Sqlite3>, "replica">,
): Promise<ReplicatedDatabase<Sqlite3>> {
  return await openReplicated({ sqlite3: await newSqlite3(), path: PATH, ...options });
}

async function restoredRows(store: ObjectStore): Promise<number> {
  const app = await open({ replica: store });
  const rows = app.db.selectValue("SELECT count(*) FROM note") as number;
  expect(app.db.selectValue("PRAGMA integrity_check")).toBe("ok");
  // Not closed: nothing may be written to the store by looking at it.
  return rows;
}

async function bytesOf(store: ObjectStore): Promise<Uint8Array> {
  const sink = bytesSink();
  await restore(store, sink, { position: false });
  return sink.bytes;
}

/** A file's bytes with the journal mode set to rollback, as a restore for sqlite-wasm has them. */
function fileBytes(files: MemorySyncFiles): Uint8Array {
  return files.bytes(PATH) as Uint8Array;
}

describe("openReplicated()", () => {
  test("makes a new database with 4 KiB pages in its safe modes and replicates it", async () => {
    const files = memorySyncFiles();
    files.makeDirectory("/data");
    const replica = memoryStore();
    const app = await open({ files, replica });
    expect(app.restored).toBeUndefined();
    app.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('hello')");
    expect(app.db.selectValue("PRAGMA page_size")).toBe(4096);
    expect(app.db.selectValue("PRAGMA journal_mode")).toBe("truncate");
    expect(app.db.selectValue("PRAGMA synchronous")).toBe(2);
    await app.replication.durable();
    expect(await bytesOf(replica)).toEqual(fileBytes(files));
    await app.close();
    await app.close();
  });

  test("runs in WAL mode when asked to, and continues from the log after a crash", async () => {
    const files = memorySyncFiles();
    files.makeDirectory("/data");
    const replica = memoryStore();
    const app = await open({ files, replica, journalMode: "wal" });
    app.db.exec("CREATE TABLE note(body)");
    for (let i = 0; i < 20; i++) app.db.exec(`INSERT INTO note VALUES (${i})`);
    await app.replication.durable();
    files.crash("process");
    const again = await open({ files, replica, journalMode: "wal" });
    expect(again.db.selectValue("SELECT count(*) FROM note")).toBe(20);
    again.db.exec("INSERT INTO note VALUES ('after')");
    await again.close();
    expect(await restoredRows(replica)).toBe(21);
  });

  test("restores a missing database from the one of several replicas that goes furthest", async () => {
    const [near, far] = ["near", "far"].map((description) => memoryStore({ description })) as [
      ObjectStore,
      ObjectStore,
    ];
    const app = await open({ replica: near });
    app.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('both')");
    await app.close();
    const both = await open({ replica: [near, far] });
    expect(both.restored).toBeDefined();
    await both.replication.durable();
    await both.close();
    const alone = await open({ replica: far });
    alone.db.exec("INSERT INTO note VALUES ('far')");
    await alone.close();
    const again = await open({ replica: [near, far] });
    expect(again.db.selectValue("SELECT count(*) FROM note")).toBe(2);
    again.db.exec("INSERT INTO note VALUES ('again')");
    await again.replication.durable({ at: "all" });
    expect(again.replication.destinations).toMatchObject([
      { name: "near", state: "following" },
      { name: "far", state: "following" },
    ]);
    await again.close();
    expect(await bytesOf(near)).toEqual(await bytesOf(far));
    expect(await restoredRows(near)).toBe(3);
  });

  test("restores a missing database and continues it without a full file", async () => {
    const replica = memoryStore();
    const files = memorySyncFiles();
    files.makeDirectory("/data");
    const app = await open({ files, replica });
    app.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('hello')");
    await app.close();

    const fresh = memorySyncFiles();
    fresh.makeDirectory("/data");
    const again = await open({ files: fresh, replica });
    expect(again.restored?.txid).toBe(1n);
    expect(again.db.selectValue("SELECT body FROM note")).toBe("hello");
    expect(again.replication.position).toEqual({ local: 1n, staged: 1n, replicated: 1n });
    again.db.exec("INSERT INTO note VALUES ('again')");
    await again.close();
    expect(again.replication.stats.pages).toBeLessThanOrEqual(2);
    expect(await bytesOf(replica)).toEqual(fileBytes(fresh));
  });

  test("reopens a database without a full file, and notices what was done without it", async () => {
    const replica = memoryStore();
    const files = memorySyncFiles();
    files.makeDirectory("/data");
    const first = await open({ files, replica });
    first.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('hello')");
    await first.close();

    const second = await open({ files, replica });
    await second.replication.flush();
    expect(second.replication.stats.files).toBe(0);
    await second.close();

    const bytes = fileBytes(files).slice();
    bytes[bytes.length - 1] = 0x21;
    files.place(PATH, bytes);
    const third = await open({ files, replica });
    await third.close();
    expect(third.replication.position.replicated).toBe(2n);
    expect(await bytesOf(replica)).toEqual(bytes);
  });

  describe("with a database that is behind", () => {
    /** A database, a copy of its file from before the last commit, and what the replica restores to now. */
    async function overtaken(): Promise<{
      readonly files: MemorySyncFiles;
      readonly replica: ObjectStore;
      readonly early: Uint8Array;
      readonly newest: Uint8Array;
    }> {
      const files = memorySyncFiles();
      files.makeDirectory("/data");
      const replica = memoryStore();
      const app = await open({ files, replica });
      app.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('first')");
      await app.replication.flush();
      const early = fileBytes(files).slice();
      app.db.exec("INSERT INTO note VALUES (hex(randomblob(9000)))");
      await app.close();
      return { files, replica, early, newest: fileBytes(files).slice() };
    }

    /** The directory of the database with another file in it, and with or without what replication knew. */
    function withFile(bytes: Uint8Array, known?: MemorySyncFiles): MemorySyncFiles {
      const files = known ?? memorySyncFiles();
      files.makeDirectory("/data");
      files.place(PATH, bytes);
      return files;
    }

    for (const state of ["kept", "lost"] as const) {
      test(`restores the newest state into its place, its local state ${state}`, async () => {
        const { files, replica, early, newest } = await overtaken();
        const app = await open({
          files: withFile(early, state === "kept" ? files : undefined),
          replica,
        });
        expect(app.restored?.txid).toBe(2n);
        expect(app.db.selectValue("SELECT count(*) FROM note")).toBe(2);
        const events: string[] = [];
        const reading = (async () => {
          for await (const event of app.replication.events) events.push(event.type);
        })();
        app.db.exec("INSERT INTO note VALUES ('third')");
        await app.close();
        await reading;
        expect(events[0]).toBe("behind");
        expect(app.replication.position.replicated).toBe(3n);
        expect(app.replication.stats.pages).toBeLessThanOrEqual(2);
        expect((await bytesOf(replica)).length).toBeGreaterThanOrEqual(newest.length);
      });
    }

    test("keeps work of its own, and ships it", async () => {
      const { replica, early } = await overtaken();
      const changed = early.slice();
      changed[changed.length - 2] = 0x21;
      const files = withFile(changed);
      const app = await open({ files, replica });
      expect(app.restored).toBeUndefined();
      await app.close();
      expect(app.replication.position.replicated).toBe(3n);
      expect(await bytesOf(replica)).toEqual(changed);
    });

    test("refuses and adopts it when told", async () => {
      const { replica, early } = await overtaken();
      const files = withFile(early);
      await expect(open({ files, replica, onBehind: "refuse" })).rejects.toMatchObject({
        code: "DATABASE_BEHIND",
        txid: 1n,
        newestTxid: 2n,
      });
      expect(fileBytes(files)).toEqual(early);
      const app = await open({ files, replica, onBehind: "adopt" });
      await app.close();
      expect(app.replication.position.replicated).toBe(3n);
      expect(await bytesOf(replica)).toEqual(early);
    });

    test("refuses what a restore was told to restore, until told what to do", async () => {
      const { replica, early, newest } = await overtaken();
      const files = memorySyncFiles();
      const sink = syncFileSink(files, PATH, {
        platform: fakePlatform(1),
        journalHeader: "rollback",
      });
      await restore(replica, sink, { txid: 1n, position: false });
      expect(fileBytes(files)).toEqual(early);
      for (let i = 0; i < 2; i++) {
        const opening = open({ files, replica });
        await expect(opening).rejects.toMatchObject({ code: "DATABASE_BEHIND", chosen: true });
        await expect(opening).rejects.toThrow(/adopt/);
      }
      const adopted = await open({ files, replica, onBehind: "adopt" });
      await adopted.close();
      expect(await bytesOf(replica)).toEqual(early);
      const again = await open({ files, replica });
      await again.close();
      expect(again.replication.stats.files).toBe(0);

      const back = memorySyncFiles();
      const options = { platform: fakePlatform(2), journalHeader: "rollback" } as const;
      await restore(replica, syncFileSink(back, PATH, options), { txid: 2n });
      expect(fileBytes(back)).toEqual(newest);
      const caughtUp = await open({ files: back, replica, onBehind: "catch-up" });
      expect(caughtUp.restored?.txid).toBe(3n);
      await caughtUp.close();
      // The choice has gone with the state.
      const last = await open({ files: back, replica });
      await last.close();
      expect(fileBytes(back)).toEqual(early);
    });

    test("restores it in memory too", async () => {
      const replica = memoryStore();
      const sqlite3 = await newSqlite3();
      const app = await open({ sqlite3, replica });
      app.db.exec("CREATE TABLE note(body)");
      await app.close();
      const other = await open({ replica });
      other.db.exec("INSERT INTO note VALUES ('other')");
      await other.close();
      const again = await open({ sqlite3, replica });
      expect(again.restored?.txid).toBe(2n);
      expect(again.db.selectValue("SELECT body FROM note")).toBe("other");
      await again.close();
    });

    test("leaves a file alone that changes before it could be replaced", async () => {
      const { replica, early } = await overtaken();
      const files = withFile(early);
      const changed = early.slice();
      changed[changed.length - 2] = 0x21;
      const { lock } = files;
      let locks = 0;
      files.lock = (path) => {
        const taken = lock.call(files, path);
        // The second lock is the one of the opening, the third that of the catching up.
        if (++locks === 3) files.place(PATH, changed);
        return taken;
      };
      const app = await open({ files, replica });
      expect(locks).toBeGreaterThan(3);
      expect(app.restored).toBeUndefined();
      await app.close();
      expect(await bytesOf(replica)).toEqual(changed);
    });
  });

  test("keeps a database in memory where no files are given", async () => {
    const replica = memoryStore();
    const app = await open({ replica, pageSize: 1024 });
    app.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('hello')");
    expect(app.db.selectValue("PRAGMA page_size")).toBe(1024);
    await app.close();
    expect(await restoredRows(replica)).toBe(1);
  });

  test("refuses a page size that SQLite does not have", async () => {
    await expect(open({ replica: memoryStore(), pageSize: 1000 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });

  test("refuses a database that another process holds, and says so", async () => {
    const files = memorySyncFiles();
    files.makeDirectory("/data");
    const lock = files.lock(PATH);
    await expect(open({ files, replica: memoryStore() })).rejects.toMatchObject({
      code: "DATABASE_LOCKED",
    });
    lock.release();
    await (await open({ files, replica: memoryStore() })).close();
  });

  test("catches up in PERSIST mode, whose journal stays, and though bytes trail the file", async () => {
    const files = memorySyncFiles();
    files.makeDirectory("/data");
    const replica = memoryStore();
    const app = await open({ files, replica, journalMode: "persist" });
    app.db.exec("CREATE TABLE note(body)");
    await app.close();
    const old = fileBytes(files).slice();
    const later = await open({ files, replica, journalMode: "persist" });
    later.db.exec("INSERT INTO note VALUES ('newer')");
    await later.close();
    expect(files.bytes(`${PATH}-journal`)?.length).toBeGreaterThan(0);
    const trailing = new Uint8Array(old.length + 333);
    trailing.set(old);
    files.place(PATH, trailing);
    const again = await open({ files, replica, journalMode: "persist" });
    expect(again.db.selectValue("SELECT count(*) FROM note")).toBe(1);
    await again.close();
    expect(await restoredRows(replica)).toBe(1);
  });

  for (const durability of ["async", "hold-retry"] as const)
    test(`catches up with a database that is behind though its journal mode changes at opening, ${durability}`, async () => {
      const files = memorySyncFiles();
      files.makeDirectory("/data");
      const replica = memoryStore();
      const app = await open({ files, replica, journalMode: "wal" });
      app.db.exec("CREATE TABLE note(body)");
      await app.close();
      const old = fileBytes(files).slice();
      const later = await open({ files, replica, journalMode: "wal" });
      later.db.exec("INSERT INTO note VALUES ('newer')");
      await later.close();
      files.place(PATH, old);
      const again = await open({ files, replica, durability });
      expect(again.db.selectValue("SELECT count(*) FROM note")).toBe(1);
      expect(again.db.selectValue("PRAGMA journal_mode")).toBe("truncate");
      await again.close();
      expect(await restoredRows(replica)).toBe(1);
    });

  test("brings a database that is marked WAL into the journal mode it runs in", async () => {
    const files = memorySyncFiles();
    files.makeDirectory("/data");
    const replica = memoryStore();
    const app = await open({ files, replica });
    app.db.exec("CREATE TABLE note(body)");
    await app.close();
    const marked = fileBytes(files).slice();
    marked[18] = marked[19] = 2;
    files.place(PATH, marked);
    const again = await open({ files, replica });
    expect(again.db.selectValue("PRAGMA journal_mode")).toBe("truncate");
    await again.close();
    expect(await bytesOf(replica)).toEqual(fileBytes(files));
  });

  test("leaves nothing open behind when the replica cannot be read", async () => {
    const files = memorySyncFiles();
    files.makeDirectory("/data");
    const good = memoryStore();
    await (await open({ files, replica: good })).close();
    const bad: ObjectStore = {
      ...good,
      list: () => ({
        [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error("no such bucket")) }),
      }),
    };
    await expect(open({ files, replica: bad })).rejects.toThrow("no such bucket");
    await (await open({ files, replica: good })).close();
  });
});

describe("restoreIfMissing()", () => {
  test("does nothing without a backup, or with a target that is there", async () => {
    const files = memorySyncFiles();
    const replica = memoryStore();
    expect(await restoreIfMissing(replica, bytesSink())).toBeUndefined();
    files.makeDirectory("/data");
    const app = await open({ files, replica });
    app.db.exec("CREATE TABLE note(body)");
    await app.close();
    expect((await restoreIfMissing(replica, bytesSink()))?.txid).toBe(1n);
  });
});
