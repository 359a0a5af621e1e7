/**
 * Followers of a file, and native SQLite readers of it in other processes.
 *
 * @module
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileFollowTarget } from "./files.ts";
import { follow, type Follower, type FollowTarget } from "pagestream";
import { memoryStore } from "pagestream/transports/memory";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FollowSource, followSource } from "../../test/helpers/follow-source.ts";
import { type SqliteReader, sqliteReader } from "../../test/helpers/sqlite-reader.ts";

let folder: string;
let path: string;
let store: ReturnType<typeof memoryStore>;
let source: FollowSource;
let closers: (() => Promise<void>)[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "pagestream-follow-"));
  path = join(folder, "copy.db");
  store = memoryStore();
  source = followSource(store);
  closers = [];
  await source.commit(
    "CREATE TABLE t(id INTEGER PRIMARY KEY, round INTEGER, filler); CREATE INDEX r ON t(round)",
  );
});
afterEach(async () => {
  for (const close of closers.toReversed()) await close();
  source.close();
  rmSync(folder, { recursive: true, force: true });
});

async function following(target: FollowTarget = fileFollowTarget(path)): Promise<Follower> {
  // Asked by hand: nothing in these tests waits for a timer.
  const follower = await follow(store, target, { intervalMs: 3_600_000 });
  closers.push(() => follower.close());
  return follower;
}

async function reader(): Promise<SqliteReader> {
  const opened = await sqliteReader(path);
  closers.push(() => opened.close());
  return opened;
}

/** Adds rows of one round, all in one transaction, and raises the round of all others. */
function round(number: number, rows = 50): string {
  const row = `INSERT INTO t(round, filler) SELECT ${number}, hex(randomblob(300)) FROM n`;
  const n = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})`;
  return `BEGIN; ${n} ${row}; UPDATE t SET round = ${number}; COMMIT`;
}

/** What a reader sees of the rounds: a mixture of two states would show two rounds, or a wrong number of rows. */
const STATE = "SELECT count(*) AS n, min(round) AS low, max(round) AS high FROM t";

/** The copy as one file, once everything is checkpointed; the journal mode bytes aside. */
function copyBytes(): Uint8Array {
  const bytes = new Uint8Array(readFileSync(path));
  bytes[18] = bytes[19] = source.bytes[18] as number;
  return bytes;
}

describe("follow() into a file", () => {
  test("follow() shows each step to a native reader at once and whole", async () => {
    const follower = await following();
    const other = await reader();
    for (let i = 1; i <= 8; i++) {
      await source.commit(round(i));
      expect(await follower.poll()).toBe(source.txid);
      expect(await other.get(STATE)).toEqual({ n: i * 50, low: i, high: i });
    }
    expect(await other.get("PRAGMA integrity_check")).toEqual({ integrity_check: "ok" });
  });

  test("follow() goes on past a reader that stays in its transaction, which keeps its state", async () => {
    const follower = await following();
    await source.commit(round(1));
    await follower.poll();
    const held = await reader();
    const other = await reader();
    await held.get("BEGIN");
    const before = await held.get(STATE);
    // More frames than one block of the index holds, so that new ones are made beside the reader.
    for (let i = 2; i <= 32; i++) {
      await source.commit(round(i, 60));
      expect(await follower.poll()).toBe(source.txid);
    }
    expect(follower.error).toBeUndefined();
    expect(await held.get(STATE)).toEqual(before);
    expect(await held.get("PRAGMA integrity_check")).toEqual({ integrity_check: "ok" });
    expect(await other.get(STATE)).toEqual({ n: 50 + 31 * 60, low: 32, high: 32 });
    await held.get("COMMIT");
    expect(await held.get(STATE)).toEqual({ n: 50 + 31 * 60, low: 32, high: 32 });
    await source.commit(round(33));
    await follower.poll();
    expect(await held.get("PRAGMA integrity_check")).toEqual({ integrity_check: "ok" });
    // Nobody needs the log any more: it was emptied.
    await held.close();
    await other.close();
    await follower.close();
    expect(copyBytes()).toEqual(source.bytes);
    expect(existsSync(`${path}-wal`)).toBe(false);
  });

  test("follow() empties the log although readers stay connected", async () => {
    const follower = await following();
    const other = await reader();
    for (let i = 1; i <= 20; i++) {
      await source.commit(round(i, 60));
      await follower.poll();
      await other.get(STATE);
    }
    expect(readFileSync(`${path}-wal`).length).toBeLessThan(1300 * 4120);
    expect(await other.get("PRAGMA integrity_check")).toEqual({ integrity_check: "ok" });
  });

  test("follow() lets connections of its own process read, and go on when it is closed", async () => {
    const follower = await following();
    const here = new DatabaseSync(path, { readOnly: true });
    await source.commit(round(1));
    await follower.poll();
    here.exec("BEGIN");
    expect(here.prepare(STATE).get()).toMatchObject({ high: 1 });
    await follower.close();
    const again = await following();
    for (let i = 2; i <= 5; i++) await source.commit(round(i));
    await again.poll();
    expect(here.prepare(STATE).get()).toMatchObject({ high: 1 });
    here.exec("COMMIT");
    expect(here.prepare(STATE).get()).toMatchObject({ high: 5 });
    // The locks of this connection are still there: another process finds the log in use.
    here.exec("BEGIN");
    here.prepare(STATE).get();
    await again.close();
    const other = await reader();
    await other.get(STATE);
    expect(here.prepare(STATE).get()).toMatchObject({ high: 5 });
    here.close();
  });

  test("follow() shrinks the copy, and grows it again", async () => {
    const follower = await following();
    const other = await reader();
    await source.commit(round(1, 1000));
    await follower.poll();
    await source.commit("DELETE FROM t WHERE id > 10; VACUUM");
    await follower.poll();
    expect(await other.get("SELECT count(*) AS n FROM t")).toEqual({ n: 10 });
    expect(await other.get("PRAGMA page_count")).toEqual({
      page_count: source.bytes.length / 4096,
    });
    await source.commit(round(2, 500));
    await follower.poll();
    expect(await other.get(STATE)).toEqual({ n: 510, low: 2, high: 2 });
    expect(await other.get("PRAGMA integrity_check")).toEqual({ integrity_check: "ok" });
    await other.close();
    await follower.close();
    expect(copyBytes()).toEqual(source.bytes);
  });

  test("follow() re-bases from a snapshot under an open reader, writing only what differs", async () => {
    const follower = await following();
    await source.commit(round(1, 1000));
    await follower.poll();
    const held = await reader();
    await held.get("BEGIN");
    const before = await held.get(STATE);
    const logBefore = readFileSync(`${path}-wal`).length;
    for (let i = 2; i <= 4; i++) await source.commit(`UPDATE t SET round = ${i} WHERE id < 10`);
    await source.compact(9, 1n);
    await source.removeL0(source.txid);
    // The next file by name is not there; a listing, which is due after a failure or a while, shows the snapshot.
    await follower.close();
    const again = await following();
    await again.poll();
    expect(again.position).toBe(source.txid);
    expect(await held.get(STATE)).toEqual(before);
    await held.get("COMMIT");
    expect(await held.get("SELECT round FROM t WHERE id = 9")).toEqual({ round: 4 });
    // Of all the pages a few had changed.
    const frames = (readFileSync(`${path}-wal`).length - logBefore) / 4120;
    expect(source.bytes.length / 4096).toBeGreaterThan(150);
    expect(frames).toBeGreaterThan(0);
    expect(frames).toBeLessThan(10);
  });

  test("follow() waits with another page size until the copy is not open any more", async () => {
    const follower = await following();
    await source.commit(round(1));
    await follower.poll();
    const other = await reader();
    await other.get(STATE);
    await source.commit("PRAGMA page_size = 8192; VACUUM");
    await source.compact(9, 1n);
    await expect(follower.poll()).rejects.toMatchObject({ code: "DATABASE_LOCKED" });
    expect(await other.get(STATE)).toMatchObject({ high: 1 });
    await other.close();
    expect(await follower.poll()).toBe(source.txid);
    await source.commit(round(2));
    await follower.poll();
    const next = await reader();
    expect(await next.get("PRAGMA page_size")).toEqual({ page_size: 8192 });
    expect(await next.get(STATE)).toMatchObject({ low: 2, high: 2 });
    await next.close();
    await follower.close();
    expect(copyBytes()).toEqual(source.bytes);
  });

  test("follow() refuses a copy without its position file, and one that says nothing", async () => {
    const follower = await following();
    await follower.close();
    rmSync(`${path}-txid`);
    await expect(follow(store, fileFollowTarget(path))).rejects.toMatchObject({
      code: "FOLLOW_POSITION",
    });
  });

  test("follow() refuses a copy that another follower keeps", async () => {
    await following();
    await expect(follow(store, fileFollowTarget(path))).rejects.toMatchObject({
      code: "DATABASE_LOCKED",
    });
  });
});
