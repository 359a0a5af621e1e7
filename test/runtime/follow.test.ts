/**
 * A followed copy on disk, and SQLite of the runtime reading it, in every runtime.
 *
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { bytesFollowTarget, follow, openReplica } from "pagestream";
import { buildLtx, failure } from "pagestream/testing";
import { memoryStore } from "pagestream/transports/memory";
import { adapter, describe, freshDirectory, runtime, test } from "./kit.ts";

const PAGE_SIZE = 4096;

/** A connection of the runtime's own SQLite. */
interface Connection {
  exec(sql: string): unknown;
  get(sql: string): Record<string, unknown>;
  close(): void;
}

async function connect(path: string): Promise<Connection> {
  // By a variable: the types of Bun are not there for the others.
  const name = "bun:sqlite";
  const db =
    runtime === "bun"
      ? new (await import(name)).Database(path, { create: true })
      : new (process.getBuiltinModule("node:sqlite").DatabaseSync)(path);
  return {
    exec: (sql) => db.exec(sql),
    get: (sql) => ({ ...(db.prepare(sql).get() as object) }),
    close: () => void db.close(),
  };
}

/** A database whose transactions become files of a replica. */
async function writer() {
  const store = memoryStore();
  const replica = openReplica(store);
  const path = join(freshDirectory(), "source.db");
  const db = await connect(path);
  let before: Uint8Array = new Uint8Array(0);
  let txid = 0n;
  const commit = async (sql: string): Promise<bigint> => {
    db.exec(sql);
    txid++;
    const now = new Uint8Array(fs.readFileSync(path));
    const pages: Record<number, Uint8Array> = {};
    for (let at = 0, pgno = 1; at < now.length; at += PAGE_SIZE, pgno++) {
      const page = now.subarray(at, at + PAGE_SIZE);
      if (!page.every((byte, i) => byte === before[at + i])) pages[pgno] = page;
    }
    before = now;
    const built = buildLtx({ minTxid: txid, pages, commit: now.length / PAGE_SIZE });
    const timestamp = BigInt(built.timestamp);
    await replica.write({ level: 0, minTxid: txid, maxTxid: txid, timestamp }, built.bytes);
    return txid;
  };
  await commit("CREATE TABLE t(round, filler)");
  return { store, commit, bytes: () => before };
}

/** So that nothing waits for a timer. */
const HOURLY = { intervalMs: 3_600_000 };

const round = (number: number): string => `BEGIN;
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
  INSERT INTO t SELECT ${number}, hex(randomblob(200)) FROM n;
  UPDATE t SET round = ${number}; COMMIT`;

const STATE = "SELECT count(*) AS n, min(round) AS low, max(round) AS high FROM t";

describe("follow()", () => {
  test("follow() brings steps to a reader of this process, who keeps a state for a transaction", async () => {
    const path = join(freshDirectory(), "copy.db");
    const { store, commit, bytes } = await writer();
    await commit(round(1));
    const follower = await follow(store, adapter.fileFollowTarget(path), HOURLY);
    const one = await connect(path);
    const two = await connect(path);
    one.exec("BEGIN");
    assert.deepEqual(one.get(STATE), { n: 50, low: 1, high: 1 });
    for (let i = 2; i <= 25; i++) {
      const txid = await commit(round(i));
      assert.equal(await follower.poll(), txid);
      assert.deepEqual(two.get(STATE), { n: i * 50, low: i, high: i });
      assert.deepEqual(one.get(STATE), { n: 50, low: 1, high: 1 });
    }
    one.exec("COMMIT");
    assert.deepEqual(one.get(STATE), { n: 1250, low: 25, high: 25 });
    assert.equal(two.get("PRAGMA integrity_check")["integrity_check"], "ok");
    one.close();
    two.close();
    await follower.close();
    const copy = new Uint8Array(fs.readFileSync(path));
    copy.set(bytes().subarray(18, 20), 18);
    assert.equal(Buffer.compare(copy, bytes()), 0);
    assert.equal(fs.readFileSync(`${path}-txid`, "latin1"), "000000000000001a\n");
  });

  test("follow() goes on with a copy, and refuses one without its position", async () => {
    const path = join(freshDirectory(), "copy.db");
    const { store, commit } = await writer();
    await (await follow(store, adapter.fileFollowTarget(path))).close();
    const txid = await commit(round(1));
    const follower = await follow(store, adapter.fileFollowTarget(path));
    await follower.waitFor(txid);
    assert.equal(
      await failure(() => follow(store, adapter.fileFollowTarget(path))),
      "DATABASE_LOCKED",
    );
    await follower.close();
    fs.rmSync(`${path}-txid`);
    assert.equal(
      await failure(() => follow(store, adapter.fileFollowTarget(path))),
      "FOLLOW_POSITION",
    );
  });

  test("follow() keeps a copy in memory", async () => {
    const { store, commit, bytes } = await writer();
    const target = bytesFollowTarget();
    const follower = await follow(store, target, { intervalMs: 10 });
    await follower.waitFor(await commit(round(1)));
    assert.equal(Buffer.compare(target.bytes, bytes()), 0);
    await follower.close();
  });
});
