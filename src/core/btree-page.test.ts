import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.ts";
import { childPages } from "./btree-page.ts";

/** A database that SQLite made, as its pages. */
function database(sql: string): Uint8Array[] {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-btree-"));
  try {
    const path = join(folder, "test.db");
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
    const bytes = new Uint8Array(readFileSync(path));
    return Array.from({ length: bytes.length / 512 }, (_, i) =>
      bytes.subarray(i * 512, i * 512 + 512),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const ROWS =
  "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000)" +
  " INSERT INTO t SELECT i, hex(i * 7919 % 3001) FROM n;";

test.each(["NONE", "FULL"])(
  "childPages() leads to every page of every b-tree once, auto_vacuum %s",
  (vacuum) => {
    const pages = database(
      `PRAGMA page_size = 512; PRAGMA auto_vacuum = ${vacuum};
       CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); CREATE INDEX t_a ON t(a); ${ROWS}`,
    );
    const children = pages.flatMap((page, i) => [...(childPages(page, i + 1, pages.length) ?? [])]);
    const leaves = pages.filter((page) => page[0] === 13 || page[0] === 10).length;
    const interiors = pages.filter((page, i) => childPages(page, i + 1, pages.length)).length;
    expect(leaves).toBeGreaterThan(100);
    expect(new Set(children).size).toBe(children.length);
    // All but the two roots, and page 1, are children.
    expect(children.length).toBe(leaves + interiors - 2);
  },
);

test("childPages() takes no other page for an interior one, and reads no byte outside it", () => {
  const random = seededRandom(1);
  for (let i = 0; i < 20_000; i++) {
    const page = random.bytes(512);
    page[0] = random.pick([2, 5]);
    if (random.chance(0.5)) page.set([0, random.int(20)], 3);
    const children = childPages(page, random.pick([1, 9]), 1000);
    for (const child of children ?? []) expect(child).toBeLessThanOrEqual(1000);
  }
  const empty = new Uint8Array(512);
  expect(childPages(empty, 1, 10)).toBeUndefined();
  expect(childPages(empty.with(0, 5), 2, 10)).toBeUndefined();
});
