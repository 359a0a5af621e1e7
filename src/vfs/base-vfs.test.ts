import {
  linkSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { afterAll, describe, expect, test } from "vitest";
import { syncFiles } from "../../adapters/node/files.ts";
import { isPagestreamError } from "../core/errors.ts";
import type { SyncFiles } from "../core/sync-files.ts";
import { IO_METHODS, VFS_METHODS } from "./bind.ts";
import { installMemoryVfs } from "./memory-vfs.ts";
import type { Sqlite3 } from "./sqlite3.ts";
import { installSyncFileVfs } from "./sync-file-vfs.ts";

const module = await sqlite3InitModule();
// Compiles only while the package's own type is assignable to ours.
const sqlite3: Sqlite3 = module;
const { capi, wasm } = module;
const quiet = module as unknown as { config: { warn: () => void; error: () => void } };
quiet.config.warn = () => {};
quiet.config.error = () => {};

const directory = mkdtempSync(join(tmpdir(), "pagestream-vfs-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const memory = installMemoryVfs(sqlite3, { name: "test-memory" });
const calls: string[] = [];
const counted = counting(syncFiles());
const files = installSyncFileVfs(sqlite3, { files: counted, name: "test-files" });

let paths = 0;
const newPath = (): string => join(directory, `${++paths}.db`);
const open = (path: string, vfs: string): InstanceType<typeof module.oo1.DB> =>
  new module.oo1.DB(`file:${path}?vfs=${vfs}`, "c");

/** Counts the calls that a cold statement should not need. */
function counting(real: SyncFiles): SyncFiles {
  return {
    ...real,
    identity: (path) => {
      calls.push(`identity ${path}`);
      return real.identity(path);
    },
    syncDirectory: (path) => {
      calls.push(`syncDirectory ${path}`);
      real.syncDirectory(path);
    },
  };
}

type Method = (...args: (number | bigint)[]) => number;

/** Calls the methods of a VFS as SQLite does. */
class RawVfs {
  readonly vfs: number;

  constructor(name: string) {
    this.vfs = capi.sqlite3_vfs_find(name);
  }

  call(name: keyof typeof VFS_METHODS, ...args: number[]): number {
    const pointer = wasm.peekPtr(this.vfs + VFS_METHODS[name].offset) as number;
    return (wasm.functionEntry(pointer) as Method)(this.vfs, ...args);
  }

  open(path: string, flags: number): RawFile {
    const file = new RawFile(wasm.alloc(8), wasm.allocCString(path, false));
    file.code = this.call("xOpen", file.path, file.pointer, flags, 0);
    return file;
  }
}

class RawFile {
  code = 0;
  readonly pointer: number;
  readonly path: number;

  constructor(pointer: number, path: number) {
    this.pointer = pointer;
    this.path = path;
  }

  call(name: keyof typeof IO_METHODS, ...args: (number | bigint)[]): number {
    const table = wasm.peekPtr(this.pointer) as number;
    const pointer = wasm.peekPtr(table + IO_METHODS[name].offset) as number;
    return (wasm.functionEntry(pointer) as Method)(this.pointer, ...args);
  }

  write(bytes: number[], offset: number): number {
    const from = wasm.alloc(bytes.length);
    wasm.heap8u().set(bytes, from);
    return this.call("xWrite", from, bytes.length, BigInt(offset));
  }

  read(amount: number, offset: number): { code: number; bytes: number[] } {
    const into = wasm.alloc(amount);
    wasm.heap8u().fill(0xaa, into, into + amount);
    const code = this.call("xRead", into, amount, BigInt(offset));
    return { code, bytes: [...wasm.heap8u().subarray(into, into + amount)] };
  }

  out(name: "xFileSize" | "xCheckReservedLock"): number {
    const out = wasm.alloc(8);
    wasm.heap8u().fill(0, out, out + 8);
    expect(this.call(name, out)).toBe(0);
    return wasm.peek32(out) as number;
  }
}

const READWRITE_CREATE = 0x2 | 0x4;
const MAIN_DB = 0x100;
const MAIN_JOURNAL = 0x800;

function testVfs(name: string, vfsName: string): void {
  describe(name, () => {
    const raw = new RawVfs(vfsName);
    const database = (): RawFile => raw.open(newPath(), READWRITE_CREATE | MAIN_DB);

    test("xOpen refuses a file that does not exist unless it may create it", () => {
      const file = raw.open(newPath(), 0x2 | MAIN_DB);
      expect(file.code).toBe(14);
      expect(wasm.peekPtr(file.pointer)).toBe(0);
    });

    test("xOpen refuses to create exclusively what exists", () => {
      const path = newPath();
      const first = raw.open(path, READWRITE_CREATE | MAIN_JOURNAL);
      expect(raw.open(path, READWRITE_CREATE | 0x10 | MAIN_JOURNAL).code).toBe(14);
      first.call("xClose");
    });

    test("xOpen without a name gives a temporary file", () => {
      const pointer = wasm.alloc(8);
      expect(raw.call("xOpen", 0, pointer, READWRITE_CREATE | 0x8, 0)).toBe(0);
      const file = new RawFile(pointer, 0);
      expect(file.write([1, 2, 3], 0)).toBe(0);
      expect(file.read(3, 0).bytes).toEqual([1, 2, 3]);
      expect(file.call("xClose")).toBe(0);
    });

    test("xWrite and xRead carry bytes, also across 64 KiB and into holes", () => {
      const file = database();
      expect(file.write([1, 2, 3, 4], 65_534)).toBe(0);
      expect(file.read(6, 65_533)).toEqual({ code: 522, bytes: [0, 1, 2, 3, 4, 0] });
      expect(file.read(4, 65_534)).toEqual({ code: 0, bytes: [1, 2, 3, 4] });
      expect(file.write([9], 300_000)).toBe(0);
      expect(file.read(3, 200_000)).toEqual({ code: 0, bytes: [0, 0, 0] });
      file.call("xClose");
    });

    test("xRead past the end answers zeros and SQLITE_IOERR_SHORT_READ", () => {
      const file = database();
      expect(file.read(4, 1000)).toEqual({ code: 522, bytes: [0, 0, 0, 0] });
      file.call("xClose");
    });

    test("xTruncate cuts off, and what grows back is zeros", () => {
      const file = database();
      file.write([1, 2, 3, 4], 0);
      expect(file.call("xTruncate", 2n)).toBe(0);
      expect(file.out("xFileSize")).toBe(2);
      expect(file.call("xTruncate", 4n)).toBe(0);
      expect(file.read(4, 0).bytes).toEqual([1, 2, 0, 0]);
      file.call("xClose");
    });

    test("xFileSize tells the size", () => {
      const file = database();
      expect(file.out("xFileSize")).toBe(0);
      file.write([7], 70_000);
      expect(file.out("xFileSize")).toBe(70_001);
      file.call("xClose");
    });

    test("xSync, xSectorSize and xDeviceCharacteristics answer", () => {
      const file = database();
      expect(file.call("xSync", 2)).toBe(0);
      expect(file.call("xSectorSize")).toBe(4096);
      expect(file.call("xDeviceCharacteristics")).toBe(0x1800);
      file.call("xClose");
    });

    test("xLock keeps one writer, and no new reader while it waits for the others", () => {
      const path = newPath();
      const [a, b, c] = [1, 2, 3].map(() => raw.open(path, READWRITE_CREATE | MAIN_DB));
      expect(a!.call("xLock", 1)).toBe(0);
      expect(b!.call("xLock", 1)).toBe(0);
      expect(a!.call("xLock", 2)).toBe(0);
      expect(b!.call("xLock", 2)).toBe(5);
      expect(b!.out("xCheckReservedLock")).toBe(1);
      expect(a!.call("xLock", 4)).toBe(5);
      expect(c!.call("xLock", 1)).toBe(5);
      expect(b!.call("xUnlock", 0)).toBe(0);
      expect(a!.call("xLock", 4)).toBe(0);
      expect(a!.call("xUnlock", 1)).toBe(0);
      expect(c!.call("xLock", 1)).toBe(0);
      expect(c!.out("xCheckReservedLock")).toBe(0);
      for (const file of [a, b, c]) expect(file!.call("xClose")).toBe(0);
    });

    test("xClose gives up the locks", () => {
      const path = newPath();
      const a = raw.open(path, READWRITE_CREATE | MAIN_DB);
      const b = raw.open(path, READWRITE_CREATE | MAIN_DB);
      for (const level of [1, 2, 4]) expect(a.call("xLock", level)).toBe(0);
      expect(b.call("xLock", 1)).toBe(5);
      a.call("xClose");
      for (const level of [1, 2, 4]) expect(b.call("xLock", level)).toBe(0);
      b.call("xClose");
    });

    test("xFileControl does not know a made-up control", () => {
      const file = database();
      expect(file.call("xFileControl", 12_345, 0)).toBe(12);
      file.call("xClose");
    });

    test("xDelete tells whether there was a file", () => {
      const path = newPath();
      raw.open(path, READWRITE_CREATE | MAIN_JOURNAL).call("xClose");
      const name = wasm.allocCString(path, false);
      expect(raw.call("xDelete", name, 1)).toBe(0);
      expect(raw.call("xDelete", name, 0)).toBe(5898);
    });

    test("xDelete empties a file that is open", () => {
      const path = newPath();
      const file = raw.open(path, READWRITE_CREATE | MAIN_JOURNAL);
      file.write([1, 2, 3], 0);
      expect(raw.call("xDelete", file.path, 1)).toBe(0);
      expect(file.out("xFileSize")).toBe(0);
      expect(file.write([4], 0)).toBe(0);
      file.call("xClose");
      const again = raw.open(path, 0x1 | MAIN_JOURNAL);
      expect(again.read(1, 0)).toEqual({ code: 0, bytes: [4] });
      again.call("xClose");
    });

    test("xAccess takes an empty journal for none", () => {
      const path = newPath();
      const main = raw.open(path, READWRITE_CREATE | MAIN_DB);
      const journal = `${path}-journal`;
      const out = wasm.alloc(4);
      const access = (question: number): number => {
        expect(raw.call("xAccess", wasm.allocCString(journal, false), question, out)).toBe(0);
        return wasm.peek32(out) as number;
      };
      expect([access(0), access(1)]).toEqual([0, 0]);
      const file = raw.open(journal, READWRITE_CREATE | MAIN_JOURNAL);
      expect([access(0), access(1)]).toEqual([0, 1]);
      file.write([1], 0);
      expect(access(0)).toBe(1);
      file.call("xTruncate", 0n);
      expect(access(0)).toBe(0);
      file.write([1], 0);
      file.call("xClose");
      expect(access(0)).toBe(1);
      raw.call("xDelete", wasm.allocCString(journal, false), 0);
      expect([access(0), access(1)]).toEqual([0, 0]);
      main.call("xClose");
    });

    test("xFullPathname refuses a path longer than SQLite's buffer", () => {
      const out = wasm.alloc(64);
      const short = wasm.allocCString("/a.db", false);
      expect(raw.call("xFullPathname", short, 64, out)).toBe(0);
      expect(wasm.cstrToJs(out)).toBe("/a.db");
      expect(raw.call("xFullPathname", short, 5, out)).toBe(14);
    });

    test("a method called on a file that is not open answers a code and throws nothing", () => {
      const file = database();
      const table = wasm.peekPtr(file.pointer) as number;
      file.call("xClose");
      wasm.pokePtr(file.pointer, table);
      expect(file.read(1, 0).code).toBe(266);
      expect(file.write([1], 0)).toBe(778);
    });

    for (const mode of ["delete", "truncate", "persist", "memory"]) {
      test(`a hot transaction rolls back and a committed one stays, journal_mode=${mode}`, () => {
        const path = newPath();
        const db = open(path, vfsName);
        expect(db.selectValue(`pragma journal_mode=${mode}`)).toBe(mode);
        db.exec("pragma cache_size=5; create table t(a, b)");
        db.exec(`with recursive c(i) as (select 1 union all select i+1 from c where i<200)
          insert into t select i, zeroblob(900) from c`);
        db.exec("begin; update t set b=zeroblob(1000); rollback");
        db.close();
        const again = open(path, vfsName);
        expect(again.selectValue("select sum(length(b)) from t")).toBe(200 * 900);
        expect(again.selectValue("pragma integrity_check")).toBe("ok");
        again.close();
      });
    }
  });
}

testVfs("memory VFS", memory.name);
testVfs("sync-file VFS", files.name);

test("installMemoryVfs() lets files be read, written, listed and removed", () => {
  const vfs = installMemoryVfs(sqlite3, { name: "test-memory-files" });
  const db = open("a.db", vfs.name);
  db.exec("create table t(a); insert into t values(42)");
  expect(() => vfs.write("a.db", new Uint8Array(1))).toThrow(/SQLite has the file open/u);
  expect(() => vfs.remove("a.db")).toThrow(/SQLite has the file open/u);
  db.close();
  vfs.write("b.db", vfs.read("a.db")!);
  expect(vfs.list()).toEqual(["a.db", "b.db"]);
  expect(vfs.remove("a.db")).toBe(true);
  expect(vfs.remove("a.db")).toBe(false);
  expect(vfs.read("a.db")).toBeUndefined();
  const copy = open("b.db", vfs.name);
  expect(copy.selectValue("select a from t")).toBe(42);
  copy.close();
});

test("installMemoryVfs() refuses a name that is taken", () => {
  expect(() => installMemoryVfs(sqlite3, { name: "test-memory" })).toThrow(/the name is taken/u);
});

describe("installSyncFileVfs()", () => {
  test("asks the file system nothing about journals in a cold statement", () => {
    const db = open(newPath(), files.name);
    db.exec("pragma journal_mode=delete; create table t(a); insert into t values(1)");
    db.selectValue("select a from t");
    calls.length = 0;
    for (let i = 0; i < 10; i++) db.selectValue("select a from t");
    expect(calls).toEqual([]);
    db.close();
  });

  test("puts the deletion of a journal on stable storage, for a power cut would take the COMMIT back", () => {
    const path = newPath();
    const db = open(path, files.name);
    db.exec("pragma journal_mode=delete; pragma synchronous=full; create table t(a)");
    calls.length = 0;
    db.exec("insert into t values(1)");
    // One for the name of the new journal, one for its deletion.
    expect(calls.filter((call) => call.startsWith("syncDirectory"))).toHaveLength(2);
    db.exec("pragma synchronous=off");
    calls.length = 0;
    db.exec("insert into t values(2)");
    expect(calls.filter((call) => call.startsWith("syncDirectory"))).toEqual([]);
    db.close();
  });

  test("syncs the directory after creating a journal and after deleting it with EXTRA", () => {
    const db = open(newPath(), files.name);
    db.exec("pragma journal_mode=delete; pragma synchronous=extra; create table t(a)");
    calls.length = 0;
    db.exec("insert into t values(1)");
    expect(calls.filter((call) => call.startsWith("syncDirectory"))).toHaveLength(2);
    db.close();
  });

  test("holds the lock of a database until its last handle is closed", () => {
    const path = newPath();
    const a = open(path, files.name);
    const b = open(path, files.name);
    a.exec("create table t(a)");
    const rival = installSyncFileVfs(sqlite3, { files: syncFiles(), name: `rival-${paths}` });
    a.close();
    expect(() => open(path, rival.name).exec("select 1 from t")).toThrow(/SQLITE_BUSY|locked/u);
    expect(isPagestreamError(rival.lastError, "DATABASE_LOCKED")).toBe(true);
    b.close();
    const after = open(path, rival.name);
    after.exec("select 1 from t");
    after.close();
  });

  test("plays back a hot journal that was left behind", () => {
    const path = newPath();
    const db = open(path, files.name);
    db.exec("pragma journal_mode=delete; pragma cache_size=5; create table t(a, b)");
    db.exec(`with recursive c(i) as (select 1 union all select i+1 from c where i<200)
      insert into t select i, zeroblob(900) from c`);
    db.exec("begin; update t set b=zeroblob(1000)");
    // The files as a crash would leave them, under another name.
    const crashed = newPath();
    writeFileSync(crashed, readFileSync(path));
    writeFileSync(`${crashed}-journal`, readFileSync(`${path}-journal`));
    db.exec("rollback");
    db.close();
    const again = open(crashed, files.name);
    expect(again.selectValue("select sum(length(b)) from t")).toBe(200 * 900);
    expect(again.selectValue("pragma integrity_check")).toBe("ok");
    again.close();
  });

  const acts: readonly [string, (journal: string) => void][] = [
    ["deleted", (journal) => unlinkSync(journal)],
    ["linked", (journal) => linkSync(journal, `${journal}.other`)],
    [
      "replaced",
      (journal) => {
        renameSync(journal, `${journal}.moved`);
        writeFileSync(journal, "");
      },
    ],
  ];
  for (const [what, act] of acts) {
    for (const mode of ["delete", "truncate", "persist"]) {
      for (const locking of ["normal", "exclusive"]) {
        test(`fails the COMMIT whose journal was ${what}, ${mode} and ${locking} locking`, () => {
          const path = newPath();
          const db = open(path, files.name);
          db.exec(`pragma locking_mode=${locking}; pragma journal_mode=${mode}`);
          db.exec("create table t(a); insert into t values(1)");
          db.exec("begin; update t set a=2");
          act(`${path}-journal`);
          expect(() => db.exec("commit")).toThrow(/SQLITE_IOERR/u);
          expect(isPagestreamError(files.lastError, "FOREIGN_ACCESS")).toBe(true);
          // SQLite has rolled back by itself, and nothing stood in the way of that.
          expect(db.selectValue("select a from t")).toBe(1);
          db.close();
          rmSync(`${path}-journal`, { force: true });
          const again = open(path, files.name);
          expect(again.selectValue("select a from t")).toBe(1);
          expect(again.selectValue("pragma integrity_check")).toBe("ok");
          again.close();
        });
      }
    }
  }

  test("lets a ROLLBACK through whose journal has another name", () => {
    const path = newPath();
    const own = installSyncFileVfs(sqlite3, { files: syncFiles(), name: `own-${paths}` });
    const db = open(path, own.name);
    db.exec("pragma journal_mode=delete; pragma cache_size=5; create table t(a, b)");
    db.exec(`with recursive c(i) as (select 1 union all select i+1 from c where i<200)
      insert into t select i, zeroblob(900) from c`);
    db.exec("begin; update t set b=zeroblob(1000)");
    expect(statSync(`${path}-journal`).size).toBeGreaterThan(0);
    linkSync(`${path}-journal`, `${path}-other`);
    db.exec("rollback");
    // ROLLBACK itself would not tell of an error in it.
    expect(own.lastError).toBeUndefined();
    expect(db.selectValue("select sum(length(b)) from t")).toBe(200 * 900);
    db.close();
  });
});
