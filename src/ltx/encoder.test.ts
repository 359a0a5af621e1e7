import { describe, expect, test } from "vitest";
import { concatBytes } from "../core/bytes.ts";
import { lockPage } from "../core/lock-page.ts";
import { databaseChecksum, pageChecksum } from "./checksum.ts";
import { decodeLtx } from "./decode-ltx.ts";
import { encodeLtx, LtxEncoder, type LtxEncoderOptions, type LtxSummary } from "./encoder.ts";
import { LtxEncodeError, LtxFormatError } from "./errors.ts";
import { type LtxHeader, replicaHeader } from "./header.ts";

const FLAG = 1n << 63n;
const page = (value: number, size = 4096): Uint8Array => new Uint8Array(size).fill(value);

const header = (fields: Partial<LtxHeader>): LtxHeader => ({
  ...replicaHeader({ pageSize: 4096, commit: 4, minTxid: 2n, maxTxid: 2n, timestamp: 7n }),
  ...fields,
});
const snapshot = (fields: Partial<LtxHeader>): LtxHeader => header({ minTxid: 1n, ...fields });

function encoderFor(
  of: LtxHeader,
  options?: LtxEncoderOptions,
): LtxEncoder & { bytes(): Uint8Array } {
  const chunks: Uint8Array[] = [];
  const encoder = new LtxEncoder(of, (chunk) => chunks.push(chunk), options);
  return Object.assign(encoder, { bytes: () => concatBytes(chunks) });
}

function refusal(call: () => unknown): LtxEncodeError {
  try {
    call();
  } catch (error) {
    if (error instanceof LtxEncodeError && error.code === "LTX_ENCODE") return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("LtxEncoder", () => {
  test("LtxEncoder writes what decodeLtx() reads, and finish() called again is harmless", () => {
    const encoder = encoderFor(header({}));
    encoder.encodePage(2, page(2));
    encoder.encodePage(4, page(4));
    const summary = encoder.finish();
    const bytes = encoder.bytes();
    expect(encoder.finish()).toBe(summary);
    expect(encoder.bytes()).toHaveLength(bytes.length);
    const file = decodeLtx(bytes);
    expect(file.header).toEqual(header({}));
    expect(file.pages).toEqual([
      { pgno: 2, data: page(2) },
      { pgno: 4, data: page(4) },
    ]);
    expect(summary).toEqual<LtxSummary>({
      header: header({}),
      size: bytes.length,
      pageCount: 2,
      fileChecksum: file.trailer.fileChecksum,
    });
  });

  test("LtxEncoder refuses a bad header before it writes anything", () => {
    const chunks: Uint8Array[] = [];
    const output = (chunk: Uint8Array): number => chunks.push(chunk);
    expect(() => new LtxEncoder(header({ pageSize: 1000 }), output)).toThrow(LtxFormatError);
    expect(() => new LtxEncoder(header({ minTxid: 0n }), output)).toThrow(LtxFormatError);
    expect(chunks).toEqual([]);
  });

  test("LtxEncoder refuses every call after finish()", () => {
    const encoder = encoderFor(header({}));
    encoder.finish();
    expect(refusal(() => encoder.encodePage(1, page(1))).message).toContain("the file is finished");
    expect(refusal(() => encoder.encodeFrame(1, page(1, 9), page(1))).message).toContain(
      "finished",
    );
  });

  test("LtxEncoder refuses page 0, pages past commit and what is no page number", () => {
    const encoder = encoderFor(header({}));
    expect(refusal(() => encoder.encodePage(0, page(0))).message).toContain("0 is no page number");
    expect(refusal(() => encoder.encodePage(5, page(0))).message).toBe(
      "Cannot encode 0000000000000002-0000000000000002.ltx: page 5 is past the database size of 4 pages",
    );
    for (const pgno of [-1, 1.5, NaN]) {
      expect(refusal(() => encoder.encodePage(pgno, page(0))).message).toContain("no page number");
    }
  });

  test("LtxEncoder refuses a page of another length", () => {
    const encoder = encoderFor(header({}));
    for (const size of [0, 512, 4095, 4097, 8192]) {
      expect(refusal(() => encoder.encodePage(1, page(0, size))).message).toContain(
        `${size} bytes`,
      );
      expect(refusal(() => encoder.encodeFrame(1, page(0, 9), page(0, size))).message).toContain(
        "page size",
      );
    }
  });

  test("LtxEncoder refuses a payload that cannot be a block of a page", () => {
    const encoder = encoderFor(header({}));
    for (const size of [0, 4096 + 16 + 16 + 1]) {
      expect(refusal(() => encoder.encodeFrame(1, page(0, size), page(0))).message).toContain(
        "payload",
      );
    }
  });

  test("LtxEncoder refuses the lock page and takes its neighbours", () => {
    const encoder = encoderFor(header({ commit: 300_000 }));
    encoder.encodePage(262144, page(1));
    expect(refusal(() => encoder.encodePage(262145, page(1))).message).toContain("the lock page");
    encoder.encodePage(262146, page(2));
    encoder.finish();
    expect(decodeLtx(encoder.bytes()).pages.map(({ pgno }) => pgno)).toEqual([262144, 262146]);
  });

  test("LtxEncoder refuses pages out of order and pages given twice", () => {
    const encoder = encoderFor(header({}));
    encoder.encodePage(2, page(2));
    expect(refusal(() => encoder.encodePage(1, page(1))).message).toContain("out of order");
    expect(refusal(() => encoder.encodePage(2, page(2))).message).toContain("out of order");
    encoder.encodePage(3, page(3));
    encoder.finish();
    expect(decodeLtx(encoder.bytes()).pages).toHaveLength(2);
  });

  test("LtxEncoder refuses a snapshot that does not begin with page 1", () => {
    const encoder = encoderFor(snapshot({}));
    expect(refusal(() => encoder.encodePage(2, page(2))).message).toContain("page 1 is missing");
  });

  test("LtxEncoder refuses a hole in a snapshot, and its early end", () => {
    const encoder = encoderFor(snapshot({}));
    encoder.encodePage(1, page(1));
    expect(refusal(() => encoder.encodePage(3, page(3))).message).toContain(
      "page 2 is missing: page 3 comes next",
    );
    encoder.encodePage(2, page(2));
    encoder.encodePage(3, page(3));
    expect(refusal(() => encoder.finish()).message).toContain("page 4 is missing: the file ends");
    encoder.encodePage(4, page(4));
    encoder.finish();
    expect(decodeLtx(encoder.bytes()).pages).toHaveLength(4);
  });

  test("LtxEncoder refuses a hole in grown pages when it knows the size before", () => {
    const grown = header({ commit: 9 });
    const hole = encoderFor(grown, { previousCommit: 6 });
    hole.encodePage(2, page(2));
    expect(refusal(() => hole.encodePage(8, page(8))).message).toContain("page 7 is missing");
    hole.encodePage(7, page(7));
    hole.encodePage(8, page(8));
    expect(refusal(() => hole.finish()).message).toContain("page 9 is missing");
    hole.encodePage(9, page(9));
    expect(hole.finish().pageCount).toBe(4);
    // The same pages pass where the size did not grow, and where nothing is known of it.
    for (const options of [{ previousCommit: 9 }, { previousCommit: 12 }, {}]) {
      const encoder = encoderFor(grown, options);
      encoder.encodePage(8, page(8));
      expect(encoder.finish().pageCount).toBe(1);
    }
  });

  test("LtxEncoder does not miss the lock page in grown pages", () => {
    const commit = lockPage(65536) + 1;
    const options = { previousCommit: commit - 3 };
    const encoder = encoderFor(header({ pageSize: 65536, commit }), options);
    encoder.encodePage(commit - 2, page(1, 65536));
    expect(refusal(() => encoder.finish()).message).toContain(`page ${commit} is missing`);
    encoder.encodePage(commit, page(2, 65536));
    expect(encoder.finish().pageCount).toBe(2);
    // A database that ends with the lock page ends with the page before it.
    const edge = encoderFor(header({ pageSize: 65536, commit: commit - 1 }), options);
    edge.encodePage(commit - 2, page(1, 65536));
    expect(edge.finish().pageCount).toBe(1);
  });

  test("LtxEncoder wants lock + 1 after lock - 1 in a snapshot, which may end with either", () => {
    const lock = lockPage(65536);
    const data = page(0, 65536);
    // One block is made once and copied, so that a gigabyte of pages costs hashing alone.
    const block = encodeLtx(header({ pageSize: 65536, commit: 1 }), [{ pgno: 1, data }]);
    const payload = block.subarray(110, 110 + decodeLtx(block).index.sizes[0]! - 10);
    let size = 0;
    const encoder = new LtxEncoder(snapshot({ pageSize: 65536, commit: lock + 1 }), (chunk) => {
      size += chunk.length;
    });
    for (let pgno = 1; pgno < lock; pgno++) encoder.encodeFrame(pgno, payload, data);
    expect(refusal(() => encoder.encodePage(lock, data)).message).toContain("the lock page");
    expect(refusal(() => encoder.finish()).message).toContain(`page ${lock + 1} is missing`);
    encoder.encodeFrame(lock + 1, payload, data);
    expect(encoder.finish()).toMatchObject({ pageCount: lock, size });
  }, 30_000);

  test("LtxEncoder refuses to skip a page after the lock page in a snapshot of grown pages", () => {
    const encoder = encoderFor(header({ commit: 262147 }), { previousCommit: 262143 });
    encoder.encodePage(262144, page(1));
    expect(refusal(() => encoder.encodePage(262147, page(1))).message).toContain(
      "page 262146 is missing",
    );
  });

  test("LtxEncoder refuses an empty database without checksums and says why", () => {
    const error = refusal(() => encoderFor(header({ commit: 0 })));
    expect(error.message).toContain("cannot carry");
    expect(error.nextStep).toBeDefined();
  });

  test("LtxEncoder takes an empty database with checksums, and only the flag bit for it", () => {
    const empty = header({ flags: 0, commit: 0, preApplyChecksum: FLAG | 5n });
    for (const options of [{}, { postApplyChecksum: FLAG }]) {
      const encoder = encoderFor(empty);
      encoder.finish(options);
      expect(decodeLtx(encoder.bytes()).trailer.postApplyChecksum).toBe(FLAG);
    }
    const encoder = encoderFor(empty);
    const wrong = { postApplyChecksum: FLAG | 1n };
    expect(refusal(() => encoder.finish(wrong)).message).toContain(
      "the pages give 8000000000000000",
    );
    const emptySnapshot = encoderFor(snapshot({ flags: 0, commit: 0 }));
    emptySnapshot.finish({ postApplyChecksum: FLAG });
    expect(decodeLtx(emptySnapshot.bytes()).pages).toEqual([]);
  });

  test("LtxEncoder wants a flagged post-apply checksum with checksums, and none without", () => {
    const plain = encoderFor(header({}));
    expect(refusal(() => plain.finish({ postApplyChecksum: FLAG | 1n })).message).toContain(
      "cannot carry",
    );
    plain.finish({ postApplyChecksum: 0n });
    const checked = encoderFor(header({ flags: 0, preApplyChecksum: FLAG | 5n }));
    expect(refusal(() => checked.finish()).message).toContain("is missing");
    expect(refusal(() => checked.finish({ postApplyChecksum: 0n })).message).toContain("flag bit");
    expect(refusal(() => checked.finish({ postApplyChecksum: 77n })).message).toContain("flag bit");
    expect(refusal(() => checked.finish({ postApplyChecksum: 1n << 64n })).message).toContain(
      "flag bit",
    );
    checked.finish({ postApplyChecksum: FLAG | 77n });
    expect(decodeLtx(checked.bytes()).trailer.postApplyChecksum).toBe(FLAG | 77n);
  });

  test("LtxEncoder proves the post-apply checksum of a snapshot", () => {
    const encoder = encoderFor(snapshot({ flags: 0, commit: 2 }));
    encoder.encodePage(1, page(1));
    encoder.encodePage(2, page(2));
    const postApplyChecksum = databaseChecksum(concatBytes([page(1), page(2)]), 4096);
    const wrong = { postApplyChecksum: postApplyChecksum ^ 1n };
    expect(refusal(() => encoder.finish(wrong)).message).toContain("the pages give");
    encoder.finish({ postApplyChecksum });
    const { trailer } = decodeLtx(encoder.bytes());
    expect(trailer.postApplyChecksum).toBe(
      FLAG | (pageChecksum(1, page(1)) ^ pageChecksum(2, page(2))),
    );
  });

  test.each([1, 100, 5000, 65536, undefined])(
    "LtxEncoder writes the same bytes in chunks of %s, and never touches one again",
    (chunkSize) => {
      const of = header({ pageSize: 8192, commit: 40 });
      const pages = Array.from({ length: 40 }, (_, i) => ({
        pgno: i + 1,
        data: Uint8Array.from({ length: 8192 }, (_, k) => (k * (i + 1) * (k & 15)) & 255),
      }));
      const chunks: Uint8Array[] = [];
      const copies: Uint8Array[] = [];
      const encoder = new LtxEncoder(
        of,
        (chunk) => {
          chunks.push(chunk);
          copies.push(chunk.slice());
        },
        { chunkSize },
      );
      for (const { pgno, data } of pages) encoder.encodePage(pgno, data);
      const { size } = encoder.finish();
      const all = concatBytes(chunks);
      expect(all).toHaveLength(size);
      expect(chunks).toEqual(copies);
      expect(chunks.every((chunk) => chunk.length > 0)).toBe(true);
      expect(all).toEqual(encodeLtx(of, pages));
      const most = Math.max(chunkSize ?? 262144, 8192 + 32 + 16 + 10);
      expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(most);
      expect(decodeLtx(all).pages).toEqual(pages);
    },
  );

  test("LtxEncoder is unusable after its output failed", () => {
    const encoder = new LtxEncoder(
      header({}),
      () => {
        throw new Error("disk full");
      },
      { chunkSize: 1 },
    );
    expect(() => encoder.encodePage(1, page(1))).toThrow("disk full");
    expect(refusal(() => encoder.encodePage(2, page(2))).message).toContain(
      "its output failed before",
    );
    expect(refusal(() => encoder.finish()).message).toContain("its output failed before");
  });

  test("LtxEncoder does not keep or change the page it is given", () => {
    const memory = new Uint8Array(10_000).fill(9);
    const encoder = encoderFor(header({}));
    encoder.encodePage(1, memory.subarray(77, 77 + 4096));
    expect(memory.every((byte) => byte === 9)).toBe(true);
    memory.fill(1);
    encoder.finish();
    expect(decodeLtx(encoder.bytes()).pages).toEqual([{ pgno: 1, data: page(9) }]);
  });
});
