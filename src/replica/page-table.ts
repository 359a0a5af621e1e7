/**
 * The digests of every page of a database at one TXID: 8 bytes a page.
 *
 * @module
 */
import type { PageDigest } from "./page-digest.ts";

/** Digests of some pages, in the order they were computed. */
export class PageDigests {
  #pgnos = new Uint32Array(16);
  #values = new Int32Array(32);
  #length = 0;

  /** Number of pages. */
  get length(): number {
    return this.#length;
  }

  /** Appends the digest that `digest` computed last. */
  add(pgno: number, digest: PageDigest): void {
    this.addValue(pgno, digest.hi, digest.lo);
  }

  /** Appends a digest given as two 32-bit halves. */
  addValue(pgno: number, hi: number, lo: number): void {
    const i = this.#length++;
    if (i === this.#pgnos.length) {
      const pgnos = new Uint32Array(i * 2);
      const values = new Int32Array(i * 4);
      pgnos.set(this.#pgnos);
      values.set(this.#values);
      this.#pgnos = pgnos;
      this.#values = values;
    }
    this.#pgnos[i] = pgno;
    this.#values[2 * i] = hi;
    this.#values[2 * i + 1] = lo;
  }

  pgno(index: number): number {
    return this.#pgnos[index] as number;
  }

  hi(index: number): number {
    return this.#values[2 * index] as number;
  }

  lo(index: number): number {
    return this.#values[2 * index + 1] as number;
  }
}

/** One digest per page number. Pages never set (the lock page) have the digest zero. */
export class PageTable {
  #values: Int32Array<ArrayBuffer>;
  #size: number;

  constructor(size = 0, values?: Int32Array<ArrayBuffer>) {
    this.#size = size;
    this.#values = values ?? new Int32Array(2 * size);
  }

  /** Database size in pages. */
  get size(): number {
    return this.#size;
  }

  /** The digests as (hi, lo) pairs in page order; a view, valid until the table changes. */
  get values(): Int32Array<ArrayBuffer> {
    return this.#values.subarray(0, 2 * this.#size);
  }

  /** Sets the size in pages; pages that fall away are forgotten. */
  resize(size: number): void {
    if (2 * size > this.#values.length) {
      const grown = new Int32Array(Math.max(2 * size, Math.ceil(this.#values.length * 1.5)));
      grown.set(this.values);
      this.#values = grown;
    } else if (size < this.#size) {
      this.#values.fill(0, 2 * size, 2 * this.#size);
    }
    this.#size = size;
  }

  /** Sets the digests of changed pages; those past the size are ignored. */
  apply(changed: PageDigests): void {
    for (let i = 0; i < changed.length; i++) {
      const pgno = changed.pgno(i);
      if (pgno <= this.#size) this.set(pgno, changed.hi(i), changed.lo(i));
    }
  }

  set(pgno: number, hi: number, lo: number): void {
    this.#values[2 * pgno - 2] = hi;
    this.#values[2 * pgno - 1] = lo;
  }

  /** Whether a page has the digest that `digest` computed last. */
  matches(pgno: number, digest: PageDigest): boolean {
    return this.#values[2 * pgno - 2] === digest.hi && this.#values[2 * pgno - 1] === digest.lo;
  }

  /** The first page from `from` on that `other` does not have with the same digest; 0 where there is none. */
  firstUnlike(other: PageTable, from: number): number {
    const mine = this.#values;
    const others = other.#values;
    const common = Math.min(this.#size, other.#size);
    for (let pgno = from; pgno <= common; pgno++) {
      const i = 2 * pgno - 2;
      if (mine[i] !== others[i] || mine[i + 1] !== others[i + 1]) return pgno;
    }
    const added = Math.max(from, common + 1);
    return added <= this.#size ? added : 0;
  }

  /** All pages of this table that `other` does not have with the same digest, in ascending order. */
  unlike(other: PageTable): Uint32Array<ArrayBuffer> {
    const pgnos: number[] = [];
    for (let pgno = this.firstUnlike(other, 1); pgno > 0;) {
      pgnos.push(pgno);
      pgno = this.firstUnlike(other, pgno + 1);
    }
    return Uint32Array.from(pgnos);
  }

  /** An independent copy. */
  copy(): PageTable {
    return new PageTable(this.#size, this.values.slice());
  }
}
