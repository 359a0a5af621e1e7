import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { viewOf } from "../core/bytes.ts";
import { evolvingDatabase } from "../testing/evolving-database.ts";
import { MemoryPageSource } from "../testing/memory-page-source.ts";
import type { Sqlite3 } from "../vfs/sqlite3.ts";
import { TreeWalk } from "./tree-walk.ts";

const sqlite3 = (await sqlite3InitModule()) as unknown as Sqlite3;

test("TreeWalk comes to no page twice where all children of a page are one and the same", async () => {
  const bytes = evolvingDatabase(sqlite3, { pageSize: 512 }).after("CREATE TABLE t(a)");
  const [header, cells, cell] = [100, 180, 500];
  const page = viewOf(bytes);
  page.setUint8(header, 5);
  page.setUint16(header + 3, cells);
  page.setUint32(header + 8, 2);
  page.setUint32(cell, 2);
  for (let i = 0; i < cells; i++) page.setUint16(header + 12 + 2 * i, cell);
  const source = new MemoryPageSource();
  const walk = new TreeWalk(source, source.publish(bytes), undefined);
  const found: number[] = [];
  for await (const { pgnos } of walk.below(1, 2)) found.push(...pgnos);
  expect(found).toEqual([2]);
  expect(walk.isCut).toBe(true);
});
