import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeAll, describe, expect, test } from "vitest";
import { childPages } from "../core/btree-page.ts";
import { buildLtx, fakePlatform, faultyStore } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import type { ReaderInside } from "./reader-inside.ts";
import { openReader, type ReaderOptions, type ReplicaReader } from "./reader.ts";

const roots: Record<string, number> = {};
const store: ObjectStore = memoryStore();
let fileSize = 0;

/** One snapshot of some megabytes: a table in the order of its keys, an index in no order at all. */
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-ahead-"));
  const path = join(folder, "test.db");
  const db = new DatabaseSync(path);
  db.exec(
    `PRAGMA journal_mode = OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB);
     CREATE INDEX t_a ON t(a); WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n
     WHERE i < 20000) INSERT INTO t SELECT i, hex(i * 7919 % 20011) || 'abcdefgh', randomblob(240) FROM n;`,
  );
  for (const row of db.prepare("SELECT name, rootpage FROM sqlite_schema").all()) {
    roots[String(row["name"])] = Number(row["rootpage"]);
  }
  db.close();
  const bytes = new Uint8Array(readFileSync(path));
  rmSync(folder, { recursive: true });
  const commit = bytes.length / 4096;
  const pages = Object.fromEntries(
    Array.from({ length: commit }, (_, i) => [i + 1, bytes.subarray(i * 4096, i * 4096 + 4096)]),
  );
  const built = buildLtx({ maxTxid: 9n, pages, commit });
  fileSize = built.bytes.length;
  await store.put(`ltx/9/${built.name}`, built.bytes);
});

async function open(options: Partial<ReaderOptions> = {}): Promise<ReplicaReader> {
  return await openReader(store, { platform: fakePlatform(1), follow: false, ...options });
}

/** Reads pages as SQLite does, one after the other, each when it needs it. */
class Walk {
  readonly reader: ReplicaReader;
  pages = 0;

  constructor(reader: ReplicaReader) {
    this.reader = reader;
  }

  async page(pgno: number): Promise<Uint8Array> {
    const { reader } = this;
    this.pages++;
    if (reader.peek(reader.latest, pgno) === undefined) await reader.fetch(reader.latest, [pgno]);
    return (reader.peek(reader.latest, pgno) as Uint8Array).slice();
  }

  /** All pages of a b-tree, in or against the order of its keys; `most` leaves at most. */
  async scan(pgno: number, options: { descending?: boolean; most?: number } = {}): Promise<void> {
    const { most = Number.POSITIVE_INFINITY, descending = false } = options;
    const children = childPages(await this.page(pgno), pgno, this.reader.latest.commit) ?? [];
    for (const child of descending ? children.toReversed() : children) {
      if (this.pages < most) await this.scan(child, options);
    }
  }

  /** The way to one leaf, `share` of the way through the tree. */
  async lookUp(root: number, share: number): Promise<void> {
    for (let pgno = root; ;) {
      const children = childPages(await this.page(pgno), pgno, this.reader.latest.commit);
      if (children === undefined) return;
      pgno = children[Math.floor(share * children.length)] as number;
    }
  }
}

describe("what a reader reads ahead", () => {
  test("a look-up by key costs no more than its pages", async () => {
    await using reader = await open();
    const walk = new Walk(reader);
    expect(reader.stats.requests).toBeLessThanOrEqual(4);
    await walk.page(1);
    await walk.lookUp(roots["t"] as number, 0.37);
    expect(reader.stats.requests).toBeLessThanOrEqual(8);
    expect(reader.stats.bytes).toBeLessThan(130_000);
    const before = { ...reader.stats };
    for (const share of [0.9, 0.11, 0.5, 0.72, 0.03])
      await walk.lookUp(roots["t"] as number, share);
    expect(reader.stats.requests - before.requests).toBeLessThanOrEqual(10);
    expect(reader.stats.bytes - before.bytes).toBeLessThan(100_000);
  });

  test.each([
    ["that is far away, so that a look-up takes one", 30, {}, 1],
    ["that is far away, unless it is told not to", 30, { readAhead: 0 }, 2],
    ["that is far away, unless it does not follow", 30, { follow: false as const }, 2],
    ["that is near, unless asked", 1, {}, 2],
  ])("what lies between roots and leaves comes first from a store %s", async (...row) => {
    const [, delayMs, options, expected] = row;
    const platform = fakePlatform(1);
    const { clock } = platform;
    const slow = faultyStore(store, { clock, fault: () => ({ delayMs }) });
    const inTime = async <T>(work: Promise<T>): Promise<T> => {
      const state = { isOver: false };
      const over = (): void => void (state.isOver = true);
      work.then(over, over);
      while (!state.isOver) await clock.advanceAsync(delayMs);
      return await work;
    };
    await using reader = await inTime(openReader(slow, { platform, ...options }));
    expect(reader.stats.requests).toBeLessThanOrEqual(6);
    const before = reader.stats.requests;
    await inTime(new Walk(reader).lookUp(roots["t"] as number, 0.37));
    expect(reader.stats.requests - before).toBe(expected);
  });

  test("a reader that goes on from the memory of another reads ahead as that would", async () => {
    const first = await open();
    const root = roots["t"] as number;
    await new Walk(first).lookUp(root, 0.4);
    const memory = await (first as ReplicaReader & ReaderInside).leave();
    await expect(first.fetch(first.latest, [1])).rejects.toMatchObject({ code: "CLOSED" });
    await using second = await openReader(
      store,
      { platform: fakePlatform(2), follow: false },
      memory,
    );
    const walk = new Walk(second);
    await walk.lookUp(root, 0.4);
    expect(second.stats.requests).toBe(0);
    await walk.scan(root);
    expect(second.stats.requests).toBeLessThan(walk.pages / 40);
  });

  test.each([false, true])(
    "a scan takes a request for many pages, descending %s",
    async (descending) => {
      await using reader = await open();
      const walk = new Walk(reader);
      await walk.scan(roots["t"] as number, { descending });
      expect(walk.pages).toBeGreaterThan(1300);
      expect(reader.stats.requests).toBeLessThan(walk.pages / 40);
      expect(reader.stats.bytes).toBeLessThan(1.1 * fileSize);
    },
  );

  test("the scan of a scattered index takes a request for some pages at least", async () => {
    await using reader = await open();
    const walk = new Walk(reader);
    await walk.scan(roots["t_a"] as number);
    expect(walk.pages).toBeGreaterThan(130);
    expect(reader.stats.requests).toBeLessThan(walk.pages / 5);
  });

  test("a scan that is left does not go on, and one that finds no room ends all the same", async () => {
    await using reader = await open();
    await new Walk(reader).scan(roots["t"] as number, { most: 60 });
    expect(reader.stats.bytes).toBeLessThan(fileSize / 4);
    await using small = await open({ cacheBytes: 64 * 1024 });
    const walk = new Walk(small);
    await walk.scan(roots["t"] as number);
    expect(small.stats.bytes).toBeLessThan(2 * fileSize);
  });

  test("nothing, where it is told not to", async () => {
    await using reader = await open({ readAhead: 0 });
    const before = reader.stats.requests;
    const walk = new Walk(reader);
    await walk.scan(roots["t"] as number, { most: 200 });
    expect(reader.stats.requests - before).toBeGreaterThan(150);
  });
});
