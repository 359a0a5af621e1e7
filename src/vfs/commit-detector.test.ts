import { expect, test } from "vitest";
import { allPages } from "../core/lock-page.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { DirtyPages } from "./commit-detector.ts";

test("DirtyPages.collect() sorts, drops what lies past the end and adds what is new", () => {
  const dirty = new DirtyPages();
  expect(dirty.clean).toBe(true);
  for (const pgno of [9, 2, 2, 5]) dirty.note((pgno - 1) * 4096, 4096);
  expect(dirty.clean).toBe(false);
  const pgnos = dirty.collect({ pageSize: 4096, previousCommit: 6, commit: 8 });
  expect([...pgnos]).toEqual([2, 5, 7, 8]);
  dirty.clear();
  expect(dirty.clean).toBe(true);
  expect([...dirty.collect({ pageSize: 4096, previousCommit: 8, commit: 8 })]).toEqual([]);
});

test("DirtyPages.collect() holds pages that were cut off and grew back", () => {
  const dirty = new DirtyPages();
  dirty.noteTruncation(4 * 512);
  expect(dirty.clean).toBe(false);
  const pgnos = dirty.collect({ pageSize: 512, previousCommit: 7, commit: 7 });
  expect([...pgnos]).toEqual([5, 6, 7]);
});

test("DirtyPages.collect() never holds the lock page", () => {
  const dirty = new DirtyPages();
  const lock = 0x4000_0000 / 65_536 + 1;
  dirty.note(0, 65_536);
  const size = { pageSize: 65_536, previousCommit: lock - 2, commit: lock + 1 };
  expect([...dirty.collect(size)]).toEqual([1, lock - 1, lock + 1]);
  expect(allPages(65_536, lock + 1)).not.toContain(lock);
  expect(allPages(65_536, lock + 1)).toHaveLength(lock);
  expect(allPages(65_536, lock - 1)).toHaveLength(lock - 1);
});

for (const seed of [1, 2, 3, 4, 5]) {
  test(`DirtyPages.collect() equals a plain set for writes of any length, seed ${seed}`, () => {
    const random = seededRandom(seed);
    const dirty = new DirtyPages();
    for (let round = 0; round < 40; round++) {
      const pageSize = random.pick([512, 1024, 4096]);
      const expected = new Set<number>();
      for (let i = random.int(60); i > 0; i--) {
        const length = random.chance(0.8) ? random.pick([512, 1024, 4096]) : 1 + random.int(5000);
        const offset = random.chance(0.8) ? length * random.int(3000) : random.int(3_000_000);
        dirty.note(offset, length);
        const last = Math.floor((offset + length - 1) / pageSize) + 1;
        for (let p = Math.floor(offset / pageSize) + 1; p <= last; p++) expected.add(p);
      }
      const commit = random.int(6000);
      const found = dirty.collect({ pageSize, previousCommit: commit, commit });
      const sorted = [...expected].filter((pgno) => pgno <= commit).sort((a, b) => a - b);
      expect([...found]).toEqual(sorted);
      dirty.clear();
    }
  });
}
