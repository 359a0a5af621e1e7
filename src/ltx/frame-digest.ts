/**
 * A digest of a set of page frames, to compare a file's index with its pages without keeping either.
 *
 * @module
 */

/**
 * Sums two independent 32-bit mixes of each frame's page number, offset and size. The order does not matter, and two
 * different sets agree by accident in one of 2^64 cases. It is no defence against forgery; nothing in the format is.
 */
export class FrameDigest {
  /** Number of frames added. */
  count = 0;
  #a = 0;
  #b = 0;

  /** Adds a frame; `offset` is a whole number below 2^53. */
  add(pgno: number, offset: number, size: number): void {
    const high = Math.floor(offset / 2 ** 32);
    let a = mix(pgno ^ 0x243f6a88);
    let b = mix(pgno ^ 0x13198a2e);
    a = mix(a + offset);
    b = mix(b ^ offset);
    a = mix(a ^ high);
    b = mix(b + high);
    this.#a = (this.#a + mix(a + size)) | 0;
    this.#b = (this.#b + mix(b ^ size)) | 0;
    this.count++;
  }

  /** Tells whether the same frames were added to both. */
  equals(other: FrameDigest): boolean {
    return this.count === other.count && this.#a === other.#a && this.#b === other.#b;
  }
}

/** A bijection of 32-bit values that spreads each bit over all. */
function mix(value: number): number {
  let h = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
