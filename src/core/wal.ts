/**
 * The write-ahead log: a 32-byte header, then frames of 24 bytes and one page. Integers are big-endian.
 *
 * | header | size | field                                                                     |
 * | -----: | ---: | ------------------------------------------------------------------------- |
 * |      0 |    4 | 377f0682: checksum words little-endian; 377f0683: big-endian              |
 * |      4 |    4 | version 3007000                                                           |
 * |      8 |    4 | page size                                                                 |
 * |     12 |    4 | checkpoint sequence, one more at each restart                             |
 * | 16, 20 |  4+4 | salt-1, one more at each restart; salt-2, random                          |
 * | 24, 28 |  4+4 | checksum of bytes 0 to 23                                                 |
 *
 * |  frame | size | field                                                                     |
 * | -----: | ---: | ------------------------------------------------------------------------- |
 * |      0 |    4 | page number                                                               |
 * |      4 |    4 | database size in pages when this frame commits, else 0                    |
 * |  8, 12 |  4+4 | salts of the header                                                       |
 * | 16, 20 |  4+4 | checksum over the frame before, this header's bytes 0 to 7, and the page  |
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import { InvalidDatabaseError } from "./errors.ts";

/** Length of the WAL's header in bytes. */
export const WAL_HEADER_SIZE = 32;
/** Length of a frame's header in bytes; a page follows. */
export const WAL_FRAME_HEADER_SIZE = 24;

const MAGIC_LITTLE_ENDIAN = 0x377f0682;
const MAGIC_BIG_ENDIAN = 0x377f0683;
const VERSION = 3_007_000;

/** Whether bytes begin as a WAL does, in either byte order. */
export function isWalMagic(bytes: Uint8Array): boolean {
  const magic = viewOf(bytes).getUint32(0);
  return magic === MAGIC_LITTLE_ENDIAN || magic === MAGIC_BIG_ENDIAN;
}

/** A decoded WAL header. */
export interface WalHeader {
  /** Byte order of the words that checksums add up. */
  readonly bigEndian: boolean;
  /** Page size in bytes as stored; nothing checks it here. */
  readonly pageSize: number;
  /** Checkpoint sequence. */
  readonly sequence: number;
  readonly salt1: number;
  readonly salt2: number;
  /** The stored checksum, from which the first frame's goes on. */
  readonly checksum1: number;
  readonly checksum2: number;
}

/** A decoded frame header. */
export interface WalFrameHeader {
  readonly pgno: number;
  /** Database size in pages when this frame commits, else 0. */
  readonly commit: number;
  readonly salt1: number;
  readonly salt2: number;
  readonly checksum1: number;
  readonly checksum2: number;
}

/** The two running sums of a WAL. */
export class WalChecksum {
  readonly bigEndian: boolean;
  /** Unsigned 32-bit sums. */
  s1 = 0;
  s2 = 0;

  constructor(bigEndian: boolean) {
    this.bigEndian = bigEndian;
  }

  /** Goes on from stored sums. */
  restart(s1: number, s2: number): this {
    this.s1 = s1;
    this.s2 = s2;
    return this;
  }

  /** Adds bytes, a multiple of 8 of them. */
  update(bytes: Uint8Array): this {
    let a = this.s1 | 0;
    let b = this.s2 | 0;
    if (!this.bigEndian && (bytes.byteOffset & 3) === 0) {
      const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
      for (let i = 0; i < words.length; i += 2) {
        a = (a + words[i]! + b) | 0;
        b = (b + words[i + 1]! + a) | 0;
      }
    } else {
      const view = viewOf(bytes);
      const littleEndian = !this.bigEndian;
      for (let i = 0; i < bytes.length; i += 8) {
        a = (a + view.getInt32(i, littleEndian) + b) | 0;
        b = (b + view.getInt32(i + 4, littleEndian) + a) | 0;
      }
    }
    this.s1 = a >>> 0;
    this.s2 = b >>> 0;
    return this;
  }
}

/**
 * Decodes a WAL's header. `undefined` where there is none to speak of: fewer than 32 bytes, or a checksum that does not
 * match, as a torn write leaves it.
 *
 * @param name what to call the WAL in errors.
 * @throws {InvalidDatabaseError} where the bytes are a header of something else or of another version.
 */
export function decodeWalHeader(bytes: Uint8Array, name = "the WAL"): WalHeader | undefined {
  if (bytes.length < WAL_HEADER_SIZE) return undefined;
  const view = viewOf(bytes);
  const magic = view.getUint32(0);
  if (!isWalMagic(bytes)) {
    throw invalid(name, `magic number ${magic.toString(16)} at offset 0 is not that of a WAL`);
  }
  const header = {
    bigEndian: magic === MAGIC_BIG_ENDIAN,
    pageSize: view.getUint32(8),
    sequence: view.getUint32(12),
    salt1: view.getUint32(16),
    salt2: view.getUint32(20),
    checksum1: view.getUint32(24),
    checksum2: view.getUint32(28),
  };
  const sums = new WalChecksum(header.bigEndian).update(bytes.subarray(0, 24));
  if (sums.s1 !== header.checksum1 || sums.s2 !== header.checksum2) return undefined;
  const version = view.getUint32(4);
  if (version !== VERSION) throw invalid(name, `version ${version} at offset 4 is not ${VERSION}`);
  return header;
}

/** Decodes a frame's header from at least 24 bytes; whether it is valid only the checksum can tell. */
export function decodeWalFrameHeader(bytes: Uint8Array): WalFrameHeader {
  const view = viewOf(bytes);
  return {
    pgno: view.getUint32(0),
    commit: view.getUint32(4),
    salt1: view.getUint32(8),
    salt2: view.getUint32(12),
    checksum1: view.getUint32(16),
    checksum2: view.getUint32(20),
  };
}

function invalid(name: string, what: string): InvalidDatabaseError {
  return new InvalidDatabaseError({ operation: "read", object: name, what });
}
