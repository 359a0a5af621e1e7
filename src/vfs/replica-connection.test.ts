/* oxlint-disable no-await-in-loop -- one state after the other is the point. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { beforeAll, describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { type EvolvingDatabase, evolvingDatabase, rowsSql } from "../testing/evolving-database.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { MemoryPageSource, type MemoryView } from "../testing/memory-page-source.ts";
import { webPlatform } from "../transports/web-platform.ts";
import {
  chooseDriver,
  ReplicaConnection,
  type ReplicaConnectionOptions,
} from "./replica-connection.ts";
import type { ReplicaDriver } from "./replica-session.ts";
import { exportsOf, type QueryParameters, type SqlValue } from "./replica-values.ts";
import type { Sqlite3 } from "./sqlite3.ts";

let sqlite3: Sqlite3;

beforeAll(async () => {
  const initialised = await sqlite3InitModule();
  const { config } = initialised as unknown as { config: Record<"warn" | "error", () => void> };
  config.warn = config.error = () => {};
  sqlite3 = initialised as unknown as Sqlite3;
});

type Options = Partial<ReplicaConnectionOptions<MemoryView>>;

const connect = (
  source: MemoryPageSource,
  driver: ReplicaDriver,
  options: Options = {},
): Promise<ReplicaConnection<MemoryView>> =>
  ReplicaConnection.open(sqlite3, {
    source,
    driver,
    platform: webPlatform,
    readOnly: true,
    maxStatementBytes: 64 * 1024 * 1024,
    resolve: (target) => {
      if ("latest" in target) return Promise.resolve(undefined);
      const view = source.views.find(({ txid, time }) =>
        "txid" in target
          ? BigInt(`0x${target.txid}`) === txid
          : time.toISOString() === target.timestamp,
      );
      return view === undefined
        ? Promise.reject(new RangeError(`no state ${JSON.stringify(target)}`))
        : Promise.resolve(view);
    },
    ...options,
  });

const value = async (
  connection: ReplicaConnection<MemoryView>,
  sql: string,
  params: QueryParameters = [],
): Promise<SqlValue | undefined> => (await connection.run(sql, params)).rows[0]?.[0];

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no error",
    (error: unknown) => (isPagestreamError(error) ? error.code : String(error)),
  );

const scene = (
  driver: ReplicaDriver,
  sql = rowsSql(2000),
): { source: MemoryPageSource; writer: EvolvingDatabase } => {
  const source = new MemoryPageSource(driver === "block");
  const writer = evolvingDatabase(sqlite3);
  source.publish(writer.after(sql));
  return { source, writer };
};

const DRIVERS: readonly ReplicaDriver[] = ["retry", "jspi", "block"];

describe.each(DRIVERS)("ReplicaConnection with the driver %s", (driver) => {
  test("run() reads what the writer wrote, and holds nothing afterwards", async () => {
    const { source, writer } = scene(driver);
    const replica = await connect(source, driver);
    const sql = "SELECT id, body FROM t WHERE id % 7 = 0 ORDER BY body DESC";
    const { columns, rows } = await replica.run(sql);
    expect(columns).toEqual(["id", "body"]);
    expect(rows).toEqual(writer.db.selectObjects(sql).map((row) => Object.values(row)));
    expect(await value(replica, "PRAGMA quick_check")).toBe("ok");
    expect(source.pins).toBe(0);
    await replica.close();
    await replica.close();
    expect(await codeOf(replica.run("SELECT 1"))).toBe("CLOSED");
  });

  test("run() keeps SQLite's cache while the state is the same, and drops it when it changes", async () => {
    const { source, writer } = scene(driver);
    const replica = await connect(source, driver);
    await replica.run("SELECT sum(length(body)) FROM t");
    const before = source.fetches;
    await replica.run("SELECT sum(length(body)) FROM t");
    expect(source.fetches).toBe(before);
    source.publish(writer.after("UPDATE t SET body = 'new' WHERE id = 1000"));
    expect(await value(replica, "SELECT body FROM t WHERE id = 1000")).toBe("new");
    expect(await value(replica, "SELECT litestream_txid()")).toBe("0000000000000002");
    await replica.close();
  });

  test("run() gives a query that ran before what a new one would give, in every state", async () => {
    const { source, writer } = scene(driver, "CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    const replica = await connect(source, driver);
    const sql = "SELECT * FROM t WHERE id > ?";
    expect(await replica.run(sql, [0])).toMatchObject({ columns: ["id", "body"], rows: [] });
    const inserts =
      "ALTER TABLE t ADD COLUMN more DEFAULT 7; INSERT INTO t(id, body) VALUES (1, 'a')";
    source.publish(writer.after(inserts));
    const grown = { columns: ["id", "body", "more"], rows: [[1, "a", 7]] };
    expect(await replica.run(sql, [0])).toMatchObject(grown);
    expect(await codeOf(replica.run(sql))).toBe("INVALID_ARGUMENT");
    expect(await replica.run(sql, [1])).toMatchObject({ rows: [] });
    await replica.run("BEGIN");
    source.publish(writer.after("DELETE FROM t"));
    expect(await replica.run(sql, [0])).toMatchObject(grown);
    await replica.run("COMMIT");
    expect(await replica.run(sql, [0])).toMatchObject({ rows: [] });
    source.publish(writer.after("DROP TABLE t"));
    expect(await codeOf(replica.run(sql, [0]))).toBe("QUERY");
    expect(source.pins).toBe(0);
    await replica.close();
  });

  test("run() gives the rows of another database in the same place, whose schema has the same number", async () => {
    const setup = (order: string): string =>
      `${order}; INSERT INTO a VALUES ('a', 1); INSERT INTO b VALUES ('b')`;
    const { source } = scene(driver, setup("CREATE TABLE a(x, y); CREATE TABLE b(x)"));
    const replica = await connect(source, driver);
    const sql = "SELECT x FROM a UNION ALL SELECT x FROM b";
    expect((await replica.run(sql)).rows).toEqual([["a"], ["b"]]);
    const other = evolvingDatabase(sqlite3);
    source.publish(other.after(setup("CREATE TABLE b(x); CREATE TABLE a(y, x)")));
    const states: [number, unknown[][]][] = [
      [1, [[1], ["b"]]],
      [0, [["a"], ["b"]]],
    ];
    for (const [i, rows] of [...states, ...states]) {
      await replica.travel(source.views[i], undefined);
      expect((await replica.run(sql)).rows).toEqual(rows);
      expect(await value(replica, "PRAGMA quick_check")).toBe("ok");
    }
    await replica.close();
  });

  test("run() keeps a bounded number of statements, none of them past close()", async () => {
    const { source } = scene(driver);
    const replica = await connect(source, driver);
    const connection = replica.db.pointer as number;
    const kept = (): number => {
      let count = 0;
      let statement = 0;
      const next = exportsOf(sqlite3) as unknown as {
        sqlite3_next_stmt(connection: number, statement: number): number;
      };
      while ((statement = next.sqlite3_next_stmt(connection, statement)) !== 0) count++;
      return count;
    };
    for (let i = 0; i < 50; i++) {
      expect(await value(replica, `SELECT ${i} + count(*) FROM t WHERE id = ${i + 1}`)).toBe(i + 1);
    }
    expect(kept()).toBe(16);
    const limits = { maxRows: 1 };
    for (let i = 0; i < 2; i++) {
      expect(await codeOf(replica.run("SELECT id FROM t", [], limits))).toBe("LIMIT");
    }
    await replica.run("PRAGMA table_info(t)");
    expect(kept()).toBe(16);
    const own = replica.db as unknown as { close(): void };
    own.close();
    await replica.close();
    expect(source.pins).toBe(0);
  });

  test("run() sees one state from BEGIN to COMMIT, whatever is fetched and published meanwhile", async () => {
    const { source, writer } = scene(driver);
    const replica = await connect(source, driver);
    await replica.run("BEGIN");
    for (let i = 0; i < 5; i++) {
      source.publish(writer.after(`DELETE FROM t WHERE id % 10 = ${i}`));
      expect(await value(replica, `SELECT count(*) FROM t WHERE id % 10 = ${i}`)).toBe(200);
      expect(await value(replica, "PRAGMA litestream_txid")).toBe("0000000000000001");
    }
    await replica.run("COMMIT");
    expect(await value(replica, "SELECT count(*) FROM t")).toBe(1000);
    expect(await value(replica, "PRAGMA litestream_txid")).toBe("0000000000000006");
    expect(source.pins).toBe(0);
    await replica.close();
  });

  test("run() keeps the savepoints of a transaction, whatever is fetched between them", async () => {
    const { source, writer } = scene(driver);
    const replica = await connect(source, driver);
    for (const begin of ["SAVEPOINT a", "BEGIN"]) {
      const own = begin === "BEGIN" ? ["SAVEPOINT a"] : [];
      for (const sql of [begin, ...own, "SAVEPOINT b", "ROLLBACK TO a", "SAVEPOINT c"]) {
        await replica.run(sql);
        expect(await value(replica, "SELECT sum(length(body)) FROM t")).toBe(200_000);
        source.publish(writer.after("UPDATE t SET body = body"));
      }
      expect(await codeOf(replica.run("RELEASE b"))).toBe("QUERY");
      for (const sql of ["RELEASE c", "RELEASE a"]) await replica.run(sql);
      if (begin === "BEGIN") await replica.run("COMMIT");
      const newest = source.latest.txid.toString(16).padStart(16, "0");
      expect(await value(replica, "SELECT litestream_txid()")).toBe(newest);
    }
    expect(source.pins).toBe(0);
    await replica.close();
  });

  test("run() leaves a transaction open at its state when a read of it fails", async () => {
    const { source, writer } = scene(driver);
    const replica = await connect(source, driver);
    const sql = "SELECT sum(length(body)) FROM t";
    for (const sqls of [["BEGIN"], ["SAVEPOINT a", "SAVEPOINT b"]]) {
      for (const each of sqls) await replica.run(each);
      const { txid } = replica.session.view;
      source.publish(writer.after("DELETE FROM t WHERE id = (SELECT max(id) FROM t)"));
      for (let pgno = 3; pgno < 60; pgno++) source.faults.set(pgno, new Error("no route"));
      await expect(replica.run(sql)).rejects.toThrow("no route");
      source.faults.clear();
      expect(await value(replica, "SELECT count(*) FROM t")).toBe(2001 - Number(txid));
      expect(replica.session.view.txid).toBe(txid);
      await replica.run(sqls[0] === "BEGIN" ? "ROLLBACK" : "RELEASE a");
      expect(replica.session.view.txid).toBe(txid + 1n);
    }
    expect(source.pins).toBe(0);
    await replica.close();
  });

  test("run() gives consistent rows while states are published in the middle of statements", async () => {
    const setup = "CREATE TABLE acc(id INTEGER PRIMARY KEY, n, pad); CREATE INDEX acc_n ON acc(n)";
    const fill = `WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 400)
      INSERT INTO acc SELECT i, 100, zeroblob(200) FROM r`;
    const { source, writer } = scene(driver, `${setup}; ${fill}`);
    let turn = 0;
    const change = (): void => {
      if (++turn > 60) return;
      const [from, to] = [(turn * 37) % 400, (turn * 91) % 400];
      source.publish(
        writer.after(`UPDATE acc SET n = n - ${turn} WHERE id = ${from + 1};
          UPDATE acc SET n = n + ${turn} WHERE id = ${to + 1}; ${turn % 20 === 0 ? "VACUUM" : ""}`),
      );
    };
    source.onFetch = change;
    const replicas = await Promise.all(Array.from({ length: 8 }, () => connect(source, driver)));
    const sums = await Promise.all(
      replicas.flatMap((replica) =>
        Array.from({ length: 8 }, async () => {
          if (driver === "block") change();
          return value(replica, "SELECT sum(n) FROM acc");
        }),
      ),
    );
    expect(new Set(sums)).toEqual(new Set([40_000]));
    expect(turn).toBeGreaterThan(8);
    for (const replica of replicas) {
      expect(await value(replica, "PRAGMA integrity_check")).toBe("ok");
      await replica.close();
    }
    expect(source.pins).toBe(0);
  });

  test("32 connections answer at the same time", async () => {
    const { source } = scene(driver);
    const replicas = await Promise.all(Array.from({ length: 32 }, () => connect(source, driver)));
    const sums = await Promise.all(
      replicas.map((replica) => value(replica, "SELECT sum(id) FROM t WHERE length(body) = 100")),
    );
    expect(sums).toEqual(Array.from({ length: 32 }, () => 2_001_000));
    await Promise.all(replicas.map((replica) => replica.close()));
    expect(source.pins).toBe(0);
  });

  test("run() follows growth, shrinking, VACUUM and new tables", async () => {
    const { source, writer } = scene(driver, `PRAGMA auto_vacuum = FULL; ${rowsSql(10)}`);
    const replica = await connect(source, driver);
    for (const sql of [
      rowsSql(3000).replace("SELECT i,", "SELECT i + 10,"),
      "DELETE FROM t WHERE id > 100",
      "CREATE TABLE u(a UNIQUE, b); INSERT INTO u SELECT id, body FROM t",
      "ALTER TABLE t ADD COLUMN c DEFAULT 7; CREATE INDEX t_c ON t(c, id)",
      "DELETE FROM t",
      "VACUUM",
      "DROP TABLE u; PRAGMA page_size = 1024; VACUUM",
      rowsSql(500)
        .replace("SELECT i,", "SELECT i, ")
        .replace("INSERT INTO t", "INSERT INTO t(id, body)"),
    ]) {
      source.publish(writer.after(sql));
      expect(await value(replica, "PRAGMA quick_check"), sql).toBe("ok");
      for (const check of ["SELECT count(*) FROM t", "PRAGMA page_count", "PRAGMA page_size"]) {
        expect(await value(replica, check), `${check} after ${sql}`).toBe(
          writer.db.selectValue(check),
        );
      }
    }
    await replica.close();
  });

  test.each([512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])(
    "run() reads databases of %i byte pages that are in WAL mode",
    async (pageSize) => {
      const source = new MemoryPageSource(driver === "block");
      const writer = evolvingDatabase(sqlite3, { pageSize, mode: "wal" });
      const bytes = writer.after(rowsSql(300, 300));
      expect([...bytes.subarray(18, 20)]).toEqual([2, 2]);
      source.publish(bytes);
      const replica = await connect(source, driver);
      expect(await value(replica, "PRAGMA page_size")).toBe(pageSize);
      expect(await value(replica, "SELECT sum(id) FROM t WHERE length(body) = 300")).toBe(45_150);
      expect(await value(replica, "PRAGMA journal_mode")).toBe("delete");
      source.publish(writer.after("UPDATE t SET body = 'x' WHERE id = 300"));
      expect(await value(replica, "SELECT body FROM t WHERE id = 300")).toBe("x");
      await replica.close();
      writer.db.close();
    },
  );

  test("run() sorts 25,000 rows in temporary files", async () => {
    const { source } = scene(driver, rowsSql(25_000, 10));
    source.readAhead = 64;
    const replica = await connect(source, driver, { readOnly: false });
    await replica.run("PRAGMA temp_store = FILE");
    await replica.run("PRAGMA cache_size = 20");
    const { rows } = await replica.run("SELECT id FROM t ORDER BY body || 'x' DESC, length(body)");
    expect(rows.length).toBe(25_000);
    expect([rows[0], rows.at(-1)]).toEqual([[25_000], [1]]);
    await replica.close();
  });

  test("run() throws what keeps a page from being read, and the next statement succeeds", async () => {
    const { source } = scene(driver);
    const replica = await connect(source, driver);
    const damaged = new RangeError("page 9 is damaged");
    source.faults.set(9, damaged);
    await expect(replica.run("SELECT sum(length(body)) FROM t")).rejects.toBe(damaged);
    await expect(replica.run("PRAGMA quick_check")).rejects.toBe(damaged);
    source.faults.clear();
    expect(await value(replica, "SELECT count(*) FROM t")).toBe(2000);
    expect(source.pins).toBe(0);
    await replica.close();
  });

  test("litestream_txid() answers each connection for its own state, and a further one installs nothing", async () => {
    const { source, writer } = scene(driver);
    const [first] = source.views;
    source.publish(writer.after("DELETE FROM t"));
    const before = await connect(source, driver, { view: first });
    const { wasm } = sqlite3;
    const install = wasm.installFunction;
    let installed = 0;
    wasm.installFunction = (...args) => {
      installed++;
      return install.apply(wasm, args);
    };
    const after = await connect(source, driver);
    wasm.installFunction = install;
    expect(installed).toBe(0);
    const sql = "SELECT litestream_txid(), (SELECT count(*) FROM t)";
    expect((await before.run(sql)).rows).toEqual([["0000000000000001", 2000]]);
    expect((await after.run(sql)).rows).toEqual([["0000000000000002", 0]]);
    await before.close();
    expect((await after.run(sql)).rows).toEqual([["0000000000000002", 0]]);
    await after.close();
  });

  test("readSchema() asks the source for nothing, and leaves nothing behind where it cannot", async () => {
    const wide = Array.from({ length: 200 }, (_, i) => `CREATE TABLE t${i}(a, b, c, d);`).join("");
    for (const sql of ["CREATE TABLE t(id)", `${wide} CREATE TABLE t(id)`]) {
      const { source } = scene(driver, sql);
      const replica = await connect(source, driver);
      const before = source.fetches;
      await replica.readSchema();
      if (driver !== "block") expect(source.fetches).toBe(before);
      expect(replica.lastError).toBe(undefined);
      expect(source.pins).toBe(0);
      expect(await value(replica, "SELECT count(*) FROM t")).toBe(0);
      await replica.close();
    }
  });

  test("litestream_set_time() and PRAGMA litestream_time go back and return to the newest state", async () => {
    const { source, writer } = scene(driver);
    const first = source.latest.time.toISOString();
    source.publish(writer.after("DELETE FROM t WHERE id > 10"));
    const replica = await connect(source, driver, { readOnly: false });
    expect(await value(replica, "SELECT litestream_time()")).toBe(source.latest.time.toISOString());
    expect(await value(replica, "SELECT litestream_set_time(?)", [first])).toBe(first);
    expect(await value(replica, "SELECT count(*) FROM t")).toBe(2000);
    expect(await value(replica, "PRAGMA litestream_time")).toBe(first);
    source.publish(writer.after("DELETE FROM t"));
    expect(await value(replica, "SELECT count(*) FROM t")).toBe(2000);
    await replica.run("PRAGMA litestream_time = 'latest'");
    expect(await value(replica, "SELECT count(*) FROM t")).toBe(0);
    await replica.run(`PRAGMA litestream_time = '${first}'`);
    expect(await value(replica, "SELECT count(*), litestream_lag() FROM t")).toBe(2000);

    for (const wrong of ["", "long ago"]) {
      await expect(replica.run("SELECT litestream_set_time(?)", [wrong])).rejects.toThrow(
        /no time given|no state .*long ago/,
      );
      await expect(replica.run(`PRAGMA litestream_time = '${wrong}'`)).rejects.toThrow(
        /no time given|no state .*long ago/,
      );
    }
    await expect(replica.run("PRAGMA litestream_txid = 3")).rejects.toThrow(/can only be read/);
    await expect(replica.run("PRAGMA litestream_lga")).rejects.toThrow(/litestream_lag/);
    expect(await value(replica, "SELECT count(*) FROM t")).toBe(2000);

    await replica.run("BEGIN");
    await replica.run("SELECT count(*) FROM t");
    await expect(replica.run("SELECT litestream_set_time('latest')")).rejects.toThrow(
      /read transaction is open/,
    );
    await expect(replica.travel(undefined, undefined)).rejects.toThrow(/read transaction is open/);
    await replica.close();
    expect(source.pins).toBe(0);
  });

  test("ATTACH brings the same replica in at another time", async () => {
    const { source, writer } = scene(driver);
    source.publish(
      writer.after("DELETE FROM t WHERE id <= 5; UPDATE t SET body = 'n' WHERE id = 9"),
    );
    const replica = await connect(source, driver, { readOnly: false });
    const uri = `file:${replica.path}?vfs=pagestream-replica`;
    await replica.run("ATTACH ? AS old", [`${uri}&txid=0000000000000001`]);
    expect(
      (
        await replica.run(
          "SELECT id FROM old.t EXCEPT SELECT id FROM main.t UNION SELECT o.id FROM old.t o JOIN main.t n USING (id) WHERE o.body <> n.body",
        )
      ).rows,
    ).toEqual([[1], [2], [3], [4], [5], [9]]);
    await replica.run("DETACH old");
    await expect(replica.run("ATTACH ? AS old", [`${uri}&txid=99`])).rejects.toThrow(/no state/);
    await expect(
      replica.run("ATTACH ? AS old", [`${uri}&txid=01&timestamp=2026`]),
    ).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(
      replica.run("ATTACH 'file:/nowhere?vfs=pagestream-replica' AS x"),
    ).rejects.toMatchObject({ code: "QUERY" });
    await replica.close();
    expect(source.pins).toBe(0);
  });

  test("run() refuses everything that changes something, and says what", async () => {
    const { source } = scene(driver);
    const replica = await connect(source, driver);
    for (const [sql, what] of [
      ["INSERT INTO t VALUES (1, 2)", /it writes/],
      ["CREATE TABLE x(a)", /it writes/],
      ["CREATE TEMP TABLE x(a)", /CREATE TEMP TABLE/],
      ["ATTACH 'file:x?vfs=memdb' AS x", /ATTACH/],
      ["VACUUM", /it writes/],
      ["VACUUM INTO 'file:y?vfs=memdb'", /it writes/],
      ["PRAGMA journal_mode = WAL", /PRAGMA journal_mode with a value/],
      ["PRAGMA cache_size = 3", /PRAGMA cache_size with a value/],
      ["PRAGMA incremental_vacuum", /PRAGMA incremental_vacuum/],
      ["PRAGMA writable_schema = 1", /PRAGMA writable_schema/],
      ["SELECT litestream_set_time('latest')", /setTime\(\)/],
      ["BEGIN IMMEDIATE", /it writes/],
      ["SELECT 1; DELETE FROM t", /more than one statement/],
      ["SELECT nowhere", /no such column: nowhere/],
      [" -- nothing", /it is empty/],
    ] as const) {
      await expect(replica.run(sql), sql).rejects.toThrow(what);
    }
    for (const sql of ["SELECT 1; -- and no more\n", "PRAGMA table_info(t)", "EXPLAIN SELECT 1"]) {
      expect((await replica.run(sql)).rows.length).toBeGreaterThan(0);
    }
    await replica.close();
  });

  test("run() ends at its limits and goes on afterwards", async () => {
    const { source } = scene(driver);
    const replica = await connect(source, driver);
    const endless =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    const run = (sql: string, options: object): Promise<string> =>
      codeOf(replica.run(sql, [], options));
    expect(await run(endless, { maxRows: 10 })).toBe("LIMIT");
    expect(await run(endless, { maxBytes: 1000 })).toBe("LIMIT");
    expect(await run("SELECT randomblob(100000000)", { maxBytes: 1000 })).toBe("LIMIT");
    expect(await run(`SELECT count(*) FROM (${endless})`, { timeoutMs: 20 })).toBe("TIMEOUT");
    const aborter = new AbortController();
    source.onFetch = () => aborter.abort();
    if (driver !== "block") {
      expect(await run("SELECT sum(length(body)) FROM t", { signal: aborter.signal })).toBe(
        "ABORTED",
      );
    }
    source.onFetch = undefined;
    expect(await run("SELECT 1", { signal: AbortSignal.abort() })).toBe("ABORTED");
    expect((await replica.run("SELECT 1", [], { maxRows: 1, maxBytes: 8 })).rows).toEqual([[1]]);
    expect(await value(replica, "SELECT length(zeroblob(100000000))")).toBe(100_000_000);
    expect(source.pins).toBe(0);
    await replica.close();
  });
});

test.each(["retry", "jspi"] as const)(
  "run() with the driver %s gives a statement that waits for ever back at its deadline",
  async (driver) => {
    const { source } = scene(driver);
    const platform: Platform & { readonly clock: { advance(ms: number): void } } = fakePlatform(1);
    const replica = await connect(source, driver, { platform });
    const neverEnding = new Promise<void>((resolve) => {
      void resolve;
    });
    const asked = new Promise<void>((resolve) => {
      source.onFetch = () => {
        resolve();
        return neverEnding;
      };
    });
    const running = codeOf(replica.run("SELECT count(*) FROM t", [], { timeoutMs: 5000 }));
    await asked;
    platform.clock.advance(5000);
    expect(await running).toBe("TIMEOUT");
  },
);

test("run() with the driver retry bounds the memory of one statement", async () => {
  const { source } = scene("retry");
  const replica = await connect(source, "retry", { maxStatementBytes: 10 * 4096 });
  expect(await codeOf(replica.run("SELECT sum(length(body)) FROM t"))).toBe("LIMIT");
  expect(await value(replica, "SELECT id FROM t WHERE id = 77")).toBe(77);
  await replica.close();
});

test("run() with the driver retry tells that a transaction has lost its temporary tables", async () => {
  const { source } = scene("retry");
  const replica = await connect(source, "retry", { readOnly: false });
  await replica.run("BEGIN");
  await replica.run("CREATE TEMP TABLE x(a)");
  expect(await codeOf(replica.run("SELECT sum(length(body)) FROM t"))).toBe("UNSUPPORTED");
  expect(await value(replica, "SELECT sum(length(body)) FROM t")).toBe(200_000);
  await replica.run("CREATE TEMP TABLE x AS SELECT * FROM t");
  expect(await value(replica, "SELECT count(*) FROM x")).toBe(2000);
  await replica.close();
});

test("run() takes and gives every type of value", async () => {
  const { source } = scene("retry");
  const replica = await connect(source, "retry");
  const values = [
    null,
    0,
    -1.5,
    Number.MAX_SAFE_INTEGER,
    2n ** 53n,
    -(2n ** 63n),
    "",
    "tëxt\0after",
    "😀",
    new Uint8Array(0),
    new Uint8Array([0, 255, 7]),
  ];
  const { rows } = await replica.run(`SELECT ${values.map(() => "?").join(", ")}`, values);
  expect(rows[0]).toEqual(values);
  const { rows: cast } = await replica.run("SELECT ?, ?, typeof(?)", [true, undefined, 2n ** 62n]);
  expect(cast[0]).toEqual([1, null, "integer"]);
  const named = await replica.run("SELECT :a + @b + $c", { a: 1, "@b": 2, $c: 3 });
  expect(named.rows[0]).toEqual([6]);
  for (const limits of [{ maxRows: -1 }, { maxBytes: Number.NaN }, { timeoutMs: -5 }]) {
    expect(await codeOf(replica.run("SELECT 1", [], limits))).toBe("INVALID_ARGUMENT");
  }
  for (const [sql, params] of [
    ["SELECT ?", []],
    ["SELECT ?", [1, 2]],
    ["SELECT :a", { b: 1 }],
    ["SELECT :a", { a: 1, b: 1 }],
    ["SELECT ?", { a: 1 }],
    ["SELECT ?", [2n ** 63n]],
    ["SELECT ?", [{} as never]],
    ["SELECT 1\0", []],
  ] as const) {
    expect(await codeOf(replica.run(sql, params)), sql).toBe("INVALID_ARGUMENT");
  }
  await replica.close();
});

test("the database of a connection with the driver block is used as any other", async () => {
  const { source, writer } = scene("block");
  const replica = await connect(source, "block");
  const { db } = replica;
  db.exec("BEGIN");
  expect(db.selectValue("SELECT count(*) FROM t")).toBe(2000);
  source.publish(writer.after("DELETE FROM t"));
  expect(await value(replica, "SELECT count(*) FROM t")).toBe(2000);
  db.exec("COMMIT");
  expect(db.selectValue("SELECT count(*) FROM t")).toBe(0);
  source.faults.set(1, new RangeError("page 1 is damaged"));
  source.publish(writer.after("VACUUM"));
  expect(() => db.selectValue("SELECT count(*) FROM t")).toThrow(/disk I\/O error/);
  expect(replica.lastError).toBe(source.faults.get(1));
  await replica.close();
  expect(source.pins).toBe(0);
});

test("the database of a connection says how to come to a state for which SQLite cannot wait", async () => {
  const { source } = scene("block");
  const replica = await connect(source, "block", { readOnly: false });
  const { db, path } = replica;
  const elsewhere = [
    "SELECT litestream_set_time('1 second ago')",
    "PRAGMA litestream_time = '1 second ago'",
  ];
  for (const sql of elsewhere) expect(() => db.exec(sql), sql).toThrow(/setTime\(\)/);
  const attach = `ATTACH 'file:${path}?vfs=pagestream-replica&txid=0000000000000001' AS e`;
  expect(() => db.exec(attach)).toThrow(/unable to open/);
  expect(replica.lastError).toMatchObject({ code: "VFS", message: /setTime\(\)/ });
  await replica.close();
});

test("a pragma that is refused is told with what can be asked", async () => {
  const { source } = scene("retry");
  const replica = await connect(source, "retry");
  await expect(replica.run("PRAGMA nonsense")).rejects.toThrow(
    /needs PRAGMA nonsense, and the database is read-only. Use pragmas that only tell something/,
  );
  await expect(replica.run("PRAGMA cache_size = 5")).rejects.toThrow(/Leave the value out/);
  await replica.close();
});

test("the database of a connection with another driver tells why it cannot read", async () => {
  const { source } = scene("jspi");
  const replica = await connect(source, "jspi");
  expect(replica.lastError).toBeUndefined();
  expect(() => replica.db.exec("SELECT * FROM t")).toThrow(/disk I\/O error/);
  expect(replica.lastError).toMatchObject({ code: "VFS", message: /cannot wait/ });
  await replica.close();
});

test("chooseDriver() blocks where it can, else suspends where the runtime can, else retries", () => {
  const plain = new MemoryPageSource();
  const blocking = new MemoryPageSource(true);
  expect(chooseDriver("auto", blocking)).toBe("block");
  expect(chooseDriver("auto", plain)).toBe("jspi");
  expect(chooseDriver("retry", blocking)).toBe("retry");
  expect(() => chooseDriver("block", plain)).toThrow(/blockingReads/);
  expect(() => chooseDriver("blok" as "block", blocking)).toThrow(
    /no driver blok\. Use auto, retry/,
  );
  const { Suspending } = WebAssembly as unknown as { Suspending: unknown };
  Object.assign(WebAssembly, { Suspending: undefined });
  try {
    expect(chooseDriver("auto", plain)).toBe("retry");
    expect(() => chooseDriver("jspi", plain)).toThrow(/WebAssembly.Suspending/);
  } finally {
    Object.assign(WebAssembly, { Suspending });
  }
});

test("ReplicaConnection reads a replica of an empty database, and one with full-text and R-tree tables", async () => {
  const source = new MemoryPageSource();
  source.publish(new Uint8Array(0));
  const replica = await connect(source, "retry");
  expect(await value(replica, "SELECT count(*) FROM sqlite_schema")).toBe(0);
  const writer = evolvingDatabase(sqlite3);
  source.publish(
    writer.after(`CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('some words here');
      CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); INSERT INTO r VALUES (1, 2, 3)`),
  );
  expect(await value(replica, "SELECT rowid FROM f WHERE f MATCH 'words'")).toBe(1);
  expect(await value(replica, "SELECT id FROM r WHERE x0 > 1")).toBe(1);
  expect(await codeOf(replica.run("INSERT INTO r VALUES (2, 2, 3)"))).toBe("QUERY");
  await replica.close();
});
