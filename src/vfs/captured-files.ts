/**
 * The files of one captured path, and what they hold as of the last commit.
 *
 * @module
 */
import { DATABASE_HEADER_SIZE } from "../core/database-header.ts";
import type { CaptureContext } from "./capture-context.ts";
import { ChangeCounter } from "./change-counter.ts";
import { SQLITE_TXN_WRITE } from "./constants.ts";
import { EMPTY_HEADER, type FileHeader, readFileHeader } from "./file-header.ts";
import { notOpenError } from "./not-captured.ts";
import type { ParentFile } from "./parent-file.ts";
import type { Sqlite3 } from "./sqlite3.ts";
import { WalLog } from "./wal-log.ts";
import { WriteCopies } from "./write-copies.ts";

/** Database file and WAL of one path. */
export class CapturedFiles {
  readonly name: string;
  /** Open main files of the path. */
  readonly main: Set<ParentFile> = new Set();
  /** Open WALs of the path: as long as there is one, commits go there. */
  readonly wals: Set<ParentFile> = new Set();
  /** What is known of the WAL. */
  readonly log: WalLog = new WalLog();
  /** Copies of writes to the main file and to the WAL. */
  readonly copies: {
    readonly main: WriteCopies | undefined;
    readonly wal: WriteCopies | undefined;
  };
  readonly counter: ChangeCounter = new ChangeCounter();
  /** Page size at the last commit; 0 while empty. */
  pageSize = 0;
  /** Size in pages at the last commit. */
  commit = 0;
  /** Whether the header asks for WAL. */
  headerSaysWal = false;
  /** Bytes past the end of the database that a crash between commit and truncation left in the file. */
  trailing = 0;
  readonly #sqlite3: Sqlite3;

  constructor(name: string, { sqlite3, copyWrites }: CaptureContext) {
    this.name = name;
    this.#sqlite3 = sqlite3;
    const copies = (): WriteCopies | undefined => (copyWrites ? new WriteCopies() : undefined);
    this.copies = { main: copies(), wal: copies() };
  }

  /** One of the open main files; undefined where there is none. */
  get any(): ParentFile | undefined {
    for (const file of this.main) return file;
    return undefined;
  }

  /** One of the open WALs. Throws `NotCapturedError` where there is none. */
  get wal(): ParentFile {
    for (const file of this.wals) return file;
    throw notOpenError(this.name, "read the WAL of");
  }

  /**
   * The image of a page as of the last commit, or of a transaction in the WAL that is about to commit; a view, valid until the
   * next read.
   */
  page(pgno: number, uncommitted?: ReadonlyMap<number, number>): Uint8Array {
    const frame = uncommitted?.get(pgno) ?? this.log.frames.get(pgno);
    if (frame !== undefined) return this.walPage(frame);
    const file = this.any;
    if (file === undefined) throw notOpenError(this.name, "read");
    return file.readPadded((pgno - 1) * this.pageSize, this.pageSize);
  }

  /** The page of a frame of the WAL; a view, valid until the next read. */
  walPage(frame: number): Uint8Array {
    return this.log.page(this.wal, frame);
  }

  /** The header that a main file has now, by way of the WAL. */
  header(file: ParentFile): FileHeader {
    if (this.wals.size > 0 && this.log.frames.has(1)) {
      return readFileHeader(this.page(1).subarray(0, DATABASE_HEADER_SIZE));
    }
    const copy = this.copies.main?.get(0, DATABASE_HEADER_SIZE);
    if (copy !== undefined) return readFileHeader(copy);
    if (file.size() < DATABASE_HEADER_SIZE) return EMPTY_HEADER;
    // The length in which SQLite itself asks for the header, so that every parent has seen it.
    return readFileHeader(file.read(0, DATABASE_HEADER_SIZE));
  }

  /** Takes page size and size from a main file and its WAL. */
  measure(file: ParentFile): FileHeader {
    const header = this.header(file);
    this.take(file, header);
    return header;
  }

  /** The same with a header that was read already. */
  take(file: ParentFile, header: FileHeader): void {
    this.pageSize = header.pageSize;
    this.counter.last = header.changeCounter;
    this.headerSaysWal = header.wal;
    if (this.wals.size > 0) {
      this.commit = this.log.commit || header.commit;
      this.trailing = 0;
      return;
    }
    if (this.copies.main?.get(0, DATABASE_HEADER_SIZE) !== undefined) {
      // Asking for the size costs as much as what the copies save.
      this.commit = header.commit;
      return;
    }
    const size = file.size();
    const pages = header.pageSize === 0 ? 0 : Math.floor(size / header.pageSize);
    this.commit = Math.min(header.commit, pages);
    this.trailing = size - header.commit * header.pageSize;
  }

  /** Whether a connection of ours is in a write transaction. */
  get inWrite(): boolean {
    return [...this.main].some((file) => this.#inWrite(file));
  }

  /** Whether anyone may be in a write transaction, a connection of ours other than that of `ended` or somebody else. */
  isWritten(ended?: ParentFile): boolean {
    return [...this.main].some((file) => file !== ended && this.#writes(file));
  }

  #inWrite({ connection }: ParentFile): boolean {
    const { sqlite3_txn_state } = this.#sqlite3.capi;
    return connection !== 0 && sqlite3_txn_state(connection, 0) === SQLITE_TXN_WRITE;
  }

  /** Some parents cannot tell whether anyone holds RESERVED, so both signs are asked for. */
  #writes(file: ParentFile): boolean {
    if (file.connection !== 0 && !this.#inWrite(file)) return false;
    return file.reserved() ?? true;
  }
}
