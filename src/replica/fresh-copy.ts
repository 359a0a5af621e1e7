/**
 * A new database file, written page by page.
 *
 * @module
 */
import { setJournalHeader } from "../core/database-header.ts";
import type { SyncFile } from "../core/sync-files.ts";

/** Bytes that are collected before they are written. */
const RUN_BYTES = 256 * 1024;

/** Writes pages in ascending order; those left out, as the lock page is, read as zeros. */
export class FreshCopy {
  readonly #file: SyncFile;
  readonly #pageSize: number;
  readonly #run: Uint8Array;
  #filled = 0;
  #offset = 0;
  #closed = false;

  /** Writes to an empty file, which it closes. */
  constructor(file: SyncFile, pageSize: number) {
    this.#file = file;
    this.#pageSize = pageSize;
    this.#run = new Uint8Array(RUN_BYTES);
  }

  /** Takes a copy of a page; page 1 is marked WAL. */
  write(pgno: number, page: Uint8Array): void {
    const offset = (pgno - 1) * this.#pageSize;
    if (offset !== this.#offset + this.#filled || this.#filled === this.#run.length) {
      this.#flush();
      this.#offset = offset;
    }
    this.#run.set(page, this.#filled);
    if (pgno === 1) setJournalHeader(this.#run, "wal");
    this.#filled += page.length;
  }

  /** Brings the file to its size in pages, syncs and closes it. */
  finish(commit: number): void {
    this.#flush();
    this.#file.truncate(commit * this.#pageSize);
    this.#file.sync();
    this.#close();
  }

  /** Closes the file as it is. */
  abort(): void {
    this.#close();
  }

  #flush(): void {
    if (this.#filled > 0) this.#file.write(this.#run.subarray(0, this.#filled), this.#offset);
    this.#filled = 0;
  }

  #close(): void {
    if (!this.#closed) this.#file.close();
    this.#closed = true;
  }
}
