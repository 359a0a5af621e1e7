import { describe, expect, test } from "vitest";
import { fromHex, toHex } from "../core/bytes.ts";
import { PAGE_SIZES } from "../core/database-header.ts";
import { isPagestreamError } from "../core/errors.ts";
import { LtxFormatError, LtxUnsupportedError } from "./errors.ts";
import {
  decodeHeader,
  encodeHeader,
  isSnapshot,
  LTX_HEADER_SIZE,
  LTX_NO_CHECKSUM,
  type LtxHeader,
  replicaHeader,
  validateHeader,
} from "./header.ts";
import { decodeTrailer, encodeTrailer, validateTrailer } from "./trailer.ts";
import {
  decodePageHeader,
  encodePageHeader,
  PAGE_BLOCK,
  validatePageHeader,
} from "./page-frame.ts";

const FLAG = 1n << 63n;

/** A valid header in which every field differs from its default. */
const full: LtxHeader = {
  flags: 0,
  pageSize: 1024,
  commit: 300,
  minTxid: 3n,
  maxTxid: 5n,
  timestamp: 1700000000123n,
  preApplyChecksum: FLAG | 0x1234n,
  walOffset: 32,
  walSize: 1072,
  walSalt1: 0x11223344,
  walSalt2: 0xfedcba98,
  nodeId: 0x0102030405060708n,
};

function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** The header as bytes, without the encoder's checks. */
function raw(header: LtxHeader): Uint8Array {
  const bytes = new Uint8Array(LTX_HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x4c545831);
  view.setUint32(4, header.flags);
  view.setUint32(8, header.pageSize);
  view.setUint32(12, header.commit);
  view.setBigUint64(16, header.minTxid);
  view.setBigUint64(24, header.maxTxid);
  view.setBigInt64(32, header.timestamp);
  view.setBigUint64(40, header.preApplyChecksum);
  view.setBigInt64(48, BigInt(header.walOffset));
  view.setBigInt64(56, BigInt(header.walSize));
  view.setUint32(64, header.walSalt1);
  view.setUint32(68, header.walSalt2);
  view.setBigUint64(72, header.nodeId);
  return bytes;
}

describe("encodeHeader() and decodeHeader()", () => {
  test("encodeHeader() puts every field at its offset, and decodeHeader() reads it back", () => {
    const bytes = encodeHeader(full);
    expect(toHex(bytes)).toBe(
      "4c5458310000000000000400" +
        "0000012c0000000000000003" +
        "0000000000000005" +
        "0000018bcfe5687b" +
        "8000000000001234" +
        "0000000000000020" +
        "0000000000000430" +
        "11223344fedcba98" +
        "0102030405060708" +
        "00".repeat(20),
    );
    expect(decodeHeader(bytes)).toEqual(full);
    expect(raw(full)).toEqual(bytes);
  });

  test.each(PAGE_SIZES)("decodeHeader() accepts page size %i", (pageSize) => {
    expect(decodeHeader(encodeHeader({ ...full, pageSize })).pageSize).toBe(pageSize);
  });

  test("decodeHeader() accepts commit 0, any timestamp, any node id and any reserved byte", () => {
    for (const timestamp of [-1n, -(1n << 63n), (1n << 63n) - 1n, 0n]) {
      expect(decodeHeader(encodeHeader({ ...full, timestamp, commit: 0 })).timestamp).toBe(
        timestamp,
      );
    }
    const nodeId = (1n << 64n) - 1n;
    expect(decodeHeader(encodeHeader({ ...full, nodeId })).nodeId).toBe(nodeId);
    const bytes = encodeHeader(full);
    bytes.fill(0xff, 80);
    expect(decodeHeader(bytes)).toEqual(full);
  });

  test("decodeHeader() accepts a WAL offset with no size and zero salts", () => {
    const header = { ...full, walSize: 0, walSalt1: 0, walSalt2: 0 };
    expect(decodeHeader(encodeHeader(header))).toEqual(header);
  });

  test("decodeHeader() does not look past byte 100 or before the view it is given", () => {
    const memory = new Uint8Array(250).fill(0xee);
    memory.set(encodeHeader(full), 33);
    expect(decodeHeader(memory.subarray(33))).toEqual(full);
  });

  test("decodeHeader() refuses fewer than 100 bytes", () => {
    const bytes = encodeHeader(full);
    for (const length of [0, 3, 10, 99]) {
      const error = thrown(() => decodeHeader(bytes.subarray(0, length), "a.ltx"));
      expect(error).toMatchObject({
        code: "INVALID_LTX",
        field: "header",
        offset: length,
        object: "a.ltx",
      });
    }
  });

  test("decodeHeader() refuses another magic, and names LTX4 as unsupported", () => {
    for (const magic of ["LTX0", "LTX2", "ltx1", "SQLi"]) {
      const bytes = encodeHeader(full);
      for (let i = 0; i < 4; i++) bytes[i] = magic.charCodeAt(i);
      expect(thrown(() => decodeHeader(bytes))).toMatchObject({
        code: "INVALID_LTX",
        field: "magic",
        offset: 0,
      });
    }
    const bytes = encodeHeader(full);
    bytes[3] = 0x34;
    expect(thrown(() => decodeHeader(bytes))).toBeInstanceOf(LtxUnsupportedError);
  });

  test.each<[string, Partial<LtxHeader>, keyof LtxHeader, number]>([
    ["flag bit 3", { flags: 8 }, "flags", 4],
    ["flags 100", { flags: 100 }, "flags", 4],
    ["flag bit 31", { flags: 0x80000000 }, "flags", 4],
    ["page size 0", { pageSize: 0 }, "pageSize", 8],
    ["page size 256", { pageSize: 256 }, "pageSize", 8],
    ["page size 1000", { pageSize: 1000 }, "pageSize", 8],
    ["page size 131072", { pageSize: 131072 }, "pageSize", 8],
    ["first TXID 0", { minTxid: 0n }, "minTxid", 16],
    ["last TXID 0", { maxTxid: 0n }, "maxTxid", 24],
    ["TXIDs out of order", { minTxid: 3n, maxTxid: 2n }, "minTxid", 16],
    ["a negative WAL offset", { walOffset: -1 }, "walOffset", 48],
    ["a WAL offset beyond 2^53", { walOffset: 2 ** 53 }, "walOffset", 48],
    ["a negative WAL size", { walSize: -1 }, "walSize", 56],
    ["a WAL size beyond 2^53", { walSize: 2 ** 60 }, "walSize", 56],
    ["salt 1 without WAL", { walOffset: 0, walSize: 0, walSalt2: 0 }, "walSalt1", 64],
    ["salt 2 without WAL", { walOffset: 0, walSize: 0, walSalt1: 0 }, "walSalt2", 68],
    ["WAL size without WAL", { walOffset: 0, walSalt1: 0, walSalt2: 0 }, "walSize", 56],
    ["a snapshot with pre-apply checksum", { minTxid: 1n }, "preApplyChecksum", 40],
    ["a pre-apply checksum without checksums", { flags: 2 }, "preApplyChecksum", 40],
    ["a missing pre-apply checksum", { preApplyChecksum: 0n }, "preApplyChecksum", 40],
    ["a pre-apply checksum without flag", { preApplyChecksum: 0x1234n }, "preApplyChecksum", 40],
  ])("decodeHeader() and encodeHeader() refuse %s", (_, fields, field, offset) => {
    const header = { ...full, ...fields };
    const error = thrown(() => decodeHeader(raw(header), "a.ltx"));
    expect(error).toBeInstanceOf(LtxFormatError);
    expect(error).toMatchObject({ field, offset, operation: "decode", object: "a.ltx" });
    expect((error as Error).message).toContain(`(${field} at offset ${offset})`);
    expect(thrown(() => encodeHeader(header))).toMatchObject({ field, offset });
  });

  test.each<[string, Partial<LtxHeader>, keyof LtxHeader]>([
    ["flags before page size", { flags: 8, pageSize: 1 }, "flags"],
    ["page size before TXIDs", { pageSize: 1, minTxid: 0n }, "pageSize"],
    ["first TXID before last", { minTxid: 0n, maxTxid: 0n }, "minTxid"],
    ["last TXID before their order", { minTxid: 3n, maxTxid: 0n }, "maxTxid"],
    ["TXIDs before WAL offset", { minTxid: 9n, walOffset: -1 }, "minTxid"],
    ["WAL offset before WAL size", { walOffset: -1, walSize: -1 }, "walOffset"],
    ["WAL size before salts", { walOffset: 0, walSize: -1 }, "walSize"],
    ["salts before WAL size without WAL", { walOffset: 0 }, "walSalt1"],
    ["WAL before checksums", { walOffset: 0, preApplyChecksum: 0n }, "walSalt1"],
  ])("decodeHeader() checks %s", (_, fields, field) => {
    expect(thrown(() => decodeHeader(raw({ ...full, ...fields })))).toMatchObject({ field });
  });

  test("decodeHeader() names a compressed file of the first version as unsupported", () => {
    for (const flags of [1, 3]) {
      const error = thrown(() => decodeHeader(raw({ ...full, flags })));
      expect(error).toBeInstanceOf(LtxUnsupportedError);
      expect(isPagestreamError(error, "LTX_UNSUPPORTED")).toBe(true);
    }
  });

  test("validateHeader() refuses values that no header can hold", () => {
    for (const fields of [
      { commit: -1 },
      { commit: 2 ** 32 },
      { commit: 1.5 },
      { walSalt1: 2 ** 32 },
      { walSalt2: -1 },
      { walOffset: 32.5 },
      { timestamp: 1n << 63n },
      { maxTxid: 1n << 64n },
      { minTxid: -1n },
      { nodeId: 1n << 64n },
      { preApplyChecksum: 1n << 64n },
    ] satisfies Partial<LtxHeader>[]) {
      const [field] = Object.keys(fields);
      expect(thrown(() => validateHeader({ ...full, ...fields }))).toMatchObject({ field });
    }
  });

  test("isSnapshot() goes by the first TXID", () => {
    expect(isSnapshot({ minTxid: 1n })).toBe(true);
    expect(isSnapshot({ minTxid: 2n })).toBe(false);
  });

  test("replicaHeader() writes Litestream's dialect", () => {
    const fields = { pageSize: 4096, commit: 9, minTxid: 2n, maxTxid: 2n, timestamp: 5n };
    const expected = {
      ...fields,
      flags: LTX_NO_CHECKSUM,
      preApplyChecksum: 0n,
      walOffset: 32,
      walSize: 0,
      walSalt1: 0,
      walSalt2: 0,
      nodeId: 0n,
    };
    expect(replicaHeader(fields)).toEqual(expected);
    expect(replicaHeader({ ...fields, compacted: true })).toEqual({ ...expected, walOffset: 0 });
    validateHeader(replicaHeader(fields));
  });
});

describe("trailer", () => {
  const trailer = { postApplyChecksum: FLAG | 1n, fileChecksum: FLAG | 2n };

  test("encodeTrailer() and decodeTrailer() are inverse", () => {
    const bytes = encodeTrailer(trailer);
    expect(toHex(bytes)).toBe("80000000000000018000000000000002");
    expect(decodeTrailer(bytes)).toEqual(trailer);
    expect(thrown(() => decodeTrailer(bytes.subarray(1)))).toMatchObject({
      field: "trailer",
      offset: 15,
    });
  });

  test("validateTrailer() accepts two flagged checksums, and no post-apply checksum without checksums", () => {
    validateTrailer(trailer, { flags: 0 });
    validateTrailer({ ...trailer, postApplyChecksum: 0n }, { flags: LTX_NO_CHECKSUM });
  });

  test.each([
    ["a post-apply checksum without checksums", trailer, 2, "postApplyChecksum", 200],
    [
      "a missing post-apply checksum",
      { ...trailer, postApplyChecksum: 0n },
      0,
      "postApplyChecksum",
      200,
    ],
    [
      "an unflagged post-apply checksum",
      { ...trailer, postApplyChecksum: 1n },
      0,
      "postApplyChecksum",
      200,
    ],
    ["a missing file checksum", { ...trailer, fileChecksum: 0n }, 0, "fileChecksum", 208],
    ["an unflagged file checksum", { ...trailer, fileChecksum: 1n }, 0, "fileChecksum", 208],
  ])("validateTrailer() refuses %s", (_, value, flags, field, offset) => {
    const error = thrown(() => validateTrailer(value, { flags }, { name: "a.ltx", offset: 200 }));
    expect(error).toMatchObject({ code: "INVALID_LTX", object: "a.ltx", field, offset });
  });
});

describe("page header", () => {
  test("encodePageHeader() and decodePageHeader() are inverse", () => {
    const bytes = encodePageHeader({ pgno: 0x01020304, flags: PAGE_BLOCK });
    expect(toHex(bytes)).toBe("010203040001");
    expect(decodePageHeader(bytes)).toEqual({ pgno: 0x01020304, flags: 1 });
    expect(decodePageHeader(fromHex("ffffffffffff"))).toEqual({ pgno: 0xffffffff, flags: 0xffff });
  });

  test("decodePageHeader() refuses 2 bytes", () => {
    const error = thrown(() => decodePageHeader(new Uint8Array(2), { name: "a.ltx", offset: 100 }));
    expect(error).toMatchObject({ code: "INVALID_LTX", field: "pageHeader", offset: 102 });
  });

  test("validatePageHeader() takes page 1, and refuses page 0 and any flag but bit 0", () => {
    validatePageHeader({ pgno: 1, flags: 0 });
    validatePageHeader({ pgno: 1, flags: 1 });
    expect(thrown(() => validatePageHeader({ pgno: 0, flags: 0 }, { offset: 100 }))).toMatchObject({
      field: "pgno",
      offset: 100,
    });
    for (let bit = 1; bit < 16; bit++) {
      expect(
        thrown(() => validatePageHeader({ pgno: 1, flags: 1 << bit }, { offset: 100 })),
      ).toMatchObject({
        field: "pageFlags",
        offset: 104,
      });
    }
  });
});
