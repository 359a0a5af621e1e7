/**
 * The few fields of a database header that capture needs at every commit, read without decoding the rest.
 *
 * @module
 */
import {
  CHANGE_COUNTER_OFFSET,
  isValidPageSize,
  PAGE_COUNT_OFFSET,
  PAGE_SIZE_OFFSET,
  READ_FORMAT_OFFSET,
  WRITE_FORMAT_OFFSET,
} from "../core/database-header.ts";
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

/** What an empty file has for a header. */
export const EMPTY_HEADER: FileHeader = { pageSize: 0, commit: 0, changeCounter: 0, wal: false };

/** Reads the header from the first {@linkcode DATABASE_HEADER_SIZE} bytes of a database. */
export function readFileHeader(bytes: Uint8Array): FileHeader {
  const stored = (bytes[PAGE_SIZE_OFFSET]! << 8) | bytes[PAGE_SIZE_OFFSET + 1]!;
  const pageSize = stored === 1 ? 65_536 : stored;
  return {
    pageSize: isValidPageSize(pageSize) ? pageSize : 0,
    commit: readBigEndian(bytes, PAGE_COUNT_OFFSET),
    changeCounter: readBigEndian(bytes, CHANGE_COUNTER_OFFSET),
    wal: bytes[WRITE_FORMAT_OFFSET] === 2 || bytes[READ_FORMAT_OFFSET] === 2,
  };
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
