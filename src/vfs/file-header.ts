/**
 * The few fields of a database header that capture needs.
 *
 * | offset | bytes | field                                                        |
 * | ------ | ----- | ------------------------------------------------------------ |
 * | 16     | 2     | page size, big-endian; 1 means 65536                         |
 * | 18, 19 | 1, 1  | write and read version: 1 rollback journal, 2 WAL            |
 * | 24     | 4     | change counter, raised by every commit in normal locking mode |
 * | 28     | 4     | database size in pages                                       |
 *
 * @module
 */
import type { ParentFile } from "./parent-file.ts";

/** Bytes of the header; SQLite itself reads it in one piece of this size. */
export const HEADER_SIZE = 100;

/** What a header says. */
export interface FileHeader {
  /** Bytes; 0 where the header holds no page size that SQLite knows. */
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
  readonly changeCounter: number;
  /** Whether the header asks for WAL. */
  readonly wal: boolean;
}

const EMPTY: FileHeader = { pageSize: 0, commit: 0, changeCounter: 0, wal: false };

/** Reads the header of an open file; zeros for a file too short to have one. Throws `VfsError`. */
export function readFileHeader(file: ParentFile, sizeBytes: number): FileHeader {
  if (sizeBytes < HEADER_SIZE) return EMPTY;
  const bytes = file.read(0, HEADER_SIZE);
  const stored = (bytes[16]! << 8) | bytes[17]!;
  const pageSize = stored === 1 ? 65_536 : stored;
  const valid = pageSize >= 512 && (pageSize & (pageSize - 1)) === 0;
  return {
    pageSize: valid ? pageSize : 0,
    commit: readBigEndian(bytes, 28),
    changeCounter: readBigEndian(bytes, 24),
    wal: bytes[18] === 2 || bytes[19] === 2,
  };
}

/** The page that SQLite's lock bytes lie in; it is never written and never part of a replica. */
export function lockPage(pageSize: number): number {
  return 0x4000_0000 / pageSize + 1;
}

function readBigEndian(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) |
      (bytes[offset + 1]! << 16) |
      (bytes[offset + 2]! << 8) |
      bytes[offset + 3]!) >>>
    0
  );
}
