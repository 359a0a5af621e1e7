// oxlint-disable-next-line typescript/triple-slash-reference -- ambient typings cannot be imported
/// <reference path="./lz4js.d.ts" />
import * as fc from "fast-check";
import { hash } from "lz4js/xxh32.js";
import { describe, expect, test } from "vitest";
import { concatBytes, fromHex } from "../core/bytes.ts";
import { LtxFormatError } from "./errors.ts";
import { lz4Compress, lz4CompressBound } from "./lz4-block.ts";
import { lz4FrameBound, Lz4FrameWalk } from "./lz4-frame.ts";
import { decodeFrame } from "./page-frame.ts";

const SEED = 20261122;
const PAGE_SIZE = 1024;
const page = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => (i < 300 ? (i * i) >> 3 : i & 3));
const noise = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);

/** How to write a frame: what varies between writers, and what is wrong on purpose. */
interface FrameOptions {
  readonly data?: Uint8Array;
  readonly independent?: boolean;
  readonly blockChecksums?: boolean;
  readonly contentSize?: number;
  readonly contentChecksum?: boolean;
  readonly blockSize?: number;
  /** Where the content is cut into blocks. */
  readonly cuts?: readonly number[];
  readonly stored?: boolean;
  readonly flags?: number;
  readonly wrongContent?: boolean;
  readonly wrongBlock?: boolean;
  readonly wrongHeader?: boolean;
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

function lz4Frame(options: FrameOptions = {}): Uint8Array {
  const { data = page, cuts = [], stored = false } = options;
  let flags = options.flags ?? 0x40;
  if (options.independent !== false) flags |= 0x20;
  if (options.blockChecksums === true) flags |= 0x10;
  if (options.contentSize !== undefined) flags |= 0x08;
  if (options.contentChecksum !== false) flags |= 0x04;
  const descriptor: Uint8Array[] = [Uint8Array.of(flags, (options.blockSize ?? 4) << 4)];
  if (options.contentSize !== undefined) descriptor.push(u32(options.contentSize), u32(0));
  const head = concatBytes(descriptor);
  const check = (hash(0, head, 0, head.length) >>> 8) & 255;
  const parts: Uint8Array[] = [
    u32(0x184d2204),
    head,
    Uint8Array.of(options.wrongHeader ? check ^ 1 : check),
  ];
  const ends = [...cuts, data.length];
  for (const [i, end] of ends.entries()) {
    const content = data.subarray(i === 0 ? 0 : ends[i - 1]!, end);
    const room: Uint8Array = new Uint8Array(lz4CompressBound(content.length));
    const block = stored ? content : room.subarray(0, lz4Compress(content, room));
    parts.push(u32((stored ? 0x80000000 : 0) + block.length), block);
    const sum = hash(0, block, 0, block.length);
    if (options.blockChecksums === true)
      parts.push(u32(options.wrongBlock === true ? sum ^ 1 : sum));
  }
  parts.push(u32(0));
  const sum = hash(0, data, 0, data.length);
  if (options.contentChecksum !== false)
    parts.push(u32(options.wrongContent === true ? sum ^ 1 : sum));
  return concatBytes(parts);
}

const decode = (frame: Uint8Array): Uint8Array =>
  decodeFrame(concatBytes([Uint8Array.of(0, 0, 0, 7, 0, 0), frame]), PAGE_SIZE).data;

const skippable = (length: number): Uint8Array =>
  concatBytes([u32(0x184d2a53), u32(length), new Uint8Array(length)]);

describe("xxHash32", () => {
  test("hash() equals known values", () => {
    expect(hash(0, new Uint8Array(0), 0, 0)).toBe(0x02cc5d05);
    const digits = Uint8Array.from("123456789", (c) => c.charCodeAt(0));
    expect(hash(0, digits, 0, 9)).toBe(0x937bad67);
    expect((hash(0, fromHex("6440"), 0, 2) >>> 8) & 255).toBe(0xa7);
    expect((hash(0, fromHex("6470"), 0, 2) >>> 8) & 255).toBe(0xb9);
  });
});

describe("LZ4 frames", () => {
  test.each<[string, FrameOptions]>([
    ["as Litestream wrote it", {}],
    ["with a stored block", { stored: true, data: noise }],
    ["with a compressed block of noise", { data: noise }],
    ["with block checksums", { blockChecksums: true }],
    ["with its content size", { contentSize: PAGE_SIZE }],
    ["with a wrong content size", { contentSize: 77 }],
    ["with blocks of up to 4 MiB", { blockSize: 7 }],
    ["with the dependent-blocks bit", { independent: false }],
    ["of several blocks", { cuts: [100, 101, 700] }],
    [
      "of several stored blocks with checksums",
      { cuts: [10, 1000], stored: true, blockChecksums: true },
    ],
  ])("decodeFrame() reads a frame %s", (_, options) => {
    expect(decode(lz4Frame(options))).toEqual(options.data ?? page);
  });

  test("decodeFrame() reads a frame after skippable frames, up to 64 KiB of them", () => {
    expect(decode(concatBytes([skippable(0), skippable(100), lz4Frame()]))).toEqual(page);
    expect(decode(concatBytes([skippable(65528), lz4Frame()]))).toEqual(page);
    expect(() => decode(concatBytes([skippable(65529), lz4Frame()]))).toThrow(
      "skippable frame is too long",
    );
  });

  test("decodeFrame() reads matches into earlier blocks only where the blocks are dependent", () => {
    // The first block is stored, the second one match that reaches 512 bytes back.
    const first = Uint8Array.from({ length: 512 }, (_, i) => i & 255);
    const second = Uint8Array.of(0x0f, 0x00, 0x02, 255, 238);
    const content = concatBytes([first, first]);
    const head = (flags: number): Uint8Array => {
      const bytes = Uint8Array.of(flags, 0x40);
      return concatBytes([
        u32(0x184d2204),
        bytes,
        Uint8Array.of((hash(0, bytes, 0, 2) >>> 8) & 255),
      ]);
    };
    const rest = concatBytes([
      u32(0x80000000 + 512),
      first,
      u32(second.length),
      second,
      u32(0),
      u32(hash(0, content, 0, 1024)),
    ]);
    expect(decode(concatBytes([head(0x44), rest]))).toEqual(content);
    expect(() => decode(concatBytes([head(0x64), rest]))).toThrow("a block is damaged");
  });

  test.each<[string, FrameOptions, string]>([
    ["without a content checksum", { contentChecksum: false }, "no content checksum"],
    ["with a wrong content checksum", { wrongContent: true }, "content checksum does not match"],
    ["with a wrong block checksum", { blockChecksums: true, wrongBlock: true }, "block's checksum"],
    ["with a wrong header checksum", { wrongHeader: true }, "header checksum does not match"],
    ["with a dictionary", { flags: 0x41 }, "a dictionary"],
    ["of another version", { flags: 0x80 }, "another version"],
    ["with a reserved bit", { flags: 0x42 }, "reserved bits"],
    ["with an illegal block size", { blockSize: 3 }, "block size is not legal"],
    ["of too little content", { data: page.subarray(1) }, "decodes to 1023 bytes"],
    ["of too much content", { data: concatBytes([page, page.subarray(0, 1)]) }, "more than a page"],
    [
      "of too much stored content",
      { data: concatBytes([page, page]), stored: true },
      "than a page",
    ],
    [
      "of too much in two",
      { data: concatBytes([page, page]), stored: true, cuts: [999] },
      "than a page",
    ],
  ])("decodeFrame() refuses a frame %s", (_, options, message) => {
    expect(() => decode(lz4Frame(options))).toThrow(message);
    expect(() => decode(lz4Frame(options))).toThrow(LtxFormatError);
  });

  test("decodeFrame() refuses the legacy magic, an empty frame, a cut-off frame and bytes after it", () => {
    const legacy = concatBytes([fromHex("02214c18"), lz4Frame().subarray(4)]);
    expect(() => decode(legacy)).toThrow("magic is not 04 22 4d 18");
    expect(() => decode(new Uint8Array(0))).toThrow("cut off");
    const frame = lz4Frame({ cuts: [5], blockChecksums: true, contentSize: PAGE_SIZE });
    for (let length = 0; length < frame.length; length++) {
      expect(() => decode(frame.subarray(0, length))).toThrow("cut off");
    }
    expect(() => decode(concatBytes([frame, Uint8Array.of(0)]))).toThrow("bytes follow");
  });

  test("decodeFrame() refuses a frame with any single bit flipped or reads the same page", () => {
    for (const frame of [
      lz4Frame(),
      lz4Frame({ data: noise, stored: true, blockChecksums: true }),
    ]) {
      const expected = decode(frame);
      let same = 0;
      for (let bit = 0; bit < frame.length * 8; bit++) {
        frame[bit >> 3]! ^= 1 << (bit & 7);
        try {
          expect(decode(frame)).toEqual(expected);
          same++;
        } catch (error) {
          if (!(error instanceof LtxFormatError)) throw error;
        }
        frame[bit >> 3]! ^= 1 << (bit & 7);
      }
      // A distance within a run of equal bytes may change without an effect; nothing else is free.
      expect(same).toBeLessThan(40);
    }
  });

  test("Lz4FrameWalk finds the end of a frame that comes in pieces, and no later", () => {
    const frame = concatBytes([
      skippable(20),
      lz4Frame({ cuts: [100, 200], blockChecksums: true, contentSize: 5 }),
    ]);
    const more = concatBytes([frame, new Uint8Array(50).fill(0x55)]);
    const walk = new Lz4FrameWalk(PAGE_SIZE);
    let length = 0;
    for (let round = 0; round < 100; round++) {
      const need = walk.advance(more.subarray(0, length));
      if (need <= length) break;
      expect(need).toBeLessThanOrEqual(frame.length);
      length = need;
    }
    expect(length).toBe(frame.length);
    walk.reset();
    expect(walk.advance(more)).toBe(frame.length);
  });

  test("Lz4FrameWalk refuses huge lengths before it asks for them", () => {
    const head = lz4Frame().subarray(0, 7);
    const walk = (tail: Uint8Array): number =>
      new Lz4FrameWalk(PAGE_SIZE).advance(concatBytes([head, tail]));
    expect(walk(u32(lz4CompressBound(PAGE_SIZE) + 1))).toBe(-1);
    expect(walk(u32(0x7fffffff))).toBe(-1);
    expect(walk(u32(0x80000000 + PAGE_SIZE + 1))).toBe(-1);
    expect(walk(u32(0xffffffff))).toBe(-1);
    expect(
      new Lz4FrameWalk(PAGE_SIZE).advance(concatBytes([u32(0x184d2a50), u32(0xffffffff)])),
    ).toBe(-1);
  });

  test("Lz4FrameWalk gives up on endless empty blocks", () => {
    const head = lz4Frame().subarray(0, 7);
    const empty = Uint8Array.of(1, 0, 0, 0, 0);
    const endless = concatBytes([head, ...new Array<Uint8Array>(40_000).fill(empty)]);
    const walk = new Lz4FrameWalk(PAGE_SIZE);
    expect(walk.advance(endless)).toBe(-1);
    expect(walk.problem).toContain("longer than");
    expect(walk.walked).toBeLessThanOrEqual(lz4FrameBound(PAGE_SIZE) + 9);
  });

  test("decodeFrame() of garbage after a good frame header always ends, seed 20261122", () => {
    const head = lz4Frame().subarray(0, 7);
    const run = (tail: Uint8Array): void => {
      expect(() => decode(concatBytes([head, tail]))).toThrow(LtxFormatError);
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), run), { seed: SEED, numRuns: 3000 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => decode(bytes)).toThrow(LtxFormatError);
      }),
      { seed: SEED, numRuns: 3000 },
    );
  });
});
