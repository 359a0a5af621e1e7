import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes, fromHex, toHex } from "../core/bytes.ts";
import { decodeLtx } from "./decode-ltx.ts";
import { encodeLtx } from "./encoder.ts";
import { LtxFormatError } from "./errors.ts";
import { replicaHeader } from "./header.ts";
import { decodeFrame } from "./page-frame.ts";
import {
  decodePageIndex,
  encodePageIndex,
  type PageIndex,
  type PageIndexSource,
  putVarint,
  readPageIndex,
} from "./page-index.ts";

const index = (...entries: readonly (readonly [number, number, number])[]): PageIndex => ({
  pgnos: Uint32Array.from(entries, ([pgno]) => pgno),
  offsets: Float64Array.from(entries, ([, offset]) => offset),
  sizes: Uint32Array.from(entries, ([, , size]) => size),
});

/** Entry bytes with the terminator and L behind them. */
function withLength(entries: string, length?: number): Uint8Array {
  const bytes = fromHex(`${entries.replaceAll(" ", "")}00`);
  const tail = new Uint8Array(8);
  new DataView(tail.buffer).setBigUint64(0, BigInt(length ?? bytes.length));
  return concatBytes([bytes, tail]);
}

function refusal(call: () => unknown): LtxFormatError {
  try {
    call();
  } catch (error) {
    if (error instanceof LtxFormatError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

/** As text: comparing long typed arrays entry by entry with matchers takes seconds. */
const listed = ({ pgnos, offsets, sizes }: PageIndex): string => `${pgnos};${offsets};${sizes}`;

/** Reads from memory and counts the reads. */
function source(bytes: Uint8Array): PageIndexSource & { reads: [number, number][] } {
  const reads: [number, number][] = [];
  return {
    name: "a.ltx",
    size: bytes.length,
    reads,
    read: (offset, length) => {
      reads.push([offset, length]);
      return Promise.resolve(bytes.subarray(offset, offset + length));
    },
  };
}

const PAGE_SIZE = 512;
/** A non-snapshot whose pages do not compress. */
function fileOf(count: number): Uint8Array {
  const header = replicaHeader({
    pageSize: PAGE_SIZE,
    commit: count,
    minTxid: 2n,
    maxTxid: 2n,
    timestamp: 0n,
  });
  const pages = Array.from({ length: count }, (_, i) => ({
    pgno: i + 1,
    data: new Uint8Array(PAGE_SIZE).fill(i),
  }));
  return encodeLtx(header, pages);
}

describe("putVarint()", () => {
  test.each([
    [0, "00"],
    [127, "7f"],
    [128, "8001"],
    [300, "ac02"],
    [16383, "ff7f"],
    [16384, "808001"],
    [4294967295, "ffffffff0f"],
    [Number.MAX_SAFE_INTEGER, "ffffffffffffff0f"],
  ])("putVarint() writes %i as known", (value, hex) => {
    const bytes = new Uint8Array(12);
    expect(toHex(bytes.slice(2, putVarint(bytes, 2, value)))).toBe(hex);
  });
});

describe("decodePageIndex()", () => {
  test("encodePageIndex() of no pages is a zero and L = 1, and reads back", () => {
    expect(toHex(encodePageIndex(index()))).toBe("000000000000000001");
    expect(decodePageIndex(encodePageIndex(index()), { offset: 106 })).toEqual(index());
  });

  test("encodePageIndex() and decodePageIndex() are inverse, seed 20261122", () => {
    const frames = fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 32 - 1 }), { maxLength: 50 });
    fc.assert(
      fc.property(frames, fc.integer({ min: 10, max: 190_000 }), (pgnos, size) => {
        let at = 100;
        const entries = pgnos
          .sort((a, b) => a - b)
          .map((pgno, i) => {
            const entry = [pgno, at, size + i] as const;
            at += size + i;
            return entry;
          });
        const wanted = index(...entries);
        expect(decodePageIndex(encodePageIndex(wanted), { offset: at + 6 })).toEqual(wanted);
      }),
      { seed: 20261122, numRuns: 300 },
    );
  });

  test("decodePageIndex() reads offsets past 4 GiB", () => {
    const wanted = index([1, 2 ** 40 + 5, 22]);
    expect(decodePageIndex(encodePageIndex(wanted))).toEqual(wanted);
  });

  test("decodePageIndex() accepts longer varints than needed and entries in any order, and sorts them", () => {
    expect(decodePageIndex(withLength("8180808080808080800064968000"))).toEqual(
      index([1, 100, 22]),
    );
    expect(decodePageIndex(withLength("026416 017a16"), { offset: 150 })).toEqual(
      index([1, 122, 22], [2, 100, 22]),
    );
  });

  test.each<[string, Uint8Array, string]>([
    ["no bytes", new Uint8Array(0), "cut off"],
    ["L alone", new Uint8Array(8), "cut off"],
    ["L too large", withLength("016416", 5), "index length is 5"],
    ["L too small", withLength("016416", 3), "index length is 3"],
    [
      "a huge L",
      concatBytes([fromHex("01641600"), new Uint8Array(8).fill(255)]),
      "18446744073709551615",
    ],
    ["a cut-off entry", withLength("0164"), "whole entry"],
    ["an entry too few", withLength("0164160264"), "whole entry"],
    ["a terminator before its end", withLength("000000"), "ends early"],
    ["page 0 with place", withLength("006416"), "ends early"],
    ["a page number past 32 bits", withLength("80808080106416"), "does not fit 32 bits"],
    ["eleven bytes", withLength("8180808080808080808080006416"), "more than ten bytes"],
    ["a number beyond 2^53", withLength("01808080808080802016"), "beyond 2^53"],
    ["a frame of 9 bytes", withLength("016409"), "9 bytes"],
    ["a frame of 1 MiB", withLength("0164808040"), "1048576 bytes"],
    ["a page listed twice", withLength("016416017a16"), "page 1 is listed twice"],
  ])("decodePageIndex() refuses %s", (_, bytes, message) => {
    expect(refusal(() => decodePageIndex(bytes)).message).toContain(message);
  });

  test.each<[string, PageIndex, number]>([
    ["a gap after the header", index([1, 101, 22]), 129],
    ["a frame inside the header", index([1, 99, 22]), 127],
    ["a gap between frames", index([1, 100, 22], [2, 123, 22]), 151],
    ["overlapping frames", index([1, 100, 22], [2, 121, 22]), 149],
    ["a gap at the end", index([1, 100, 22]), 129],
    ["frames past the index", index([1, 100, 22]), 127],
  ])("decodePageIndex() refuses %s", (_, wrong, offset) => {
    expect(refusal(() => decodePageIndex(encodePageIndex(wrong), { offset })).field).toBe("index");
    expect(decodePageIndex(encodePageIndex(wrong))).toEqual(wrong);
  });

  test("decodePageIndex() of garbage and of damaged bytes always ends, seed 20261122", () => {
    const run = (bytes: Uint8Array): void => {
      try {
        decodePageIndex(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(LtxFormatError);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), run), {
      seed: 20261122,
      numRuns: 3000,
    });
    // With a right L, so that the entries are reached.
    const inner = fc.uint8Array({ maxLength: 60 }).map((bytes) => withLength(toHex(bytes)));
    fc.assert(fc.property(inner, run), { seed: 20261122, numRuns: 5000 });
  });
});

describe("readPageIndex()", () => {
  test("readPageIndex() takes one read for a small file, and every frame decodes alone", async () => {
    const file = fileOf(20);
    const from = source(file);
    const found = await readPageIndex(from);
    expect(from.reads).toEqual([[0, file.length]]);
    const decoded = decodeLtx(file);
    expect(found).toEqual(decoded.index);
    for (const [i, { pgno, data }] of decoded.pages.entries()) {
      const start = found.offsets[i]!;
      const frame = decodeFrame(file.subarray(start, start + found.sizes[i]!), PAGE_SIZE);
      expect(frame).toEqual({ pgno, data });
    }
  });

  test("readPageIndex() takes one read of 32 KiB for a large file with a small index", async () => {
    const file = fileOf(3000);
    const from = source(file);
    expect(listed(await readPageIndex(from))).toBe(listed(decodeLtx(file).index));
    expect(from.reads).toEqual([[file.length - 32768, 32768]]);
  });

  test("readPageIndex() takes a second read for what is before the last 32 KiB, and no byte twice", async () => {
    const file = fileOf(7000);
    const from = source(file);
    const found = await readPageIndex(from);
    expect(found.pgnos).toHaveLength(7000);
    expect(listed(found)).toBe(listed(decodeLtx(file).index));
    expect(from.reads).toHaveLength(2);
    const [[tail], [offset, length]] = from.reads as [[number, number], [number, number]];
    expect(offset + length).toBe(tail);
  });

  test.each([
    [32743, 1],
    [32744, 1],
    [32745, 2],
  ])(
    "readPageIndex() of an index of %i bytes, 24 less than it reads first or about that, takes %i reads",
    async (length, reads) => {
      // Frames of 20 bytes; entries grow by a byte where a frame has 200 instead.
      const build = (count: number, longer: number): PageIndex => {
        let at = 100;
        const sizes = Array.from({ length: count }, (_, i) => (i < count - longer ? 20 : 200));
        return index(...sizes.map((size, i) => [i + 1, (at += size) - size, size] as const));
      };
      const scratch = new Uint8Array(12);
      let count = 0;
      for (let bytes = 1, i = 1; bytes <= length; i++) {
        count = i - 1;
        bytes += [i, 80 + i * 20, 20].reduce((sum, n) => sum + putVarint(scratch, 0, n), 0);
      }
      const wanted = build(count, length - (encodePageIndex(build(count, 0)).length - 8));
      const entries = encodePageIndex(wanted);
      expect(entries).toHaveLength(length + 8);
      const pages = new Uint8Array(wanted.offsets.at(-1)! + wanted.sizes.at(-1)! + 6);
      const from = source(concatBytes([pages, entries, new Uint8Array(16)]));
      expect(listed(await readPageIndex(from))).toBe(listed(wanted));
      expect(from.reads).toHaveLength(reads);
    },
  );

  test("readPageIndex() refuses files that are too short and every L that the file has no room for", async () => {
    const file = fileOf(20);
    for (const size of [0, 8, 23, 24, 100, 130]) {
      await expect(readPageIndex(source(file.subarray(0, size)))).rejects.toMatchObject({
        field: "size",
      });
    }
    const view = new DataView(file.buffer, file.byteOffset);
    const place = file.length - 24;
    const right = view.getBigUint64(place);
    for (const wrong of [
      0n,
      right - 1n,
      right + 1n,
      BigInt(place - 106),
      BigInt(place),
      1n << 53n,
      (1n << 64n) - 1n,
    ]) {
      view.setBigUint64(place, wrong);
      await expect(readPageIndex(source(file))).rejects.toThrow(LtxFormatError);
    }
  });

  test("readPageIndex() makes no second read for an index that the pages before it cannot need", async () => {
    const file = fileOf(3000);
    const view = new DataView(file.buffer, file.byteOffset);
    view.setBigUint64(file.length - 24, BigInt(file.length - 24 - 200));
    const from = source(file);
    await expect(readPageIndex(from)).rejects.toThrow("longer than the 9 pages");
    expect(from.reads).toHaveLength(1);
  });

  test("readPageIndex() refuses a short read, which means that the file was replaced", async () => {
    const file = fileOf(20);
    const short = { ...source(file), size: file.length + 5 };
    await expect(readPageIndex(short)).rejects.toMatchObject({
      field: "size",
      offset: file.length,
    });
  });
});
