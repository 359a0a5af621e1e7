import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.ts";
import { installMemoryVfs } from "../vfs/memory-vfs.ts";
import { concatBytes, fromHex, viewOf } from "./bytes.ts";
import { openWal, type WalPages, type WalRead, type WalReaderOptions } from "./wal-reader.ts";
import { decodeWalHeader, WalChecksum } from "./wal.ts";

const sqlite3 = await sqlite3InitModule();
const memory = installMemoryVfs(sqlite3, { name: "wal-reader" });
let names = 0;
const open = (path: string): InstanceType<typeof sqlite3.oo1.DB> =>
  new sqlite3.oo1.DB(`file:${path}?vfs=${memory.name}`, "c");

const readOf =
  (wal: Uint8Array): WalRead =>
  (offset, length) =>
    wal.subarray(offset, offset + length);
const NOTHING: WalPages = { frames: new Map(), end: 0, commit: 0 };
const pagesOf = (wal: Uint8Array, options?: WalReaderOptions, limit?: number): WalPages =>
  openWal(readOf(wal), options)?.readPages(limit) ?? NOTHING;

/** All of it as text: where there are thousands to compare, matchers would take most of the time. */
const told = ({ frames, end, commit }: WalPages): string =>
  `${end} ${commit} ${[...frames].map(([pgno, offset]) => `${pgno}:${offset}`).join(" ")}`;

/** What SQLite itself makes of a database file and a WAL beside it. */
function recovered(file: Uint8Array, wal: Uint8Array): Uint8Array {
  const path = `recovered-${++names}.db`;
  memory.write(path, file);
  memory.write(`${path}-wal`, wal);
  const db = open(path);
  db.exec("pragma wal_checkpoint(truncate)");
  db.close();
  return memory.read(path)!;
}

/** A database file with the pages that the reader found. */
function applied(file: Uint8Array, wal: Uint8Array, pages: WalPages): Uint8Array {
  const pageSize = viewOf(wal).getUint32(8);
  const bytes = new Uint8Array(pages.commit * pageSize);
  bytes.set(file.subarray(0, bytes.length));
  for (const [pgno, offset] of pages.frames) {
    bytes.set(wal.subarray(offset + 24, offset + 24 + pageSize), (pgno - 1) * pageSize);
  }
  return bytes;
}

interface Written {
  readonly file: Uint8Array;
  readonly wal: Uint8Array;
  /** Length of the WAL after each transaction. */
  readonly ends: readonly number[];
}

const WRITES = [
  "create table t(a, b)",
  `with recursive c(i) as (select 1 union all select i+1 from c where i<30)
   insert into t select i, randomblob(300) from c`,
  "update t set b=randomblob(290) where a%7=0",
  "delete from t where a>10",
];

/** A WAL as SQLite writes it. */
function written(pageSize: number, transactions: readonly string[] = WRITES): Written {
  const path = `written-${++names}.db`;
  const db = open(path);
  db.exec(`pragma page_size=${pageSize}; pragma auto_vacuum=full; create table first(a)`);
  db.exec("pragma journal_mode=wal; pragma wal_autocheckpoint=0");
  const file = memory.read(path)!;
  const ends = transactions.map((sql) => {
    db.exec(sql);
    return memory.read(`${path}-wal`)!.length;
  });
  const wal = memory.read(`${path}-wal`)!;
  db.close();
  return { file, wal, ends };
}

/** The same WAL with checksums over words of the other byte order. */
function bigEndian(wal: Uint8Array): Uint8Array {
  const bytes = wal.slice();
  const view = viewOf(bytes);
  view.setUint32(0, 0x377f0683);
  const sums = new WalChecksum(true).update(bytes.subarray(0, 24));
  const put = (offset: number): void => {
    view.setUint32(offset, sums.s1);
    view.setUint32(offset + 4, sums.s2);
  };
  put(24);
  const frameSize = 24 + view.getUint32(8);
  for (let at = 32; at < bytes.length; at += frameSize) {
    sums.update(bytes.subarray(at, at + 8)).update(bytes.subarray(at + 24, at + frameSize));
    put(at + 16);
  }
  return bytes;
}

describe("openWal()", () => {
  const page = new Uint8Array(512).fill(0x12);
  test.each([
    [
      "little-endian",
      "377f0682002de21800000200000000000102030405060708d8ce051498aee2be",
      "0000000100000001010203040506070834ea196cc17a3d66",
    ],
    [
      "big-endian",
      "377f0683002de218000002000000000001020304050607081706cddbc2e5ae9c",
      "00000001000000010102030405060708b576c893df36048e",
    ],
  ])("openWal() reads a golden WAL with %s checksums", (_order, header, frame) => {
    const wal = concatBytes([fromHex(header), fromHex(frame), page]);
    const reader = openWal(readOf(wal))!;
    expect(reader.header).toMatchObject({ pageSize: 512, salt1: 0x01020304, salt2: 0x05060708 });
    expect(reader.readFrame()).toEqual({ pgno: 1, commit: 1, offset: 32, data: page });
    expect(reader.readFrame()).toBeUndefined();
    expect(reader.next).toBe(wal.length);
  });

  test("openWal() answers undefined without a whole header, and for a torn one", () => {
    const { wal } = written(512);
    expect(openWal(readOf(wal.subarray(0, 31)))).toBeUndefined();
    for (const at of [4, 8, 12, 16, 20, 24, 28]) {
      const torn = wal.slice();
      torn[at]! ^= 1;
      expect(openWal(readOf(torn))).toBeUndefined();
    }
  });

  test("openWal() refuses what is no WAL, another version and a wrong page size", () => {
    const { wal } = written(512);
    const changed = (at: number, value: number): Uint8Array => {
      const bytes = wal.slice();
      viewOf(bytes).setUint32(at, value);
      const sums = new WalChecksum(false).update(bytes.subarray(0, 24));
      viewOf(bytes).setUint32(24, sums.s1);
      viewOf(bytes).setUint32(28, sums.s2);
      return bytes;
    };
    const opening = (bytes: Uint8Array) => () => openWal(readOf(bytes), { name: "a.db-wal" });
    expect(opening(changed(0, 7))).toThrow(/a\.db-wal: magic number 7 at offset 0/u);
    expect(opening(changed(4, 3_007_001))).toThrow(/version 3007001 at offset 4/u);
    expect(opening(changed(8, 513))).toThrow(/page size at offset 8 is 513/u);
    expect(openWal(readOf(changed(8, 513)), { pageSize: 512 })?.pageSize).toBe(512);
  });

  test("openWal() refuses an offset within a frame or before the second", () => {
    const { wal } = written(512);
    for (const offset of [0, 32, 33, 32 + 536 - 1, 32 + 536 + 24]) {
      const opening = () => openWal(readOf(wal), { from: { offset, salt1: 1, salt2: 2 } });
      expect(opening).toThrow(/is not the end of a frame/u);
    }
  });
});

describe("WalReader", () => {
  for (const pageSize of [512, 4096, 65_536]) {
    test(`readPages() finds what SQLite recovers, page size ${pageSize}`, () => {
      const { file, wal, ends } = written(pageSize);
      for (const end of ends) {
        const part = wal.subarray(0, end);
        const pages = pagesOf(part);
        expect(pages.end).toBe(end);
        expect(applied(file, part, pages)).toEqual(recovered(file, part));
      }
    });
  }

  test("readPages() finds the same by checksums in the other byte order", () => {
    const { file, wal } = written(1024);
    const other = bigEndian(wal);
    expect(pagesOf(other)).toEqual(pagesOf(wal));
    expect(recovered(file, other)).toEqual(recovered(file, wal));
  });

  test("readPages() leaves out pages past the end of the database", () => {
    const { file, wal } = written(512, [...WRITES, "drop table t"]);
    const pages = pagesOf(wal);
    const all = new Set<number>();
    const reader = openWal(readOf(wal))!;
    for (let frame = reader.readFrame(); frame !== undefined; frame = reader.readFrame()) {
      all.add(frame.pgno);
    }
    expect(Math.max(...all)).toBeGreaterThan(pages.commit);
    expect(Math.max(...pages.frames.keys())).toBeLessThanOrEqual(pages.commit);
    expect(applied(file, wal, pages)).toEqual(recovered(file, wal));
  });

  test("readPages() of a WAL cut at any byte ends with the last whole transaction", () => {
    const { wal, ends } = written(512);
    const states = ends.map((end) => told(pagesOf(wal.subarray(0, end))));
    const wrong: number[] = [];
    for (let length = 0; length <= wal.length; length++) {
      const whole = ends.filter((end) => end <= length).length;
      const expected = states[whole - 1] ?? told(NOTHING);
      if (told(pagesOf(wal.subarray(0, length))) !== expected) wrong.push(length);
    }
    expect(wrong).toEqual([]);
  });

  test("readPages() of a WAL with a bit changed ends before that transaction", () => {
    const { wal, ends } = written(512);
    const states = ends.map((end) => told(pagesOf(wal.subarray(0, end))));
    const random = seededRandom(11);
    const wrong: number[] = [];
    for (let at = 32; at < wal.length; at++) {
      const bytes = wal.slice();
      bytes[at]! ^= 1 << random.int(8);
      const whole = ends.filter((end) => end <= at).length;
      if (told(pagesOf(bytes)) !== (states[whole - 1] ?? told(NOTHING))) wrong.push(at);
    }
    expect(wrong).toEqual([]);
  });

  test("readPages() ends where stale frames of an earlier generation begin", () => {
    const path = `stale-${++names}.db`;
    const db = open(path);
    db.exec("pragma page_size=512; pragma journal_mode=wal; pragma wal_autocheckpoint=0");
    for (const sql of WRITES) db.exec(sql);
    db.exec("pragma wal_checkpoint(restart)");
    const file = memory.read(path)!;
    const before = memory.read(`${path}-wal`)!;
    db.exec("insert into t values(1, 1)");
    const wal = memory.read(`${path}-wal`)!;
    db.close();
    expect(wal.length).toBe(before.length);
    const pages = pagesOf(wal);
    expect(pages.end).toBeLessThan(wal.length);
    expect(applied(file, wal, pages)).toEqual(recovered(file, wal));

    // A reader that stood at the end of the stale frames sees no reason to go on anywhere.
    const { salt1, salt2 } = decodeWalHeader(before)!;
    const from = { offset: pages.end, salt1, salt2 };
    expect(() => openWal(readOf(wal), { from })).toThrow(/another generation/u);
  });

  test("readPages() stops at the first commit at or past its limit and can go on there", () => {
    const { wal, ends } = written(512);
    expect(pagesOf(wal, {}, 1).end).toBe(ends[0]);
    expect(pagesOf(wal, {}, ends[1]! - 32).end).toBe(ends[1]);
    expect(pagesOf(wal, {}, ends[1]! - 31).end).toBe(ends[2]);
    const reader = openWal(readOf(wal))!;
    for (const end of ends) expect(reader.readPages(1).end).toBe(end);
    expect(reader.readPages(1)).toEqual(NOTHING);
  });

  test("a reader that begins at an offset finds what one from the start does there", () => {
    const { wal, ends } = written(512);
    for (const bytes of [wal, bigEndian(wal)]) {
      const { salt1, salt2 } = decodeWalHeader(bytes)!;
      const from = { offset: ends[1]!, salt1, salt2 };
      const reader = openWal(readOf(bytes))!;
      reader.readPages(ends[1]! - 32);
      expect(pagesOf(bytes, { from })).toEqual(reader.readPages());
      // A changed frame is noticed though what came before was not read.
      const damaged = bytes.slice();
      damaged[ends[1]! + 100]! ^= 4;
      expect(pagesOf(damaged, { from })).toEqual(NOTHING);
    }
  });

  test("a reader does not begin behind a frame that is gone or of another generation", () => {
    const { wal, ends } = written(512);
    const { salt1, salt2 } = decodeWalHeader(wal)!;
    const from = { offset: ends[1]!, salt1, salt2 };
    const mismatch = expect.objectContaining({ code: "WAL_MISMATCH" });
    expect(() => openWal(readOf(wal.subarray(0, ends[1]! - 1)), { from })).toThrow(mismatch);
    const other = { ...from, salt2: salt2 ^ 1 };
    expect(() => openWal(readOf(wal), { from: other })).toThrow(mismatch);
  });

  test("readFrame() goes on when the WAL has grown, also within a frame that was torn", () => {
    const { wal, ends } = written(4096);
    let length = 32;
    const reader = openWal((offset, size) =>
      wal.subarray(offset, Math.min(offset + size, length)),
    )!;
    const seen: number[] = [];
    for (; length <= wal.length; length += 1000) {
      for (let frame = reader.readFrame(); frame !== undefined; frame = reader.readFrame()) {
        seen.push(frame.offset);
      }
    }
    length = wal.length;
    while (reader.readFrame() !== undefined) seen.push(reader.next - reader.frameSize);
    expect(seen).toEqual(Array.from({ length: (ends[3]! - 32) / 4120 }, (_, i) => 32 + i * 4120));
  });
});
