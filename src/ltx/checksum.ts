/**
 * Page and database checksums.
 *
 * A page checksum is the CRC-64 of the page number (u32 big-endian) and the page, with the top bit set: a stored
 * checksum is never 0, which means "none". A database checksum is the xor of its page checksums with the top bit
 * set again, so it is kept up to date by xoring an old page out and a new one in, in any order.
 *
 * @module
 */
import { isValidPageSize } from "../core/database-header.ts";
import { InvalidArgumentError, InvalidDatabaseError } from "../core/errors.ts";
import { lockPage } from "../core/lock-page.ts";
import { Crc64 } from "./crc64.ts";

/** The bit that every stored checksum has set; alone, the checksum of an empty database. */
export const CHECKSUM_FLAG = 0x8000000000000000n;

const FLAG_HI = 0x80000000 | 0;
const U64_MAX = 0xffffffffffffffffn;

/** Tells whether a value is a checksum as stored: 64 bits, the top one set. */
export function isChecksum(value: bigint): boolean {
  return value >= CHECKSUM_FLAG && value <= U64_MAX;
}

/** Joins the two signed halves of a CRC-64 and sets the flag bit. */
export function flaggedChecksum(crc: Pick<Crc64, "hi" | "lo">): bigint {
  return (BigInt((crc.hi | FLAG_HI) >>> 0) << 32n) | BigInt(crc.lo >>> 0);
}

/** A database checksum under construction. */
export class DatabaseChecksum {
  readonly #crc = new Crc64();
  #hi = FLAG_HI;
  #lo = 0;

  /** Takes a page in, or, given the content it was taken in with, out again. The lock page must not be given. */
  toggle(pgno: number, data: Uint8Array): void {
    const crc = this.#crc;
    crc.reset();
    crc.updateU32(pgno);
    crc.update(data);
    this.#hi ^= crc.hi;
    this.#lo ^= crc.lo;
  }

  /** The checksum of the pages now in; that of an empty database is {@linkcode CHECKSUM_FLAG}. */
  value(): bigint {
    return flaggedChecksum({ hi: this.#hi, lo: this.#lo });
  }
}

/** The checksum of one page, flag bit set. */
export function pageChecksum(pgno: number, data: Uint8Array): bigint {
  const crc = new Crc64();
  crc.updateU32(pgno);
  crc.update(data);
  return flaggedChecksum(crc);
}

/**
 * The checksum of each page of a database image, in order; the lock page's is 0.
 *
 * @throws {InvalidDatabaseError} when the image ends inside a page.
 */
export function pageChecksums(database: Uint8Array, pageSize: number): BigUint64Array<ArrayBuffer> {
  const count = pageCountOf(database, pageSize);
  const lock = lockPage(pageSize);
  const checksums = new BigUint64Array(count);
  for (let i = 0; i < count; i++) {
    if (i + 1 === lock) continue;
    checksums[i] = pageChecksum(i + 1, database.subarray(i * pageSize, (i + 1) * pageSize));
  }
  return checksums;
}

/**
 * The checksum of a database image, without its lock page; {@linkcode CHECKSUM_FLAG} for an empty one, as files carry it.
 * For a database that is not in memory, feed a {@linkcode DatabaseChecksum}.
 *
 * @throws {InvalidDatabaseError} when the image ends inside a page.
 */
export function databaseChecksum(database: Uint8Array, pageSize: number): bigint {
  const count = pageCountOf(database, pageSize);
  const lock = lockPage(pageSize);
  const checksum = new DatabaseChecksum();
  for (let pgno = 1; pgno <= count; pgno++) {
    if (pgno !== lock)
      checksum.toggle(pgno, database.subarray((pgno - 1) * pageSize, pgno * pageSize));
  }
  return checksum.value();
}

function pageCountOf(database: Uint8Array, pageSize: number): number {
  if (!isValidPageSize(pageSize)) {
    throw new InvalidArgumentError({
      operation: "checksum",
      object: "a database",
      what: `page size ${pageSize} is no power of two from 512 to 65536`,
    });
  }
  if (database.length % pageSize !== 0) {
    throw new InvalidDatabaseError({
      operation: "checksum",
      object: "a database",
      what: `its ${database.length} bytes end inside a page of ${pageSize}`,
    });
  }
  return database.length / pageSize;
}
