/**
 * Which pages a transaction wrote: the dirty set between one commit and the next.
 *
 * Only places are kept, never contents: SQLite may write a page many times, in pieces, or take it back. What a page
 * holds is read when the transaction is committed. A rollback does not empty the set, for SQLite restores what the
 * journal holds and the journal does not hold free pages: they stay changed in the file and go out with the next
 * commit.
 *
 * @module
 */
import { lockPage } from "../core/lock-page.ts";

/** What {@linkcode DirtyPages.collect} needs to know about the commit. */
export interface CommitSize {
  /** Page size after the commit. */
  readonly pageSize: number;
  /** Size in pages before it. */
  readonly previousCommit: number;
  /** Size in pages after it. */
  readonly commit: number;
}

/** The dirty set. Notes are cheap: nothing is allocated but when a table grows. */
export class DirtyPages {
  /** Length of the writes that `#list` counts in: the page size, taken from the first write. */
  #unit = 0;
  /** One bit for each unit of the file. */
  #bits = new Uint32Array(64);
  /** Numbers, from 1, of the units whose bit is set, in order of arrival. */
  #list = new Uint32Array(64);
  #count = 0;
  #ascending = true;
  /** Offset and length of writes that are not one whole unit. */
  #ranges: number[] = [];
  /** The smallest size in bytes that the file was truncated to. */
  #lowWater = Infinity;

  /** True when nothing was written or truncated since the last {@linkcode clear}. */
  get clean(): boolean {
    return this.#count === 0 && this.#ranges.length === 0 && this.#lowWater === Infinity;
  }

  /** Notes a write. */
  note(offset: number, length: number): void {
    if (length !== this.#unit) {
      if (this.#unit !== 0 || !isPageSize(length)) {
        this.#ranges.push(offset, length);
        return;
      }
      this.#unit = length;
    }
    const index = offset / length;
    if (Number.isInteger(index)) this.#mark(index + 1);
    else this.#ranges.push(offset, length);
  }

  /** Notes a truncation to `size` bytes: pages past it come back, if they do, with new contents. */
  noteTruncation(size: number): void {
    if (size < this.#lowWater) this.#lowWater = size;
  }

  /**
   * The pages of a commit, ascending: all that were written, and all in (previousCommit, commit], for a page that was
   * allocated and freed again in one transaction is never written but part of the database. Without the lock page
   * and without pages past the end. The result is the caller's.
   */
  collect(size: CommitSize): Uint32Array<ArrayBuffer> {
    const { pageSize, previousCommit, commit } = size;
    this.#convert(pageSize);
    const from = Math.min(previousCommit, Math.floor(this.#lowWater / pageSize));
    for (let pgno = from + 1; pgno <= commit; pgno++) this.#mark(pgno);
    let pgnos = this.#list.subarray(0, this.#count);
    if (!this.#ascending) pgnos.sort();
    this.#ascending = true;
    let end = pgnos.length;
    while (end > 0 && pgnos[end - 1]! > commit) end--;
    pgnos = pgnos.slice(0, end);
    const lock = lockPage(pageSize);
    return commit >= lock && pgnos.includes(lock) ? pgnos.filter((pgno) => pgno !== lock) : pgnos;
  }

  /** Empties the set. */
  clear(): void {
    for (let i = 0; i < this.#count; i++) this.#bits[(this.#list[i]! - 1) >>> 5] = 0;
    this.#count = 0;
    this.#ascending = true;
    this.#unit = 0;
    this.#ranges = [];
    this.#lowWater = Infinity;
  }

  /** Brings everything noted to units of the page size. */
  #convert(pageSize: number): void {
    const ranges = this.#ranges;
    if (this.#unit !== pageSize && this.#count > 0) {
      for (let i = 0; i < this.#count; i++) {
        ranges.push((this.#list[i]! - 1) * this.#unit, this.#unit);
      }
      const lowWater = this.#lowWater;
      this.clear();
      this.#lowWater = lowWater;
    }
    this.#unit = pageSize;
    for (let i = 0; i < ranges.length; i += 2) {
      const last = Math.ceil((ranges[i]! + ranges[i + 1]!) / pageSize);
      for (let pgno = Math.floor(ranges[i]! / pageSize) + 1; pgno <= last; pgno++) this.#mark(pgno);
    }
    this.#ranges = [];
  }

  #mark(pgno: number): void {
    const word = (pgno - 1) >>> 5;
    const bit = 1 << ((pgno - 1) & 31);
    if (word >= this.#bits.length) this.#bits = grown(this.#bits, word + 1);
    if ((this.#bits[word]! & bit) !== 0) return;
    this.#bits[word]! |= bit;
    if (this.#count === this.#list.length) this.#list = grown(this.#list, this.#count + 1);
    if (this.#count > 0 && this.#list[this.#count - 1]! > pgno) this.#ascending = false;
    this.#list[this.#count++] = pgno;
  }
}

function isPageSize(length: number): boolean {
  return length >= 512 && length <= 65_536 && (length & (length - 1)) === 0;
}

function grown(table: Uint32Array<ArrayBuffer>, needed: number): Uint32Array<ArrayBuffer> {
  let length = table.length;
  while (length < needed) length *= 2;
  const larger = new Uint32Array(length);
  larger.set(table);
  return larger;
}
