import { describe, expect, test } from "vitest";
import { seededRandom } from "../testing/index.ts";
import { PageSet } from "./page-set.ts";

describe("PageSet", () => {
  test("holds each page once and gives them in ascending order", () => {
    const set = new PageSet();
    for (const pgno of [70_000, 1, 31, 32, 33, 1, 63, 64, 2 ** 22]) set.add(pgno);
    expect(set.size).toBe(8);
    expect([...set.toArray()]).toEqual([1, 31, 32, 33, 63, 64, 70_000, 2 ** 22]);
    set.clear();
    expect(set.size).toBe(0);
    expect([...set.toArray()]).toEqual([]);
  });

  test("is the same as a set of numbers for random pages (seed 5)", () => {
    const random = seededRandom(5);
    const set = new PageSet();
    const numbers = new Set<number>();
    for (let i = 0; i < 2_000; i++) {
      const pgno = 1 + random.int(5_000);
      set.add(pgno);
      numbers.add(pgno);
    }
    expect(set.size).toBe(numbers.size);
    expect([...set.toArray()]).toEqual([...numbers].sort((a, b) => a - b));
  });

  test("takes at most 40 KiB for 1 GiB of 4 KiB pages, added in any order", () => {
    const set = new PageSet();
    for (let pgno = 1; pgno <= 262_144; pgno++) set.add(pgno);
    expect(set.size).toBe(262_144);
    expect(set.bytes).toBeLessThanOrEqual(40 << 10);
  });
});
