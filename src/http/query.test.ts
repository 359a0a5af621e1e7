/** @module */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type SqlReplica, sqlReplica } from "../../test/helpers/sql-replica.ts";
import { memoryStore } from "../transports/memory.ts";
import { replicaRoutes, type ReplicaRoutes, type ReplicaRoutesOptions } from "./replica-routes.ts";

const sqlite3 = await sqlite3InitModule();
const hex = (txid: number): string => txid.toString(16).padStart(16, "0");

let database: SqlReplica;
let app: ReplicaRoutes;

function routes(options: Partial<ReplicaRoutesOptions> = {}): ReplicaRoutes {
  const { store } = database;
  return replicaRoutes({
    replica: () => store,
    authorize: "public",
    freshMs: 0,
    sqlite3,
    ...options,
  });
}

beforeEach(async () => {
  database = sqlReplica();
  await database.commit("CREATE TABLE doc(id INTEGER PRIMARY KEY, title)");
  await database.commit("INSERT INTO doc VALUES (1, 'one'), (2, 'two')");
  app = routes();
});

afterEach(async () => {
  await app.close();
  database[Symbol.dispose]();
});

interface Answer {
  readonly status: number;
  readonly position: string | null;
  readonly body: {
    readonly txid: string;
    readonly time: string;
    readonly columns: string[];
    readonly rows: unknown[][];
    readonly stats: Record<string, number>;
    readonly error?: { readonly code: string; readonly message: string };
  };
}

async function post(
  body: unknown,
  headers: Record<string, string> = {},
  to: ReplicaRoutes = app,
): Promise<Answer> {
  const response = await to.request("/query", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  expect(response.headers.get("cache-control")).toBe("no-store");
  const position = response.headers.get("pagestream-position");
  return { status: response.status, position, body: (await response.json()) as Answer["body"] };
}

const query = async (sql: string, more: object = {}): Promise<Answer> =>
  await post({ sql, ...more });

test("replicaRoutes() has a reader for each request in workerd, which goes on from what another has left", async () => {
  vi.stubGlobal("navigator", { userAgent: "Cloudflare-Workers" });
  try {
    for (const key of [undefined, () => "app"]) {
      let lists = 0;
      let gets = 0;
      const { store } = database;
      const counting: typeof store = {
        ...store,
        list: (options) => (lists++, store.list(options)),
        get: (name, options) => (gets++, store.get(name, options)),
      };
      const workerd = routes({ replica: () => counting, key, freshMs: 60_000 });
      const sql = "SELECT count(*) FROM doc";
      const [first, second] = await Promise.all([
        post({ sql }, {}, workerd),
        post({ sql }, {}, workerd),
      ]);
      expect([first.body.rows, second.body.rows]).toEqual([[[2]], [[2]]]);
      const before = [lists, gets];
      expect((await post({ sql }, {}, workerd)).body.rows).toEqual([[2]]);
      expect([lists, gets]).toEqual(before);
      // A state of the past is made anew, and the newest is still the newest after it.
      expect((await post({ sql, txid: hex(1) }, {}, workerd)).body.rows).toEqual([[0]]);
      expect((await post({ sql }, {}, workerd)).body.rows).toEqual([[2]]);
      await workerd.close();
    }
  } finally {
    vi.unstubAllGlobals();
  }
});

test("replicaRoutes() says that a query reads too much, where all that it reads must be kept", async () => {
  vi.stubGlobal("navigator", { userAgent: "Cloudflare-Workers" });
  try {
    const n = "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n LIMIT 300)";
    await database.commit(`${n} INSERT INTO doc SELECT i, hex(randomblob(400)) FROM n`);
    const failures: unknown[] = [];
    const onFailure = (error: unknown): void => void failures.push(error);
    const workerd = routes({ limits: { cacheBytes: 64 * 1024 }, onFailure });
    const all = await post({ sql: "SELECT sum(length(title)) FROM doc" }, {}, workerd);
    expect([all.status, all.body.error?.code]).toEqual([413, "TOO_LARGE"]);
    expect((await post({ sql: "SELECT title FROM doc WHERE id = 1" }, {}, workerd)).status).toBe(
      200,
    );
    expect(failures).toEqual([]);
    await workerd.close();
  } finally {
    vi.unstubAllGlobals();
  }
});

describe("POST /query", () => {
  test("POST /query answers with rows, of now or of the past", async () => {
    const { status, position, body } = await query("SELECT id, title FROM doc WHERE id >= ?", {
      params: [1],
    });
    expect([status, position]).toEqual([200, hex(2)]);
    expect(body).toEqual({
      txid: hex(2),
      time: "2026-01-01T00:00:02.000Z",
      columns: ["id", "title"],
      rows: [
        [1, "one"],
        [2, "two"],
      ],
      stats: { requests: expect.any(Number), bytes: expect.any(Number), pages: expect.any(Number) },
    });
    await database.commit("UPDATE doc SET title = 'uno' WHERE id = 1");
    const title = "SELECT title FROM doc WHERE id = 1";
    expect((await query(title)).body).toMatchObject({ txid: hex(3), rows: [["uno"]] });
    expect((await query(title, { txid: hex(2) })).body).toMatchObject({
      txid: hex(2),
      rows: [["one"]],
    });
    const timestamp = "2026-01-01T00:00:02.5Z";
    expect((await query(title, { timestamp })).body).toMatchObject({
      txid: hex(2),
      rows: [["one"]],
    });
    expect((await query(title)).body).toMatchObject({ txid: hex(3), rows: [["uno"]] });
    expect((await query(title, { txid: hex(9) })).status).toBe(404);
  });

  test("POST /query lets a client read what it wrote", async () => {
    app = routes({ freshMs: 60_000, limits: { positionMs: 100 } });
    const count = { sql: "SELECT count(*) FROM doc" };
    expect((await post(count)).body.rows).toEqual([[2]]);
    await database.commit("INSERT INTO doc VALUES (3, 'three')");
    expect((await post(count)).body.rows).toEqual([[2]]);
    const seen = await post(count, { "pagestream-position": hex(3) });
    expect([seen.position, seen.body.rows]).toEqual([hex(3), [[3]]]);
    // What it asks of the past is not what it wrote.
    for (const past of [{ txid: hex(2) }, { timestamp: "2026-01-01T00:00:02.5Z" }]) {
      const before = await post({ ...count, ...past }, { "pagestream-position": hex(3) });
      expect([before.status, before.position, before.body.rows]).toEqual([200, hex(2), [[2]]]);
    }
    const early = await post(count, { "pagestream-position": hex(4) });
    expect([early.status, early.body.error?.code]).toEqual([503, "REPLICA_BEHIND"]);
  });

  test("POST /query carries every value there and back", async () => {
    const values = [
      null,
      1,
      -2.5,
      "t\u0000\u{1f600}",
      { base64: "AAH/" },
      { integer: "9223372036854775807" },
    ];
    const names = values.map(() => "?").join();
    expect((await query(`SELECT ${names}`, { params: values })).body.rows).toEqual([values]);
    expect((await query("SELECT :a, $b", { params: { a: true, b: "x" } })).body.rows).toEqual([
      [1, "x"],
    ]);
    expect((await query("SELECT 9e999, -9e999, x''")).body.rows).toEqual([
      ["Inf", "-Inf", { base64: "" }],
    ]);
    const wrong = [
      [],
      {},
      [[]],
      { base64: "?" },
      { integer: "1e3" },
      { integer: "9223372036854775808" },
    ];
    for (const value of [...wrong, { base64: "AA==", integer: "1" }]) {
      expect([value, (await query("SELECT ?", { params: [value] })).status]).toEqual([value, 400]);
    }
  });

  test.each([
    ["no JSON", 400],
    ["[]", 400],
    ["null", 400],
    ['{"sql":""}', 400],
    ['{"sql":1}', 400],
    ['{"sql":"SELECT 1","sq1":1}', 400],
    ['{"sql":"SELECT 1","params":3}', 400],
    ['{"sql":"SELECT 1","max_rows":0}', 400],
    ['{"sql":"SELECT 1","max_rows":"9"}', 400],
    ['{"sql":"SELECT 1","timeout_ms":-1}', 400],
    ['{"sql":"SELECT 1","txid":1}', 400],
    ['{"sql":"SELECT 1","txid":"0000000000000001","timestamp":"1 s ago"}', 400],
    ['{"sql":"SELECT ?"}', 400],
    ['{"sql":"SELECT ","params":[]}', 422],
    ['{"sql":"SELECT 1; SELECT 2"}', 422],
    ['{"sql":"SELECT nothing"}', 422],
  ])("POST /query answers %s with %i", async (body, status) => {
    expect((await post(body)).status).toBe(status);
  });

  test.each([
    "INSERT INTO doc VALUES (9, 'x')",
    "UPDATE doc SET title = 'x'",
    "DELETE FROM doc",
    "WITH a AS (SELECT 1) INSERT INTO doc SELECT 9, 'x'",
    "INSERT INTO doc VALUES (9, 'x') RETURNING id",
    "DROP TABLE doc",
    "CREATE TABLE x(y)",
    "CREATE TEMP TABLE x(y)",
    "CREATE TEMP VIEW v AS SELECT 1",
    "ALTER TABLE doc RENAME TO d",
    "ATTACH '/etc/passwd' AS x",
    "ATTACH ':memory:' AS x",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '/tmp/x'",
    "CREATE INDEX i ON doc(title)",
    "ANALYZE",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA writable_schema = 1",
    "PRAGMA query_only = 0",
    "PRAGMA user_version = 7",
    "PRAGMA cache_size = 100000",
    "PRAGMA mmap_size = 1000000",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA wal_checkpoint",
    "PRAGMA litestream_time = '2026-01-01T00:00:01Z'",
    "SELECT litestream_set_time('2026-01-01T00:00:01Z')",
    "SELECT load_extension('/tmp/x.so')",
    "SELECT writefile('/tmp/x', 'y')",
    "SELECT readfile('/etc/passwd')",
    "SELECT fts3_tokenizer('simple', x'0000000000000001')",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "SAVEPOINT a",
    "COMMIT",
    "EXPLAIN DELETE FROM doc; DELETE FROM doc",
  ])("POST /query does not run %s", async (sql) => {
    const { status, body } = await query(sql);
    expect([status, body.error?.code]).toEqual([422, "SQL"]);
    // Nothing of it stays: the next query sees what is committed later.
    await database.commit("INSERT INTO doc VALUES (10, 'ten')");
    const after = await query("SELECT count(*) FROM doc");
    expect(after.body).toMatchObject({ txid: hex(3), rows: [[3]] });
  });

  test("POST /query ends what does not end by itself, and goes on", async () => {
    app = routes({ limits: { query: { ms: 100 } } });
    const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    for (const sql of [
      `${endless} SELECT count(*) FROM n`,
      `${endless} SELECT i FROM n WHERE i < 0`,
      `${endless} SELECT max(a.i) FROM n a, n b`,
    ]) {
      const start = performance.now();
      const { status, body } = await query(sql);
      expect([status, body.error?.code]).toEqual([422, "QUERY_TIMEOUT"]);
      expect(performance.now() - start).toBeLessThan(3000);
      expect((await query("SELECT title FROM doc WHERE id = 2")).body.rows).toEqual([["two"]]);
    }
    // A client cannot have more than there is.
    expect((await query(`${endless} SELECT count(*) FROM n`, { timeout_ms: 1e9 })).status).toBe(
      422,
    );
  });

  test.each([
    "SELECT instr(x, y || 'b')",
    "SELECT replace(x, y || 'b', 'c')",
    "SELECT trim(x, replace(y, 'a', 'b') || 'a')",
    "SELECT x LIKE '%' || y || 'b'",
    "SELECT x GLOB '*' || y || 'b'",
    "SELECT json_patch('{}', '{}')",
    "SELECT unhex(x, y)",
  ])("POST /query refuses at once what one step of would take long: %s", async (select) => {
    const long = "SELECT printf('%.*c', 1000000, 'a') AS x, printf('%.*c', 500000, 'a') AS y";
    const { status, body } = await query(`${select} FROM (${long})`);
    // One that ran on would be told to have taken too long.
    expect([status, body.error?.code]).toEqual([422, "SQL"]);
  });

  test("POST /query has functions of its own that give what SQLite's give", async () => {
    const values = [
      "''",
      "'a'",
      "'ab'",
      "'żółw ab żab'",
      "'ż'",
      "1.0",
      "12",
      "-0.5",
      "x'6162'",
      "x''",
      "NULL",
    ];
    const calls = values.flatMap((a) =>
      values.flatMap((b) => [
        `instr(${a}, ${b})`,
        `trim(${a}, ${b})`,
        `ltrim(${a}, ${b})`,
        `rtrim(${a}, ${b})`,
        ...["'xy'", "''", "2.0", "NULL"].map((c) => `replace(${a}, ${b}, ${c})`),
      ]),
    );
    const plain = new sqlite3.oo1.DB(":memory:");
    for (let at = 0; at < calls.length; at += 100) {
      const columns = calls
        .slice(at, at + 100)
        .flatMap((call) => [`quote(${call})`, `typeof(${call})`]);
      const sql = `SELECT ${columns.join()}`;
      const { body } = await query(sql);
      expect(body.rows[0]).toEqual(plain.selectArray(sql));
    }
    plain.close();
  });

  test("POST /query refuses results that are too large before they are made", async () => {
    const n = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)";
    app = routes({ limits: { query: { rows: 100, bytes: 100_000 } } });
    for (const sql of [
      `${n} SELECT i FROM n`,
      `${n} SELECT randomblob(10000) FROM n LIMIT 50`,
      "SELECT zeroblob(1000000000)",
      "SELECT replace(hex(zeroblob(1000000)), '00', hex(zeroblob(1000)))",
      "SELECT printf('%.*c', 200000000, 'x')",
    ]) {
      const { status, body } = await query(sql);
      expect([sql, status]).toEqual([sql, body.error?.code === "SQL" ? 422 : 413]);
    }
    const { status } = await query(`${n} SELECT i FROM n LIMIT 100`, { max_rows: 1000 });
    expect(status).toBe(200);
    const { status: refused, body } = await query("SELECT id FROM doc", { max_rows: 1 });
    expect([refused, body.error?.message]).toEqual([
      413,
      "Cannot run the statement: it gives more than 1 rows; a condition or LIMIT asks for less",
    ]);
  });

  test("POST /query takes a body of JSON, not too large and not too slow", async () => {
    app = routes({ limits: { query: { bodyBytes: 1000, bodyMs: 50 } } });
    expect((await post({ sql: "SELECT 1" }, { "content-type": "text/plain" })).status).toBe(415);
    expect((await post({ sql: `SELECT ${"1".repeat(2000)}` })).status).toBe(413);
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(300)),
    });
    const silent = new ReadableStream({});
    const statuses: number[] = [];
    for (const body of [endless, silent]) {
      const headers = { "content-type": "application/json" };
      const init = { method: "POST", headers, body, duplex: "half" } as RequestInit;
      statuses.push((await app.request("/query", init)).status);
    }
    expect(statuses).toEqual([413, 408]);
  });

  test("POST /query runs many at once, each on one state, and says when there are too many", async () => {
    app = routes({ limits: { queries: 20 } });
    const ask = (id: number): Promise<Answer> =>
      query("SELECT (SELECT count(*) FROM doc), id FROM doc WHERE id = ?", {
        params: [1 + (id % 2)],
        ...(id % 3 === 0 ? { txid: hex(2) } : {}),
      });
    const answers = await Promise.all(Array.from({ length: 60 }, (_, id) => ask(id)));
    const good = answers.filter(({ status }) => status === 200);
    expect(good.length).toBeGreaterThanOrEqual(20);
    for (const { body } of good) expect(body.rows[0]?.[0]).toBe(2);
    const busy = answers.filter(({ status }) => status !== 200);
    expect(new Set(busy.map(({ status }) => status))).toEqual(new Set([503]));
    expect((await ask(1)).status).toBe(200);
  });

  test("POST /query says that there is no SQLite, and loads it once where there is", async () => {
    const none = await post({ sql: "SELECT 1" }, {}, routes({ sqlite3: undefined }));
    expect([none.status, none.body.error?.code]).toEqual([501, "NOT_ENABLED"]);
    const load = vi.fn(() => Promise.resolve(sqlite3));
    load.mockImplementationOnce(() => Promise.reject(new Error("no such file /secret.wasm")));
    app = routes({ sqlite3: load });
    const failed = await query("SELECT 1");
    expect([failed.status, failed.body.error?.message]).toEqual([500, "the server failed"]);
    await query("SELECT 1");
    await query("SELECT 1");
    expect(load).toHaveBeenCalledTimes(2);
    const empty = await post({ sql: "SELECT 1" }, {}, routes({ replica: () => memoryStore() }));
    expect(empty.status).toBe(404);
  });
});
