import { describe, expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.ts";
import { PageDigest } from "./page-digest.ts";

const random = seededRandom(11);
const KEY = random.bytes(16);

function digestOf(pgno: number, data: Uint8Array, key: Uint8Array = KEY): string {
  const digest = new PageDigest(key);
  digest.update(pgno, data);
  return `${digest.hi}/${digest.lo}`;
}

describe("PageDigest", () => {
  test("update() gives equal pages equal digests, wherever they lie in memory", () => {
    const page = random.bytes(4096);
    const shifted = new Uint8Array(4100);
    for (const offset of [0, 1, 2, 3, 4]) {
      shifted.set(page, offset);
      expect(digestOf(2, shifted.subarray(offset, offset + 4096))).toBe(digestOf(2, page));
    }
  });

  test("update() sees every single bit of a page", () => {
    const page = random.bytes(512);
    const seen = new Set([digestOf(2, page)]);
    for (let bit = 0; bit < 512 * 8; bit++) {
      const changed = page.slice();
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      seen.add(digestOf(2, changed));
    }
    expect(seen.size).toBe(512 * 8 + 1);
  });

  test("update() sees the change that no CRC-64 sees: an XOR with a multiple of its polynomial", () => {
    const page = random.bytes(4096);
    const changed = page.slice();
    [0x01, 0, 0, 0, 0, 0, 0, 0xb0, 0x01].forEach((byte, i) => {
      changed[100 + i] = (changed[100 + i] as number) ^ byte;
    });
    expect(digestOf(2, changed)).not.toBe(digestOf(2, page));
  });

  test("update() depends on the page number, the key and the page size", () => {
    const page = new Uint8Array(1024);
    const all = [
      digestOf(2, page),
      digestOf(3, page),
      digestOf(2, page, random.bytes(16)),
      digestOf(2, page.subarray(0, 512)),
    ];
    expect(new Set(all).size).toBe(4);
  });

  test("update() does not count the journal mode bytes of page 1, and only those", () => {
    const page = random.bytes(512);
    const other = page.slice();
    other[18] = (page[18] as number) ^ 3;
    other[19] = (page[19] as number) ^ 3;
    expect(digestOf(1, other)).toBe(digestOf(1, page));
    expect(digestOf(2, other)).not.toBe(digestOf(2, page));
    for (const at of [16, 17, 20]) {
      const changed = page.slice();
      changed[at] = (page[at] as number) ^ 1;
      expect(digestOf(1, changed)).not.toBe(digestOf(1, page));
    }
  });

  test("update() spreads over all 64 bits", () => {
    const ones = new Array<number>(64).fill(0);
    const digest = new PageDigest(KEY);
    const page = new Uint8Array(512);
    for (let i = 0; i < 2_000; i++) {
      new DataView(page.buffer).setUint32(8, i);
      digest.update(2, page);
      for (let bit = 0; bit < 32; bit++) {
        ones[bit] = (ones[bit] as number) + ((digest.lo >>> bit) & 1);
        ones[32 + bit] = (ones[32 + bit] as number) + ((digest.hi >>> bit) & 1);
      }
    }
    for (const count of ones) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });
});
