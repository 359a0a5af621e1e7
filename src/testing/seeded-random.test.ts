import { describe, expect, test } from "vitest";
import { seededRandom } from "./seeded-random.ts";

describe("seededRandom", () => {
  test("seededRandom() gives the same numbers for the same seed", () => {
    const a = seededRandom(7);
    const b = seededRandom(7);
    const first = Array.from({ length: 100 }, () => a.next());
    expect(Array.from({ length: 100 }, () => b.next())).toEqual(first);
    const c = seededRandom(8);
    expect(Array.from({ length: 100 }, () => c.next())).not.toEqual(first);
  });

  test("seededRandom() keeps its sequence from release to release", () => {
    const random = seededRandom(1);
    expect([random.next(), random.next(), random.next()]).toEqual([
      2420951833, 2513034076, 3847892949,
    ]);
  });

  test("next() spreads evenly over all 32 bits", () => {
    const random = seededRandom(3);
    const ones = Array.from({ length: 32 }, () => 0);
    for (let i = 0; i < 20_000; i++) {
      const word = random.next();
      for (let bit = 0; bit < 32; bit++) ones[bit] = (ones[bit] ?? 0) + ((word >>> bit) & 1);
    }
    for (const count of ones) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });

  test("int() stays below its limit and reaches every value", () => {
    const random = seededRandom(4);
    const seen = new Set(Array.from({ length: 500 }, () => random.int(7)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(() => random.int(0)).toThrow(RangeError);
  });

  test("bytes() has the length asked for and no dead positions", () => {
    const random = seededRandom(5);
    for (const length of [0, 1, 2, 3, 4, 5, 4096])
      expect(random.bytes(length)).toHaveLength(length);
    const or = new Uint8Array(7);
    for (let i = 0; i < 50; i++)
      random.bytes(7).forEach((byte, j) => (or[j] = (or[j] ?? 0) | byte));
    expect([...or]).toEqual([255, 255, 255, 255, 255, 255, 255]);
  });

  test("shuffle() keeps the elements and leaves its input alone", () => {
    const random = seededRandom(6);
    const items = [1, 2, 3, 4, 5, 6, 7, 8];
    const shuffled = random.shuffle(items);
    expect(items).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(shuffled).not.toEqual(items);
    expect([...shuffled].sort()).toEqual(items);
    expect(items).toContain(random.pick(items));
    expect(() => random.pick([])).toThrow(RangeError);
  });

  test("fork() gives a generator that is reproducible and different", () => {
    const fork = (): number => seededRandom(9).fork().next();
    expect(fork()).toBe(fork());
    expect(fork()).not.toBe(seededRandom(9).next());
  });
});
