/**
 * xxHash32 over bytes that arrive in pieces: what LZ4 frames larger than memory are checked with.
 *
 * The library that hashes single pages takes all of its input at once; it is the reference in the tests.
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";

const PRIME1 = 0x9e3779b1 | 0;
const PRIME2 = 0x85ebca77 | 0;
const PRIME3 = 0xc2b2ae3d | 0;
const PRIME4 = 0x27d4eb2f;
const PRIME5 = 0x165667b1;

/** Bytes of the four lanes of one step. */
const STRIPE = 16;

/** Adds up the xxHash32, with seed 0, of a sequence of bytes. */
export class Xxh32 {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;
  /** Bytes so far; beyond 32 bits only the low ones count. */
  #length = 0;
  /** Fewer bytes than a stripe, which wait for the next. */
  readonly #rest = new Uint8Array(STRIPE);
  #waiting = 0;

  /** Begins with no bytes. */
  constructor() {
    this.reset();
  }

  /** Forgets all bytes. */
  reset(): void {
    this.#a = (PRIME1 + PRIME2) | 0;
    this.#b = PRIME2;
    this.#c = 0;
    this.#d = -PRIME1 | 0;
    this.#length = 0;
    this.#waiting = 0;
  }

  /** Adds bytes and keeps none of them. */
  update(bytes: Uint8Array): void {
    this.#length += bytes.length;
    let at = 0;
    if (this.#waiting > 0) {
      at = Math.min(STRIPE - this.#waiting, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#waiting);
      this.#waiting += at;
      if (this.#waiting < STRIPE) return;
      this.#stripes(this.#rest);
      this.#waiting = 0;
    }
    const end = bytes.length - ((bytes.length - at) % STRIPE);
    this.#stripes(bytes.subarray(at, end));
    this.#rest.set(bytes.subarray(end));
    this.#waiting = bytes.length - end;
  }

  /** The hash of all bytes added, as an unsigned number. More may be added afterwards. */
  digest(): number {
    let hash =
      this.#length < STRIPE
        ? PRIME5
        : rotate(this.#a, 1) + rotate(this.#b, 7) + rotate(this.#c, 12) + rotate(this.#d, 18);
    hash = (hash + this.#length) | 0;
    const view = viewOf(this.#rest);
    let at = 0;
    for (; at + 4 <= this.#waiting; at += 4) {
      hash = (hash + Math.imul(view.getInt32(at, true), PRIME3)) | 0;
      hash = Math.imul(rotate(hash, 17), PRIME4);
    }
    for (; at < this.#waiting; at++) {
      hash = (hash + Math.imul(view.getUint8(at), PRIME5)) | 0;
      hash = Math.imul(rotate(hash, 11), PRIME1);
    }
    hash = Math.imul(hash ^ (hash >>> 15), PRIME2);
    hash = Math.imul(hash ^ (hash >>> 13), PRIME3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #stripes(bytes: Uint8Array): void {
    const view = viewOf(bytes);
    let [a, b, c, d] = [this.#a, this.#b, this.#c, this.#d];
    for (let at = 0; at < bytes.length; at += STRIPE) {
      a = lane(a, view.getInt32(at, true));
      b = lane(b, view.getInt32(at + 4, true));
      c = lane(c, view.getInt32(at + 8, true));
      d = lane(d, view.getInt32(at + 12, true));
    }
    [this.#a, this.#b, this.#c, this.#d] = [a, b, c, d];
  }
}

/** The xxHash32, with seed 0, of some bytes, as an unsigned number. */
export function xxh32(bytes: Uint8Array): number {
  const sum = new Xxh32();
  sum.update(bytes);
  return sum.digest();
}

function lane(sum: number, word: number): number {
  return Math.imul(rotate((sum + Math.imul(word, PRIME2)) | 0, 13), PRIME1);
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
