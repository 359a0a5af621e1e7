import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import type {
  CommitListener,
  CommitSource,
  CommittedPages,
  CommittedTransaction,
} from "../core/commit-source.ts";
import { isPagestreamError } from "../core/errors.ts";
import { Crc64 } from "../ltx/crc64.ts";
import { installCaptureVfs } from "./capture-vfs.ts";
import { installMemoryVfs } from "./memory-vfs.ts";

const sqlite3 = await sqlite3InitModule();
const { capi, oo1, wasm } = sqlite3;
const quiet = sqlite3 as unknown as { config: { warn: () => void; error: () => void } };
quiet.config.warn = () => {};
quiet.config.error = () => {};
type Database = InstanceType<typeof oo1.DB>;

const memory = installMemoryVfs(sqlite3);
const vfs = installCaptureVfs(sqlite3, { parent: memory.name });

/** Applies commits to a copy and compares it with the file at each of them. */
class Copy implements CommitListener {
  readonly events: CommittedTransaction[] = [];
  readonly reasons: string[] = [];
  bytes = new Uint8Array(0);
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  commit(transaction: CommittedTransaction): void {
    const { pageSize, commit, full, pages } = transaction;
    const bytes = new Uint8Array(pageSize * commit).fill(0xee);
    if (!full) bytes.set(this.bytes.subarray(0, bytes.length));
    for (const [i, pgno] of pages.pgnos.entries()) bytes.set(pages.read(i), (pgno - 1) * pageSize);
    this.bytes = bytes;
    this.events.push(transaction);
    if (Buffer.compare(bytes, memory.read(this.#path)!) !== 0) throw new Error("copy differs");
  }

  needsFull(reason: string): void {
    this.reasons.push(reason);
  }

  get last(): CommittedTransaction {
    return this.events.at(-1)!;
  }
}

let paths = 0;
const newPath = (): string => `test-${++paths}.db`;
const open = (path: string, name = vfs.name): Database =>
  new oo1.DB(`file:${path}?vfs=${name}`, "c");

/** A new database whose every commit goes to a copy. */
function captured(setup = ""): { db: Database; path: string; copy: Copy; source: CommitSource } {
  const path = newPath();
  const db = open(path);
  db.exec(`pragma page_size=1024; ${setup}`);
  const source = vfs.source(db);
  const copy = new Copy(path);
  source.listen(copy);
  return { db, path, copy, source };
}

const fill = (table: string, rows: number, size: number): string =>
  `with recursive c(i) as (select 1 union all select i+1 from c where i<${rows})
   insert into ${table} select i, randomblob(${size}) from c`;

describe("a commit", () => {
  for (const mode of ["delete", "truncate", "persist", "memory"]) {
    for (const level of ["off", "normal", "full", "extra"]) {
      test(`is delivered once, journal_mode=${mode} and synchronous=${level}`, () => {
        const { db, copy } = captured(`pragma journal_mode=${mode}; pragma synchronous=${level}`);
        db.exec("create table t(a, b)");
        db.exec("insert into t values(1, 1)");
        db.exec("begin; update t set b=2; update t set b=3; commit");
        expect(copy.events.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
        expect(copy.events.map(({ previousCommit }) => previousCommit)).toEqual([0, 2, 2]);
        expect(copy.reasons).toEqual([]);
        db.close();
      });
    }

    test(`carries what a spilled ROLLBACK left in free pages, journal_mode=${mode}`, () => {
      const { db, copy } = captured(`pragma journal_mode=${mode}; pragma cache_size=3`);
      db.exec("create table t(a integer primary key, b)");
      db.exec(fill("t", 60, 900));
      db.exec("delete from t where a>20");
      const before = copy.events.length;
      db.exec("begin");
      db.exec("update t set b=randomblob(901)");
      db.exec("insert into t select a+100, randomblob(900) from t");
      db.exec("rollback");
      expect(copy.events.length).toBe(before);
      db.exec("pragma user_version=7");
      expect(copy.events.length).toBe(before + 1);
      expect(copy.last.pages.pgnos.length).toBeGreaterThan(1);
      expect(copy.reasons).toEqual([]);
      db.close();
    });
  }

  test("is not delivered for a transaction that wrote nothing", () => {
    const { db, copy, source } = captured("create table t(a)");
    db.exec("begin immediate; commit");
    db.exec("update t set a=1 where a=2");
    expect(copy.events).toEqual([]);
    expect(source.sequence).toBe(1);
    db.close();
  });

  test("holds what savepoints left, and nothing of what was rolled back to", () => {
    const { db, copy } = captured("pragma cache_size=3");
    db.exec("create table t(a integer primary key, b)");
    db.exec("begin");
    db.exec(fill("t", 30, 900));
    db.exec("savepoint s");
    db.exec("update t set b=randomblob(900)");
    db.exec("rollback to s");
    db.exec("commit");
    expect(copy.events).toHaveLength(2);
    expect(copy.reasons).toEqual([]);
    db.close();
  });

  test("holds pages that one transaction allocated and freed, though SQLite never wrote them", () => {
    const { db, copy } = captured();
    db.exec("create table t(a, b)");
    db.exec("begin; create table gone(a, b)");
    db.exec(fill("gone", 40, 900));
    db.exec("drop table gone; insert into t values(1, 2); commit");
    const { commit, previousCommit, pages } = copy.last;
    expect(commit).toBeGreaterThan(previousCommit + 10);
    const grown = [...pages.pgnos].filter((pgno) => pgno > previousCommit);
    expect(grown).toHaveLength(commit - previousCommit);
    expect(copy.reasons).toEqual([]);
    db.close();
  });

  test("shrinks the copy after VACUUM and auto_vacuum, full and incremental", () => {
    for (const setup of ["", "pragma auto_vacuum=full", "pragma auto_vacuum=incremental"]) {
      const { db, copy } = captured(setup);
      db.exec("create table t(a integer primary key, b)");
      db.exec(fill("t", 60, 900));
      const { commit } = copy.last;
      db.exec("delete from t where a>10");
      if (setup.endsWith("incremental")) db.exec("pragma incremental_vacuum(20)");
      if (setup === "") db.exec("vacuum");
      expect(copy.last.commit).toBeLessThan(commit);
      expect(copy.reasons).toEqual([]);
      db.close();
    }
  });

  test("that changes the page size is full and holds every page", () => {
    const { db, copy } = captured("pragma journal_mode=memory");
    db.exec("create table t(a integer primary key, b)");
    db.exec(fill("t", 30, 900));
    for (const pageSize of [4096, 65_536, 512]) {
      db.exec(`pragma page_size=${pageSize}; vacuum`);
      expect(copy.last).toMatchObject({ pageSize, full: true });
      expect([...copy.last.pages.pgnos]).toEqual(
        Array.from({ length: copy.last.commit }, (_, i) => i + 1),
      );
    }
    expect(copy.reasons).toEqual([]);
    db.close();
  });

  test("of the backup API is delivered once, whatever the page size of its source", () => {
    for (const pageSize of [512, 1024, 8192]) {
      const { db, copy } = captured();
      db.exec("create table old(a)");
      const from = new oo1.DB(":memory:");
      from.exec(`pragma page_size=${pageSize}; create table t(a, b)`);
      from.exec(fill("t", 50, 500));
      const before = copy.events.length;
      const backup = capi.sqlite3_backup_init(db.pointer!, "main", from.pointer!, "main");
      capi.sqlite3_backup_step(backup, 2);
      capi.sqlite3_backup_step(backup, -1);
      capi.sqlite3_backup_finish(backup);
      from.close();
      expect(copy.events.length).toBe(before + 1);
      expect(copy.last.pageSize).toBe(pageSize);
      expect(copy.reasons).toEqual([]);
      db.close();
    }
  });

  test("that changes nothing CRC-64 could show is delivered, by a blob and by sqlite_dbpage", () => {
    const { db, path, copy } = captured();
    db.exec("create table t(a integer primary key, b); insert into t values(1, zeroblob(3000))");
    const xor = [0x01, 0, 0, 0, 0, 0, 0, 0xb0, 0x01];
    const checksum = (bytes: Uint8Array): string => {
      const crc = new Crc64();
      crc.update(bytes);
      return `${crc.hi >>> 0},${crc.lo >>> 0}`;
    };
    const overflow = db.selectValue(
      "select pageno from dbstat where name='t' and pagetype='overflow' limit 1",
    ) as number;
    const page = (): Uint8Array => copy.bytes.slice((overflow - 1) * 1024, overflow * 1024);
    const first = page();
    const hidden = first.slice();
    for (const [i, byte] of xor.entries()) hidden[100 + i]! ^= byte;
    expect(checksum(hidden)).toBe(checksum(first));
    db.exec({ sql: "update sqlite_dbpage set data=? where pgno=?", bind: [hidden, overflow] });
    expect([...copy.last.pages.pgnos]).toContain(overflow);
    expect(page()).toEqual(hidden);

    const blob = db.selectValue("select b from t") as Uint8Array;
    for (const [i, byte] of xor.entries()) blob[2000 + i]! ^= byte;
    db.exec({ sql: "update t set b=?", bind: [blob] });
    expect(Buffer.from(copy.bytes).equals(memory.read(path)!)).toBe(true);
    expect(copy.reasons).toEqual([]);
    db.close();
  });

  test("of two attached databases is delivered to each", () => {
    const { db, copy } = captured();
    const other = newPath();
    db.exec(`attach 'file:${other}?vfs=${vfs.name}' as o`);
    const otherCopy = new Copy(other);
    vfs.source(db, "o").listen(otherCopy);
    db.exec("create table t(a); create table o.u(a)");
    const before = [copy.events.length, otherCopy.events.length];
    db.exec("begin; insert into t values(1); insert into o.u values(1); commit");
    expect([copy.events.length, otherCopy.events.length]).toEqual(before.map((n) => n + 1));
    expect([copy.reasons, otherCopy.reasons]).toEqual([[], []]);
    db.close();
  });

  test("of any connection to the path is delivered, in one sequence", () => {
    const { db, path, copy, source } = captured();
    db.exec("create table t(a)");
    const second = open(path);
    second.exec("insert into t values(1)");
    db.exec("insert into t values(2)");
    second.close();
    db.close();
    const third = open(path);
    third.exec("insert into t values(3)");
    expect(copy.events.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect(source.sequence).toBe(4);
    expect(copy.reasons).toEqual([]);
    third.close();
  });

  test("is not delivered for VACUUM INTO, whose target is another path", () => {
    const { db, copy } = captured();
    db.exec("create table t(a); insert into t values(42)");
    const before = copy.events.length;
    const target = newPath();
    db.exec(`vacuum into 'file:${target}'`);
    expect(copy.events.length).toBe(before);
    const result = open(target);
    expect(result.selectValue("select a from t")).toBe(42);
    result.close();
    db.close();
  });

  test("is counted while nobody listens, and the next one stands alone", () => {
    const path = newPath();
    const db = open(path);
    db.exec("pragma page_size=1024; create table t(a, b)");
    const source = vfs.source(db);
    db.exec(fill("t", 50, 900));
    expect(source.sequence).toBe(2);
    expect(source.commit).toBe(memory.read(path)!.length / 1024);
    const seen: number[][] = [];
    source.listen({ commit: ({ pages }) => seen.push([...pages.pgnos]), needsFull: () => {} });
    db.exec("pragma user_version=1");
    expect(seen).toEqual([[1]]);
    db.close();
  });
});

describe("a listener", () => {
  test("that throws turns into needsFull, never into a failed COMMIT", () => {
    const path = newPath();
    const db = open(path);
    const reasons: string[] = [];
    vfs.source(db).listen({
      commit: () => {
        throw new Error("disk full");
      },
      needsFull: (reason) => {
        reasons.push(reason);
        throw new Error("again");
      },
    });
    db.exec("create table t(a)");
    db.exec("insert into t values(1)");
    expect(reasons).toHaveLength(2);
    expect(reasons[0]).toMatch(/disk full/u);
    expect(db.selectValue("select a from t")).toBe(1);
    db.close();
  });

  test("cannot read pages after its call has returned", () => {
    const { db } = captured();
    const other = open(newPath());
    let kept: CommittedPages | undefined;
    vfs.source(other).listen({ commit: ({ pages }) => (kept = pages), needsFull: () => {} });
    other.exec("create table t(a)");
    expect(() => kept!.read(0)).toThrow(/has returned/u);
    other.close();
    db.close();
  });

  test("is the only one, until it is taken away", () => {
    const { db, copy, source } = captured();
    const idle: CommitListener = { commit: () => {}, needsFull: () => {} };
    expect(() => source.listen(idle)).toThrow(/another listener/u);
    db.close();
    expect(copy.events).toEqual([]);

    const path = newPath();
    const second = open(path);
    const stop = vfs.source(second).listen(idle);
    stop();
    stop();
    vfs.source(second).listen(idle)();
    second.close();
  });

  test("hears that the file changed while it was closed", () => {
    const { db, path, copy } = captured("create table t(a)");
    db.close();
    const aside = open(path, memory.name);
    aside.exec("insert into t values(1)");
    aside.close();
    const again = open(path);
    expect(copy.reasons).toHaveLength(1);
    expect(copy.reasons[0]).toMatch(/while it was not open/u);
    again.close();
  });
});

describe("journal modes", () => {
  for (const value of ["off", "O", "of", '"off"']) {
    test(`journal_mode=${value} is refused with a reason`, () => {
      const { db } = captured("create table t(a)");
      expect(() => db.exec(`pragma journal_mode=${value}`)).toThrow(/journal_mode=OFF on/u);
      expect(() => db.exec(`pragma main.journal_mode(${value})`)).toThrow(/Use DELETE, TRUNCATE/u);
      expect(isPagestreamError(vfs.lastRefusal, "UNSUPPORTED")).toBe(true);
      expect(db.selectValue("pragma journal_mode")).toBe("delete");
      db.close();
    });
  }

  for (const [value, mode] of [
    ["''", "delete"],
    ["d", "delete"],
    ["PER", "persist"],
    ["t", "truncate"],
    ["Mem", "memory"],
    ["walx", "delete"],
    ["offf", "delete"],
  ]) {
    test(`journal_mode=${value} is taken as SQLite takes it`, () => {
      const { db } = captured("create table t(a)");
      expect(db.selectValue(`pragma journal_mode=${value}`)).toBe(mode);
      db.close();
    });
  }

  test("a database whose header says WAL opens over a parent without shared memory if it is kept exclusive", () => {
    const over = installCaptureVfs(sqlite3, { parent: "unix-none" });
    const path = `/wal-${newPath()}`;
    const db = open(path, over.name);
    db.exec("pragma locking_mode=exclusive; pragma journal_mode=wal; create table t(a)");
    db.close();
    const again = open(path, over.name);
    expect(() => again.exec("select 1 from t")).toThrow(/SQLITE_CANTOPEN/u);
    expect(over.lastRefusal?.message).toMatch(/locking_mode=EXCLUSIVE.*journalHeader "rollback"/u);
    again.close();
    const third = open(path, over.name);
    third.exec("pragma locking_mode=exclusive; insert into t values(1)");
    third.close();
    over.uninstall();
  });
});

describe("source()", () => {
  test("tells page size and size as they are at opening, and the path as its name", () => {
    const { db, path } = captured("create table t(a)");
    db.close();
    const again = open(path);
    expect(vfs.source(again)).toMatchObject({ name: path, pageSize: 1024, commit: 2 });
    expect(vfs.source(again.pointer!).commit).toBe(2);
    again.close();
  });

  test("refuses a database of another VFS, a closed one and a missing schema", () => {
    const plain = open(newPath(), memory.name);
    plain.exec("create table t(a)");
    const { db } = captured();
    const refused = [
      () => vfs.source(plain),
      () => vfs.source(db, "nothing"),
      () => {
        db.close();
        vfs.source(db);
      },
    ];
    for (const attempt of refused) expect(attempt).toThrow(/not open through the VFS/u);
    plain.close();
  });

  test("refuses a database that sqlite3_deserialize moved away, and ends its source", async () => {
    const { db, source } = captured("create table t(a)");
    const donor = new oo1.DB(":memory:");
    donor.exec("create table x(a)");
    const bytes = capi.sqlite3_js_db_export(donor);
    donor.close();
    const pointer = wasm.allocFromTypedArray(bytes);
    capi.sqlite3_deserialize(db.pointer!, "main", pointer, bytes.length, bytes.length, 1);
    let error: unknown;
    try {
      vfs.source(db);
    } catch (thrown) {
      error = thrown;
    }
    expect(isPagestreamError(error, "NOT_CAPTURED")).toBe(true);
    await expect(source.image()).rejects.toThrow(/not open through/u);
    db.close();
  });

  test("plays back a hot journal before it tells the size", () => {
    const { db, path } = captured("pragma cache_size=3; create table t(a, b)");
    db.exec(fill("t", 20, 900));
    const size = memory.read(path)!.length;
    db.exec("begin");
    db.exec(fill("t", 200, 900));
    const crashed = newPath();
    memory.write(crashed, memory.read(path)!);
    memory.write(`${crashed}-journal`, memory.read(`${path}-journal`)!);
    db.exec("rollback");
    db.close();
    expect(memory.read(crashed)!.length).toBeGreaterThan(size);
    const again = open(crashed);
    const source = vfs.source(again);
    expect(source.commit).toBe(size / 1024);
    expect(memory.read(crashed)).toHaveLength(size);
    const reasons: string[] = [];
    source.listen({ commit: () => {}, needsFull: (reason) => reasons.push(reason) });
    again.exec("pragma user_version=1");
    expect(reasons).toEqual([]);
    again.close();
  });
});

describe("installCaptureVfs()", () => {
  test("refuses a parent that does not exist and a name that is taken", () => {
    const attempts = [{ parent: "nobody" }, { parent: memory.name, name: vfs.name }];
    for (const options of attempts) {
      expect(() => installCaptureVfs(sqlite3, options)).toThrow(/Cannot install capture VFS/u);
    }
  });

  for (const parent of ["unix-none", "unix", "memdb"]) {
    test(`captures over sqlite-wasm's own ${parent}`, async () => {
      const over = installCaptureVfs(sqlite3, { parent });
      const db = new oo1.DB(`file:/over-${parent}.db?vfs=${over.name}`, "c");
      db.exec("pragma page_size=4096; pragma journal_mode=memory");
      const source = over.source(db);
      const seen: number[] = [];
      source.listen({ commit: ({ pages }) => seen.push(pages.pgnos.length), needsFull: () => {} });
      db.exec("create table t(a)");
      db.exec("insert into t values(1)");
      expect(seen).toEqual([2, 2]);
      const image = await source.image();
      for await (const run of image.runs) expect(run).toHaveLength(2);
      db.close();
      over.uninstall();
    });
  }

  test("can be the default, and uninstall() refuses while a database is open", () => {
    const before = capi.sqlite3_vfs_find(null);
    const own = installCaptureVfs(sqlite3, {
      parent: memory.name,
      name: "test-default",
      makeDefault: true,
    });
    const db = new oo1.DB(newPath(), "c");
    expect(db.dbVfsName()).toBe("test-default");
    expect(() => own.uninstall()).toThrow(/open through it/u);
    db.close();
    own.uninstall();
    expect(capi.sqlite3_vfs_find("test-default")).toBe(0);
    capi.sqlite3_vfs_register(before, 1);
  });
});
