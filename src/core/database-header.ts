/**
 * The first 100 bytes of a SQLite database file. Integers are big-endian.
 *
 * | offset | size | field |
 * | ---: | ---: | --- |
 * | 0 | 16 | `SQLite format 3` and a zero byte |
 * | 16 | 2 | page size; 1 means 65536 |
 * | 18, 19 | 1 + 1 | write and read format: 1 rollback journal, 2 WAL |
 * | 20 | 1 | reserved bytes at the end of each page |
 * | 24 | 4 | file change counter |
 * | 28 | 4 | size in pages |
 * | 40, 44 | 4 + 4 | schema cookie, schema format |
 * | 52, 64 | 4 + 4 | largest root page (auto-vacuum), incremental vacuum flag |
 * | 92, 96 | 4 + 4 | change counter for which the size is valid, SQLite version |
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import { InvalidDatabaseError } from "./errors.ts";

/** Length of the database header in bytes. */
export const DATABASE_HEADER_SIZE = 100;

/** What a database file begins with: `SQLite format 3` and a zero byte. */
export const DATABASE_MAGIC = "SQLite format 3\0";

/** Offset of the page size (u16, 1 means 65536). */
export const PAGE_SIZE_OFFSET = 16;

/** Offset of the write format byte; 1 rollback journal, 2 WAL. */
export const WRITE_FORMAT_OFFSET = 18;

/** Offset of the read format byte; 1 rollback journal, 2 WAL. */
export const READ_FORMAT_OFFSET = 19;

/** Offset of the file change counter (u32). SQLite does not count up for each transaction in WAL mode. */
export const CHANGE_COUNTER_OFFSET = 24;

/** Offset of the database size in pages (u32). */
export const PAGE_COUNT_OFFSET = 28;

/** Offset of the change counter for which the size in pages is valid (u32). */
export const VERSION_VALID_FOR_OFFSET = 92;

/** Every page size SQLite knows, in bytes. */
export const PAGE_SIZES: readonly number[] = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/** Tells whether a number is a page size SQLite knows: a power of two from 512 to 65536. */
export function isValidPageSize(pageSize: number): boolean {
  return pageSize >= 512 && pageSize <= 65536 && Number.isInteger(Math.log2(pageSize));
}

/** The decoded fields of a database header. */
export interface DatabaseHeader {
  /** Page size in bytes. */
  readonly pageSize: number;
  /** 1 rollback journal, 2 WAL. */
  readonly writeFormat: number;
  /** 1 rollback journal, 2 WAL. */
  readonly readFormat: number;
  /** Bytes at the end of each page that SQLite leaves to extensions. */
  readonly reservedBytes: number;
  /** File change counter. */
  readonly changeCounter: number;
  /** Size in pages as stored; see {@linkcode storedPageCount} for when to trust it. */
  readonly pageCount: number;
  /** Changes whenever the schema does. */
  readonly schemaCookie: number;
  /** Schema format number, 1 to 4; 0 before the first table. */
  readonly schemaFormat: number;
  /** Largest root page; non-zero in auto-vacuum databases. */
  readonly largestRootPage: number;
  /** True in incremental-vacuum mode. */
  readonly incrementalVacuum: boolean;
  /** The change counter at which `pageCount` was stored. */
  readonly versionValidFor: number;
  /** `SQLITE_VERSION_NUMBER` of the library that wrote last. */
  readonly sqliteVersion: number;
}

/**
 * Decodes the header from page 1 or its first 100 bytes; reads the bytes and keeps nothing.
 *
 * @param name what to call the database in errors.
 * @throws {InvalidDatabaseError} when the bytes are no SQLite database header.
 */
export function decodeDatabaseHeader(bytes: Uint8Array, name = "database header"): DatabaseHeader {
  if (bytes.length < DATABASE_HEADER_SIZE) {
    throw invalid(
      name,
      `${bytes.length} bytes are too few for a database header of ${DATABASE_HEADER_SIZE}`,
    );
  }
  for (let i = 0; i < DATABASE_MAGIC.length; i++) {
    if (bytes[i] !== DATABASE_MAGIC.charCodeAt(i)) {
      throw invalid(name, `byte ${i} is not that of a SQLite database, or the file is encrypted`);
    }
  }
  const view = viewOf(bytes);
  const stored = view.getUint16(PAGE_SIZE_OFFSET);
  const pageSize = stored === 1 ? 65536 : stored;
  if (!isValidPageSize(pageSize)) {
    throw invalid(
      name,
      `page size ${stored} at offset ${PAGE_SIZE_OFFSET} is no power of two from 512 to 65536`,
    );
  }
  return {
    pageSize,
    writeFormat: view.getUint8(WRITE_FORMAT_OFFSET),
    readFormat: view.getUint8(READ_FORMAT_OFFSET),
    reservedBytes: view.getUint8(20),
    changeCounter: view.getUint32(CHANGE_COUNTER_OFFSET),
    pageCount: view.getUint32(PAGE_COUNT_OFFSET),
    schemaCookie: view.getUint32(40),
    schemaFormat: view.getUint32(44),
    largestRootPage: view.getUint32(52),
    incrementalVacuum: view.getUint32(64) !== 0,
    versionValidFor: view.getUint32(VERSION_VALID_FOR_OFFSET),
    sqliteVersion: view.getUint32(96),
  };
}

/**
 * The stored size in pages, or `undefined` where it must not be trusted: old writers leave it zero or behind. While
 * a WAL exists its last commit frame rules, whatever this says.
 */
export function storedPageCount(header: DatabaseHeader): number | undefined {
  const valid = header.pageCount !== 0 && header.changeCounter === header.versionValidFor;
  return valid ? header.pageCount : undefined;
}

/** Tells whether the file is marked as WAL: opening it then needs shared memory or exclusive locking. */
export function isWalMode(header: Pick<DatabaseHeader, "writeFormat" | "readFormat">): boolean {
  return header.writeFormat === 2 || header.readFormat === 2;
}

/** Marks a page 1 as rollback-journal or WAL, in place (bytes 18 and 19). */
export function setJournalHeader(page1: Uint8Array, journal: "rollback" | "wal"): void {
  const format = journal === "wal" ? 2 : 1;
  page1[WRITE_FORMAT_OFFSET] = format;
  page1[READ_FORMAT_OFFSET] = format;
}

function invalid(name: string, what: string): InvalidDatabaseError {
  return new InvalidDatabaseError({ operation: "decode", object: name, what });
}
