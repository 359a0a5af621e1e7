/**
 * The few fields of a database header that capture needs at every commit, read without decoding the rest.
 *
 * @module
 */
import {
  CHANGE_COUNTER_OFFSET,
  DATABASE_HEADER_SIZE,
  isValidPageSize,
  PAGE_COUNT_OFFSET,
  PAGE_SIZE_OFFSET,
  READ_FORMAT_OFFSET,
  WRITE_FORMAT_OFFSET,
} from "../core/database-header.ts";
import type { ParentFile } from "./parent-file.ts";

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
  if (sizeBytes < DATABASE_HEADER_SIZE) return EMPTY;
  // The length in which SQLite itself asks for the header, so that every parent has seen it.
  const bytes = file.read(0, DATABASE_HEADER_SIZE);
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
