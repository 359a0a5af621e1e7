/**
 * Replicas written here and restored by the real Litestream: every TXID, byte for byte.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { listRestorePoints } from "pagestream";
import { fileStore } from "@pagestream/node";
import { seededRandom } from "pagestream/testing";
import { afterEach, expect, test } from "vitest";
import {
  describeWithLitestream,
  litestreamRestore,
  litestreamRestoreTo,
  removeTemporary,
  startFollower,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import {
  expectRestoredByLitestream,
  expectSame,
  isFull,
  openOurs,
  type OurWriter,
  readL0,
  replicaFiles,
} from "./our-writer.ts";

const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] as const;
const nightly = process.env["PAGESTREAM_NIGHTLY"] === "1";

afterEach(removeTemporary);

/** Opens a new database of ours in a directory of its own. */
async function newDatabase(pageSize: number, journalMode?: "truncate" | "wal"): Promise<OurWriter> {
  const directory = temporaryDirectory();
  const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
  const ours = await openOurs({ path, replica, pageSize, journalMode });
  const random = seededRandom(pageSize);
  // SQLite's own randomblob() cannot be seeded. These bytes do not compress.
  ours.db.createFunction("chance", (_context: number, length) => random.bytes(Number(length)));
  return ours;
}

/** SQL that inserts `count` rows with blobs that do not compress. */
function insertRows(count: number, size: number): string {
  return `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO t(b, text) SELECT chance(${size}), 'row ' || i || ' of many alike' FROM n`;
}

const SCHEMA = `
  CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB, text TEXT);
  CREATE INDEX t_text ON t(text);
  CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
  CREATE VIRTUAL TABLE f USING fts5(body);`;

describeWithLitestream("replicas written here, restored by Litestream", () => {
  test.each(PAGE_SIZES)("every TXID of a history with pages of %i bytes", async (pageSize) => {
    const ours = await newDatabase(pageSize);
    const size = Math.max(700, pageSize / 4);
    await ours.commit(SCHEMA);
    await ours.commit(insertRows(60, size));
    await ours.commit(`UPDATE t SET b = chance(${size + 200}) WHERE a % 7 = 0`);
    await ours.commit("INSERT INTO f(body) VALUES ('the quick brown fox'), ('a lazy dog')");
    await ours.commit("INSERT INTO w SELECT text, b FROM t WHERE a % 2 = 0");
    await ours.commit("DELETE FROM t WHERE a BETWEEN 10 AND 50");
    await ours.commit(
      "UPDATE f SET body = 'foxes' WHERE rowid = 1; DELETE FROM w WHERE k > 'row 3'",
    );
    const before = ours.copies.get(7n) as Buffer;
    await ours.commit("VACUUM");
    const shrunk = ours.copies.get(8n) as Buffer;
    expect(shrunk.length).toBeLessThan(before.length);
    // Grows over pages that the chain has held before.
    await ours.commit(insertRows(80, size));
    await ours.commit("BEGIN; UPDATE t SET text = 'x'; ROLLBACK; DROP TABLE w; VACUUM");
    await ours.close();

    expect([...ours.copies.keys()]).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n]);
    expect(readL0(ours.replica, 2n).header.pageSize).toBe(pageSize);
    expect(isFull(readL0(ours.replica, 3n))).toBe(false);
    await expectRestoredByLitestream(ours.replica, ours.copies);
  });

  test.each([1024, 4096])("every TXID of a WAL with pages of %i bytes", async (pageSize) => {
    const ours = await newDatabase(pageSize, "wal");
    await ours.commit(SCHEMA);
    await ours.commit(insertRows(60, 900));
    await ours.commit(
      "PRAGMA wal_checkpoint(restart); UPDATE t SET b = chance(700) WHERE a % 7 = 0",
    );
    await ours.commit("DELETE FROM t WHERE a BETWEEN 10 AND 50; PRAGMA wal_checkpoint(truncate)");
    await ours.commit("VACUUM");
    await ours.commit("INSERT INTO w SELECT text, b FROM t; PRAGMA wal_checkpoint(passive)");
    await ours.commit(insertRows(90, 500));
    await ours.close();
    expect(ours.copies.size).toBe(7);
    await expectRestoredByLitestream(ours.replica, ours.copies);
  });

  test.each(["full", "incremental"])("every TXID under auto_vacuum=%s", async (mode) => {
    const ours = await newDatabase(1024);
    await ours.commit(`PRAGMA auto_vacuum=${mode}; ${SCHEMA}`);
    expect(ours.db.selectValue("PRAGMA auto_vacuum")).toBe(mode === "full" ? 1 : 2);
    await ours.commit(insertRows(300, 800));
    const grown = ours.copies.get(2n) as Buffer;
    await ours.commit("DELETE FROM t WHERE a > 40");
    if (mode === "incremental") {
      for (const sql of ["PRAGMA incremental_vacuum(50)", "PRAGMA incremental_vacuum"]) {
        // Each step frees a page; `exec` takes only one where there are no columns.
        const statement = ours.db.prepare(sql);
        while (statement.step());
        statement.finalize();
        await ours.flush();
      }
      expect(ours.copies.size).toBe(5);
    }
    const last = [...ours.copies.values()].at(-1) as Buffer;
    expect(last.length).toBeLessThan(grown.length / 3);
    await ours.commit(insertRows(100, 800));
    await ours.close();
    await expectRestoredByLitestream(ours.replica, ours.copies);
  });

  test("a TXID that holds several commits, with growth and shrink among them", async () => {
    const ours = await newDatabase(4096);
    await ours.commit(SCHEMA);
    ours.opened.replication.pause();
    ours.db.exec(insertRows(100, 3000));
    ours.db.exec("DELETE FROM t WHERE a > 20");
    ours.db.exec("VACUUM");
    ours.db.exec("UPDATE t SET b = chance(10)");
    ours.opened.replication.resume();
    expect(await ours.flush()).toBe(2n);
    ours.opened.replication.pause();
    ours.db.exec("VACUUM");
    ours.db.exec(insertRows(30, 3000));
    ours.opened.replication.resume();
    expect(await ours.flush()).toBe(3n);
    await ours.close();
    await expectRestoredByLitestream(ours.replica, ours.copies);
  });

  test("a transaction larger than a group may be", async () => {
    const ours = await newDatabase(4096);
    await ours.commit(SCHEMA);
    await ours.commit(insertRows(20, 900_000));
    expect((ours.copies.get(2n) as Buffer).length).toBeGreaterThan(17 << 20);
    await ours.commit("UPDATE t SET b = chance(900000) WHERE a % 10 = 0");
    await ours.close();
    await expectRestoredByLitestream(ours.replica, ours.copies);
  });

  test.each([
    [4096, 8192],
    [65_536, 512],
    [1024, 16_384],
  ])("a page size changed from %i to %i by VACUUM", async (from, to) => {
    const ours = await newDatabase(from);
    await ours.commit(SCHEMA);
    await ours.commit(insertRows(50, 900));
    await ours.commit(`PRAGMA page_size=${to}; VACUUM`);
    expect(ours.db.selectValue("PRAGMA page_size")).toBe(to);
    const spans = replicaFiles(ours.replica).map((f) => `${f.level}: ${f.minTxid}-${f.maxTxid}`);
    expect(spans.sort()).toEqual(["0: 1-1", "0: 2-2", "0: 3-3", "9: 1-3"]);
    await ours.commit(insertRows(50, 900));
    await ours.commit("DELETE FROM t WHERE a > 30; VACUUM");
    await ours.close();
    await expectRestoredByLitestream(ours.replica, ours.copies);
  });

  test("a database that existed before is its first file", async () => {
    const directory = temporaryDirectory();
    const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
    const native = new DatabaseSync(path);
    native.exec(`PRAGMA page_size=2048; ${SCHEMA} INSERT INTO t(b) VALUES (randomblob(9000))`);
    native.exec("INSERT INTO f VALUES ('written by native SQLite')");
    native.close();

    const ours = await openOurs({ path, replica });
    expect(await ours.flush()).toBe(1n);
    expect(isFull(readL0(replica, 1n))).toBe(true);
    await ours.commit("INSERT INTO f VALUES ('and by sqlite-wasm')");
    await ours.close();
    await expectRestoredByLitestream(replica, ours.copies);
  });

  test("a database that is closed and opened again goes on without a full file", async () => {
    const first = await newDatabase(4096);
    await first.commit(`${SCHEMA} INSERT INTO t(text) VALUES ('one')`);
    await first.close();
    const second = await openOurs(first);
    await second.commit("INSERT INTO t(text) VALUES ('two')");
    await second.close();
    expect([...second.copies.keys()]).toEqual([2n]);
    expect(isFull(readL0(first.replica, 2n))).toBe(false);
    await expectRestoredByLitestream(first.replica, new Map([...first.copies, ...second.copies]));
  });

  test("each time that we list is the millisecond from which Litestream gives that state", async () => {
    const ours = await newDatabase(4096);
    await ours.commit(SCHEMA);
    for (let i = 0; i < 5; i++) await ours.commit(`INSERT INTO t(text) VALUES (${i})`);
    await ours.close();
    const points = await listRestorePoints(fileStore(ours.replica));
    expect(points).toHaveLength(6);
    for (const { txid, time } of points) {
      const after = new Date(time.getTime() + 1);
      const { bytes } = await litestreamRestore(ours.replica, { timestamp: after });
      expectSame(bytes, ours.copies.get(txid), `after the time of txid ${txid}`);
      const before = await litestreamRestore(ours.replica, { timestamp: time });
      if (txid === 1n) expect(before.code).toBe(1);
      else expectSame(before.bytes, ours.copies.get(txid - 1n), `at the time of txid ${txid}`);
    }
  });

  test("a follower of Litestream's applies each of our files as it comes", async () => {
    const ours = await newDatabase(4096);
    await ours.commit(SCHEMA);
    const output = join(temporaryDirectory(), "followed.db");
    await using follower = startFollower(ours.replica, output);
    for (const sql of [
      insertRows(40, 5000),
      "UPDATE t SET b = chance(100) WHERE a % 3 = 0",
      "DELETE FROM t WHERE a > 10; VACUUM",
      insertRows(30, 5000),
      "INSERT INTO f(body) VALUES ('found')",
    ]) {
      const txid = await ours.commit(sql);
      await follower.reached(txid);
      expectSame(withoutCounter(readFileSync(output)), withoutCounter(ours.copies.get(txid)), sql);
    }
    await ours.close();
  });

  if (nightly) {
    test("a database that grows and shrinks over the lock page", { timeout: 600_000 }, async () => {
      const directory = temporaryDirectory();
      const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
      mkdirSync(replica);
      const ours = await openOurs({ path, replica, pageSize: 65_536 });
      const { replication } = ours.opened;
      const states = new Map<bigint, string>();
      const steps = [
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES (zeroblob(900000000))",
        "INSERT INTO t(b) VALUES (zeroblob(300000000))",
        "INSERT INTO t(b) VALUES (randomblob(100000))",
        "DELETE FROM t WHERE a = 2; VACUUM",
        "INSERT INTO t(b) VALUES (zeroblob(250000000))",
      ];
      for (const [i, sql] of steps.entries()) {
        ours.db.exec(sql);
        await replication.flush();
        // A transaction too large for a group goes into a file of its own, behind what was waiting.
        states.set(replication.position.replicated, await digest(path));
        expect(statSync(path).size > 2 ** 30).toBe(i !== 0 && i !== 3);
      }
      await ours.close();
      expect(states.size).toBe(steps.length);
      for (const [txid, state] of states) {
        const output = join(directory, `restored-${txid}.db`);
        const result = await litestreamRestoreTo(replica, output, { txid });
        expect(result.stderr).toBe("");
        expect(await digest(output)).toBe(state);
      }
    });
  }
});

/** Litestream's follower puts a random number into the change counter, so that readers drop their caches. */
function withoutCounter(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes?.slice().fill(0, 24, 28);
}

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
