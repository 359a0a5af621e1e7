import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes, equalBytes, fromHex } from "../core/bytes.ts";
import type { PageImage } from "../core/commit-source.ts";
import { PAGE_SIZES } from "../core/database-header.ts";
import { isPagestreamError } from "../core/errors.ts";
import { lockPage } from "../core/lock-page.ts";
import { databaseChecksum, flaggedChecksum } from "./checksum.ts";
import { Crc64 } from "./crc64.ts";
import { decodeLtx } from "./decode-ltx.ts";
import { LtxDecoder } from "./decoder.ts";
import { encodeLtx } from "./encoder.ts";
import { LtxChecksumError, LtxFormatError, LtxUnsupportedError } from "./errors.ts";
import { encodeHeader, type LtxHeader, replicaHeader } from "./header.ts";
import { lz4Compress, lz4CompressBound } from "./lz4-block.ts";
import { decodeFrame } from "./page-frame.ts";
import { encodePageIndex } from "./page-index.ts";
import { encodeTrailer } from "./trailer.ts";

const SEED = 20261122;
const FLAG = 1n << 63n;
const PAGE_SIZE = 512;

const header = (fields: Partial<LtxHeader> = {}): LtxHeader => ({
  ...replicaHeader({ pageSize: PAGE_SIZE, commit: 9, minTxid: 2n, maxTxid: 2n, timestamp: 7n }),
  ...fields,
});

const noise = (length: number, seed: number): Uint8Array => {
  let x = seed;
  return Uint8Array.from({ length }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    return x >>> 24;
  });
};

const pageOf = (pgno: number, size = PAGE_SIZE): PageImage => {
  const data = noise(size, pgno);
  data.fill(pgno, 40, size / 2);
  return { pgno, data };
};

/** What a file is made of, so that any part can be wrong while all checksums are right. */
interface Parts {
  readonly header?: Uint8Array;
  /** Page frames as they stand in the file, with the page that is hashed for each. */
  readonly frames?: readonly {
    readonly head: Uint8Array;
    readonly payload: Uint8Array;
    readonly data: Uint8Array;
  }[];
  readonly endMarker?: Uint8Array;
  readonly index?: Uint8Array;
  readonly postApply?: bigint;
  readonly after?: Uint8Array;
}

function frame(pgno: number, data: Uint8Array, flags = 1): NonNullable<Parts["frames"]>[number] {
  const room = new Uint8Array(lz4CompressBound(data.length));
  const payload = room.slice(0, lz4Compress(data, room));
  const head = new Uint8Array(10);
  const view = new DataView(head.buffer);
  view.setUint32(0, pgno);
  view.setUint16(4, flags);
  view.setUint32(6, payload.length);
  return { head, payload, data };
}

function build(parts: Parts): Uint8Array {
  const { frames = [], endMarker = new Uint8Array(6) } = parts;
  const head = parts.header ?? encodeHeader(header());
  let at = 100;
  const entries = frames.map((one) => {
    const size = one.head.length + one.payload.length;
    const entry = { pgno: new DataView(one.head.buffer).getUint32(0), offset: at, size };
    at += size;
    return entry;
  });
  entries.sort((a, b) => a.pgno - b.pgno);
  const index =
    parts.index ??
    encodePageIndex({
      pgnos: Uint32Array.from(entries, (entry) => entry.pgno),
      offsets: Float64Array.from(entries, (entry) => entry.offset),
      sizes: Uint32Array.from(entries, (entry) => entry.size),
    });
  const postApplyChecksum = parts.postApply ?? 0n;
  const trailer = encodeTrailer({ postApplyChecksum, fileChecksum: 0n });
  const crc = new Crc64();
  crc.update(head);
  for (const one of frames) {
    crc.update(one.head);
    crc.update(one.data);
  }
  for (const bytes of [endMarker, index, trailer.subarray(0, 8)]) crc.update(bytes);
  const sum = encodeTrailer({ postApplyChecksum, fileChecksum: flaggedChecksum(crc) });
  const body = frames.flatMap((one) => [one.head, one.payload]);
  return concatBytes([head, ...body, endMarker, index, sum, parts.after ?? new Uint8Array(0)]);
}

function refusal(call: () => unknown): LtxFormatError | LtxChecksumError | LtxUnsupportedError {
  try {
    call();
  } catch (error) {
    if (
      error instanceof LtxFormatError ||
      error instanceof LtxChecksumError ||
      error instanceof LtxUnsupportedError
    ) {
      return error;
    }
    throw error;
  }
  throw new Error("nothing was refused");
}

/** Decodes from chunks that are overwritten as soon as the decoder says it needs more. */
function decodeInChunks(bytes: Uint8Array, sizes: readonly number[]): PageImage[] {
  const decoder = new LtxDecoder();
  const pages: PageImage[] = [];
  let chunk = new Uint8Array(0);
  for (let at = 0, i = 0; ; i++) {
    const step = decoder.next();
    if (step === "page") {
      pages.push({ pgno: decoder.pgno, data: decoder.data.slice() });
      continue;
    }
    if (step === "done") {
      expect(decoder.size).toBe(bytes.length);
      return pages;
    }
    chunk.fill(0xee);
    if (at >= bytes.length) {
      decoder.end();
      continue;
    }
    chunk = bytes.slice(at, at + sizes[i % sizes.length]!);
    at += chunk.length;
    decoder.push(chunk);
  }
}

/** For many large pages, where a matcher that walks typed arrays entry by entry takes minutes. */
function expectPages(actual: readonly PageImage[], expected: readonly PageImage[]): void {
  expect(actual.map((page) => page.pgno)).toEqual(expected.map((page) => page.pgno));
  expect(actual.every((page, i) => equalBytes(page.data, expected[i]!.data))).toBe(true);
}

const three = [1, 4, 9].map((pgno) => pageOf(pgno));
const good = build({ frames: three.map(({ pgno, data }) => frame(pgno, data)) });

describe("LtxDecoder", () => {
  test("LtxDecoder hands out pages, their blocks and their places, then ends", () => {
    const decoder = new LtxDecoder({ name: "a.ltx" });
    expect(decoder.next()).toBe("more");
    decoder.push(good);
    expect(decoder.readHeader()).toBe(true);
    expect(decoder.header).toEqual(header());
    const { index } = decodeLtx(good);
    for (const [i, { pgno, data }] of three.entries()) {
      expect(decoder.next()).toBe("page");
      expect(decoder.pgno).toBe(pgno);
      expect(decoder.data).toEqual(data);
      expect(decoder.frameOffset).toBe(index.offsets[i]);
      const start = index.offsets[i]!;
      expect(decoder.payload).toEqual(good.subarray(start + 10, start + index.sizes[i]!));
      expect(decodeFrame(good.subarray(start, start + index.sizes[i]!), PAGE_SIZE)).toEqual({
        pgno,
        data,
      });
    }
    expect(decoder.next()).toBe("more");
    expect(decoder.pgno).toBe(0);
    decoder.end();
    expect(decoder.next()).toBe("done");
    expect(decoder.next()).toBe("done");
    expect(decoder.trailer.postApplyChecksum).toBe(0n);
    expect(decoder.size).toBe(good.length);
  });

  test("LtxDecoder agrees with the encoder on the same file", () => {
    expect(encodeLtx(header(), three)).toEqual(good);
  });

  test.each(
    [[1], [2], [7], [99, 1], [100], [101], [1000], [1, 2, 3, 500, 4]].map((sizes) => ({ sizes })),
  )(
    "LtxDecoder reads the same from chunks of $sizes, which are free once it wants more",
    ({ sizes }) => {
      expect(decodeInChunks(good, sizes)).toEqual(three);
    },
  );

  test("LtxDecoder takes many chunks, also empty ones, before the first next()", () => {
    const decoder = new LtxDecoder();
    for (let at = 0; at < good.length; at += 3) {
      decoder.push(good.subarray(at, at + 3));
      decoder.push(new Uint8Array(0));
    }
    decoder.end();
    const pages: PageImage[] = [];
    while (decoder.next() === "page")
      pages.push({ pgno: decoder.pgno, data: decoder.data.slice() });
    expect(pages).toEqual(three);
    expect(decoder.next()).toBe("done");
  });

  test("LtxDecoder does not copy a page's block out of a chunk that holds it whole", () => {
    const decoder = new LtxDecoder();
    decoder.push(good);
    decoder.next();
    expect(decoder.payload!.buffer).toBe(good.buffer);
  });

  test("LtxDecoder refuses to be used out of order", () => {
    const decoder = new LtxDecoder({ name: "a.ltx" });
    for (const misuse of [() => decoder.header, () => decoder.trailer]) {
      expect(misuse).toThrow("has not been read yet");
    }
    decoder.end();
    try {
      decoder.push(good);
      expect.unreachable();
    } catch (error) {
      expect(isPagestreamError(error, "INVALID_ARGUMENT")).toBe(true);
    }
  });

  test("LtxDecoder throws the same error again after it failed", () => {
    const decoder = new LtxDecoder({ name: "a.ltx" });
    decoder.push(good.subarray(0, 150));
    decoder.end();
    const first = refusal(() => decoder.next());
    expect(first.object).toBe("a.ltx");
    expect(refusal(() => decoder.next())).toBe(first);
    expect(refusal(() => decoder.readHeader())).toBe(first);
  });

  test("decodeLtx() reads a file with commit 0 and no pages", () => {
    const file = encodeLtx(header({ flags: 0, commit: 0, preApplyChecksum: FLAG }), []);
    expect(decodeLtx(file)).toMatchObject({ pages: [], trailer: { postApplyChecksum: FLAG } });
  });

  test.each(PAGE_SIZES)(
    "decodeLtx() returns the pages of random sets with %i bytes each, seed 20261122",
    (size) => {
      const numRuns = Math.max(4, Math.min(60, Math.floor(200_000 / size)));
      const commit = 2 * lockPage(size);
      const pgno = fc.oneof(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: -3, max: 3 }).map((n) => lockPage(size) + n),
        fc.integer({ min: 1, max: commit }),
      );
      const property = fc.property(
        fc.uniqueArray(pgno, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 2 * size }), { minLength: 1, maxLength: 4 }),
        fc.nat(2),
        (pgnos, sizes, kind) => {
          const pages = pgnos
            .filter((n) => n !== lockPage(size))
            .sort((a, b) => a - b)
            .map((n) => (kind === 0 ? { pgno: n, data: noise(size, n) } : pageOf(n, size)));
          const of = header({ pageSize: size, commit });
          const file = encodeLtx(of, pages);
          const decoded = decodeLtx(file);
          expect(decoded.header).toEqual(of);
          expect(decoded.pages).toEqual(pages);
          expect([...decoded.index.pgnos]).toEqual(pages.map((page) => page.pgno));
          expectPages(decodeInChunks(file, sizes), pages);
        },
      );
      fc.assert(property, { seed: SEED, numRuns });
    },
  );

  test("decodeLtx() reads 64 KiB pages of both kinds, always as blocks", () => {
    const of = header({ pageSize: 65536 });
    for (const data of [new Uint8Array(65536), noise(65536, 1)]) {
      const file = encodeLtx(of, [{ pgno: 1, data }]);
      expect([...file.subarray(104, 106)]).toEqual([0, 1]);
      expect(decodeLtx(file).pages[0]!.data).toEqual(data);
    }
  });

  test("decodeLtx() reads block and frame pages mixed in one file", () => {
    const real = fromHex(
      "00000002000004224d186440a72e0000008f0d000000001000000200ffffffff" +
        "ffffffffffffffffffffffe0000200000200c0000000000000000000000000000000" +
        "00b9d4db5a",
    );
    const { data } = decodeFrame(real, 4096);
    const mixed = build({
      header: encodeHeader(header({ pageSize: 4096 })),
      frames: [
        frame(1, noise(4096, 1)),
        { head: real.slice(0, 6), payload: real.subarray(6), data },
        frame(3, noise(4096, 3)),
      ],
    });
    expect(decodeLtx(mixed).pages.map(({ pgno }) => pgno)).toEqual([1, 2, 3]);
    for (const size of [1, 5, 60]) expect(decodeInChunks(mixed, [size])[1]!.data).toEqual(data);
    const decoder = new LtxDecoder();
    decoder.push(mixed);
    const payloads = [1, 2, 3].map(
      () => decoder.next() === "page" && decoder.payload !== undefined,
    );
    expect(payloads).toEqual([true, false, true]);
  });

  test("decodeLtx() accepts unsorted pages, the lock page and pages past commit", () => {
    const lock = lockPage(PAGE_SIZE);
    const frames = [9, 1, lock, 400].map((pgno) => frame(pgno, pageOf(pgno).data));
    const { pages, index } = decodeLtx(build({ frames }));
    expect(pages.map(({ pgno }) => pgno)).toEqual([9, 1, lock, 400]);
    expect([...index.pgnos]).toEqual([1, 9, 400, lock]);
  });

  test("decodeLtx() accepts a post-apply checksum that a file without checksums should not have", () => {
    const file = build({ frames: [frame(1, pageOf(1).data)], postApply: FLAG | 1n });
    expect(decodeLtx(file).trailer.postApplyChecksum).toBe(FLAG | 1n);
  });

  test("decodeLtx() recomputes the post-apply checksum of a snapshot with checksums, and of nothing else", () => {
    const { data } = pageOf(1);
    const right = databaseChecksum(data, PAGE_SIZE);
    const snapshot = encodeHeader(header({ flags: 0, minTxid: 1n, commit: 1 }));
    const frames = [frame(1, data)];
    expect(decodeLtx(build({ header: snapshot, frames, postApply: right })).pages).toHaveLength(1);
    const wrong = build({ header: snapshot, frames, postApply: right ^ 1n });
    expect(refusal(() => decodeLtx(wrong))).toMatchObject({
      code: "LTX_CHECKSUM",
      field: "postApplyChecksum",
      offset: wrong.length - 16,
      expected: right ^ 1n,
      actual: right,
    });
    const later = encodeHeader(header({ flags: 0, commit: 1, preApplyChecksum: FLAG | 1n }));
    expect(decodeLtx(build({ header: later, frames, postApply: FLAG | 7n })).pages).toHaveLength(1);
  });

  test.each<[string, () => Uint8Array, string, number]>([
    [
      "an end marker with flags",
      () => build({ endMarker: fromHex("000000000001") }),
      "pageFlags",
      104,
    ],
    ["page flag bit 1", () => build({ frames: [frame(1, three[0]!.data, 2)] }), "pageFlags", 104],
    [
      "page flag bit 15",
      () => build({ frames: [frame(1, three[0]!.data, 0x8001)] }),
      "pageFlags",
      104,
    ],
    ["bytes after the trailer", () => build({ after: Uint8Array.of(0) }), "trailer", 131],
    [
      "an index without the page",
      () => build({ frames: [frame(1, three[0]!.data)], index: encodeIndex([]) }),
      "index",
      0,
    ],
    ["an index with another page", () => build({ index: encodeIndex([[1, 100, 22]]) }), "index", 0],
    [
      "a wrong index length",
      () => build({ index: fromHex("000000000000000002") }),
      "indexLength",
      107,
    ],
    [
      "a huge index length",
      () => build({ index: fromHex("00ffffffffffffffff") }),
      "indexLength",
      107,
    ],
  ])("decodeLtx() refuses %s, even with a right file checksum", (_, make, field, offset) => {
    const error = refusal(() => decodeLtx(make(), { name: "a.ltx" }));
    expect(error).toMatchObject({ code: "INVALID_LTX", field, object: "a.ltx" });
    if (offset > 0) expect(error.offset).toBe(offset);
  });

  test.each<[string, number, number, number]>([
    ["page number", 1, 0, 0],
    ["offset", 0, 1, 0],
    ["size", 0, 0, 1],
  ])("decodeLtx() refuses an index with a wrong %s", (_, pgno, offset, size) => {
    const frames = three.map((page) => frame(page.pgno, page.data));
    const { index } = decodeLtx(build({ frames }));
    const entries = [...index.pgnos].map((n, i): [number, number, number] => [
      n,
      index.offsets[i]!,
      index.sizes[i]!,
    ]);
    expect(decodeLtx(build({ frames, index: encodeIndex(entries) })).pages).toHaveLength(3);
    const [n, at, length] = entries[1]!;
    const wrong = entries.with(1, [n + pgno, at + offset, length + size]);
    expect(refusal(() => decodeLtx(build({ frames, index: encodeIndex(wrong) })))).toMatchObject({
      field: "index",
    });
    // An exchange of two places leaves every sum of one column as it was.
    const [a, b, c] = entries as [(typeof entries)[0], (typeof entries)[0], (typeof entries)[0]];
    const exchanged = encodeIndex([[a[0], b[1], b[2]], [b[0], a[1], a[2]], c]);
    expect(refusal(() => decodeLtx(build({ frames, index: exchanged })))).toMatchObject({
      field: "index",
    });
  });

  test("decodeLtx() refuses a wrong file checksum and says both values", () => {
    const bytes = good.slice();
    bytes[bytes.length - 1]! ^= 1;
    const error = refusal(() => decodeLtx(bytes));
    expect(error).toBeInstanceOf(LtxChecksumError);
    expect(error).toMatchObject({ field: "fileChecksum", offset: good.length - 8 });
    const { expected, actual } = error as LtxChecksumError;
    expect(expected ^ actual).toBe(1n);
  });

  test.each([
    ["one byte too long", PAGE_SIZE + 1],
    ["one byte too short", PAGE_SIZE - 1],
    ["empty", 0],
  ])("decodeLtx() refuses a block that decodes to a page %s", (_, size) => {
    const data = new Uint8Array(size);
    const error = refusal(() => decodeLtx(build({ frames: [frame(1, data)] })));
    expect(error).toMatchObject({ code: "INVALID_LTX", field: "payload", offset: 110 });
  });

  test("decodeLtx() refuses an empty payload and a payload longer than a page can take", () => {
    const empty = {
      head: fromHex("00000001000100000000"),
      payload: new Uint8Array(0),
      data: three[0]!.data,
    };
    expect(refusal(() => decodeLtx(build({ frames: [empty] })))).toMatchObject({
      field: "payload",
    });
    for (const length of [lz4CompressBound(PAGE_SIZE) + 1, 0x7fffffff, 0xffffffff]) {
      const bytes = good.slice();
      new DataView(bytes.buffer).setUint32(106, length);
      const decoder = new LtxDecoder();
      decoder.push(bytes.subarray(0, 110));
      // It does not wait for that many bytes.
      expect(refusal(() => decoder.next())).toMatchObject({ field: "payloadSize", offset: 106 });
    }
  });

  test("LtxDecoder refuses files of the generations before", () => {
    const start = encodeHeader(header());
    const text = Uint8Array.from("SQLite format 3\0", (c) => c.charCodeAt(0));
    for (const [body, version] of [
      [concatBytes([fromHex("0000000104224d186440a7"), new Uint8Array(50)]), "version 2"],
      [concatBytes([fromHex("00000001"), text, new Uint8Array(512)]), "version 1"],
    ] as const) {
      const error = refusal(() => decodeLtx(concatBytes([start, body])));
      expect(error).toBeInstanceOf(LtxUnsupportedError);
      expect(error).toMatchObject({ code: "LTX_UNSUPPORTED", field: "pageFlags", offset: 104 });
      expect(error.message).toContain(version);
      expect(error.nextStep).toBeDefined();
    }
  });
});

function encodeIndex(entries: readonly (readonly [number, number, number])[]): Uint8Array {
  return encodePageIndex({
    pgnos: Uint32Array.from(entries, ([pgno]) => pgno),
    offsets: Float64Array.from(entries, ([, offset]) => offset),
    sizes: Uint32Array.from(entries, ([, , size]) => size),
  });
}

describe("damaged files", () => {
  const frames = three.map((page) => frame(page.pgno, page.data));
  const files: [string, Uint8Array][] = [
    ["a file of three pages", good],
    ["a file without pages", encodeLtx(header(), [])],
    [
      "a snapshot with checksums",
      encodeLtx(header({ flags: 0, minTxid: 1n, commit: 2 }), [pageOf(1), pageOf(2)]),
    ],
    [
      "a file whose pages are zeros",
      encodeLtx(header(), [{ pgno: 3, data: new Uint8Array(PAGE_SIZE) }]),
    ],
    ["a file that leaves its pages unsorted", build({ frames: frames.toReversed() })],
  ];

  test.each(files)("decodeLtx() refuses %s cut off at any byte, at the right place", (_, file) => {
    for (let length = 0; length < file.length; length++) {
      const error = refusal(() => decodeLtx(file.subarray(0, length)));
      expect(error.code).toBe("INVALID_LTX");
      expect(error.offset).toBe(length);
    }
  });

  test.each(files)(
    "decodeLtx() of %s with any bit flipped refuses, or yields the same content",
    (_, file) => {
      const expected = decodeLtx(file);
      const bytes = file.slice();
      const free = new Set<number>();
      for (let bit = 0; bit < file.length * 8; bit++) {
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        try {
          const decoded = decodeLtx(bytes);
          expect(decoded).toEqual(expected);
          free.add(bit >> 3);
        } catch (error) {
          if (!isPagestreamError(error)) throw error;
        }
        bytes[bit >> 3]! ^= 1 << (bit & 7);
      }
      // Free are only bytes within a block, where another encoding of the same page may arise: the file checksum covers
      // the pages, not their blocks. Everything else is covered by it, itself included.
      const { offsets, sizes } = expected.index;
      for (const at of free) {
        expect(offsets.some((offset, i) => at >= offset + 10 && at < offset + sizes[i]!)).toBe(
          true,
        );
      }
      expect(free.size).toBeLessThanOrEqual(8);
    },
  );

  test("LtxDecoder fed with garbage after a good header always ends, seed 20261122", () => {
    const start = encodeHeader(header());
    const some = good.subarray(100);
    const tail = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc
        .tuple(fc.nat(some.length - 1), fc.uint8Array({ minLength: 1, maxLength: 30 }), fc.nat(40))
        .map(([at, bytes, drop]) =>
          concatBytes([some.subarray(0, at), bytes, some.subarray(at + drop)]),
        ),
    );
    fc.assert(
      fc.property(tail, fc.integer({ min: 1, max: 200 }), (bytes, size) => {
        const file = concatBytes([start, bytes]);
        try {
          expect(decodeInChunks(file, [size])).toEqual(three);
        } catch (error) {
          if (!isPagestreamError(error)) throw error;
        }
      }),
      { seed: SEED, numRuns: 3000 },
    );
  });
});
