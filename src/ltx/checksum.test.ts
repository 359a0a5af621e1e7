import { describe, expect, test } from "vitest";
import { lockPage } from "../core/lock-page.ts";
import {
  CHECKSUM_FLAG,
  databaseChecksum,
  DatabaseChecksum,
  pageChecksum,
  pageChecksums,
} from "./checksum.ts";

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

/** The pages one after the other. */
function image(...pages: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(pages.flatMap((page) => [...page]));
}

describe("pageChecksum()", () => {
  test.each([
    [1, 0x00, 512, 0xefb1f44fecd99000n],
    [2, 0x00, 512, 0xef63e89fecd99000n],
    [1, 0x12, 512, 0xdc4ea77cdfeaa333n],
    [1, 0x01, 512, 0xe4e4aaa102377eeen],
    [2, 0x02, 512, 0xc9c9554231044dddn],
    [3, 0x03, 512, 0xc2d2001cdfeaa333n],
    [1, 0x00, 4096, 0xd9328f592d9e733dn],
  ])(
    "pageChecksum() of page %i filled with %i, %i bytes, is known",
    (pgno, fill, length, value) => {
      expect(pageChecksum(pgno, filled(length, fill))).toBe(value);
    },
  );
});

describe("databaseChecksum()", () => {
  test("databaseChecksum() equals known values", () => {
    const three = image(filled(512, 1), filled(512, 2), filled(512, 3));
    expect(databaseChecksum(three, 512)).toBe(0xefffffffecd99000n);
    const two = image(filled(1024, 0x32), filled(1024, 0x33));
    expect(databaseChecksum(two, 1024)).toBe(0xe1899b6d587aaaaan);
  });

  test("databaseChecksum() of nothing is the flag bit, as files carry it", () => {
    expect(databaseChecksum(new Uint8Array(0), 4096)).toBe(CHECKSUM_FLAG);
  });

  test("databaseChecksum() and pageChecksums() refuse a partial page and a bad page size", () => {
    expect(() => databaseChecksum(new Uint8Array(513), 512)).toThrow("end inside a page of 512");
    expect(() => pageChecksums(new Uint8Array(511), 512)).toThrow("end inside a page of 512");
    expect(() => pageChecksums(new Uint8Array(1000), 1000)).toThrow("page size 1000");
  });

  test("pageChecksums() lists the checksum of each page", () => {
    const all = pageChecksums(image(filled(512, 1), filled(512, 2)), 512);
    expect([...all]).toEqual([0xe4e4aaa102377eeen, 0xc9c9554231044dddn]);
    expect(pageChecksums(new Uint8Array(0), 512)).toHaveLength(0);
  });

  test("pageChecksums() and databaseChecksum() leave the lock page out of a database past 1 GiB", () => {
    // Zeroed memory that nothing writes to costs address space alone.
    const pageSize = 65536;
    const lock = lockPage(pageSize);
    const database = new Uint8Array((lock + 1) * pageSize);
    const before = pageChecksums(database, pageSize);
    expect(before[lock - 1]).toBe(0n);
    expect(before[lock - 2]).toBe(pageChecksum(lock - 1, filled(pageSize, 0)));
    expect(before[lock]).toBe(pageChecksum(lock + 1, filled(pageSize, 0)));
    const expected = before.reduce((sum, checksum) => CHECKSUM_FLAG | (sum ^ checksum), 0n);
    database[(lock - 1) * pageSize] = 1;
    expect(databaseChecksum(database, pageSize)).toBe(expected);
  }, 30_000);
});

describe("DatabaseChecksum", () => {
  test("DatabaseChecksum of a database past 1 GiB without its lock page is known", () => {
    const page = filled(4096, "x".charCodeAt(0));
    const checksum = new DatabaseChecksum();
    for (let pgno = 1; pgno <= 262155; pgno++) if (pgno !== 262145) checksum.toggle(pgno, page);
    expect(checksum.value()).toBe(0xc19b668c376662c7n);
  }, 30_000);

  test("DatabaseChecksum takes pages in any order and out again", () => {
    const checksum = new DatabaseChecksum();
    checksum.toggle(3, filled(512, 3));
    checksum.toggle(1, filled(512, 7));
    checksum.toggle(2, filled(512, 2));
    checksum.toggle(1, filled(512, 7));
    checksum.toggle(1, filled(512, 1));
    expect(checksum.value()).toBe(0xefffffffecd99000n);
  });
});
