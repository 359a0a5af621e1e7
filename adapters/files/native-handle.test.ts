import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import BetterSqlite3 from "better-sqlite3";
import { isPagestreamError } from "pagestream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  driverOf,
  inTransaction,
  isNativeHandle,
  libraryName,
  libraryOf,
  type NativeHandle,
  pathOfHandle,
} from "./native-handle.ts";

let folder = "";
let path = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pagestream-handle-"));
  path = join(folder, "app.db");
  new DatabaseSync(path).exec("PRAGMA journal_mode = WAL; CREATE TABLE note(body)");
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Library {
  readonly name: string;
  open(path: string, options?: { readonly readOnly: boolean }): NativeHandle;
  derived(): NativeHandle;
}

const LIBRARIES: readonly Library[] = [
  {
    name: "node:sqlite",
    open: (file, { readOnly = false } = { readOnly: false }) =>
      new DatabaseSync(file, { readOnly }),
    derived: () => new (class extends DatabaseSync {})(path),
  },
  {
    name: "better-sqlite3",
    open: (file, { readOnly } = { readOnly: false }) =>
      new BetterSqlite3(file, { readonly: readOnly }),
    derived: () => new (class extends BetterSqlite3 {})(path),
  },
];

/** What `pathOfHandle` refuses a handle with; closes it. */
function refusal(handle: NativeHandle): string {
  try {
    return `no refusal: ${pathOfHandle(handle)}`;
  } catch (error) {
    return isPagestreamError(error) ? `${error.code} ${error.message}` : String(error);
  } finally {
    handle.close();
  }
}

describe.each(LIBRARIES)("a handle of $name", ({ name, open, derived }) => {
  test("pathOfHandle() gives the file, however rows are given and whatever is open", () => {
    const handle = open(path);
    expect(isNativeHandle(handle)).toBe(true);
    expect(pathOfHandle(handle)).toBe(path);
    handle.exec("CREATE TEMP TABLE scratch(a); ATTACH ':memory:' AS more");
    handle.exec("BEGIN; INSERT INTO note VALUES (1)");
    expect(pathOfHandle(handle)).toBe(path);
    expect(inTransaction(handle)).toBe(true);
    handle.exec("ROLLBACK");
    expect(inTransaction(handle)).toBe(false);
    handle.close();
  });

  test("pathOfHandle() changes nothing: not the database, nor how long the handle waits for locks", () => {
    const handle = open(path);
    handle.exec("PRAGMA busy_timeout = 77; PRAGMA user_version = 5");
    const version = handle.prepare("PRAGMA data_version");
    const before = version.get();
    const other = open(path);
    pathOfHandle(other);
    other.close();
    pathOfHandle(handle);
    expect(version.get()).toEqual(before);
    expect(handle.prepare("PRAGMA busy_timeout").get()).toEqual({ timeout: 77 });
    expect(handle.prepare("PRAGMA user_version").get()).toEqual({ user_version: 5 });
    handle.close();
  });

  test("pathOfHandle() does not wait for another writer, nor take it for a refusal", () => {
    const writer = open(path);
    writer.exec("BEGIN IMMEDIATE");
    const handle = open(path);
    handle.exec("PRAGMA busy_timeout = 30000");
    expect(pathOfHandle(handle)).toBe(path);
    writer.exec("ROLLBACK");
    writer.close();
    handle.close();
  });

  test("pathOfHandle() refuses what has no file of its own, and says what to do", () => {
    expect(refusal(open(":memory:"))).toMatch(/^UNSUPPORTED .*in memory or temporary.*Open a/);
    expect(refusal(open(""))).toMatch(/^UNSUPPORTED .*in memory or temporary/);
    const attached = open(path);
    attached.exec(`ATTACH '${join(folder, "other.db")}' AS other`);
    expect(refusal(attached)).toMatch(/^UNSUPPORTED .*other\.db attached as other.*Detach it/);
    expect(refusal(open(path, { readOnly: true }))).toMatch(/^UNSUPPORTED .*read-only/);
    const closed = open(path);
    closed.close();
    expect(inTransaction(closed)).toBe(false);
    expect(() => pathOfHandle(closed)).toThrow(/Cannot replicate the database: the handle answers/);
  });

  test("driverOf() opens the file through the same library", () => {
    const handle = open(path);
    const driver = driverOf(handle);
    expect(driver.name).toBe(name);
    const connection = driver.open(path, { timeoutMs: 33 });
    expect(connection.get("PRAGMA busy_timeout")).toEqual({ timeout: 33 });
    connection.exec("INSERT INTO note VALUES ('seen')");
    expect(handle.prepare("SELECT body FROM note WHERE body = 'seen'").get()).toEqual({
      body: "seen",
    });
    expect(connection.get("SELECT 1 WHERE 0")).toBeUndefined();
    for (let i = 0; i < 2; i++) {
      connection.get("BEGIN");
      expect(connection.get("COMMIT")).toBeUndefined();
    }
    connection.close();
    const reader = driver.open(path, { timeoutMs: 0, readOnly: true });
    expect(() => reader.exec("DELETE FROM note")).toThrow(/readonly/);
    reader.close();
    handle.close();
  });

  test("driverOf() takes the caller's way to open, and libraryOf() knows a derived class", () => {
    const [handle, other] = [open(path), derived()];
    const opened: string[] = [];
    const driver = driverOf(other, (file, options) => {
      opened.push(`${file} ${options.readOnly}`);
      return open(file, options);
    });
    driver.open(path, { timeoutMs: 0 }).close();
    driver.open(path, { timeoutMs: 0, readOnly: true }).close();
    expect(opened).toEqual([`${path} false`, `${path} true`]);
    expect(libraryOf(other)).toBe(libraryOf(handle));
    expect(libraryName(other)).toBe(name);
    handle.close();
    other.close();
  });
});

describe("handles side by side", () => {
  test("libraryOf() tells one library from another", () => {
    const [one, other] = LIBRARIES.map(({ open }) => open(":memory:"));
    expect(libraryOf(one as NativeHandle)).not.toBe(libraryOf(other as NativeHandle));
    one?.close();
    other?.close();
  });

  test("pathOfHandle() reads handles that give rows as arrays or numbers as bigint", () => {
    for (const options of [{ returnArrays: true }, { readBigInts: true }]) {
      const handle = new DatabaseSync(path, options);
      expect(pathOfHandle(handle)).toBe(path);
      handle.close();
    }
    const handle = new BetterSqlite3(path).defaultSafeIntegers();
    expect(pathOfHandle(handle)).toBe(path);
    handle.close();
  });
});
