/**
 * CRC-64/GO-ISO, the checksum of LTX: polynomial x^64 + x^4 + x^3 + x + 1, reflected, all ones in and out.
 *
 * No tables: modulo this polynomial x^64 is (1 + x)(1 + x^3), so carrying the register R over the next 64 bits is
 * R(1 + x)(1 + x^3), two shifts and two xors for each 32-bit half. In reflected order "times x^k" is "shift right by
 * k"; what leaves at the right are powers from x^64 up, which fold back in at the top by the same product. Squaring
 * doubles the exponents: x^128 is (1 + x^2)(1 + x^6), so two interleaved streams of 64-bit words each step by x^128 and the
 * processor overlaps them. A 64-bit register is a pair of signed 32-bit halves throughout.
 *
 * @module
 */

/** Below this many bytes the word loop does not pay for its set-up. */
const WORD_LOOP_MIN = 48;

/**
 * A running CRC-64. Reads what it is given and keeps none of it.
 *
 * The word loop reads memory in the host's byte order and needs a little-endian host, which every JavaScript runtime
 * of today is.
 */
export class Crc64 {
  #hi = 0;
  #lo = 0;

  /** Upper 32 bits of the checksum so far, signed. */
  get hi(): number {
    return this.#hi;
  }

  /** Lower 32 bits of the checksum so far, signed. */
  get lo(): number {
    return this.#lo;
  }

  /** Starts over: the checksum of nothing, 0. */
  reset(): void {
    this.#hi = 0;
    this.#lo = 0;
  }

  /** Goes on from the checksum of other bytes, given as its two halves. */
  set(hi: number, lo: number): void {
    this.#hi = hi;
    this.#lo = lo;
  }

  /** Adds bytes. */
  update(bytes: Uint8Array): void {
    const length = bytes.length;
    let hi = ~this.#hi;
    let lo = ~this.#lo;
    let i = 0;
    if (length >= WORD_LOOP_MIN) {
      // Bytes up to a word boundary, so that the rest can be read as words.
      for (const aligned = -bytes.byteOffset & 3; i < aligned; i++) {
        let fold = (lo ^ bytes[i]!) << 24;
        fold ^= fold >>> 1;
        lo = (lo >>> 8) | (hi << 24);
        hi = (hi >>> 8) ^ fold ^ (fold >>> 3);
      }
      const words = new Int32Array(bytes.buffer, bytes.byteOffset + i, (length - i) >>> 2);
      const end = words.length & ~3;
      let lo0 = words[0]! ^ lo;
      let hi0 = words[1]! ^ hi;
      let lo1 = words[2]!;
      let hi1 = words[3]!;
      for (let k = 4; k < end; k += 4) {
        // Both streams times x^128: first the factor 1 + x^2, then 1 + x^6, then the overflow times (1 + x)(1 + x^3).
        let l = lo0 ^ ((lo0 >>> 2) | (hi0 << 30));
        let h = hi0 ^ (hi0 >>> 2);
        let over = lo0 << 30;
        over ^= (over >>> 6) ^ (l << 26);
        over ^= over >>> 1;
        lo0 = l ^ ((l >>> 6) | (h << 26)) ^ words[k]!;
        hi0 = h ^ (h >>> 6) ^ over ^ (over >>> 3) ^ words[k + 1]!;
        l = lo1 ^ ((lo1 >>> 2) | (hi1 << 30));
        h = hi1 ^ (hi1 >>> 2);
        over = lo1 << 30;
        over ^= (over >>> 6) ^ (l << 26);
        over ^= over >>> 1;
        lo1 = l ^ ((l >>> 6) | (h << 26)) ^ words[k + 2]!;
        hi1 = h ^ (h >>> 6) ^ over ^ (over >>> 3) ^ words[k + 3]!;
      }
      // The first stream is one word behind the second: times x^64, join, and once more x^64 for the joined word.
      for (let round = 0; round < 2; round++) {
        const l = lo0 ^ ((lo0 >>> 1) | (hi0 << 31));
        const h = hi0 ^ (hi0 >>> 1);
        let over = lo0 << 31;
        over ^= (over >>> 3) ^ (l << 29);
        over ^= over >>> 1;
        lo0 = l ^ ((l >>> 3) | (h << 29));
        hi0 = h ^ (h >>> 3) ^ over ^ (over >>> 3);
        if (round === 0) {
          lo0 ^= lo1;
          hi0 ^= hi1;
        }
      }
      lo = lo0;
      hi = hi0;
      i += end << 2;
    }
    for (; i < length; i++) {
      let fold = (lo ^ bytes[i]!) << 24;
      fold ^= fold >>> 1;
      lo = (lo >>> 8) | (hi << 24);
      hi = (hi >>> 8) ^ fold ^ (fold >>> 3);
    }
    this.#hi = ~hi;
    this.#lo = ~lo;
  }

  /** Adds one byte. */
  updateU8(value: number): void {
    const lo = ~this.#lo;
    const hi = ~this.#hi;
    let fold = (lo ^ value) << 24;
    fold ^= fold >>> 1;
    this.#lo = ~((lo >>> 8) | (hi << 24));
    this.#hi = ~((hi >>> 8) ^ fold ^ (fold >>> 3));
  }

  /** Adds the two bytes of a big-endian u16. */
  updateU16(value: number): void {
    let hi = ~this.#hi;
    let lo = ~this.#lo;
    let fold = (lo ^ (value >>> 8)) << 24;
    fold ^= fold >>> 1;
    lo = (lo >>> 8) | (hi << 24);
    hi = (hi >>> 8) ^ fold ^ (fold >>> 3);
    fold = (lo ^ value) << 24;
    fold ^= fold >>> 1;
    lo = (lo >>> 8) | (hi << 24);
    hi = (hi >>> 8) ^ fold ^ (fold >>> 3);
    this.#hi = ~hi;
    this.#lo = ~lo;
  }

  /** Adds the four bytes of a big-endian u32. */
  updateU32(value: number): void {
    const swapped =
      (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
    // Times x^32: the low word leaves at the right and folds into the high word, spilling into the low one.
    const leaving = ~this.#lo ^ swapped;
    const once = leaving ^ (leaving >>> 1);
    const spill = leaving << 31;
    this.#lo = this.#hi ^ spill ^ (spill >>> 3) ^ (once << 29);
    this.#hi = ~(once ^ (once >>> 3));
  }

  /** The checksum so far as an unsigned 64-bit value. */
  value(): bigint {
    return (BigInt(this.#hi >>> 0) << 32n) | BigInt(this.#lo >>> 0);
  }
}

/** The CRC-64/GO-ISO of `bytes`; 0 for none. */
export function crc64(bytes: Uint8Array): bigint {
  const crc = new Crc64();
  crc.update(bytes);
  return crc.value();
}
