/**
 * Keyed 64-bit digests of page images: they decide whether a page is still what the replica holds.
 *
 * A checksum will not do: CRC-64 is linear, so whoever may store a blob can change a page without changing its CRC.
 * This is HalfSipHash (one round a word, three to finish) in two interleaved lanes, each over every other word, under
 * a random key that never leaves the local state; two lanes because one is bound by the latency of its own chain.
 *
 * @module
 */

/** Length in bytes of a digest key. */
export const DIGEST_KEY_LENGTH = 16;

/** Bytes 16..19 of page 1 with 18 and 19 masked out: the journal mode is not content (a restore may change it). */
const JOURNAL_BYTES_WORD = 4;
const JOURNAL_BYTES_MASK = 0x0000ffff;

/** Computes digests; `hi` and `lo` hold the last one, so that no object is made per page. */
export class PageDigest {
  /** Upper half of the last digest, as a signed 32-bit integer. */
  hi = 0;
  /** Lower half of the last digest, as a signed 32-bit integer. */
  lo = 0;
  readonly #key: Int32Array;
  #scratch = new Uint8Array(0);

  /** `key` is {@linkcode DIGEST_KEY_LENGTH} random bytes; it is copied. */
  constructor(key: Uint8Array) {
    this.#key = new Int32Array(key.slice(0, DIGEST_KEY_LENGTH).buffer);
  }

  /**
   * Digests one page. Bytes 18 and 19 of page 1 (rollback journal or WAL) do not count. `data` is a whole number of
   * 8-byte words, as every page is.
   */
  update(pgno: number, data: Uint8Array): void {
    const words = this.#words(data);
    const key = this.#key;
    const k0 = key[0] as number;
    const k1 = key[1] as number;
    const k2 = key[2] as number;
    const k3 = key[3] as number;
    let a0 = k0;
    let a1 = k1 ^ 0xee;
    let a2 = 0x6c796765 ^ k0;
    let a3 = 0x74656462 ^ k1;
    let b0 = k2;
    let b1 = k3 ^ 0xee;
    let b2 = 0x6c796765 ^ k2;
    let b3 = 0x74656462 ^ k3;
    for (let i = 0; i < words.length; i += 2) {
      let m = words[i] as number;
      if (i === JOURNAL_BYTES_WORD && pgno === 1) m &= JOURNAL_BYTES_MASK;
      const n = words[i + 1] as number;
      a3 ^= m;
      b3 ^= n;
      a0 = (a0 + a1) | 0;
      b0 = (b0 + b1) | 0;
      a1 = ((a1 << 5) | (a1 >>> 27)) ^ a0;
      b1 = ((b1 << 5) | (b1 >>> 27)) ^ b0;
      a0 = (a0 << 16) | (a0 >>> 16);
      b0 = (b0 << 16) | (b0 >>> 16);
      a2 = (a2 + a3) | 0;
      b2 = (b2 + b3) | 0;
      a3 = ((a3 << 8) | (a3 >>> 24)) ^ a2;
      b3 = ((b3 << 8) | (b3 >>> 24)) ^ b2;
      a0 = (a0 + a3) | 0;
      b0 = (b0 + b3) | 0;
      a3 = ((a3 << 7) | (a3 >>> 25)) ^ a0;
      b3 = ((b3 << 7) | (b3 >>> 25)) ^ b0;
      a2 = (a2 + a1) | 0;
      b2 = (b2 + b1) | 0;
      a1 = ((a1 << 13) | (a1 >>> 19)) ^ a2;
      b1 = ((b1 << 13) | (b1 >>> 19)) ^ b2;
      a2 = (a2 << 16) | (a2 >>> 16);
      b2 = (b2 << 16) | (b2 >>> 16);
      a0 ^= m;
      b0 ^= n;
    }
    this.#finish([a0, a1, a2, a3], [b0, b1, b2, b3, pgno | 0, words.length]);
  }

  /** Absorbs the second lane, the page number and the length into the first lane, then finishes it. */
  #finish(state: [number, number, number, number], rest: readonly number[]): void {
    for (const word of rest) {
      state[3] ^= word;
      round(state);
      state[0] ^= word;
    }
    state[2] ^= 0xee;
    for (let i = 0; i < 3; i++) round(state);
    this.hi = state[1] ^ state[3];
    state[1] ^= 0xdd;
    for (let i = 0; i < 3; i++) round(state);
    this.lo = state[1] ^ state[3];
  }

  /** The page as 32-bit words; only a page at an odd address is copied. */
  #words(data: Uint8Array): Int32Array {
    if ((data.byteOffset & 3) === 0) {
      return new Int32Array(data.buffer, data.byteOffset, data.length >>> 2);
    }
    if (this.#scratch.length !== data.length) this.#scratch = new Uint8Array(data.length);
    this.#scratch.set(data);
    return new Int32Array(this.#scratch.buffer);
  }
}

function round(v: [number, number, number, number]): void {
  let [v0, v1, v2, v3] = v;
  v0 = (v0 + v1) | 0;
  v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
  v0 = (v0 << 16) | (v0 >>> 16);
  v2 = (v2 + v3) | 0;
  v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
  v0 = (v0 + v3) | 0;
  v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
  v2 = (v2 + v1) | 0;
  v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
  v2 = (v2 << 16) | (v2 >>> 16);
  v[0] = v0;
  v[1] = v1;
  v[2] = v2;
  v[3] = v3;
}
