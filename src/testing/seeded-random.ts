/**
 * Reproducible chance: the same seed gives the same numbers on every runtime.
 *
 * @module
 */

/** A seeded generator. Not for keys or names of real objects. */
export interface SeededRandom {
  /** What it was made from; print it when a test fails. */
  readonly seed: number;
  /** The next 32 bits as an unsigned integer. */
  next(): number;
  /** A whole number from 0 to `limit - 1`, for limits up to 2^32. */
  int(limit: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  /** `length` random bytes in a new array. */
  bytes(length: number): Uint8Array<ArrayBuffer>;
  /** One element of a list that is not empty. */
  pick<T>(items: readonly T[]): T;
  /** A new array with the elements in random order. */
  shuffle<T>(items: readonly T[]): T[];
  /** An independent generator, itself reproducible. */
  fork(): SeededRandom;
}

/**
 * Makes a generator from a number (sfc32, seeded by splitmix32): a few nanoseconds per call, period near 2^127.
 *
 * @example
 * ```ts
 * import { seededRandom } from "pagestream/testing";
 *
 * const random = seededRandom(42);
 * const page = random.bytes(4096);
 * const pgno = 1 + random.int(100);
 * ```
 */
export function seededRandom(seed: number): SeededRandom {
  let mix = seed | 0;
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix ^ (mix >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 12; i++) next();
  const int = (limit: number): number => {
    if (!Number.isInteger(limit) || limit < 1 || limit > 0x1_0000_0000) {
      throw new RangeError(`int() needs a limit from 1 to 2^32, not ${limit}`);
    }
    return Math.floor((next() / 0x1_0000_0000) * limit);
  };
  return {
    seed,
    next,
    int,
    chance: (probability) => next() / 0x1_0000_0000 < probability,
    bytes(length) {
      const bytes = new Uint8Array(length);
      // Byte by byte, not through a Uint32Array, whose order differs between machines.
      for (let i = 0; i < length; i += 4) {
        const word = next();
        bytes[i] = word;
        bytes[i + 1] = word >>> 8;
        bytes[i + 2] = word >>> 16;
        bytes[i + 3] = word >>> 24;
      }
      return bytes;
    },
    pick<T>(items: readonly T[]): T {
      if (items.length === 0) throw new RangeError("pick() needs a list that is not empty");
      return items[int(items.length)] as T;
    },
    shuffle<T>(items: readonly T[]): T[] {
      const result = [...items];
      for (let i = result.length - 1; i > 0; i--) {
        const j = int(i + 1);
        const kept = result[i] as T;
        result[i] = result[j] as T;
        result[j] = kept;
      }
      return result;
    },
    fork: () => seededRandom(next()),
  };
}
