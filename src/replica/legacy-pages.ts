/**
 * The newest image of each page that a row of WALs leaves behind, as many as memory is allowed for.
 *
 * A restore writes pages in order, and the WALs have them in any. So a window of the lowest pages is kept; once those are
 * written, the WALs are read again for the next window. Most databases change so little between two snapshots that one
 * window holds it all.
 *
 * @module
 */

/** Bytes of pages that are kept. */
export const LEGACY_WINDOW_BYTES: number = 64 * 1024 * 1024;

/** What is kept of a full window, so that it is sorted rarely. */
const KEPT_SHARE = 7 / 8;

/** A window of pages. */
export class LegacyPages {
  readonly #from: number;
  readonly #capacity: number;
  readonly #kept = new Map<number, Uint8Array>();
  /** Images of the transaction that is not known to be committed. */
  readonly #open = new Map<number, Uint8Array>();
  #bytes = 0;
  #to = Number.POSITIVE_INFINITY;
  #walCommit = 0;
  #commit = 0;
  #smallest = Number.POSITIVE_INFINITY;

  /** Keeps pages from `from` on, of at most `capacity` bytes. */
  constructor(from: number, capacity: number) {
    this.#from = from;
    this.#capacity = capacity;
  }

  /** Last page of the window: beyond it nothing is known. `Infinity` where all were kept. */
  get to(): number {
    return this.#to;
  }

  /** Database size in pages at the end; 0 where no transaction was committed. */
  get commit(): number {
    return this.#commit;
  }

  /** The smallest size that the database had at the end of a WAL: what lay beyond it before was cut off. */
  get smallest(): number {
    return this.#smallest;
  }

  /** The newest committed image of a page of the window; undefined where the WALs have none. */
  get(pgno: number): Uint8Array | undefined {
    return this.#kept.get(pgno);
  }

  /** Notes a page that is yet to be committed; keeps a copy. */
  add(pgno: number, page: Uint8Array): void {
    if (pgno < this.#from || pgno > this.#to) return;
    const known = this.#open.get(pgno);
    if (known !== undefined) {
      known.set(page);
      return;
    }
    this.#open.set(pgno, page.slice());
    this.#bytes += page.length;
    if (this.#bytes > this.#capacity) this.#shrink();
  }

  /** Ends a transaction, after which the database has `size` pages. */
  endTransaction(size: number): void {
    for (const [pgno, page] of this.#open) {
      if (this.#kept.has(pgno)) this.#bytes -= page.length;
      this.#kept.set(pgno, page);
    }
    this.#open.clear();
    this.#walCommit = size;
  }

  /** Ends a WAL: what it has committed goes into the database. */
  checkpoint(): void {
    for (const page of this.#open.values()) this.#bytes -= page.length;
    this.#open.clear();
    if (this.#walCommit === 0) return;
    this.#commit = this.#walCommit;
    this.#walCommit = 0;
    this.#smallest = Math.min(this.#smallest, this.#commit);
    this.#forget(this.#commit);
  }

  /** Moves the end of the window down. One page at least stays. */
  #shrink(): void {
    const pgnos = [...new Set([...this.#kept.keys(), ...this.#open.keys()])].sort((a, b) => a - b);
    this.#to = pgnos[Math.max(0, Math.floor(pgnos.length * KEPT_SHARE) - 1)] as number;
    this.#forget(this.#to);
  }

  #forget(beyond: number): void {
    for (const pages of [this.#kept, this.#open]) {
      for (const [pgno, page] of pages) {
        if (pgno <= beyond) continue;
        pages.delete(pgno);
        this.#bytes -= page.length;
      }
    }
  }
}
