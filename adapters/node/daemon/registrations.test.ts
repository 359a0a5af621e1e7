/** @module */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readRegistrations, writeRegistrations } from "./registrations.ts";

const root = mkdtempSync(join(tmpdir(), "pagestream-registrations-"));
afterAll(() => rmSync(root, { recursive: true }));

describe("readRegistrations()", () => {
  test("readRegistrations() reads what was written, which only this user may read", () => {
    const file = join(root, "state.json");
    expect(readRegistrations(file)).toEqual([]);
    const databases = [
      { path: "/a.db", replica: "s3://bucket/a" },
      { path: "/b.db", replica: "sftp://me:secret@host/b" },
    ];
    writeRegistrations(file, databases);
    expect(readRegistrations(file)).toEqual(databases);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    writeRegistrations(file, []);
    expect(readRegistrations(file)).toEqual([]);
    expect(readdirSync(root)).toEqual(["state.json"]);
  });

  test.each(["", "{}", '{"databases":[{}]}', '{"databases":[{"path":1,"replica":"x"}]}', "[]"])(
    "readRegistrations() refuses %j",
    (text) => {
      const file = join(root, "bad.json");
      writeFileSync(file, text);
      expect(() => readRegistrations(file)).toThrow(/^Cannot read .*bad\.json: it does not hold/);
    },
  );

  test("writeRegistrations() tells what the file system refuses", () => {
    const file = join(root, "missing/state.json");
    expect(() => writeRegistrations(file, [])).toThrow(/^Cannot write .*state\.json: ENOENT/);
  });
});
