/** @module What the tests of Litestream's VFS ask of one that reads, where no unit test holds it already. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import { openReplicaReader, StoreError } from "pagestream";
import { seededRandom } from "pagestream/testing";
import { openReplicaDatabase, type ReplicaDatabase } from "pagestream/vfs";
import { afterEach, describe, expect, test } from "vitest";
import {
  describeWithLitestream,
  litestream,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import { ONE_TRY } from "../helpers/one-try.ts";
import { closeLater, rows, scene, sqlite3, value } from "./replicated.ts";

const TABLE = "CREATE TABLE t(a INTEGER PRIMARY KEY, b)";
const COUNT = "SELECT count(*) FROM t";

afterEach(removeTemporary);

describeWithLitestream("a replica that Litestream writes", () => {
  test("is read at every state while it grows and is compacted", async () => {
    const folder = temporaryDirectory();
    const [path, place] = [join(folder, "app.db"), join(folder, "replica")];
    const db = new DatabaseSync(path);
    db.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
    const replicate = async (sql: string): Promise<void> => {
      db.exec(sql);
      const { code, stderr } = await litestream("replicate", "-once", path, `file://${place}`);
      expect({ code, stderr }).toMatchObject({ code: 0 });
    };
    await replicate(`${TABLE}; ${rows(10_000)}`);
    const database = closeLater(
      await openReplicaDatabase({ sqlite3, replica: fileStore(place), follow: false }),
    );
    expect(await value(database, COUNT)).toBe(10_000);
    await database.execute("BEGIN");
    const SUM = "SELECT sum(a), min(b), max(b) FROM t";
    const before = await database.execute(SUM);
    await replicate("UPDATE t SET b = printf('%0300d', -a)");
    await database.refresh();
    expect((await database.execute(SUM)).rows).toEqual(before.rows);
    await database.execute("COMMIT");
    const native = db.prepare(SUM).get();
    expect((await database.query(SUM))[0]).toEqual({ ...native });
    expect((await database.query("PRAGMA journal_mode"))[0]).toEqual({ journal_mode: "delete" });
    expect(await value(database, "PRAGMA page_size")).toBe(4096);
    db.close();
  });
});

describe("a store that fails", () => {
  test.each([
    ["a time-out", { before: new Error("timed out") }],
    ["an answer that is cut", { cutAfter: 100 }],
    ["an answer that is lost", { after: new Error("reset") }],
  ])("by %s fails that query, and the next one succeeds", async (_, fault) => {
    const { read, store } = await scene(`${TABLE}; ${rows(3000)}`);
    const database = await read({ readAhead: 0 });
    store.failNext("get", fault);
    const sql = "SELECT sum(length(b)) FROM t";
    await expect(value(database, sql)).rejects.toThrow();
    expect(await value(database, sql)).toBe(900_000);
  });

  test("in a listing keeps readers on what they have, and they catch up", async () => {
    const { read, write, store } = await scene(`${TABLE}; ${rows(3)}`);
    const database = await read();
    await write(rows(2));
    for (const operation of ["list", "get", "head"] as const) {
      store.failNext(operation, { before: new Error("no route") });
    }
    await expect(database.refresh()).rejects.toThrow();
    expect(await value(database, COUNT)).toBe(3);
    for (let i = 0; i < 3; i++) await database.refresh().catch(() => undefined);
    expect(await value(database, COUNT)).toBe(5);
  });

  test("now and then is noticed by sixteen readers as nothing but errors of the store", async () => {
    const seed = 20_261_122;
    const random = seededRandom(seed);
    const chaos = new StoreError(
      { operation: "read", object: "the replica", what: "there is chaos" },
      { retryable: true },
    );
    const { read, write, store } = await scene(`${TABLE}; ${rows(200)}`);
    const readers = await Promise.all(Array.from({ length: 16 }, () => read({ readAhead: 0 })));
    const look = async (database: ReplicaDatabase): Promise<void> => {
      try {
        await database.refresh();
        const sql = "SELECT count(*) AS n, count(DISTINCT a) AS d, max(a) AS m FROM t";
        const [row] = await database.query(sql);
        expect(row?.["d"], `seed ${seed}`).toBe(row?.["n"]);
        expect(row?.["m"], `seed ${seed}`).toBe(row?.["n"]);
      } catch (error) {
        expect(error, `seed ${seed}`).toMatchObject({ code: "STORE" });
      }
    };
    for (let round = 0; round < 6; round++) {
      await write(rows(10));
      for (let i = 0; i < 3; i++) {
        const operation = random.pick(["get", "list"] as const);
        store.failNext(operation, { before: chaos });
      }
      await Promise.all(readers.map(look));
    }
    store.reset();
    for (const database of readers) {
      await database.refresh();
      expect(await value(database, COUNT)).toBe(260);
    }
  });
});

describe("a replica with a hole", () => {
  test("is refused at the opening, and keeps open readers where they are", async () => {
    const { read, write, store } = await scene(`${TABLE}; ${rows(3)}`);
    const database = await read();
    const { txid } = database;
    await write(rows(1));
    const keys: string[] = [];
    for await (const { key } of store.list({ prefix: "ltx/0/" })) keys.push(key);
    const lost = keys.at(-1) as string;
    await write(rows(1));
    await store.delete([lost]);
    await database.refresh().catch(() => undefined);
    expect(database.txid).toBe(txid);
    expect(await value(database, COUNT)).toBe(3);
    await expect(read()).rejects.toMatchObject({ code: "GAP" });
  });
});

test("readers that share what they know answer together, and ask no more than one", async () => {
  const { read, write, store } = await scene(`${TABLE}; ${rows(500)}`);
  const reader = closeLater(await openReplicaReader(store, { follow: false, retry: ONE_TRY }));
  const databases = await Promise.all(Array.from({ length: 8 }, () => read({ replica: reader })));
  for (const database of databases) await value(database, COUNT);
  store.reset();
  for (let i = 0; i < 5; i++) {
    await write(rows(10));
    await reader.refresh();
    const counts = await Promise.all(databases.map((database) => value(database, COUNT)));
    expect(new Set(counts)).toEqual(new Set([510 + 10 * i]));
  }
  expect(store.count("get")).toBeLessThanOrEqual(10);
  expect(store.count("list")).toBeLessThanOrEqual(10);
});
