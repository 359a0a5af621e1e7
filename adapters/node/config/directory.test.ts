import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { databasesIn, isDatabase, memberState } from "./directory.ts";
import { patternExpression } from "./pattern.ts";

const dir = mkdtempSync(join(tmpdir(), "pagestream-directory-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const MAGIC = "SQLite format 3\0";

function file(path: string, content = `${MAGIC} and more`): string {
  const full = join(dir, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  return full;
}

for (const path of ["a.db", "b.sqlite", ".hidden.db", "withdrawal", "sub/a.db", "sub/deep/c.db"]) {
  file(path);
}
file("text.db", "no database at all, but long enough");
file("short.db", "SQLite");
file("empty.db", "");
for (const name of ["a.db-wal", "a.db-shm", "a.db-journal", "a.db.pagestream-lock"]) file(name);
for (const name of ["a.db.restoring", "a.db.before-restore", "a.db.restore-1f.tmp"]) file(name);
file(".a.db-pagestream/inner.db");
file(".a.db-litestream/inner.db");
symlinkSync(join(dir, "a.db"), join(dir, "link.db"));

function found(pattern: string, recursive = false): string[] {
  const expression = patternExpression(pattern) as RegExp;
  return databasesIn({ dir, expression, recursive }, new Set()).map((path) =>
    path.slice(dir.length + 1),
  );
}

describe("databasesIn()", () => {
  test("databasesIn() finds what matches and begins as SQLite databases do", () => {
    expect(found("*.db")).toEqual([".hidden.db", "a.db", "link.db"]);
    expect(found("*.sqlite")).toEqual(["b.sqlite"]);
    expect(found("?.db")).toEqual(["a.db"]);
    expect(found("*")).toEqual([".hidden.db", "a.db", "b.sqlite", "link.db", "withdrawal"]);
    expect(found("none")).toEqual([]);
  });

  test("databasesIn() looks into directories when told so, and never into the state of a replication", () => {
    expect(found("*.db", true)).toEqual([
      ".hidden.db",
      "a.db",
      "link.db",
      join("sub", "a.db"),
      join("sub", "deep", "c.db"),
    ]);
  });

  test("isDatabase() does not open what this process has open", () => {
    const rule = { dir, expression: patternExpression("*.db") as RegExp, recursive: false };
    const path = join(dir, "text.db");
    expect(isDatabase(path, rule, new Set())).toBe(false);
    expect(isDatabase(path, rule, new Set([path]))).toBe(true);
    expect(isDatabase(join(dir, "sub", "a.db"), rule, new Set())).toBe(false);
    expect(isDatabase(join(dir, "..", "a.db"), rule, new Set())).toBe(false);
    expect(isDatabase(join(dir, "absent.db"), rule, new Set())).toBe(false);
  });
});

describe("memberState()", () => {
  test("memberState() keeps members apart, those of one name too", () => {
    const at = (path: string, options: { metaPath?: string; metaDir?: string }) =>
      memberState(join("/data", path), {
        dir: "/data",
        metaPath: options.metaPath,
        metaDir: options.metaDir,
      });
    expect(at("a.db", { metaPath: "/meta" })).toBe("/meta/.a.db-pagestream");
    expect(at("x/a.db", { metaPath: "/meta" })).toBe("/meta/x/.a.db-pagestream");
    expect(at("x/a.db", { metaDir: "/meta" })).toBe("/meta/x/a.db-pagestream");
    expect(at("x/a.db", {})).toBeUndefined();
  });
});

describe("patternExpression()", () => {
  test.each([
    ["*.db", ["a.db", ".db", "a.b.db"], ["a.dbx", "a/b.db", "adb"]],
    ["a?c", ["abc", "aüc"], ["ac", "abbc"]],
    ["[a-c]x", ["ax", "cx"], ["dx", "x"]],
    ["[^a-c]x", ["dx"], ["ax"]],
    ["a\\*b", ["a*b"], ["axb"]],
    ["a.b+(c)|d", ["a.b+(c)|d"], ["aXb+(c)|d", "a.bb(c)|d"]],
    ["{a,b}", ["{a,b}"], ["a"]],
  ])("patternExpression() matches by %j as Go does", (pattern, matching, others) => {
    const expression = patternExpression(pattern) as RegExp;
    expect(matching.filter((name) => !expression.test(name))).toEqual([]);
    expect(others.filter((name) => expression.test(name))).toEqual([]);
  });

  test.each(["[", "[a", "a\\", "[]", "[z-a]"])("patternExpression() refuses %j", (pattern) => {
    expect(patternExpression(pattern)).toBeUndefined();
  });
});
