import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import {
  type LocalReads,
  NotFoundError,
  type ObjectStore,
  openReplicated,
  type Platform,
} from "pagestream";
import { fakePlatform, readBody } from "pagestream/testing";
import { openReplicaDatabase } from "pagestream/vfs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fileStore } from "./file-store.ts";

const base = mkdtempSync(join(tmpdir(), "pagestream-local-reads-"));
let count = 0;
const fresh = (): string => join(base, String(++count));
afterAll(() => rmSync(base, { recursive: true, force: true }));

let sqlite3: Awaited<ReturnType<typeof sqlite3InitModule>>;
beforeAll(async () => {
  sqlite3 = await sqlite3InitModule();
});

/** The store's reads; close them. */
async function readsOf(store: ObjectStore): Promise<LocalReads> {
  const reads = await store.localReads?.();
  if (reads === undefined) throw new Error("the temporary folder is on no local file system");
  return reads;
}

const ALL = { offset: 0, length: 3, etag: "" };

/** Descriptors of files below a folder; undefined where the system does not tell. */
function descriptors(): number | undefined {
  return existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : undefined;
}

test("localReads() gives ranges, and errors of the store", async () => {
  const root = fresh();
  const store = fileStore(root);
  const { etag } = await store.put("ltx/0/a", Uint8Array.of(1, 2, 3));
  symlinkSync(join(root, "ltx/0/a"), join(root, "ltx/0/link"));
  symlinkSync(join(root, "ltx"), join(root, "other"));
  const reads = await readsOf(store);
  expect(reads.read("ltx/0/a", { offset: 1, length: 2, etag })).toEqual(Uint8Array.of(2, 3));
  expect(() => reads.read("ltx/0/a", { ...ALL, length: 4 })).toThrow(/ended at byte 3/);
  for (const [key, wanted, code] of [
    ["ltx/0/b", "", "NOT_FOUND"],
    ["ltx/0", "", "NOT_FOUND"],
    ["ltx/0/a/b", "", "NOT_FOUND"],
    ["ltx/0/a", "another", "PRECONDITION_FAILED"],
    ["ltx/0/link", "", "STORE"],
    ["other/0/a", "", "STORE"],
    ["../a", "", "INVALID_ARGUMENT"],
  ] as const) {
    let error: unknown;
    try {
      reads.read(key, { ...ALL, etag: wanted });
    } catch (thrown) {
      error = thrown;
    }
    expect([key, (error as { readonly code?: string }).code]).toEqual([key, code]);
  }
  reads.close();
});

test("localReads() reads on from a file that was deleted, and finds the one that was put instead", async () => {
  const store = fileStore(fresh());
  const { etag } = await store.put("a", Uint8Array.of(1, 2, 3));
  const reads = await readsOf(store);
  reads.read("a", { ...ALL, etag });
  await store.delete(["a"]);
  expect(reads.read("a", { ...ALL, etag })).toEqual(Uint8Array.of(1, 2, 3));
  const next = await store.put("a", Uint8Array.of(4, 5, 6));
  expect(reads.read("a", { ...ALL, etag: next.etag })).toEqual(Uint8Array.of(4, 5, 6));
  expect(() => reads.read("a", { ...ALL, etag })).toThrow(/another version|version/);
  reads.close();
});

test("localReads() keeps 64 files open at most, and none after close()", async () => {
  const store = fileStore(fresh());
  const keys = Array.from({ length: 100 }, (_, i) => `ltx/0/${i}`);
  for (const key of keys) await store.put(key, new Uint8Array(3));
  const before = descriptors();
  const reads = await readsOf(store);
  for (const key of keys) reads.read(key, ALL);
  const open = descriptors();
  reads.close();
  reads.close();
  if (before !== undefined) expect([open, descriptors()]).toEqual([before + 64, before]);
});

/** A replica of some hundred pages. */
async function replicate(root: string): Promise<ObjectStore> {
  const store = fileStore(root);
  await using app = await openReplicated({ sqlite3, path: `local-${++count}.db`, replica: store });
  app.db.exec(`CREATE TABLE t(id INTEGER PRIMARY KEY, body);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO t SELECT i, randomblob(3000) FROM n`);
  await app.replication.durable();
  return store;
}

const SUM = "SELECT sum(length(body)) FROM t";

test("openReplicaDatabase() reads local pages at once, from SQLite's own calls too", async () => {
  const replica = await replicate(fresh());
  const view = await openReplicaDatabase({ sqlite3, replica, follow: false });
  expect(view.driver).toBe("jspi");
  expect(view.db.selectValue("SELECT length(body) FROM t WHERE id = 400")).toBe(3000);
  expect((await view.execute(SUM)).rows).toEqual([[1_500_000]]);
  await view.close();
});

test("openReplicaDatabase() lets others have the thread while a long statement reads local pages", async () => {
  const replica = await replicate(fresh());
  const fake = fakePlatform(1);
  let now = 0;
  let rests = 0;
  const clock: Platform["clock"] = {
    ...fake.clock,
    monotonic: () => (now += 1),
    schedule: (callback) => {
      rests++;
      const timer = setTimeout(callback, 0);
      return () => clearTimeout(timer);
    },
  };
  const platform = { ...fake, clock };
  const options = { sqlite3, replica, platform, follow: false, readAhead: 0 } as const;
  const view = await openReplicaDatabase(options);
  expect(rests).toBe(0);
  expect((await view.execute(SUM)).rows).toEqual([[1_500_000]]);
  // Each missing page takes a millisecond here, and a turn 20 of them.
  expect(rests).toBeGreaterThan(10);
  await view.close();
});

test("openReplicaDatabase() finds a local file at its new place when it can no longer be read at the old one", async () => {
  const root = fresh();
  const store = await replicate(root);
  const replica: ObjectStore = {
    ...store,
    localReads: async () => {
      const reads = await readsOf(store);
      return {
        ...reads,
        read: (key, range) => {
          if (existsSync(join(root, key))) return reads.read(key, range);
          throw new NotFoundError({ operation: "read", object: key, what: "it is gone" });
        },
      };
    },
  };
  const view = await openReplicaDatabase({ sqlite3, replica, follow: false });
  const [name] = readdirSync(join(root, "ltx/0"));
  const { body } = await store.get(`ltx/0/${name}`);
  await store.put(`ltx/9/${name}`, await readBody(body));
  await store.delete([`ltx/0/${name}`]);
  expect((await view.execute(SUM)).rows).toEqual([[1_500_000]]);
  expect(view.db.selectValue(SUM)).toBe(1_500_000);
  await view.close();
});
