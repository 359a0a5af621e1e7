import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { guardDatabase } from "./guarded-database.ts";

const sqlite3 = await sqlite3InitModule();

test("guardDatabase() passes calls on, and refuses them and those of its statements while committing", () => {
  let committing = false;
  const plain = new sqlite3.oo1.DB(":memory:");
  const db = guardDatabase(plain, () => committing);
  expect(db.exec("create table t(a); insert into t values(1), (2)")).toBe(db);
  expect(db).toBeInstanceOf(sqlite3.oo1.DB);
  expect(db.pointer).toBe(plain.pointer);
  const statement = db.prepare("select a from t where a=?");
  expect(statement.bind(2)).toBe(statement);
  committing = true;
  for (const call of [() => db.exec("select 1"), () => statement.step(), () => db.close()]) {
    expect(call).toThrow(/COMMITs waits for the store/u);
  }
  committing = false;
  expect(statement.step()).toBe(true);
  expect(statement.get(0)).toBe(2);
  statement.finalize();
  db.close();
  expect(plain.pointer).toBeUndefined();
});
