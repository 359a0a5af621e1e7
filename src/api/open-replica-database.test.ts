/* oxlint-disable no-await-in-loop -- one state after the other is the point. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { beforeAll, describe, expect, test } from "vitest";
import type { BlockingReads } from "../core/page-source.ts";
import { bytesHydrationTarget } from "../replica/hydrate-target.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { rowsSql } from "../testing/evolving-database.ts";
import { NotFoundError } from "../transports/errors.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { compact } from "./compact.ts";
import { openReplicated, type ReplicatedDatabase } from "./open-replicated.ts";
import { openReplicaDatabase } from "./open-replica-database.ts";
import { openReplicaReader } from "./open-replica-reader.ts";

type Sqlite = Awaited<ReturnType<typeof sqlite3InitModule>>;
let sqlite3: Sqlite;
let count = 0;

beforeAll(async () => {
  sqlite3 = await sqlite3InitModule();
  const { config } = sqlite3 as unknown as { config: Record<"warn" | "error", () => void> };
  config.warn = config.error = () => {};
});

/** Rows, and so much besides that the file is not read as a whole when it is opened. */
const RANDOM_ROWS = `${rowsSql(3000).replace(/printf.*?\)/, "hex(randomblob(50))")};
CREATE TABLE filler AS SELECT randomblob(600000)`;

/** A replica, and a writer whose every change is in it. */
async function replicate(setup: string): Promise<{
  store: ObjectStore;
  change(sql: string): Promise<bigint>;
  app: ReplicatedDatabase<Sqlite>;
}> {
  const store = memoryStore();
  const app = await openReplicated({ sqlite3, path: `app-${++count}.db`, replica: store });
  const change = async (sql: string): Promise<bigint> => {
    app.db.exec(sql);
    await app.replication.flush();
    return app.replication.position.replicated;
  };
  await change(setup);
  return { store, change, app };
}

test("openReplicaDatabase() with the driver retry keeps pages for as long as a statement runs, in a transaction too", async () => {
  const { store } = await replicate(RANDOM_ROWS);
  const reading = { cacheBytes: 131_072, readAhead: 0, follow: false } as const;
  await using reader = await openReplicaReader(store, reading);
  const open = () => openReplicaDatabase({ sqlite3, replica: reader, driver: "retry" });
  await using idle = await open();
  await using busy = await open();
  await idle.query("BEGIN");
  const sql = "SELECT count(body) n FROM t WHERE id BETWEEN ? AND ? + 99";
  expect(await idle.query(sql, [1, 1])).toEqual([{ n: 100 }]);
  for (const database of [idle, busy]) {
    for (let id = 1; id < 3000; id += 100) {
      expect(await database.query(sql, [id, id])).toEqual([{ n: 100 }]);
    }
  }
});

test("openReplicaDatabase() with the driver block finds a state in other files where its own are gone, or says so", async () => {
  const { store, change, app } = await replicate(RANDOM_ROWS);
  const txid = await change("UPDATE t SET body = hex(randomblob(50)) WHERE id % 2 = 0");
  const contents = new Map<string, Uint8Array<ArrayBuffer>>();
  for await (const { key } of store.list({ prefix: "" })) {
    const { body } = await store.get(key);
    contents.set(key, new Uint8Array(await new Response(body).arrayBuffer()));
  }
  const blockingReads: BlockingReads = {
    read(key, { offset, length }) {
      const bytes = contents.get(key);
      if (bytes !== undefined) return bytes.slice(offset, offset + length);
      throw new NotFoundError({ operation: "read", object: key, what: "there is no such object" });
    },
  };
  const options = {
    sqlite3,
    replica: store,
    txid,
    driver: "block",
    cacheBytes: 65_536,
    readAhead: 0,
  } as const;
  await using view = await openReplicaDatabase({ ...options, blockingReads });
  await view.query("BEGIN");
  const rows = (from: number): Promise<unknown> =>
    view.query("SELECT count(body) n FROM t WHERE id BETWEEN ? AND ? + 499", [from, from]);
  expect(await rows(1)).toEqual([{ n: 500 }]);
  const levelZero = [...contents.keys()].filter((key) => key.includes("ltx/0/"));
  await compact(store, { level: 1 });
  await store.delete(levelZero);
  for (const key of levelZero) contents.delete(key);
  for await (const { key } of store.list({ prefix: "ltx/1/" })) {
    const { body } = await store.get(key);
    contents.set(key, new Uint8Array(await new Response(body).arrayBuffer()));
  }
  expect(await rows(1001)).toEqual([{ n: 500 }]);
  await change("DELETE FROM t");
  await store.delete([...contents.keys()]);
  contents.clear();
  await expect(rows(2001)).rejects.toMatchObject({
    code: "TXID_NOT_AVAILABLE",
    message: expect.stringContaining("Read the newest state, or keep files longer") as string,
  });
  await app.close();
});

describe.each(["retry", "jspi"] as const)("openReplicaDatabase() with the driver %s", (driver) => {
  test("query() and execute() answer from a replica, and say what that cost", async () => {
    const { store, app } = await replicate(RANDOM_ROWS);
    await using view = await openReplicaDatabase({ sqlite3, replica: store, driver });
    expect(view.driver).toBe(driver);
    expect(await view.query("SELECT id, length(body) n FROM t WHERE id = ?", [42])).toEqual([
      { id: 42, n: 100 },
    ]);
    const cold = await view.execute("SELECT count(*) FROM t WHERE body > :low", { low: "" });
    expect(cold).toMatchObject({ columns: ["count(*)"], rows: [[3000]] });
    expect(cold.stats.requests).toBeGreaterThan(0);
    const warm = await view.execute("SELECT count(*) FROM t WHERE body > :low", { low: "" });
    expect(warm).toEqual({ ...cold, stats: { requests: 0, bytes: 0, pages: 0 } });
    expect(await view.query("PRAGMA quick_check")).toEqual([{ quick_check: "ok" }]);
    await app.close();
  });

  test("a database follows the newest state, and setTime() goes back and returns", async () => {
    const { store, change, app } = await replicate(rowsSql(100));
    await using view = await openReplicaDatabase({ sqlite3, replica: store, driver });
    const first = { txid: view.txid, time: view.time };
    const rows = async (): Promise<unknown> =>
      (await view.query("SELECT count(*) n FROM t"))[0]!["n"];
    const second = await change("DELETE FROM t WHERE id > 60");
    await view.refresh();
    expect([view.txid, await rows()]).toEqual([second, 60]);

    await view.setTime({ txid: formatTxid(first.txid) });
    expect([view.txid, await rows()]).toEqual([first.txid, 100]);
    await change("DELETE FROM t WHERE id > 20");
    await view.refresh();
    expect(await rows()).toBe(100);
    await view.setTime({ timestamp: first.time });
    expect(await view.query("SELECT litestream_time() t, litestream_txid() x")).toEqual([
      { t: first.time.toISOString(), x: formatTxid(first.txid) },
    ]);
    for (const [target, code] of [
      [{ timestamp: "2001-01-01T00:00:00Z" }, "TIMESTAMP_NOT_AVAILABLE"],
      [{ timestamp: new Date(Date.now() + 3_600_000) }, "INVALID_ARGUMENT"],
      [{ timestamp: "some day" }, "INVALID_ARGUMENT"],
      [{ txid: 999n }, "TXID_NOT_AVAILABLE"],
      [{ txid: 1n, timestamp: 0 }, "INVALID_ARGUMENT"],
    ] as const) {
      await expect(view.setTime(target)).rejects.toMatchObject({ code });
      expect(await rows()).toBe(100);
    }
    await view.setTime(undefined);
    expect(await rows()).toBe(20);
    await app.close();
  });

  test("a database opened at a TXID stays there until it is told otherwise", async () => {
    const { store, change, app } = await replicate(rowsSql(100));
    const txid = app.replication.position.replicated;
    await change("DELETE FROM t");
    await using view = await openReplicaDatabase({
      sqlite3,
      replica: store,
      driver,
      txid,
      readOnly: false,
    });
    expect(await view.query("SELECT count(*) n FROM t")).toEqual([{ n: 100 }]);
    await view.query("SELECT litestream_set_time('LATEST')");
    expect(await view.query("SELECT count(*) n FROM t")).toEqual([{ n: 0 }]);
    await expect(view.query("SELECT litestream_set_time('1000 weeks ago')")).rejects.toMatchObject({
      code: "TIMESTAMP_NOT_AVAILABLE",
    });
    await expect(view.query("PRAGMA litestream_time = '1000 weeks ago'")).rejects.toMatchObject({
      code: "TIMESTAMP_NOT_AVAILABLE",
    });
    await view.query("PRAGMA litestream_time = '0 seconds ago'");
    await app.close();
  });

  test("diff() names the rows that differ, by rowid or primary key", async () => {
    const { store, change, app } = await replicate(`
      CREATE TABLE a(id INTEGER PRIMARY KEY, x); INSERT INTO a VALUES (1, 'a'), (2, 'b'), (3, 'c');
      CREATE TABLE b(k1, k2, x, PRIMARY KEY (k2, k1)) WITHOUT ROWID;
      INSERT INTO b VALUES (1, 'p', 0), (2, 'q', 0);
      CREATE TABLE same(x); INSERT INTO same VALUES (1);
      CREATE TABLE gone(rowid, x); INSERT INTO gone VALUES (7, 1);
      CREATE TABLE "odd "" name"(x); INSERT INTO "odd "" name" VALUES (1), (2)`);
    await using view = await openReplicaDatabase({ sqlite3, replica: store, driver });
    const from = { txid: view.txid };
    const txid = await change(`
      UPDATE a SET x = 'B' WHERE id = 2; DELETE FROM a WHERE id = 1; INSERT INTO a VALUES (9, NULL);
      UPDATE b SET x = NULL WHERE k1 = 1; INSERT INTO b VALUES (3, 'r', 0);
      DROP TABLE gone; CREATE TABLE made(y); INSERT INTO made VALUES (5);
      ALTER TABLE "odd "" name" ADD COLUMN y DEFAULT 3; DELETE FROM "odd "" name" WHERE x = 1`);
    await view.refresh();
    const { pages, tables } = await view.diff(from, { txid });
    expect(pages.length).toBeGreaterThan(3);
    const none = { inserted: [], deleted: [], updated: [], complete: true };
    expect(tables).toEqual([
      {
        ...none,
        table: "a",
        schema: "same",
        key: ["rowid"],
        inserted: [[9]],
        deleted: [[1]],
        updated: [[2]],
      },
      {
        ...none,
        table: "b",
        schema: "same",
        key: ["k2", "k1"],
        inserted: [["r", 3]],
        updated: [["p", 1]],
      },
      { ...none, table: "gone", schema: "dropped", key: ["_rowid_"], deleted: [[1]] },
      { ...none, table: "made", schema: "created", key: ["rowid"], inserted: [[1]] },
      { ...none, table: 'odd " name', schema: "altered", key: ["rowid"], deleted: [[1]] },
    ]);
    expect((await view.diff(from, from)).tables).toEqual([]);
    const [cut] = (await view.diff(from, { txid }, { maxKeys: 0 })).tables;
    expect(cut).toMatchObject({ table: "a", inserted: [], complete: false });
    await expect(view.diff(from, { txid }, { timeoutMs: 0 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    await app.close();
  });

  test("two databases share a reader, which stays open", async () => {
    const { store, change, app } = await replicate(rowsSql(50));
    await using reader = await openReplicaReader(store);
    const { txid } = reader.latest;
    await change("DELETE FROM t");
    await reader.refresh();
    const now = await openReplicaDatabase({ sqlite3, replica: reader, driver });
    const then = await openReplicaDatabase({ sqlite3, replica: reader, driver, txid });
    const count = "SELECT count(*) n FROM t";
    const both = await Promise.all([now.query(count), then.query(count)]);
    expect(both).toEqual([[{ n: 0 }], [{ n: 50 }]]);
    await now.close();
    expect(await then.query(count)).toEqual([{ n: 50 }]);
    await then.close();
    await reader.refresh();
    await app.close();
  });

  test("hydrate() makes a local copy without a change of what a transaction sees", async () => {
    const { store, change, app } = await replicate(RANDOM_ROWS);
    await using view = await openReplicaDatabase({ sqlite3, replica: store, driver });
    const count = "SELECT count(*) n FROM t WHERE body > ''";
    await view.query("BEGIN");
    expect(await view.query(count)).toEqual([{ n: 3000 }]);
    const hydrated = await view.hydrate(bytesHydrationTarget());
    await change("DELETE FROM t WHERE id % 2 = 0");
    await view.refresh();
    expect(await view.query(count)).toEqual([{ n: 3000 }]);
    await view.query("COMMIT");
    const txid = await hydrated.complete();
    expect(txid).toBe(view.txid);
    expect(await view.execute(count)).toMatchObject({ rows: [[1500]], stats: { requests: 0 } });
    expect((await view.execute("PRAGMA litestream_hydration_progress")).rows).toEqual([["100"]]);
    expect(await view.query("PRAGMA quick_check")).toEqual([{ quick_check: "ok" }]);
    await app.close();
  });

  test("a damaged file fails its query with a typed error, and the next succeeds", async () => {
    const { store, app } = await replicate(RANDOM_ROWS);
    let isDamaged = false;
    const damaging: ObjectStore = {
      ...store,
      get: async (key, options) => {
        const result = await store.get(key, options);
        if (!isDamaged || options?.offset === undefined) return result;
        const bytes = new Uint8Array(await new Response(result.body).arrayBuffer());
        return { ...result, body: new Response(bytes.map((byte) => byte ^ 0x55)).body! };
      },
    };
    await using view = await openReplicaDatabase({
      sqlite3,
      replica: damaging,
      driver,
      readAhead: 0,
    });
    await view.query("SELECT count(*) FROM sqlite_schema");
    isDamaged = true;
    await expect(view.query("SELECT sum(length(body)) FROM t")).rejects.toMatchObject({
      code: "DAMAGED_FILE",
    });
    isDamaged = false;
    expect(await view.query("SELECT sum(length(body)) s FROM t")).toEqual([{ s: 300_000 }]);
    await app.close();
  });
});

test("openReplicaDatabase() refuses a replica without files and a driver that cannot be", async () => {
  await expect(openReplicaDatabase({ sqlite3, replica: memoryStore() })).rejects.toMatchObject({
    code: "NO_BACKUP",
  });
  const { store, app } = await replicate(rowsSql(1));
  await expect(
    openReplicaDatabase({ sqlite3, replica: store, driver: "block" }),
  ).rejects.toMatchObject({ code: "UNSUPPORTED" });
  await using view = await openReplicaDatabase({ sqlite3, replica: store });
  expect(view.driver).toBe("jspi");
  expect(view.db.selectValue("SELECT 1")).toBe(1);
  const { db } = view;
  let refusal: unknown;
  db.createFunction("meanwhile", () => {
    try {
      db.exec("SELECT 1");
    } catch (error) {
      refusal = error;
    }
    return 1;
  });
  expect(await view.query("SELECT meanwhile() m")).toEqual([{ m: 1 }]);
  expect(refusal).toMatchObject({ code: "VFS", message: /a query of it waits/ });
  db.close();
  await expect(view.query("SELECT 1")).rejects.toMatchObject({ code: "CLOSED" });
  await app.close();
});
