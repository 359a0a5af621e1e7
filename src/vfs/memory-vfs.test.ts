import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { installMemoryVfs } from "./memory-vfs.ts";

const sqlite3 = await sqlite3InitModule();
const memory = installMemoryVfs(sqlite3);

test("installMemoryVfs() keeps a database that SQLite wrote", () => {
  const db = new sqlite3.oo1.DB(`file:a.db?vfs=${memory.name}`, "c");
  db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (42)");
  db.close();
  expect(memory.list()).toEqual(["a.db"]);
  const again = new sqlite3.oo1.DB(`file:a.db?vfs=${memory.name}`, "w");
  expect(again.selectValue("SELECT a FROM t")).toBe(42);
  again.close();
});
