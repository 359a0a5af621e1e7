/**
 * Sets of page numbers as bitmaps: 32 KiB for each GiB of a database with 4 KiB pages, however many pages are in the set.
 *
 * @module
 */

const NO_WORDS = new Uint32Array(0);
/** Pages 1 to 2047, so that a small database never grows it. */
const FIRST_WORDS = 64;

/** A growing set of page numbers. */
export class PageSet {
  /** Shared while the set is empty: every open group has one. */
  #words = NO_WORDS;
  #size = 0;

  /** Number of pages in the set. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of memory the set takes. */
  get bytes(): number {
    return this.#words.byteLength;
  }

  /** Adds a page; a second time changes nothing. */
  add(pgno: number): void {
    const at = pgno >>> 5;
    if (at >= this.#words.length) this.#grow(at + 1);
    const word = this.#words[at] as number;
    const bit = 1 << (pgno & 31);
    if ((word & bit) !== 0) return;
    this.#words[at] = word | bit;
    this.#size++;
  }

  /** Takes every page out. */
  clear(): void {
    this.#words = NO_WORDS;
    this.#size = 0;
  }

  /** The pages in ascending order. */
  toArray(): Uint32Array<ArrayBuffer> {
    const pgnos = new Uint32Array(this.#size);
    let i = 0;
    this.#words.forEach((word, at) => {
      for (let rest = word; rest !== 0; rest &= rest - 1) {
        pgnos[i++] = at * 32 + 31 - Math.clz32(rest & -rest);
      }
    });
    return pgnos;
  }

  #grow(length: number): void {
    const size = Math.max(FIRST_WORDS, length, Math.ceil(this.#words.length * 1.25));
    const grown = new Uint32Array(size);
    grown.set(this.#words);
    this.#words = grown;
  }
}
