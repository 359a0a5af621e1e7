import { describe, expect, test } from "vitest";
import {
  DATABASE_MAGIC,
  type DatabaseHeader,
  decodeDatabaseHeader,
  isValidPageSize,
  isWalMode,
  PAGE_SIZES,
  setJournalHeader,
  storedPageCount,
} from "./database-header.ts";
import { InvalidDatabaseError } from "./errors.ts";

function headerBytes(): Uint8Array {
  const bytes = new Uint8Array(100);
  for (let i = 0; i < 16; i++) bytes[i] = DATABASE_MAGIC.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  view.setUint16(16, 4096);
  bytes[18] = 2;
  bytes[19] = 2;
  bytes[20] = 32;
  view.setUint32(24, 77);
  view.setUint32(28, 1234);
  view.setUint32(40, 5);
  view.setUint32(44, 4);
  view.setUint32(52, 9);
  view.setUint32(64, 1);
  view.setUint32(92, 77);
  view.setUint32(96, 3054001);
  return bytes;
}

describe("decodeDatabaseHeader()", () => {
  test("decodeDatabaseHeader() reads every field from its offset", () => {
    expect(decodeDatabaseHeader(headerBytes())).toEqual<DatabaseHeader>({
      pageSize: 4096,
      writeFormat: 2,
      readFormat: 2,
      reservedBytes: 32,
      changeCounter: 77,
      pageCount: 1234,
      schemaCookie: 5,
      schemaFormat: 4,
      largestRootPage: 9,
      incrementalVacuum: true,
      versionValidFor: 77,
      sqliteVersion: 3054001,
    });
  });

  test("decodeDatabaseHeader() takes a stored page size of 1 for 65536", () => {
    const bytes = headerBytes();
    bytes[16] = 0;
    bytes[17] = 1;
    expect(decodeDatabaseHeader(bytes).pageSize).toBe(65536);
  });

  test("decodeDatabaseHeader() reads a header inside larger memory", () => {
    const memory = new Uint8Array(300);
    memory.set(headerBytes(), 77);
    expect(decodeDatabaseHeader(memory.subarray(77)).pageCount).toBe(1234);
  });

  test("decodeDatabaseHeader() refuses 99 bytes, another magic and impossible page sizes", () => {
    expect(() => decodeDatabaseHeader(headerBytes().subarray(0, 99), "app.db")).toThrow(
      "Cannot decode app.db: 99 bytes are too few",
    );
    const magic = headerBytes();
    magic[15] = 1;
    expect(() => decodeDatabaseHeader(magic)).toThrow("byte 15 is not that of a SQLite database");
    for (const stored of [0, 2, 256, 1000, 4097, 65535]) {
      const bytes = headerBytes();
      new DataView(bytes.buffer).setUint16(16, stored);
      expect(() => decodeDatabaseHeader(bytes)).toThrow(InvalidDatabaseError);
    }
  });
});

describe("database header helpers", () => {
  test("storedPageCount() trusts the size only when it is set and its change counter agrees", () => {
    const header = decodeDatabaseHeader(headerBytes());
    expect(storedPageCount(header)).toBe(1234);
    expect(storedPageCount({ ...header, changeCounter: 78 })).toBeUndefined();
    expect(storedPageCount({ ...header, pageCount: 0 })).toBeUndefined();
  });

  test("setJournalHeader() changes bytes 18 and 19 alone, and isWalMode() sees it", () => {
    const bytes = headerBytes();
    expect(isWalMode(decodeDatabaseHeader(bytes))).toBe(true);
    setJournalHeader(bytes, "rollback");
    const expected = headerBytes();
    expected[18] = 1;
    expected[19] = 1;
    expect(bytes).toEqual(expected);
    expect(isWalMode(decodeDatabaseHeader(bytes))).toBe(false);
    setJournalHeader(bytes, "wal");
    expect(bytes).toEqual(headerBytes());
  });

  test("isValidPageSize() takes the eight sizes and nothing else", () => {
    expect(PAGE_SIZES.filter(isValidPageSize)).toHaveLength(8);
    for (const size of [0, -512, 1, 256, 1000, 513, 4096.5, 131072, NaN, Infinity]) {
      expect(isValidPageSize(size)).toBe(false);
    }
  });
});
