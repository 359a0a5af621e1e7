import { describe, expect, test } from "vitest";
import { Crc64, crc64 } from "./crc64.ts";

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

/** The definition, bit by bit. */
function reference(bytes: Uint8Array): bigint {
  let c = 0xffffffffffffffffn;
  for (const byte of bytes) {
    c ^= BigInt(byte);
    for (let k = 0; k < 8; k++) c = (c & 1n) === 1n ? (c >> 1n) ^ 0xd800000000000000n : c >> 1n;
  }
  return c ^ 0xffffffffffffffffn;
}

function noise(length: number, seed: number): Uint8Array {
  let x = seed;
  return Uint8Array.from({ length }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    return x >>> 24;
  });
}

describe("crc64()", () => {
  test.each([
    ["", 0n],
    ["a", 0x3420000000000000n],
    ["123456789", 0xb90956c775a41001n],
    ["LTX1", 0x43350e58d0000000n],
    ["\0\0\0\0\0\0\0\0", 0xacffffffffffffffn],
  ])("crc64() of %j is the published value", (text, value) => {
    expect(crc64(ascii(text))).toBe(value);
    expect(reference(ascii(text))).toBe(value);
  });

  test("crc64() equals the definition at every length up to 200 and every alignment, seed 1", () => {
    const bytes = noise(210, 1);
    for (let start = 0; start < 8; start++) {
      for (let length = 0; length <= 200; length += start === 0 ? 1 : 7) {
        const part = bytes.subarray(start, start + length);
        expect(crc64(part)).toBe(reference(part));
      }
    }
  });

  test("Crc64 gives the same value however the bytes are split, seed 2", () => {
    const bytes = noise(3000, 2);
    const whole = reference(bytes);
    for (let seed = 1; seed <= 50; seed++) {
      const cuts = noise(400, seed);
      const crc = new Crc64();
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const end = at + cuts[i % cuts.length]!;
        crc.update(bytes.subarray(at, end));
        at = end;
      }
      expect(crc.value()).toBe(whole);
    }
  });

  test("Crc64 numbers are added as big-endian bytes", () => {
    for (const value of [0, 1, 0x01020304, 0x80000000, 0xfffefdfc, 0xdeadbeef]) {
      const crc = new Crc64();
      crc.update(ascii("prefix"));
      crc.updateU32(value);
      crc.updateU16(value & 0xffff);
      const bytes = new Uint8Array(12);
      bytes.set(ascii("prefix"));
      new DataView(bytes.buffer).setUint32(6, value);
      new DataView(bytes.buffer).setUint16(10, value & 0xffff);
      expect(crc.value()).toBe(reference(bytes));
    }
  });

  test("Crc64 halves make up the value, and reset() starts over", () => {
    const crc = new Crc64();
    crc.update(ascii("123456789"));
    expect([crc.hi >>> 0, crc.lo >>> 0]).toEqual([0xb90956c7, 0x75a41001]);
    crc.reset();
    expect(crc.value()).toBe(0n);
    crc.update(ascii("a"));
    expect(crc.value()).toBe(0x3420000000000000n);
  });
});
