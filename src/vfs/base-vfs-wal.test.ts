import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { afterAll, describe, expect, test } from "vitest";
import { syncFiles } from "../../adapters/node/files.ts";
import { isPagestreamError } from "../core/errors.ts";
import { type FileOperation, memorySyncFiles } from "../testing/memory-sync-files.ts";
import { type SeededRandom, seededRandom } from "../testing/seeded-random.ts";
import { installMemoryVfs } from "./memory-vfs.ts";
import type { Sqlite3 } from "./sqlite3.ts";
import { installSyncFileVfs } from "./sync-file-vfs.ts";

const module = await sqlite3InitModule();
const quiet = module as unknown as { config: { warn: () => void; error: () => void } };
quiet.config.warn = () => {};
quiet.config.error = () => {};

/** The regions of shared memory that are allocated: nothing else here has their size. */
const regions = new Set<number>();
const plain: Sqlite3["capi"] = module.capi;
const capi: Sqlite3["capi"] = {
  sqlite3_vfs_find: (name) => plain.sqlite3_vfs_find(name),
  sqlite3_vfs_register: (vfs, makeDefault) => plain.sqlite3_vfs_register(vfs, makeDefault),
  sqlite3_vfs_unregister: (vfs) => plain.sqlite3_vfs_unregister(vfs),
  sqlite3_file_control: (...args) => plain.sqlite3_file_control(...args),
  sqlite3_txn_state: (...args) => plain.sqlite3_txn_state(...args),
  sqlite3_next_stmt: (...args) => plain.sqlite3_next_stmt(...args),
  sqlite3_db_filename: (...args) => plain.sqlite3_db_filename(...args),
  sqlite3_get_autocommit: (...args) => plain.sqlite3_get_autocommit(...args),
  sqlite3_errmsg: (...args) => plain.sqlite3_errmsg(...args),
  sqlite3_prepare_v2: (...args) => plain.sqlite3_prepare_v2(...args),
  sqlite3_finalize: (...args) => plain.sqlite3_finalize(...args),
  sqlite3_exec: (...args) => plain.sqlite3_exec(...args),
  sqlite3_malloc: (sizeBytes) => {
    const pointer = plain.sqlite3_malloc(sizeBytes);
    if (sizeBytes === 32_768) regions.add(pointer);
    return pointer;
  },
  sqlite3_free: (pointer) => {
    regions.delete(pointer);
    plain.sqlite3_free(pointer);
  },
};
const sqlite3: Sqlite3 = { capi, wasm: module.wasm, oo1: module.oo1 };

const directory = mkdtempSync(join(tmpdir(), "pagestream-wal-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Db = InstanceType<typeof module.oo1.DB>;
let names = 0;
const newName = (): string => `wal-${++names}`;
const newPath = (): string => join(directory, `${++names}.db`);
const open = (path: string, vfs: string): Db => new module.oo1.DB(`file:${path}?vfs=${vfs}`, "c");

function openWal(path: string, vfs: string): Db {
  const db = open(path, vfs);
  expect(db.selectValue("pragma journal_mode=wal")).toBe("wal");
  return db;
}

const count = (db: Db): unknown => db.selectValue("select count(*) from t");
const checkpoint = (db: Db, kind: string): unknown =>
  db.selectArray(`pragma wal_checkpoint(${kind})`);

const disk = installSyncFileVfs(sqlite3, { files: syncFiles(), name: newName() });
const memory = installMemoryVfs(sqlite3, { name: newName() });

const bases = [
  {
    name: "memory VFS",
    vfs: memory.name,
    size: (path: string) => memory.read(path)?.length,
  },
  {
    name: "sync-file VFS",
    vfs: disk.name,
    size: (path: string) => (existsSync(path) ? statSync(path).size : undefined),
  },
];

for (const { name, vfs, size } of bases) {
  describe(`${name} in WAL mode`, () => {
    test("lets a reader keep its snapshot while another connection commits", () => {
      const path = newPath();
      const writer = openWal(path, vfs);
      writer.exec("create table t(a); insert into t values(1)");
      const reader = open(path, vfs);
      reader.exec("begin");
      expect(count(reader)).toBe(1);
      writer.exec("insert into t values(2)");
      expect([count(reader), count(writer)]).toEqual([1, 2]);
      expect(() => reader.exec("insert into t values(3)")).toThrow(/SQLITE_BUSY/u);
      reader.exec("commit");
      expect(count(reader)).toBe(2);
      reader.exec("insert into t values(3)");
      expect(count(writer)).toBe(3);
      reader.close();
      writer.close();
    });

    test("lets one connection write at a time", () => {
      const path = newPath();
      const [a, b] = [openWal(path, vfs), open(path, vfs)];
      a.exec("create table t(a); begin immediate; insert into t values(1)");
      expect(() => b.exec("begin immediate")).toThrow(/SQLITE_BUSY/u);
      expect(count(b)).toBe(0);
      a.exec("commit");
      b.exec("begin immediate; insert into t values(2); commit");
      expect(count(a)).toBe(2);
      a.close();
      b.close();
    });

    test("checkpoints in every way, as far as readers allow", () => {
      const path = newPath();
      const [writer, reader] = [openWal(path, vfs), open(path, vfs)];
      writer.exec("create table t(a); insert into t values(1)");
      expect(checkpoint(writer, "passive")).toEqual([0, 3, 3]);
      reader.exec("begin");
      expect(count(reader)).toBe(1);
      writer.exec("insert into t values(2)");
      expect(checkpoint(writer, "passive")).toEqual([0, 1, 0]);
      expect(checkpoint(writer, "full")).toEqual([1, 1, 0]);
      expect(count(reader)).toBe(1);
      reader.exec("commit; begin");
      expect(count(reader)).toBe(2);
      expect(checkpoint(writer, "full")).toEqual([0, 1, 1]);
      expect(checkpoint(writer, "restart")).toEqual([1, 1, 1]);
      expect(checkpoint(writer, "truncate")).toEqual([1, 1, 1]);
      reader.exec("commit");
      expect(checkpoint(writer, "restart")).toEqual([0, 1, 1]);
      expect(size(`${path}-wal`)).toBeGreaterThan(0);
      expect(checkpoint(writer, "truncate")).toEqual([0, 0, 0]);
      expect(size(`${path}-wal`)).toBe(0);
      writer.exec("insert into t values(3)");
      expect(count(reader)).toBe(3);
      writer.close();
      reader.close();
    });

    test("grows its shared memory, and frees it and the WAL with the last connection", () => {
      const path = newPath();
      const before = regions.size;
      const [a, b] = [open(path, vfs), open(path, vfs)];
      a.exec("pragma page_size=512; pragma journal_mode=wal; pragma wal_autocheckpoint=0");
      a.exec("create table t(a)");
      // More frames than the index of one region holds.
      for (let i = 0; i < 3; i++) {
        a.exec(`with recursive c(i) as (select 1 union all select i+1 from c where i<2000)
          insert into t select zeroblob(3000) from c`);
      }
      expect(count(b)).toBe(6000);
      expect(regions.size).toBeGreaterThan(before + 1);
      a.close();
      expect(count(b)).toBe(6000);
      b.close();
      expect(regions.size).toBe(before);
      expect(size(`${path}-wal`)).toBeUndefined();
      const again = open(path, vfs);
      expect(again.selectValue("pragma journal_mode")).toBe("wal");
      expect(count(again)).toBe(6000);
      expect(again.selectValue("pragma integrity_check")).toBe("ok");
      again.close();
      expect(regions.size).toBe(before);
    });

    test("changes from WAL to DELETE and back when no other connection is in the way", () => {
      const path = newPath();
      const [a, b] = [openWal(path, vfs), open(path, vfs)];
      a.exec("create table t(a); insert into t values(1)");
      expect(count(b)).toBe(1);
      expect(() => a.exec("pragma journal_mode=delete")).toThrow(/SQLITE_BUSY/u);
      b.close();
      for (let i = 2; i < 6; i++) {
        expect(a.selectValue("pragma journal_mode=delete")).toBe("delete");
        expect(size(`${path}-wal`)).toBeUndefined();
        a.exec(`insert into t values(${i})`);
        expect(a.selectValue("pragma journal_mode=wal")).toBe("wal");
        a.exec(`insert into t values(${i})`);
      }
      expect(count(a)).toBe(9);
      expect(a.selectValue("pragma integrity_check")).toBe("ok");
      a.close();
    });

    test("needs no shared memory in exclusive locking mode", () => {
      const path = newPath();
      const before = regions.size;
      const db = open(path, vfs);
      db.exec("pragma locking_mode=exclusive");
      expect(db.selectValue("pragma journal_mode=wal")).toBe("wal");
      db.exec("create table t(a); insert into t values(1)");
      expect(regions.size).toBe(before);
      expect(() => open(path, vfs).exec("select * from t")).toThrow(/SQLITE_BUSY/u);
      db.close();
      const again = open(path, vfs);
      expect(count(again)).toBe(1);
      again.close();
    });
  });
}

describe("sync-file VFS and other programs in WAL mode", () => {
  const acts: readonly [string, (wal: string) => void][] = [
    ["deleted", (wal) => unlinkSync(wal)],
    ["linked", (wal) => linkSync(wal, `${wal}.other`)],
    [
      "replaced",
      (wal) => {
        renameSync(wal, `${wal}.moved`);
        copyFileSync(`${wal}.moved`, wal);
      },
    ],
  ];
  for (const [what, act] of acts) {
    for (const locking of ["normal", "exclusive"]) {
      test(`fails the COMMIT whose WAL was ${what}, ${locking} locking`, () => {
        const path = newPath();
        const db = open(path, disk.name);
        db.exec(`pragma locking_mode=${locking}; pragma journal_mode=wal`);
        db.exec("create table t(a); insert into t values(1)");
        act(`${path}-wal`);
        for (let i = 0; i < 2; i++) {
          expect(() => db.exec("update t set a=2")).toThrow(/SQLITE_IOERR/u);
          expect(isPagestreamError(disk.lastError, "FOREIGN_ACCESS")).toBe(true);
          expect(db.selectValue("select a from t")).toBe(1);
        }
        db.close();
      });
    }
  }

  test("opens no second WAL beside one that was deleted", () => {
    const path = newPath();
    const db = openWal(path, disk.name);
    db.exec("create table t(a); insert into t values(1)");
    unlinkSync(`${path}-wal`);
    const second = open(path, disk.name);
    expect(() => second.exec("select * from t")).toThrow(/SQLITE_CANTOPEN/u);
    expect(isPagestreamError(disk.lastError, "FOREIGN_ACCESS")).toBe(true);
    expect(existsSync(`${path}-wal`)).toBe(false);
    second.close();
    db.close();
  });

  test("keeps what a native SQLite committed that took the WAL away", () => {
    const path = newPath();
    const db = openWal(path, disk.name);
    db.exec("create table t(a); insert into t values(1)");
    const native = new DatabaseSync(path);
    native.exec("insert into t values(40)");
    native.close();
    expect(existsSync(`${path}-wal`)).toBe(false);
    expect(() => db.exec("insert into t values(2)")).toThrow(/SQLITE_IOERR/u);
    expect(() => checkpoint(db, "truncate")).toThrow(/SQLITE_IOERR/u);
    expect((disk.lastError as Error).message).toMatch(
      /^Cannot checkpoint .*: its WAL was deleted or replaced by someone else\. Keep other programs/u,
    );
    db.close();
    const again = open(path, disk.name);
    expect(again.selectValue("select group_concat(a) from t")).toBe("1,40");
    expect(again.selectValue("pragma integrity_check")).toBe("ok");
    again.close();
  });

  test("acknowledges no COMMIT while the WAL has another name, at any file call", () => {
    let refused = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      let away = false;
      let hook = (_operation: FileOperation): void => {};
      const files = memorySyncFiles({ onOperation: (operation) => hook(operation) });
      const move = (): void => {
        const [from, to] = away ? ["/x", "/a.db-wal"] : ["/a.db-wal", "/x"];
        const rest = hook;
        hook = () => {};
        files.rename(from, to);
        hook = rest;
        away = !away;
      };
      const vfs = installSyncFileVfs(sqlite3, { files, name: newName() });
      const db = openWal("/a.db", vfs.name);
      db.exec("pragma wal_autocheckpoint=20; create table t(a)");
      let rows = 0;
      for (let i = 0; i < 150; i++) {
        let calls = random.int(30);
        hook = ({ path }) => {
          if (path.endsWith("-wal") && calls-- === 0) move();
        };
        const wasAway = away;
        try {
          db.exec(`insert into t values(randomblob(${random.int(6000)}))`);
          rows++;
          expect(wasAway && away, `seed ${seed}, step ${i}`).toBe(false);
        } catch (error) {
          if (!/SQLITE_IOERR/u.test(String(error))) throw error;
          expect(isPagestreamError(vfs.lastError, "FOREIGN_ACCESS")).toBe(true);
          refused++;
        }
        hook = () => {};
        expect(count(db), `seed ${seed}, step ${i}`).toBe(rows);
      }
      if (away) move();
      files.crash("process");
      const again = open("/a.db", installSyncFileVfs(sqlite3, { files, name: newName() }).name);
      expect(count(again), `seed ${seed}`).toBe(rows);
      expect(again.selectValue("pragma integrity_check"), `seed ${seed}`).toBe("ok");
      again.close();
    }
    expect(refused).toBeGreaterThan(100);
  });
});

describe("sync-file VFS after a crash in WAL mode", () => {
  test("has put the deletion of a WAL on stable storage", () => {
    const calls: string[] = [];
    const files = memorySyncFiles({
      onOperation: ({ type, path }) => calls.push(`${type} ${path}`),
    });
    const db = openWal("/a.db", installSyncFileVfs(sqlite3, { files, name: newName() }).name);
    db.exec("create table t(a); pragma journal_mode=delete");
    expect(calls[calls.indexOf("remove /a.db-wal") + 1]).toBe("syncDirectory /");
    db.close();
  });

  /** Rows that were acknowledged, and rows found, after a crash at a random file call. */
  function crashed(
    kind: "process" | "power",
    synchronous: string,
    random: SeededRandom,
  ): { acknowledged: number; found: number } {
    let left = Number.POSITIVE_INFINITY;
    const files = memorySyncFiles({
      onOperation: () => {
        if (--left < 0) throw new Error("the machine is gone");
      },
    });
    files.makeDirectory("/d");
    files.syncDirectory("/");
    const dead = installSyncFileVfs(sqlite3, { files, name: newName() }).name;
    const modes = ["wal", "wal", "delete", "truncate"];
    const setUp = open("/d/a.db", dead);
    setUp.exec("pragma synchronous=full; create table t(a)");
    setUp.close();
    let acknowledged = 0;
    left = 20 + random.int(600);
    try {
      const [a, b] = [open("/d/a.db", dead), open("/d/a.db", dead)];
      for (const db of [a, b]) {
        db.exec(`pragma synchronous=${synchronous}; pragma wal_autocheckpoint=15`);
      }
      a.exec("pragma journal_mode=wal");
      for (;;) {
        const db = random.chance(0.5) ? a : b;
        if (random.chance(0.05)) {
          // Fails where the other connection is in WAL mode too, and then nothing changes.
          try {
            db.exec(`pragma journal_mode=${random.pick(modes)}`);
          } catch (error) {
            if (!/SQLITE_BUSY/u.test(String(error))) throw error;
          }
        }
        db.exec(`insert into t values(randomblob(${random.int(8000)}))`);
        acknowledged++;
      }
    } catch (error) {
      if (left >= 0) throw error;
    }
    files.crash(kind, random);
    left = Number.POSITIVE_INFINITY;
    const again = open("/d/a.db", installSyncFileVfs(sqlite3, { files, name: newName() }).name);
    expect(again.selectValue("pragma integrity_check")).toBe("ok");
    const found = count(again) as number;
    again.close();
    return { acknowledged, found };
  }

  for (const [kind, synchronous, mayLose] of [
    ["process", "normal", false],
    ["process", "off", false],
    ["power", "full", false],
    ["power", "normal", true],
  ] as const) {
    test(`recovers from the WAL, ${kind} crash and synchronous=${synchronous}`, () => {
      for (let seed = 1; seed <= 40; seed++) {
        const { acknowledged, found } = crashed(kind, synchronous, seededRandom(seed));
        if (!mayLose) expect(found, `seed ${seed}`).toBeGreaterThanOrEqual(acknowledged);
        expect(found, `seed ${seed}`).toBeLessThanOrEqual(acknowledged + 1);
      }
    });
  }
});
