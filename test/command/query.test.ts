/** @module */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, test } from "vitest";
import { startBucketServer } from "../helpers/bucket-server.ts";
import { fixtures, unpackFixture } from "../interop/fixtures.ts";
import { makeScratch, type Outcome, pagestream } from "./command.ts";

const scratch = makeScratch();
const levels = unpackFixture("levels");
const QUERY = "SELECT id, a, n, hex(b) AS h, u FROM t ORDER BY id";

afterAll(() => {
  scratch.remove();
  levels.remove();
});

function query(...args: readonly string[]): Promise<Outcome> {
  return pagestream(["query", ...args], { env: { LITESTREAM_CONFIG: join(scratch.path, "none") } });
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await query(...args, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe("pagestream query", () => {
  test("query answers what a restored database answers, at any state, from several places", async () => {
    const recorded = fixtures["levels"]?.restore.filter(({ sha256 }) => sha256 !== undefined) ?? [];
    const latest = recorded.find(({ kind }) => kind === "latest");
    const txid = recorded.find(({ kind }) => kind === "txid");
    const time = recorded.find(({ kind }) => kind === "timestamp");
    const config = scratch.next("litestream.yml");
    writeFileSync(
      config,
      `dbs: [{ path: /app.db, replica: { type: file, path: ${levels.path} } }]`,
    );
    const cases = [
      [latest, [levels.path]],
      [txid, [`file://${levels.path}`, "-txid", txid?.value ?? ""]],
      [time, ["-config", config, "-timestamp", time?.value ?? "", "/app.db"]],
    ] as const;
    const ask = async ([record, place]: (typeof cases)[number]): Promise<void> => {
      const output = scratch.next();
      const flags = record?.value === undefined ? [] : [`-${record.kind}`, record.value];
      await pagestream(["restore", ...flags, "-o", output, levels.path]);
      const copy = new DatabaseSync(output);
      const expected = copy.prepare(QUERY).all();
      copy.close();
      const { columns, rows, stats } = await json(...place, QUERY);
      expect(stats).toBeUndefined();
      expect(columns).toEqual(["id", "a", "n", "h", "u"]);
      expect(rows).toEqual(expected.map((row) => Object.values(row)));
    };
    await Promise.all(cases.map(ask));
  });

  test("query writes values of all kinds, and nothing that a terminal obeys", async () => {
    const sql = `SELECT 9007199254740993 AS big, -42 AS small, x'00ff' AS blob, 1e999 AS far, NULL AS none,
      1.5 AS real, 'a' || char(10) || char(27) || '[31m' AS text`;
    const { columns, rows } = await json(levels.path, sql);
    expect(columns).toEqual(["big", "small", "blob", "far", "none", "real", "text"]);
    const text = "a\n\u001b[31m";
    expect(rows).toEqual([
      [{ integer: "9007199254740993" }, -42, { base64: "AP8=" }, "Inf", null, 1.5, text],
    ]);
    const { stdout, stderr } = await query("--stats", levels.path, sql);
    expect(stdout).toBe(
      `${"big".padEnd(16)}  small  blob     far       none  real  text\n` +
        `${"-".repeat(16)}  -----  -------  --------  ----  ----  -------------\n` +
        `9007199254740993    -42  x'00ff'  Infinity  NULL   1.5  a\\n\\u{1b}[31m\n`,
    );
    expect(stderr).toMatch(
      /^1 row of 0000000000000022, \S+Z: \d+ requests?, [\d.]+ k?B, \d+ pages?\n$/,
    );
  });

  test("query says what is wrong, with an exit code", async () => {
    const expectFailure = async (
      args: readonly string[],
      expected: { readonly exit: number; readonly code: string },
    ): Promise<string> => {
      const { code, stdout, stderr } = await query(...args, "--json");
      const { error } = JSON.parse(stderr) as { error: { code: string; message: string } };
      expect({ stdout, exit: code, code: error.code }).toEqual({ stdout: "", ...expected });
      return error.message;
    };
    const usage = { exit: 2, code: "INVALID_ARGUMENT" };
    const refused = { exit: 1, code: "QUERY" };
    const missing = ["-txid", "00000000000000ff", levels.path, "SELECT 1"];
    const messages = await Promise.all([
      expectFailure([levels.path], usage),
      expectFailure(["-txid", "22", levels.path, "SELECT 1"], usage),
      expectFailure([scratch.path, "SELECT 1"], { exit: 4, code: "NO_BACKUP" }),
      expectFailure(missing, { exit: 1, code: "TXID_NOT_AVAILABLE" }),
      expectFailure([levels.path, "SELECT nothing"], refused),
      expectFailure([levels.path, "DELETE FROM t"], refused),
    ]);
    expect(messages[0]).toContain("SQL required");
    expect(messages[4]).toContain("nothing");
  });

  test("query opens an encrypted replica with its key", async () => {
    const [key, database, replica] = [scratch.next("key"), scratch.next(), scratch.next("replica")];
    writeFileSync(key, randomBytes(32));
    const db = new DatabaseSync(database);
    db.exec("CREATE TABLE t(a); INSERT INTO t VALUES ('secret')");
    db.close();
    const flags = ["--encryption-key", `k=${key}`];
    expect(await pagestream(["snapshot", ...flags, database, replica])).toMatchObject({ code: 0 });
    expect(await json(...flags, replica, "SELECT a FROM t")).toEqual({
      columns: ["a"],
      rows: [["secret"]],
    });
  });

  test("query by a primary key reads at most 8 requests and 1.5 MB of a snapshot of 200 MB", async () => {
    const [database, replica] = [scratch.next(), scratch.next("replica")];
    const db = new DatabaseSync(database);
    db.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
      CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, body BLOB)`);
    db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
      INSERT INTO item SELECT i, 'item ' || i, randomblob(3950) FROM n`);
    db.close();
    expect(readFileSync(database).length).toBeGreaterThan(200e6);
    expect(await pagestream(["snapshot", database, replica])).toMatchObject({ code: 0 });
    await pagestream(["retain", "--l0-retention", "1ms", replica]);

    const server = await startBucketServer(replica, 0);
    const { origin } = server;
    const url = `s3://bucket/db?endpoint=${encodeURIComponent(origin)}&region=us-east-1&force-path-style=true`;
    const env = { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" };
    const sql = "SELECT name, length(body) FROM item WHERE id = 31337";
    const { code, stdout } = await pagestream(["query", "--json", "--stats", url, sql], { env });
    expect(code).toBe(0);
    const { columns, rows, stats } = JSON.parse(stdout) as {
      columns: string[];
      rows: unknown[][];
      stats: { requests: number; bytes: number; pages: number };
    };
    expect({ columns, rows }).toEqual({
      columns: ["name", "length(body)"],
      rows: [["item 31337", 3950]],
    });
    const traffic = await server.traffic();
    await server.close();
    expect(traffic.requests).toBeLessThanOrEqual(8);
    expect(traffic.bytes).toBeLessThanOrEqual(1.5e6);
    expect(stats.requests).toBe(traffic.requests);
    expect(stats.bytes).toBeLessThanOrEqual(traffic.bytes);
    expect(stats.pages).toBeGreaterThan(2);
  });
});
