/**
 * A restore target on disk, in every runtime.
 *
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { difference, failure, seededRandom } from "pagestream/testing";
import { adapter, describe, freshDirectory, test } from "./kit.ts";

const { fileSink, recoverTarget, syncFiles } = adapter;
const sqlite3 = await sqlite3InitModule();

const freshPath = (): string => join(freshDirectory(), "app.db");
const names = (path: string): string[] => fs.readdirSync(join(path, "..")).sort();

/** The bytes of a database with some rows, marked WAL or not. */
function database(rows: number, marked: "rollback" | "wal" = "rollback"): Uint8Array {
  const db = new sqlite3.oo1.DB(":memory:");
  db.exec(`CREATE TABLE t(x); CREATE INDEX i ON t(x);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO t SELECT 'row ' || i FROM n`);
  const bytes = sqlite3.capi.sqlite3_js_db_export(db);
  db.close();
  if (marked === "wal") bytes.fill(2, 18, 20);
  return bytes;
}

async function write(
  path: string,
  bytes: Uint8Array,
  options?: Parameters<typeof fileSink>[1],
): Promise<void> {
  const sink = fileSink(path, options);
  await sink.start({ pageSize: 4096, size: bytes.length });
  await sink.write(0, bytes);
  await sink.truncate(bytes.length);
  await sink.finish();
}

describe("fileSink()", () => {
  test("fileSink() writes pieces of any size, and nothing is visible before the end", async () => {
    const path = freshPath();
    const bytes = seededRandom(1).bytes(9_000_000);
    const random = seededRandom(2);
    const sink = fileSink(path);
    await sink.start({ pageSize: 4096, size: bytes.length });
    for (let offset = 0; offset < bytes.length;) {
      const part = bytes.slice(offset, offset + 1 + random.int(random.pick([100_000, 3_000_000])));
      await sink.write(offset, part);
      offset += part.length;
      // The array is the caller's again.
      part.fill(0);
    }
    await sink.truncate(bytes.length);
    assert.equal(fs.existsSync(path), false);
    await sink.finish();
    assert.equal(difference(fs.readFileSync(path), bytes), "");
    assert.deepEqual(names(path), ["app.db"]);
  });

  test("fileSink() refuses a target with a database or side files, unless forced", async () => {
    for (const suffix of ["", "-wal", "-journal", "-shm"]) {
      const path = freshPath();
      fs.writeFileSync(path + suffix, "x");
      assert.equal(await failure(() => write(path, new Uint8Array(10))), "TARGET_EXISTS");
      await write(path, new Uint8Array(10).fill(7), { force: true });
      assert.deepEqual(
        names(path).filter((name) => !name.endsWith("-lock")),
        ["app.db"],
      );
      assert.equal(fs.readFileSync(path)[0], 7);
    }
  });

  test("fileSink() with force refuses a database that is in use", async () => {
    const path = freshPath();
    const bytes = database(10);
    await write(path, bytes);
    const lock = syncFiles().lock(path);
    const force = { force: true };
    assert.equal(await failure(() => write(path, bytes, force)), "DATABASE_LOCKED");
    lock.release();
    await write(path, bytes, force);
  });

  test("abort() leaves the target as it was", async () => {
    const path = freshPath();
    fs.writeFileSync(path, "old");
    const sink = fileSink(path, { force: true });
    await sink.start({ pageSize: 512, size: 1 << 22 });
    await sink.write(0, new Uint8Array(3 << 20));
    await sink.abort();
    assert.equal(fs.readFileSync(path, "utf8"), "old");
    assert.equal(await failure(() => sink.write(0, new Uint8Array(1))), "CLOSED");
    await write(path, new Uint8Array(5), { force: true });
  });

  test("check() is SQLite's own and leaves no side files, with a WAL-marked file too", async () => {
    for (const marked of ["rollback", "wal"] as const) {
      const path = freshPath();
      const bytes = database(2000, marked);
      const sink = fileSink(path);
      await sink.start({ pageSize: 4096, size: bytes.length });
      await sink.write(0, bytes);
      await sink.truncate(bytes.length);
      assert.equal(await sink.check?.("quick"), "ok");
      assert.equal(await sink.check?.("full"), "ok");
      assert.equal(names(path).length, 1);
      await sink.finish();
      assert.equal(difference(fs.readFileSync(path), bytes), "");
    }
  });

  test("check() tells of a damaged page and of bytes that are no database", async () => {
    const bytes = database(2000);
    bytes.fill(0xff, bytes.length / 2, bytes.length / 2 + 8192);
    for (const content of [bytes, seededRandom(3).bytes(8192)]) {
      const sink = fileSink(freshPath());
      await sink.start({ pageSize: 4096, size: content.length });
      await sink.write(0, content);
      await sink.truncate(content.length);
      const result = await sink.check?.("quick");
      assert.notEqual(result, "ok");
      assert.ok((result?.length ?? 0) > 5);
      await sink.abort();
    }
  });

  test("recoverTarget() puts back what an interrupted restore moved away", () => {
    const path = freshPath();
    fs.writeFileSync(`${path}.before-restore`, "old");
    fs.writeFileSync(`${path}-wal.before-restore`, "old wal");
    fs.writeFileSync(`${path}.restoring`, "new");
    assert.equal(recoverTarget(path), "undone");
    assert.deepEqual(names(path), ["app.db", "app.db-wal"]);
    assert.equal(recoverTarget(path), "clean");
  });
});
