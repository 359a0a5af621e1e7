import { describe, expect, test } from "vitest";
import { concatBytes, equalBytes, fromHex, toHex, viewOf } from "./bytes.ts";
import { isPagestreamError } from "./errors.ts";

describe("bytes", () => {
  test("viewOf() covers exactly the given bytes and shares their memory", () => {
    const all = new Uint8Array([1, 2, 3, 4, 5]);
    const view = viewOf(all.subarray(1, 3));
    expect(view.byteLength).toBe(2);
    view.setUint8(1, 9);
    expect([...all]).toEqual([1, 2, 9, 4, 5]);
  });

  test("concatBytes() joins chunks in order", () => {
    expect(concatBytes([])).toEqual(new Uint8Array(0));
    const joined = concatBytes([new Uint8Array([1]), new Uint8Array(0), new Uint8Array([2, 3])]);
    expect([...joined]).toEqual([1, 2, 3]);
  });

  test("equalBytes() compares length and content", () => {
    expect(equalBytes(new Uint8Array([1, 2]), new Uint8Array([0, 1, 2]).subarray(1))).toBe(true);
    expect(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 3]))).toBe(false);
    expect(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 2, 3]))).toBe(false);
  });

  test("toHex() and fromHex() are inverse", () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(toHex(bytes)).toHaveLength(512);
    expect(toHex(bytes.subarray(9, 12))).toBe("090a0b");
    expect(fromHex(toHex(bytes))).toEqual(bytes);
    expect([...fromHex("AbfF")]).toEqual([0xab, 0xff]);
  });

  test.each(["a", "0g", "0x12", " 1", "12\n"])("fromHex() refuses %j", (text) => {
    expect(() => fromHex(text)).toThrow(/^Cannot parse hex text: /);
    try {
      fromHex(text);
    } catch (error) {
      expect(isPagestreamError(error, "INVALID_ARGUMENT")).toBe(true);
    }
  });
});
