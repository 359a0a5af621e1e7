import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import type { CommitListener, CommittedTransaction, CommitSource } from "../core/commit-source.ts";
import { isPagestreamError } from "../core/errors.ts";
import { checkpointed } from "../testing/checkpointed.ts";
import { imageBytes } from "../testing/commit-mirror.ts";
import { attachCapture, type AttachedCapture } from "./attach-capture.ts";
import { installCaptureVfs } from "./capture-vfs.ts";
import type { SyncFile } from "../core/sync-files.ts";
import { memorySyncFiles } from "../testing/memory-sync-files.ts";
import { installMemoryVfs } from "./memory-vfs.ts";
import { installSyncFileVfs } from "./sync-file-vfs.ts";

const sqlite3 = await sqlite3InitModule();
const { capi, oo1 } = sqlite3;
const quiet = sqlite3 as unknown as { config: { warn: () => void; error: () => void } };
quiet.config.warn = () => {};
quiet.config.error = () => {};
type Database = InstanceType<typeof oo1.DB>;

const memory = installMemoryVfs(sqlite3);
const vfs = installCaptureVfs(sqlite3, { parent: memory.name });
const copying = installCaptureVfs(sqlite3, {
  parent: memory.name,
  name: "test-copying",
  copyWrites: true,
});

let paths = 0;
const newPath = (): string => `wal-${++paths}.db`;
const open = (path: string, name = vfs.name): Database =>
  new oo1.DB(`file:${path}?vfs=${name}`, "c");

/** The database as of the last commit. */
function logical(path: string): Uint8Array {
  return checkpointed(memory.read(path) ?? new Uint8Array(0), memory.read(`${path}-wal`));
}

/** Applies commits to a copy. */
class Copy implements CommitListener {
  readonly events: CommittedTransaction[] = [];
  readonly reasons: string[] = [];
  readonly lostErrors: Error[] = [];
  bytes: Uint8Array = new Uint8Array(0);

  commit(transaction: CommittedTransaction): void {
    const { pageSize, commit, full, pages } = transaction;
    const bytes = new Uint8Array(pageSize * commit).fill(0xee);
    if (!full) bytes.set(this.bytes.subarray(0, bytes.length));
    for (const [i, pgno] of pages.pgnos.entries()) bytes.set(pages.read(i), (pgno - 1) * pageSize);
    this.bytes = bytes;
    this.events.push(transaction);
  }

  needsFull(reason: string): void {
    this.reasons.push(reason);
  }

  lost(error: Error): void {
    this.lostErrors.push(error);
  }
}

interface Captured {
  readonly db: Database;
  readonly path: string;
  readonly copy: Copy;
  readonly source: CommitSource;
}

function captured(setup: string, name = vfs.name): Captured {
  const path = newPath();
  const db = open(path, name);
  db.exec("pragma page_size=1024");
  const source = (name === vfs.name ? vfs : copying).source(db);
  const copy = new Copy();
  source.listen(copy);
  db.exec(setup);
  return { db, path, copy, source };
}

const fill = (table: string, rows: number, size: number): string =>
  `with recursive c(i) as (select 1 union all select i+1 from c where i<${rows})
   insert into ${table}(b) select randomblob(${size}) from c`;

const SETUPS = {
  "WAL with shared memory": "pragma journal_mode=wal",
  "WAL, exclusive": "pragma locking_mode=exclusive; pragma journal_mode=wal",
};

for (const [title, setup] of Object.entries(SETUPS)) {
  for (const name of [vfs.name, copying.name]) {
    describe(`${title}, ${name}`, () => {
      for (const level of ["off", "normal", "full", "extra"]) {
        test(`a commit is delivered once and right, synchronous=${level}`, () => {
          const { db, path, copy } = captured(`${setup}; pragma synchronous=${level}`, name);
          const before = copy.events.length;
          const work = [
            "create table t(a integer primary key, b)",
            fill("t", 40, 700),
            "begin; update t set b=1 where a=3; update t set b=2 where a=30; commit",
            "delete from t where a>10",
            "begin; savepoint s; update t set b=randomblob(900); rollback to s; delete from t; commit",
            fill("t", 10, 9000),
          ];
          for (const sql of work) {
            db.exec(sql);
            expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
          }
          expect(copy.events.length - before).toBe(work.length);
          expect(copy.reasons).toEqual([]);
          db.close();
          expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
        });
      }

      test("checkpoints of every kind move nothing out, and what follows them is right", () => {
        const { db, path, copy } = captured(
          `${setup}; create table t(a integer primary key, b)`,
          name,
        );
        for (const kind of ["passive", "full", "restart", "truncate", "passive"]) {
          db.exec(fill("t", 30, 800));
          db.exec(`pragma wal_checkpoint(${kind})`);
          const before = copy.events.length;
          db.exec("update t set b=zeroblob(100) where a%7=0");
          expect(copy.events.length).toBe(before + 1);
          expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
        }
        expect(copy.reasons).toEqual([]);
        db.close();
      });

      test("a spilled ROLLBACK leaves nothing, and its frames are overwritten", () => {
        const { db, path, copy } = captured(`${setup}; pragma cache_size=3`, name);
        db.exec("create table t(a integer primary key, b)");
        db.exec(fill("t", 40, 900));
        const before = copy.events.length;
        db.exec("begin");
        db.exec("update t set b=randomblob(901)");
        db.exec("rollback");
        expect(copy.events.length).toBe(before);
        db.exec("update t set b=1 where a=5");
        expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
        expect(copy.reasons).toEqual([]);
        db.close();
      });

      test("switches between WAL and rollback journals are commits like others", () => {
        const { db, path, copy } = captured("create table t(a integer primary key, b)", name);
        for (let round = 0; round < 3; round++) {
          db.exec(setup);
          db.exec(fill("t", 20, 700));
          expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
          db.exec("pragma journal_mode=delete; pragma locking_mode=normal");
          db.exec("update t set b=1 where a%3=0");
          expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
        }
        expect(copy.reasons).toEqual([]);
        db.close();
      });

      test("pages that one transaction allocated and freed are in its commit", () => {
        const { db, path, copy } = captured(
          `${setup}; create table t(a integer primary key, b)`,
          name,
        );
        db.exec("begin; create table gone(b)");
        db.exec(fill("gone", 40, 900));
        db.exec("drop table gone; insert into t values(1, 2); commit");
        const { commit, previousCommit, pages } = copy.events.at(-1)!;
        expect(commit).toBeGreaterThan(previousCommit + 10);
        expect([...pages.pgnos].filter((pgno) => pgno > previousCommit)).toHaveLength(
          commit - previousCommit,
        );
        expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
        db.exec("vacuum; pragma wal_checkpoint(truncate)");
        expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
        db.close();
      });

      test("an image equals its boundary while commits and checkpoints go on", async () => {
        const { db, path, source } = captured(
          `${setup}; pragma wal_autocheckpoint=0; create table t(a integer primary key, b)`,
          name,
        );
        db.exec(fill("t", 3000, 900));
        db.exec("pragma wal_checkpoint(passive)");
        db.exec("update t set b=randomblob(500) where a%10=0");
        const then = logical(path);
        const image = await source.image();
        let step = 0;
        const read = await imageBytes(image, () => {
          db.exec("update t set b=randomblob(400) where a%50=0");
          db.exec(`pragma wal_checkpoint(${["passive", "restart", "truncate"][step++ % 3]})`);
          db.exec("update t set b=randomblob(300) where a%60=0");
        });
        expect(step).toBeGreaterThan(1);
        expect(Buffer.compare(read, then)).toBe(0);
        expect(image.sequence).toBeLessThan(source.sequence);
        db.close();
      });
    });
  }
}

describe("several connections in WAL mode", () => {
  test("all are captured, and readers keep their snapshots", () => {
    const { db, path, copy } = captured(
      "pragma journal_mode=wal; create table t(a integer primary key, b)",
    );
    const other = open(path);
    other.exec("begin; select count(*) from t");
    db.exec(fill("t", 10, 600));
    expect(other.selectValue("select count(*) from t")).toBe(0);
    other.exec("commit");
    other.exec(fill("t", 10, 600));
    db.exec("delete from t where a<5");
    other.exec("pragma wal_checkpoint(restart)");
    other.exec("update t set b=1");
    expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
    expect(copy.reasons).toEqual([]);
    db.close();
    other.exec("insert into t(b) values(1)");
    expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
    other.close();
  });

  test("commits beside the capture are delivered by check() while their frames are there", () => {
    const { db, path, copy, source } = captured(
      "pragma journal_mode=wal; create table t(a integer primary key, b)",
    );
    const beside = open(path, memory.name);
    beside.exec(fill("t", 5, 600));
    beside.exec(fill("t", 5, 600));
    source.check?.();
    expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
    beside.exec("pragma wal_checkpoint(truncate)");
    beside.exec("insert into t(b) values(1)");
    db.exec("insert into t(b) values(2)");
    expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
    beside.close();
    db.close();
  });

  test("a log begun anew beside the capture is noticed", () => {
    const { db, copy, path, source } = captured(
      "pragma journal_mode=wal; create table t(a integer primary key, b)",
    );
    const beside = open(path, memory.name);
    for (let i = 0; i < 2; i++) {
      beside.exec(fill("t", 5, 600));
      beside.exec("pragma wal_checkpoint(restart)");
    }
    beside.exec("insert into t(b) values(1)");
    source.check?.();
    expect(copy.reasons.join()).toMatch(/begun anew by someone else/u);
    beside.close();
    db.close();
  });
});

for (const kind of ["restart", "truncate"]) {
  test(`an image ends when others begin the log anew under it, checkpoint ${kind}`, async () => {
    const { db, path, source } = captured(
      "pragma journal_mode=wal; create table t(a integer primary key, b)",
    );
    db.exec(fill("t", 2500, 900));
    const beside = open(path, memory.name);
    const image = await source.image();
    const read = imageBytes(image, () => {
      beside.exec(`pragma wal_checkpoint(${kind}); update t set b=1 where a=1`);
    });
    const error = await read.catch((thrown: unknown) => thrown);
    expect(isPagestreamError(error, "IMAGE_OVERRUN")).toBe(true);
    beside.close();
    db.close();
  });
}

test("an image of a database whose first transaction was taken back is empty", async () => {
  const { db, source, copy } = captured("pragma cache_size=2");
  db.exec("begin; create table t(a integer primary key, b)");
  db.exec(fill("t", 60, 900));
  db.exec("rollback");
  const image = await source.image();
  expect(image.commit).toBe(0);
  expect(await imageBytes(image)).toHaveLength(0);
  db.exec("create table t(a)");
  expect(copy.events).toHaveLength(1);
  expect(copy.reasons).toEqual([]);
  db.close();
});

describe("commits beside the capture, rollback journal", () => {
  test("are noticed at the next commit and by check()", () => {
    const { db, path, copy, source } = captured("create table t(a integer primary key, b)");
    db.exec(fill("t", 20, 900));
    const beside = open(path, memory.name);
    beside.exec("insert into t(b) values(1)");
    db.exec("insert into t(b) values(2)");
    expect(copy.reasons).toHaveLength(1);
    expect(copy.reasons[0]).toMatch(/foreign commit/u);
    beside.exec("insert into t(b) values(3)");
    source.check?.();
    expect(copy.reasons).toHaveLength(2);
    source.check?.();
    db.exec("insert into t(b) values(4)");
    expect(copy.reasons).toHaveLength(2);
    beside.close();
    db.close();
  });
});

describe("attachCapture()", () => {
  function attached(setup: string, parent = memory.name): Captured & { capture: AttachedCapture } {
    const path = newPath();
    const db = open(path, parent);
    db.exec(`pragma page_size=1024; ${setup}`);
    const capture = attachCapture(sqlite3, db);
    const copy = new Copy();
    copy.bytes = logical(path).slice();
    capture.source.listen(copy);
    return { db, path, copy, source: capture.source, capture };
  }

  for (const mode of ["delete", "truncate", "persist", "memory", "wal"]) {
    test(`captures an open database, journal_mode=${mode}`, () => {
      const { db, path, copy, capture } = attached(
        `pragma journal_mode=${mode}; create table t(a integer primary key, b)`,
      );
      db.exec(fill("t", 30, 900));
      db.exec("pragma journal_mode=wal");
      db.exec("update t set b=1 where a%2=0");
      db.exec("pragma wal_checkpoint(restart)");
      db.exec("update t set b=2 where a%3=0");
      expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
      db.exec("pragma journal_mode=truncate");
      db.exec("delete from t where a>20; vacuum");
      expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
      expect(copy.reasons).toEqual([]);
      capture.detach();
      capture.detach();
      expect(copy.lostErrors).toHaveLength(1);
      const before = copy.events.length;
      db.exec("delete from t");
      expect(copy.events.length).toBe(before);
      const again = attachCapture(sqlite3, db);
      expect(again.source.commit).toBe(logical(path).length / 1024);
      db.close();
    });
  }

  test("refuses a transaction, a second capture, a database without a file and journal_mode=OFF", () => {
    const { db, capture } = attached("create table t(a)");
    expect(() => attachCapture(sqlite3, db)).toThrow(/captured already/u);
    capture.detach();
    db.exec("begin; insert into t values(1)");
    expect(() => attachCapture(sqlite3, db)).toThrow(/transaction is open/u);
    db.exec("rollback; pragma journal_mode=off");
    expect(() => attachCapture(sqlite3, db)).toThrow(/journal_mode=OFF/u);
    db.close();
    expect(() => attachCapture(sqlite3, db)).toThrow(/closed/u);
    const inMemory = new oo1.DB(":memory:");
    expect(() => attachCapture(sqlite3, inMemory)).toThrow(/no file/u);
    inMemory.close();
  });
});

describe("ATTACH", () => {
  test("each file has its own commits, and a transaction of both reaches both", () => {
    const { db, path, copy } = captured("create table t(a integer primary key, b)");
    const second = newPath();
    db.exec(
      `attach 'file:${second}?vfs=${vfs.name}' as two; create table two.t(a integer primary key, b)`,
    );
    const other = new Copy();
    other.bytes = logical(second).slice();
    vfs.source(db, "two").listen(other);
    db.exec("begin; insert into t(b) values(1); insert into two.t(b) values(2); commit");
    expect(other.events).toHaveLength(1);
    expect(Buffer.compare(copy.bytes, logical(path))).toBe(0);
    expect(Buffer.compare(other.bytes, logical(second))).toBe(0);
    db.exec("detach two");
    expect(isPagestreamError(other.lostErrors[0], "NOT_CAPTURED")).toBe(true);
    expect(copy.lostErrors).toEqual([]);
    db.close();
    expect(copy.lostErrors).toEqual([]);
  });
});

test("a database moved away by sqlite3_deserialize is reported", () => {
  const { db, copy } = captured("create table t(a)");
  const donor = new oo1.DB(":memory:");
  donor.exec("create table x(a)");
  const bytes = capi.sqlite3_js_db_export(donor);
  donor.close();
  const pointer = sqlite3.wasm.allocFromTypedArray(bytes);
  capi.sqlite3_deserialize(db.pointer!, "main", pointer, bytes.length, bytes.length, 1);
  expect(copy.lostErrors).toHaveLength(1);
  expect(copy.lostErrors[0]!.message).toMatch(/sqlite3_deserialize/u);
  db.close();
});

for (const parent of ["unix", "unix-excl"]) {
  test(`captures WAL between connections over sqlite-wasm's own ${parent}`, async () => {
    const over = installCaptureVfs(sqlite3, { parent });
    const path = `/over-${parent}.db`;
    const db = open(path, over.name);
    db.exec("pragma page_size=1024; create table t(a integer primary key, b)");
    const source = over.source(db);
    const copy = new Copy();
    copy.bytes = await imageBytes(await source.image());
    source.listen(copy);
    expect(db.selectValue("pragma journal_mode=wal")).toBe("wal");
    const other = open(path, over.name);
    db.exec(fill("t", 30, 700));
    other.exec("update t set b=1 where a%3=0");
    db.exec("pragma wal_checkpoint(restart)");
    other.exec("delete from t where a>20");
    expect(Buffer.compare(copy.bytes, await imageBytes(await source.image()))).toBe(0);
    expect(copy.reasons).toEqual([]);
    other.close();
    db.exec("pragma journal_mode=delete; insert into t(b) values(2)");
    expect(Buffer.compare(copy.bytes, capi.sqlite3_js_db_export(db))).toBe(0);
    db.close();
    over.uninstall();
  });
}

test("captures exclusive WAL over a parent without shared memory from copies alone", async () => {
  const over = installCaptureVfs(sqlite3, { parent: "unix-none", copyWrites: true });
  const db = open("/copied.db", over.name);
  db.exec("pragma page_size=1024; pragma locking_mode=exclusive; pragma journal_mode=wal");
  db.exec("create table t(a integer primary key, b)");
  const source = over.source(db);
  const copy = new Copy();
  copy.bytes = await imageBytes(await source.image());
  source.listen(copy);
  for (const limit of [-1, 20_000]) {
    db.exec(`pragma journal_size_limit=${limit}`);
    for (const kind of ["passive", "restart", "truncate"]) {
      db.exec(fill("t", 60, 900));
      db.exec(`pragma wal_checkpoint(${kind}); update t set b=1 where a%5=0`);
      db.exec("update t set b=2 where a%7=0");
      expect(Buffer.compare(copy.bytes, await imageBytes(await source.image()))).toBe(0);
    }
  }
  db.exec("pragma journal_mode=delete; delete from t where a>30; vacuum");
  expect(Buffer.compare(copy.bytes, capi.sqlite3_js_db_export(db))).toBe(0);
  expect(copy.reasons).toEqual([]);
  db.close();
  over.uninstall();
});

/** An object some of whose methods are others. */
function override<T extends object>(target: T, methods: Partial<T>): T {
  return new Proxy(target, {
    get: (object, name) => {
      const own = Reflect.get(methods, name) as unknown;
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(object, name);
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}

for (const failing of ["sync", "write"] as const) {
  test(`a commit whose WAL ${failing} failed is never delivered, however whole its frames are`, async () => {
    const plain = memorySyncFiles();
    plain.makeDirectory("/data");
    let fails = false;
    const fail = (path: string): void => {
      if (fails && path.endsWith("-wal")) throw new Error("I/O error");
    };
    const files = override(plain, {
      open: (path, options): SyncFile => {
        const file = plain.open(path, options);
        return override(file, {
          sync: () => {
            if (failing === "sync") fail(path);
            file.sync();
          },
          write: (bytes, offset) => {
            // The page arrives whole, and the error all the same.
            file.write(bytes, offset);
            if (failing === "write" && bytes.length > 24) fail(path);
          },
        });
      },
    });
    const base = installSyncFileVfs(sqlite3, { files, name: `failing-${failing}` });
    const over = installCaptureVfs(sqlite3, { parent: base.name });
    const db = open("/data/app.db", over.name);
    db.exec("pragma page_size=1024; pragma journal_mode=wal; pragma synchronous=full");
    db.exec("create table t(a integer primary key, b)");
    const source = over.source(db);
    const copy = new Copy();
    copy.bytes = await imageBytes(await source.image());
    source.listen(copy);
    db.exec(fill("t", 20, 300));
    const before = copy.events.length;
    fails = true;
    expect(() => db.exec("insert into t(b) values('failed')")).toThrow(/IOERR/u);
    fails = false;
    db.exec("begin immediate; commit");
    source.check?.();
    expect(copy.events.length).toBe(before);
    expect(db.selectValue("select count(*) from t where b='failed'")).toBe(0);
    db.exec("insert into t(b) values('right')");
    expect(copy.events.length).toBe(before + 1);
    expect(Buffer.compare(copy.bytes, await imageBytes(await source.image()))).toBe(0);
    db.exec("pragma wal_checkpoint(truncate)");
    expect(Buffer.compare(copy.bytes, plain.bytes("/data/app.db") as Uint8Array)).toBe(0);
    db.close();
  });
}
