import { hash } from "lz4js/xxh32.js";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.ts";
import { Xxh32 } from "./xxh32.ts";

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

describe("Xxh32", () => {
  test.each([
    ["", 0x02cc5d05],
    ["a", 0x550d7456],
    ["abc", 0x32d153ff],
    ["Nobody inspects the spammish repetition", 0xe2293b2f],
  ])("Xxh32 of %j is the published value", (text, expected) => {
    const sum = new Xxh32();
    sum.update(ascii(text));
    expect(sum.digest()).toBe(expected);
  });

  test("Xxh32 gives the library's hash for every length up to 100, however the bytes are cut", () => {
    const random = seededRandom(7);
    const sum = new Xxh32();
    for (let length = 0; length <= 100; length++) {
      const bytes = random.bytes(length);
      sum.reset();
      for (let at = 0; at < length;) {
        const part = 1 + random.int(20);
        sum.update(bytes.subarray(at, at + part));
        at += part;
      }
      expect(sum.digest()).toBe(hash(0, bytes, 0, length));
    }
  });

  test("Xxh32 can be asked on the way", () => {
    const bytes = seededRandom(8).bytes(64);
    const sum = new Xxh32();
    sum.update(bytes.subarray(0, 21));
    expect(sum.digest()).toBe(hash(0, bytes, 0, 21));
    sum.update(bytes.subarray(21));
    expect(sum.digest()).toBe(hash(0, bytes, 0, 64));
  });
});
