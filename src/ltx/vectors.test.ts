import { describe, expect, test } from "vitest";
import { concatBytes, fromHex, toHex } from "../core/bytes.ts";
import type { PageImage } from "../core/commit-source.ts";
import { pageChecksum } from "./checksum.ts";
import { decodeLtx } from "./decode-ltx.ts";
import { LtxEncoder } from "./encoder.ts";
import { LTX_NO_CHECKSUM, type LtxHeader } from "./header.ts";
import { lz4Decompress } from "./lz4-block.ts";
import { LtxMerge } from "./merge.ts";
import { decodeFrame } from "./page-frame.ts";

/** Whole files, most of them also read or written by Litestream itself. */
const FILE_A = fromHex(
  "4c54583100000002000002000000000100000000000000010000000000000001" +
    "0000018bcfe56800000000000000000000000000000000000000000000000000" +
    "0000000000000000000000000000000000000000000000000000000000000000" +
    "000000000000000100010000000c1f120100ffe8501212121212000000000000" +
    "01641600000000000000000400000000000000008716fbe4214484b6",
);
const FILE_C = fromHex(
  "4c54583100000002000002000000000100000000000000020000000000000002" +
    "0000018bcfe56be8000000000000000000000000000000000000000000000000" +
    "0000000000000000000000000000000000000000000000000000000000000000" +
    "000000000000000000000000000000000000010000000000000000a61168d6cb" +
    "be9454",
);
const FILE_REAL = fromHex(
  "4c54583100000002000010000000000200000000000000010000000000000001" +
    "000001a2008b29ff000000000000000000000000000000000000000000000000" +
    "0000000000000000000000000000000000000000000000000000000000000000" +
    "000000000000000100010000007ef30d53514c69746520666f726d6174203300" +
    "10000101004020200000000204000402005301000000040c000410000f02000d" +
    "ff0002002e63010d000000010fdd000fdd2f000d0f0200ffffffffffffffffff" +
    "ffffffffffff4bf014210106170f0f01337461626c6574740243524541544520" +
    "5441424c45207428612c62290000000200010000002fcf0d000000010ff6000f" +
    "f600000200ffffffffffffffffffffffffffffffe0000200c000000801030917" +
    "68656c6c6f0000000000000164880102ec013900000000000000000900000000" +
    "00000000a946610857e53824",
);
/** A page that Litestream 0.5.15 wrote, as an LZ4 frame. */
const FRAME_REAL = fromHex(
  "00000002000004224d186440a72e0000008f0d000000001000000200ffffffff" +
    "ffffffffffffffffffffffe0000200000200c000000000000000000000000000" +
    "000000b9d4db5a",
);

const BLOCK_12 = fromHex("1f120100ffe8501212121212");
const PAGE_12 = new Uint8Array(512).fill(0x12);

const headerA: LtxHeader = {
  flags: LTX_NO_CHECKSUM,
  pageSize: 512,
  commit: 1,
  minTxid: 1n,
  maxTxid: 1n,
  timestamp: 1700000000000n,
  preApplyChecksum: 0n,
  walOffset: 0,
  walSize: 0,
  walSalt1: 0,
  walSalt2: 0,
  nodeId: 0n,
};

/** A page with its block, so that the bytes do not depend on a compressor. */
interface Frame extends PageImage {
  readonly payload: Uint8Array;
}

function encode(
  header: LtxHeader,
  frames: readonly Frame[],
  postApplyChecksum?: bigint,
): Uint8Array {
  const chunks: Uint8Array[] = [];
  const encoder = new LtxEncoder(header, (chunk) => chunks.push(chunk));
  for (const { pgno, payload, data } of frames) encoder.encodeFrame(pgno, payload, data);
  encoder.finish(postApplyChecksum === undefined ? {} : { postApplyChecksum });
  return concatBytes(chunks);
}

const page12: Frame = { pgno: 1, payload: BLOCK_12, data: PAGE_12 };

async function restore(...files: readonly Uint8Array[]): Promise<Uint8Array> {
  const merge = new LtxMerge(
    files.map((file, i) => {
      const chunks = [file];
      return { name: `file ${i}`, read: () => chunks.pop() };
    }),
  );
  const { commit, pageSize } = await merge.open();
  const database = new Uint8Array(commit * pageSize);
  while (await merge.next()) database.set(merge.data, (merge.pgno - 1) * pageSize);
  return database;
}

describe("known files", () => {
  test("LtxEncoder and decodeLtx() agree on a snapshot without checksums", async () => {
    expect(FILE_A).toHaveLength(156);
    expect(toHex(encode(headerA, [page12]))).toBe(toHex(FILE_A));
    const file = decodeLtx(FILE_A);
    expect(file.header).toEqual(headerA);
    expect(file.pages).toEqual([{ pgno: 1, data: PAGE_12 }]);
    expect(file.trailer).toEqual({ postApplyChecksum: 0n, fileChecksum: 0x8716fbe4214484b6n });
    expect([...file.index.pgnos, ...file.index.offsets, ...file.index.sizes]).toEqual([1, 100, 22]);
    expect(await restore(FILE_A)).toEqual(PAGE_12);
  });

  test("LtxEncoder and decodeLtx() agree on a snapshot with checksums, whose checksum the encoder knows", () => {
    const expected = FILE_A.slice();
    expected[7] = 0;
    expected.set(fromHex("0000000000000004dc4ea77cdfeaa333db34ef14ec8ef0ae"), 132);
    const header = { ...headerA, flags: 0 };
    expect(toHex(encode(header, [page12]))).toBe(toHex(expected));
    expect(toHex(encode(header, [page12], 0xdc4ea77cdfeaa333n))).toBe(toHex(expected));
    expect(decodeLtx(expected).trailer.postApplyChecksum).toBe(0xdc4ea77cdfeaa333n);
  });

  test("LtxEncoder and decodeLtx() agree on a file without pages, and it restores to the page before it", async () => {
    const header = { ...headerA, minTxid: 2n, maxTxid: 2n, timestamp: 1700000001000n };
    expect(FILE_C).toHaveLength(131);
    expect(toHex(encode(header, []))).toBe(toHex(FILE_C));
    expect(decodeLtx(FILE_C).pages).toEqual([]);
    expect(await restore(FILE_A, FILE_C)).toEqual(PAGE_12);
  });

  test("LtxEncoder and decodeLtx() agree on the deletion of a database", () => {
    const header = {
      ...headerA,
      flags: 0,
      commit: 0,
      minTxid: 2n,
      maxTxid: 2n,
      timestamp: 1700000001000n,
      preApplyChecksum: 0xdc4ea77cdfeaa333n,
    };
    const file = encode(header, [], 1n << 63n);
    expect(file).toHaveLength(131);
    expect(toHex(file.subarray(100))).toBe(
      "0000000000000000000000000000018000000000000000a002d6de43b2445b",
    );
    expect(decodeLtx(file).header).toEqual(header);
  });

  test("decodeLtx() reads the snapshot with its page as an LZ4 frame", async () => {
    const file = concatBytes([
      FILE_A.subarray(0, 100),
      fromHex("00000001000004224d186440a70c0000001f120100ffe85012121212120000000052aa7298"),
      fromHex("000000000000016425000000000000000004"),
      fromHex("0000000000000000f5714ea5f6bbc070"),
    ]);
    expect(file).toHaveLength(171);
    expect(decodeLtx(file).pages).toEqual([{ pgno: 1, data: PAGE_12 }]);
    expect(await restore(file)).toEqual(PAGE_12);
  });

  test("LtxEncoder and decodeLtx() agree on a file with WAL fields and a gap between its pages", () => {
    const header: LtxHeader = {
      ...headerA,
      commit: 300,
      minTxid: 2n,
      maxTxid: 2n,
      timestamp: 1700000001000n,
      walOffset: 32,
      walSize: 1072,
      walSalt1: 0x11223344,
      walSalt2: 0x55667788,
    };
    const page34 = new Uint8Array(512).fill(0x34);
    const block34 = BLOCK_12.map((byte) => (byte === 0x12 ? 0x34 : byte));
    const file = encode(header, [page12, { pgno: 300, payload: block34, data: page34 }]);
    expect(file).toHaveLength(182);
    expect(toHex(file.subarray(40, 72))).toBe(
      "0000000000000000000000000000002000000000000004301122334455667788",
    );
    expect(toHex(file.subarray(144))).toBe(
      "000000000000016416ac027a160000000000000000080000000000000000f285e58b009f1c72",
    );
    expect(decodeLtx(file).header).toEqual(header);
  });

  test("decodeLtx() reads a file of Litestream 0.5.17", () => {
    expect(FILE_REAL).toHaveLength(332);
    const { header, pages, index } = decodeLtx(FILE_REAL);
    expect(header).toMatchObject({ pageSize: 4096, commit: 2, minTxid: 1n, maxTxid: 1n });
    expect(pages.map(({ pgno, data }) => pageChecksum(pgno, data))).toEqual([
      0x89712e41067d7428n,
      0xeaabf009db1509e1n,
    ]);
    expect([...index.pgnos]).toEqual([1, 2]);
    expect([...index.offsets]).toEqual([100, 236]);
    expect([...index.sizes]).toEqual([136, 57]);
  });

  test("LtxEncoder writes that file byte for byte when it copies its blocks", () => {
    const { header, pages, index } = decodeLtx(FILE_REAL);
    const frames = pages.map((page, i) => ({
      ...page,
      payload: FILE_REAL.subarray(index.offsets[i]! + 10, index.offsets[i]! + index.sizes[i]!),
    }));
    expect(toHex(encode(header, frames))).toBe(toHex(FILE_REAL));
  });

  test("decodeFrame() reads a page of Litestream 0.5.15", () => {
    const expected = new Uint8Array(4096);
    expected.set(fromHex("0d00000000100000"));
    expect(FRAME_REAL).toHaveLength(71);
    expect(decodeFrame(FRAME_REAL, 4096)).toEqual({ pgno: 2, data: expected });
  });

  test("lz4Decompress() of the known block is the known page", () => {
    const page = new Uint8Array(512);
    expect(lz4Decompress(BLOCK_12, page)).toBe(512);
    expect(page).toEqual(PAGE_12);
  });
});
