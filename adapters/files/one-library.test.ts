import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import BetterSqlite3 from "better-sqlite3";
import { isPagestreamError } from "pagestream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SecondLibraryError } from "./errors.ts";
import type { NativeHandle } from "./native-handle.ts";
import { claimLibrary } from "./one-library.ts";

let folder = "";
let path = "";
const handles: NativeHandle[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pagestream-library-"));
  path = join(folder, "app.db");
});
afterEach(() => {
  for (const handle of handles.splice(0)) handle.close();
  rmSync(folder, { recursive: true });
});

function opened<H extends NativeHandle>(handle: H): H {
  handle.exec("PRAGMA user_version = 1");
  handles.push(handle);
  return handle;
}

describe("claimLibrary", () => {
  test("claimLibrary() refuses a second library until the first has let go, and says what to do", () => {
    const own = opened(new DatabaseSync(path));
    const other = opened(new BetterSqlite3(path));
    const end = claimLibrary(path, "node:sqlite", own);
    let refused: unknown;
    try {
      claimLibrary(path, "better-sqlite3", other);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(SecondLibraryError);
    expect(isPagestreamError(refused, "UNSUPPORTED")).toBe(true);
    expect(String(refused)).toContain("followed through node:sqlite in this process already");
    expect(String(refused)).toContain("Give replicate the handle that the application writes");
    end();
    claimLibrary(path, "better-sqlite3", other)();
  });

  test("claimLibrary() knows a file by another name, and two copies of one package apart", () => {
    const own = opened(new DatabaseSync(path));
    symlinkSync(path, join(folder, "link.db"));
    const end = claimLibrary(path, "node:sqlite", own);
    const link = join(folder, "link.db");
    const other = opened(new BetterSqlite3(path));
    expect(() => claimLibrary(link, "better-sqlite3", other)).toThrow(SecondLibraryError);
    expect(() => claimLibrary(path, "node:sqlite", other)).toThrow(SecondLibraryError);
    claimLibrary(path, "node:sqlite", opened(new DatabaseSync(path)))();
    claimLibrary(join(folder, "other.db"), "better-sqlite3", other)();
    end();
  });

  test("claimLibrary() refuses a path that is open here beside a library that was loaded, as Linux tells", () => {
    claimLibrary(path, "node:sqlite", undefined)();
    opened(new BetterSqlite3(path));
    expect(() => claimLibrary(path, "node:sqlite", undefined)).toThrow(
      /has it open, and has loaded better-sqlite3\/.*\.node/,
    );
  });
});
