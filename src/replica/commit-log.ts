/**
 * The commit log: every transaction of the open group, on stable storage before it commits.
 *
 * A file per commit would be a request per commit, so transactions are logged one after another and become one file
 * when the group is cut. A record, little-endian:
 *
 * | size | field |
 * |---:|---|
 * | 4 | flags: {@linkcode CONTINUES}, {@linkcode FULL}, {@linkcode COMMITTED} |
 * | 4 | page size |
 * | 4 | database size in pages after the transaction |
 * | 4 | database size in pages before it |
 * | 8 | TXID of the group |
 * | 8 | time of the file before the group's, in milliseconds |
 * | 8 | number of pages |
 * | … | each page: 4 bytes number, then its image |
 * | 8 | CRC-64 of the checksum of the record before (0 for the first) and of all of this record |
 *
 * The first record that is short or fails its checksum ends the log: its transaction was never let through. The chain
 * of checksums keeps a record of an earlier log, should the disk give one back, from passing for one of this.
 *
 * @module
 */
import type { CommittedTransaction } from "../core/commit-source.ts";
import { Crc64 } from "../ltx/crc64.ts";
import type { CommitGroup } from "./commit-group.ts";
import type { LocalState } from "./local-state.ts";

/** The group holds nothing but what is logged: its records, applied to the TXID before, give its state. */
const CONTINUES = 1;
/** The record holds every page of the database. */
const FULL = 2;
/** The transaction is known to have committed. */
const COMMITTED = 4;

const HEADER = 40;
const TRAILER = 8;
/** Bytes handed to the log at a time. */
const CHUNK = 1 << 20;

/** Where a logged transaction belongs. */
export interface LogContext {
  /** TXID of its group. */
  readonly txid: bigint;
  /** Time of the last file before. */
  readonly time: bigint;
  /** Whether the group holds nothing but what is logged. */
  readonly continues: boolean;
}

/** A record read back; its images stay in the log. */
export interface LoggedCommit extends LogContext {
  readonly pageSize: number;
  /** Database size in pages after the transaction. */
  readonly commit: number;
  /** Database size in pages before it. */
  readonly previousCommit: number;
  readonly full: boolean;
  /** Known to have committed; others may have been rolled back if they are the last. */
  readonly committed: boolean;
  /** Number of pages. */
  readonly count: number;
  /** Where in the log the pages begin. */
  readonly offset: number;
}

interface LogEnd {
  readonly size: number;
  readonly hi: number;
  readonly lo: number;
}

const EMPTY: LogEnd = { size: 0, hi: 0, lo: 0 };

type WritePage = (pgno: number, image: Uint8Array) => void;

/** Writes the log of one database, which is empty at first. */
export class CommitLog {
  readonly #state: LocalState;
  #end = EMPTY;
  /** The end before the last record. */
  #before = EMPTY;
  /** Database size in pages before the first record. */
  #previousCommit = 0;
  #chunk = new Uint8Array(HEADER);

  constructor(state: LocalState) {
    this.#state = state;
  }

  /** Bytes in the log. */
  get bytes(): number {
    return this.#end.size;
  }

  /** Adds a transaction. It is on stable storage when this returns; when it throws the log is as before. */
  append(transaction: CommittedTransaction, context: LogContext): void {
    const { pages, pageSize, commit, previousCommit, full } = transaction;
    if (this.#end.size === 0) this.#previousCommit = previousCommit;
    const count = pages.pgnos.length;
    const end = this.#record(
      { ...context, pageSize, commit, previousCommit, full, committed: false, count },
      (page) => pages.pgnos.forEach((pgno, i) => page(pgno, pages.read(i))),
      (chunk, offset) => this.#state.writeLog(chunk, offset),
    );
    this.#state.syncLog();
    this.#before = this.#end;
    this.#end = end;
  }

  /** Takes the last record back: its transaction did not commit. */
  rollBack(): void {
    this.#end = this.#before;
    this.#state.truncateLog(this.#end.size);
    this.#state.syncLog();
  }

  /** Replaces all records by one that holds the newest image of each page, those of `group`. */
  fold(group: CommitGroup, context: LogContext): void {
    const pgnos = group.sortedNumbers();
    const { pageSize, commit } = group;
    const start = this.#end;
    this.#end = EMPTY;
    try {
      this.#state.replaceLog((append) => {
        const previousCommit = this.#previousCommit;
        const count = pgnos.length;
        this.#end = this.#record(
          { ...context, pageSize, commit, previousCommit, full: false, committed: true, count },
          (page) => pgnos.forEach((pgno) => page(pgno, group.image(pgno))),
          (chunk) => append(chunk),
        );
      });
      this.#before = this.#end;
    } catch (error) {
      this.#end = start;
      throw error;
    }
  }

  /** Empties the log: files hold what was in it. */
  clear(): void {
    this.#state.truncateLog(0);
    this.#state.syncLog();
    this.#end = EMPTY;
  }

  /** Writes one record behind the end; returns where it ends. */
  #record(
    what: Omit<LoggedCommit, "offset">,
    pages: (page: WritePage) => void,
    write: (chunk: Uint8Array, offset: number) => void,
  ): LogEnd {
    const { pageSize, count } = what;
    const size = HEADER + count * (4 + pageSize) + TRAILER;
    const room = Math.min(size, CHUNK + pageSize + HEADER);
    if (this.#chunk.length < room) this.#chunk = new Uint8Array(room);
    const chunk = this.#chunk;
    const view = new DataView(chunk.buffer);
    const crc = chain(this.#end);
    let offset = this.#end.size;
    let used = HEADER;
    const flush = (): void => {
      crc.update(chunk.subarray(0, used));
      write(chunk.subarray(0, used), offset);
      offset += used;
      used = 0;
    };
    encodeHeader(view, what);
    pages((pgno, image) => {
      view.setUint32(used, pgno, true);
      chunk.set(image, used + 4);
      used += 4 + pageSize;
      if (used > CHUNK) flush();
    });
    crc.update(chunk.subarray(0, used));
    view.setInt32(used, crc.hi, true);
    view.setInt32(used + 4, crc.lo, true);
    write(chunk.subarray(0, used + TRAILER), offset);
    return { size: this.#end.size + size, hi: crc.hi, lo: crc.lo };
  }
}

/** The records of a log, up to the first that is torn. */
export function readCommitLog(state: LocalState): LoggedCommit[] {
  const records: LoggedCommit[] = [];
  for (let end = EMPTY; ;) {
    const header = state.readLog(end.size, HEADER);
    if (header.length < HEADER) return records;
    const record = decodeHeader(header, end.size + HEADER);
    const length = record.count * (4 + record.pageSize);
    if (state.readLog(record.offset + length, TRAILER).length < TRAILER) return records;
    const crc = chain(end);
    crc.update(header);
    for (let at = 0; at < length; at += CHUNK) {
      crc.update(state.readLog(record.offset + at, Math.min(CHUNK, length - at)));
    }
    const trailer = state.readLog(record.offset + length, TRAILER);
    const view = new DataView(trailer.buffer, trailer.byteOffset);
    const { hi, lo } = crc;
    if (view.getInt32(0, true) !== hi || view.getInt32(4, true) !== lo) return records;
    records.push(record);
    end = { size: record.offset + length + TRAILER, hi, lo };
  }
}

/** Calls `page` for every page of a record; `image` tells where in the log its image lies. */
export function loggedPages(
  state: LocalState,
  record: LoggedCommit,
  page: (pgno: number, image: number) => void,
): void {
  for (let i = 0; i < record.count; i++) {
    const offset = record.offset + i * (4 + record.pageSize);
    const number = state.readLog(offset, 4);
    page(new DataView(number.buffer, number.byteOffset).getUint32(0, true), offset + 4);
  }
}

/** A checksum that begins with the checksum of the record before. */
function chain(before: LogEnd): Crc64 {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, before.hi, true);
  view.setInt32(4, before.lo, true);
  const crc = new Crc64();
  crc.update(bytes);
  return crc;
}

function encodeHeader(view: DataView, what: Omit<LoggedCommit, "offset">): void {
  const flags =
    (what.continues ? CONTINUES : 0) | (what.full ? FULL : 0) | (what.committed ? COMMITTED : 0);
  view.setUint32(0, flags, true);
  view.setUint32(4, what.pageSize, true);
  view.setUint32(8, what.commit, true);
  view.setUint32(12, what.previousCommit, true);
  view.setBigUint64(16, what.txid, true);
  view.setBigUint64(24, what.time, true);
  view.setBigUint64(32, BigInt(what.count), true);
}

function decodeHeader(bytes: Uint8Array, offset: number): LoggedCommit {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint32(0, true);
  return {
    continues: (flags & CONTINUES) !== 0,
    full: (flags & FULL) !== 0,
    committed: (flags & COMMITTED) !== 0,
    pageSize: view.getUint32(4, true),
    commit: view.getUint32(8, true),
    previousCommit: view.getUint32(12, true),
    txid: view.getBigUint64(16, true),
    time: view.getBigUint64(24, true),
    count: Number(view.getBigUint64(32, true)),
    offset,
  };
}
