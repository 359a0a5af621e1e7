// oxlint-disable-next-line typescript/triple-slash-reference -- ambient typings cannot be imported
/// <reference path="./lz4js.d.ts" />
import * as fc from "fast-check";
import { compressBlock, decompressBlock } from "lz4js";
import { describe, expect, test } from "vitest";
import { PAGE_SIZES } from "../core/database-header.ts";
import { lz4Compress, lz4CompressBound, lz4Decompress, lz4DecompressAt } from "./lz4-block.ts";

const SEED = 20261122;

function compress(data: Uint8Array): Uint8Array {
  const room = new Uint8Array(lz4CompressBound(data.length));
  return room.slice(0, lz4Compress(data, room));
}

/** Decodes a block byte by byte and says which rule of strict decoders it breaks, if any. */
function strictDecode(block: Uint8Array, length: number): Uint8Array | string {
  const out: number[] = [];
  let i = 0;
  for (;;) {
    const token = block[i++];
    if (token === undefined) return "no token";
    let literals = token >> 4;
    if (literals === 15) {
      let byte: number;
      do {
        byte = block[i++] ?? NaN;
        literals += byte;
      } while (byte === 255);
    }
    if (!(i + literals <= block.length)) return "literals are cut off";
    for (let n = 0; n < literals; n++) out.push(block[i++]!);
    if (i === block.length) {
      if ((token & 15) !== 0) return "the last token has a match length";
      const onlyLiterals = literals === length;
      if (!onlyLiterals && literals < 5) return "the last five bytes are no literals";
      return out.length === length ? Uint8Array.from(out) : `decodes to ${out.length} bytes`;
    }
    if (out.length > length - 12) return "a match starts in the last twelve bytes";
    const distance = block[i]! | (block[i + 1]! << 8);
    i += 2;
    if (distance === 0 || distance > out.length) return `distance ${distance} at ${out.length}`;
    let match = (token & 15) + 4;
    if (match === 19) {
      let byte: number;
      do {
        byte = block[i++] ?? NaN;
        match += byte;
      } while (byte === 255);
    }
    for (let n = 0; n < match; n++) out.push(out.at(-distance)!);
    if (!(out.length <= length)) return "decodes to too much";
  }
}

/** Bytes from unlike to very alike: each run repeats something from before or is new. */
const compressible = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc
    .array(fc.tuple(fc.nat(255), fc.nat(40), fc.nat(600), fc.boolean()), { maxLength: 60 })
    .map((runs) => {
      const bytes: number[] = [];
      for (const [value, length, back, repeats] of runs) {
        for (let i = 0; i < length; i++) {
          const earlier = repeats ? bytes.at(-1 - back) : undefined;
          bytes.push(earlier ?? (value * 31 + i * (value & 7)) & 255);
        }
      }
      return Uint8Array.from(bytes.slice(0, maxLength));
    });

const noise = (length: number, seed: number): Uint8Array => {
  let x = seed;
  return Uint8Array.from({ length }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    return x >>> 24;
  });
};

/** A page like SQLite's: a header, some cells at the end, zeros between. */
const pageLike = (length: number, seed: number): Uint8Array => {
  const page = new Uint8Array(length);
  page.set([13, 0, 0, 0, 9, 1, 2]);
  const text = "the quick brown fox jumps over the lazy dog and comes back again ";
  const random = noise(length, seed);
  for (let at = length - 1, i = 0; at > length / 3; at--, i++) {
    page[at] =
      random[i]! < 40
        ? random[i]!
        : text.charCodeAt((i * (1 + (random[i >> 5]! & 3))) % text.length);
  }
  return page;
};

function expectRoundTrip(data: Uint8Array): void {
  const block = compress(data);
  expect(block.length).toBeLessThanOrEqual(lz4CompressBound(data.length));
  const page = new Uint8Array(data.length).fill(0xee);
  expect(lz4Decompress(block, page)).toBe(data.length);
  expect(page).toEqual(data);
  expect(strictDecode(block, data.length)).toEqual(data);
  // lz4js checks nothing, so it gets room to run over.
  const theirs = new Uint8Array(data.length + 64);
  expect(decompressBlock(block, theirs, 0, block.length, 0)).toBe(data.length);
  expect(theirs.subarray(0, data.length)).toEqual(data);
}

describe("lz4Compress()", () => {
  test("lz4Compress() writes blocks that strict decoders and lz4js read, for any content up to 2400 bytes, seed 20261122", () => {
    fc.assert(fc.property(compressible(2400), expectRoundTrip), { seed: SEED, numRuns: 1500 });
  });

  test("lz4Compress() writes such blocks for short inputs of two letters, where every length rule bites, seed 20261122", () => {
    const short = fc.uint8Array({ max: 1, maxLength: 40 });
    fc.assert(fc.property(short, expectRoundTrip), { seed: SEED, numRuns: 3000 });
  });

  test.each(PAGE_SIZES)("lz4Compress() handles pages of %i bytes of every kind", (size) => {
    expectRoundTrip(new Uint8Array(size));
    expectRoundTrip(new Uint8Array(size).fill(7));
    expectRoundTrip(noise(size, 3));
    expectRoundTrip(Uint8Array.from({ length: size }, (_, i) => i & 1));
    expectRoundTrip(Uint8Array.from({ length: size }, (_, i) => i % 3));
    for (let seed = 1; seed <= 5; seed++) expectRoundTrip(pageLike(size, seed));
    // The same noise twice: a match as far back as this size allows.
    const half = noise(size / 2, 4);
    const twice = new Uint8Array(size);
    twice.set(half);
    twice.set(half, size / 2);
    expectRoundTrip(twice);
    expect(compress(twice).length).toBeLessThan(size * 0.6);
  });

  test.each([
    [512, 515],
    [4096, 4114],
    [16384, 16450],
  ])("lz4Compress() makes one literal run of %i random bytes, %i in all", (size, length) => {
    expect(compress(noise(size, 5))).toHaveLength(length);
  });

  test("lz4Compress() works on unaligned views and leaves the memory around them alone", () => {
    const memory = new Uint8Array(9000).fill(0xab);
    const data = pageLike(4096, 9);
    memory.set(data, 13);
    const out = new Uint8Array(9000).fill(0xcd);
    const length = lz4Compress(
      memory.subarray(13, 13 + 4096),
      out.subarray(7, 7 + lz4CompressBound(4096)),
    );
    expect(out.slice(7, 7 + length)).toEqual(compress(data));
    expect(out.subarray(0, 7).every((byte) => byte === 0xcd)).toBe(true);
    expect(out.subarray(7 + lz4CompressBound(4096)).every((byte) => byte === 0xcd)).toBe(true);
  });

  test("lz4Compress() refuses more than 64 KiB and an output that is too small", () => {
    const room = new Uint8Array(lz4CompressBound(65537));
    expect(() => lz4Compress(new Uint8Array(65537), room)).toThrow("65537 bytes are more than");
    expect(() => lz4Compress(new Uint8Array(512), new Uint8Array(529))).toThrow(
      "room for 529 bytes",
    );
    expect(lz4Compress(new Uint8Array(512), new Uint8Array(530))).toBeGreaterThan(0);
  });
});

describe("lz4Decompress()", () => {
  test("lz4Decompress() reads every block that lz4js writes, of which some break the end-of-block rule, seed 20261122", () => {
    const table = new Uint32Array(65536);
    let lax = 0;
    let blocks = 0;
    const check = (data: Uint8Array): void => {
      table.fill(0);
      const room = new Uint8Array(lz4CompressBound(data.length));
      const length = compressBlock(data, room, 0, data.length, table);
      if (length === 0) return; // lz4js writes no block where nothing matched.
      const block = room.subarray(0, length);
      blocks++;
      if (typeof strictDecode(block, data.length) === "string") lax++;
      const page = new Uint8Array(data.length);
      expect(lz4Decompress(block, page)).toBe(data.length);
      expect(page).toEqual(data);
    };
    fc.assert(fc.property(compressible(2400), check), { seed: SEED, numRuns: 1500 });
    for (let seed = 1; seed <= 300; seed++) check(pageLike(PAGE_SIZES[seed % 5]!, seed));
    expect(blocks).toBeGreaterThan(500);
    expect(lax).toBeGreaterThan(20);
  });

  test("lz4Decompress() accepts literals alone and a match up to the last byte", () => {
    const out = new Uint8Array(8);
    expect(lz4Decompress(Uint8Array.of(0x30, 1, 2, 3), out)).toBe(3);
    expect(lz4Decompress(Uint8Array.of(0x22, 8, 9, 2, 0), out)).toBe(8);
    expect([...out]).toEqual([8, 9, 8, 9, 8, 9, 8, 9]);
  });

  test.each<[string, number[]]>([
    ["a distance of zero", [0x10, 1, 0, 0]],
    ["a distance to before the start", [0x10, 1, 2, 0]],
    ["literals that are cut off", [0x30, 1, 2]],
    ["a literal length that is cut off", [0xf0, 255, 255]],
    ["a literal length without its bytes", [0xf0]],
    ["a distance that is cut off", [0x10, 1, 1]],
    ["a match length that is cut off", [0x1f, 1, 1, 0]],
    ["a match length without an end", [0x1f, 1, 1, 0, 255, 255]],
    ["more literals than the output holds", [0x90, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ["a match longer than the output holds", [0x14, 1, 1, 0]],
    ["a huge match", [0x1f, 1, 1, 0, ...new Array<number>(2000).fill(255), 0]],
  ])("lz4Decompress() refuses %s", (_, block) => {
    expect(lz4Decompress(Uint8Array.from(block), new Uint8Array(8))).toBe(-1);
  });

  test("lz4Decompress() returns 0 for an empty block and the true length of a short one", () => {
    expect(lz4Decompress(new Uint8Array(0), new Uint8Array(512))).toBe(0);
    const block = compress(new Uint8Array(511));
    expect(lz4Decompress(block, new Uint8Array(512))).toBe(511);
    expect(lz4Decompress(block, new Uint8Array(510))).toBe(-1);
  });

  test("lz4Decompress() of garbage and of damaged blocks ends within its bounds, seed 20261122", () => {
    const guard = 32;
    const memory = new Uint8Array(4096 + 2 * guard);
    const run = (block: Uint8Array): void => {
      memory.fill(0x5a);
      const written = lz4Decompress(block, memory.subarray(guard, guard + 4096));
      expect(written >= -1 && written <= 4096).toBe(true);
      expect(memory.subarray(0, guard).every((byte) => byte === 0x5a)).toBe(true);
      expect(memory.subarray(guard + 4096).every((byte) => byte === 0x5a)).toBe(true);
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), run), { seed: SEED, numRuns: 10_000 });
    const block = compress(pageLike(4096, 1));
    for (let bit = 0; bit < block.length * 8; bit += 3) {
      block[bit >> 3]! ^= 1 << (bit & 7);
      run(block);
      block[bit >> 3]! ^= 1 << (bit & 7);
    }
    for (let length = 0; length < block.length; length++) run(block.subarray(0, length));
  });

  test("lz4Decompress() agrees with the byte-wise decoder on damaged blocks, seed 20261122", () => {
    const original = compress(pageLike(1024, 2));
    const damage = fc.array(fc.tuple(fc.nat(original.length - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 3,
    });
    const same = (changes: readonly (readonly [number, number])[]): void => {
      const block = original.slice();
      for (const [at, value] of changes) block[at] = value;
      const page = new Uint8Array(1024);
      const written = lz4Decompress(block, page);
      const expected = looseDecode(block, 1024);
      if (expected === undefined) expect(written).toBe(-1);
      else expect(page.subarray(0, written)).toEqual(expected);
    };
    fc.assert(fc.property(damage, same), { seed: SEED, numRuns: 5000 });
  });

  test("lz4DecompressAt() lets matches reach back before its start, as dependent blocks do", () => {
    const page = Uint8Array.of(1, 2, 3, 4, 0, 0, 0, 0, 0);
    expect(lz4DecompressAt(Uint8Array.of(0x10, 9, 5, 0), page, 4)).toBe(9);
    expect([...page]).toEqual([1, 2, 3, 4, 9, 1, 2, 3, 4]);
    expect(lz4DecompressAt(Uint8Array.of(0x10, 9, 6, 0), page, 4)).toBe(-1);
  });
});

/** Like the strict decoder without its rules for the end; `undefined` on bad input. */
function looseDecode(block: Uint8Array, room: number): Uint8Array | undefined {
  const out: number[] = [];
  let i = 0;
  const extended = (length: number): number => {
    for (;;) {
      const byte = block[i++];
      if (byte === undefined) return NaN;
      length += byte;
      if (byte < 255) return length;
    }
  };
  while (i < block.length) {
    const token = block[i++]!;
    const literals = token >> 4 === 15 ? extended(15) : token >> 4;
    if (!(i + literals <= block.length) || out.length + literals > room) return undefined;
    for (let n = 0; n < literals; n++) out.push(block[i++]!);
    if (i === block.length) break;
    if (i + 2 > block.length) return undefined;
    const distance = block[i]! | (block[i + 1]! << 8);
    i += 2;
    if (distance === 0 || distance > out.length) return undefined;
    const match = 4 + ((token & 15) === 15 ? extended(15) : token & 15);
    if (!(out.length + match <= room)) return undefined;
    for (let n = 0; n < match; n++) out.push(out.at(-distance)!);
  }
  return Uint8Array.from(out);
}
