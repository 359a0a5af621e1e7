import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import {
  checksumFromJson,
  formatChecksum,
  formatFileName,
  formatPosition,
  formatTimestamp,
  formatTxid,
  isContiguous,
  parseChecksum,
  parseFileName,
  parsePosition,
  parseTimestamp,
  parseTxid,
  txidFromJson,
} from "./file-name.ts";

function refusal(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (isPagestreamError(error, "INVALID_ARGUMENT")) return error.message;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe.each([
  ["formatTxid() and parseTxid()", formatTxid, parseTxid, txidFromJson],
  ["formatChecksum() and parseChecksum()", formatChecksum, parseChecksum, checksumFromJson],
])("%s", (name, format, parse, fromJson) => {
  test(`${name} print and read 16 digits, zero padded`, () => {
    for (const [value, text] of [
      [0n, "0000000000000000"],
      [1000n, "00000000000003e8"],
      [2n ** 64n - 1n, "ffffffffffffffff"],
    ] as const) {
      expect(format(value)).toBe(text);
      expect(parse(text)).toBe(value);
    }
    expect(parse("00000000000003E8")).toBe(1000n);
  });

  test(`${name} refuse other lengths, other characters and values beyond 64 bits`, () => {
    for (const text of [
      "",
      "000000000003",
      "00000000000003e80",
      "00000000000003ex",
      "0x000000000003e8",
    ]) {
      expect(refusal(() => parse(text))).toContain("expected 16 hex digits");
    }
    expect(refusal(() => format(2n ** 64n))).toContain("does not fit 64 bits");
    expect(refusal(() => format(-1n))).toContain("does not fit 64 bits");
  });

  test(`${name} have a JSON form: the text, or null for 0`, () => {
    const json = JSON.stringify({ value: format(1000n), none: null });
    const read = JSON.parse(json) as Record<string, unknown>;
    expect(fromJson(read["value"])).toBe(1000n);
    expect(fromJson(read["none"])).toBe(0n);
    expect(refusal(() => fromJson(123))).toContain("expected a string");
    expect(refusal(() => fromJson("xyz"))).toContain("expected 16 hex digits");
  });
});

describe("positions", () => {
  test("formatPosition() prints <txid>/<checksum> and parsePosition() reads it back", () => {
    const position = { txid: 1000n, checksum: 2000n };
    expect(formatPosition(position)).toBe("00000000000003e8/00000000000007d0");
    expect(parsePosition("00000000000003e8/00000000000007d0")).toEqual(position);
    expect(parsePosition("00000000000003e8:00000000000007d0")).toEqual(position);
  });

  test("parsePosition() refuses any other length and bad digits", () => {
    for (const text of [
      "",
      "00000000000003e8/00000000000007d",
      "00000000000003e8/00000000000007d00",
    ]) {
      expect(refusal(() => parsePosition(text))).toContain("expected 33 characters");
    }
    expect(refusal(() => parsePosition("00000000000003ex/00000000000007d0"))).toContain("TXID");
    expect(refusal(() => parsePosition("00000000000003e8/00000000000007dx"))).toContain("checksum");
  });
});

describe("file names", () => {
  test("formatFileName() and parseFileName() are inverse", () => {
    expect(formatFileName(1n, 0xabcn)).toBe("0000000000000001-0000000000000abc.ltx");
    expect(parseFileName("0000000000000001-0000000000000abc.ltx")).toEqual({
      minTxid: 1n,
      maxTxid: 0xabcn,
    });
  });

  test.each([
    "",
    "000000000000000z-0000000000000002.ltx",
    "0000000000000001.ltx",
    "0000000000000001-0000000000000002.zzz",
    "0000000000000001-0000000000000002.ltx.tmp",
    "0000000000000001-0000000000000002.ltx\n",
    "0000000000000001-00000000000000AB.ltx",
    "a/0000000000000001-0000000000000002.ltx",
    "0000000000000001-0000000000000002xltx",
  ])("parseFileName() does not take %j for one", (name) => {
    expect(parseFileName(name)).toBeUndefined();
  });

  test("isContiguous() takes a successor and an overlap, not a gap and not a part", () => {
    expect(isContiguous(0n, 1n, 10n)).toBe(true);
    expect(isContiguous(10n, 11n, 11n)).toBe(true);
    expect(isContiguous(10n, 5n, 11n)).toBe(true);
    expect(isContiguous(10n, 12n, 13n)).toBe(false);
    expect(isContiguous(10n, 5n, 10n)).toBe(false);
  });
});

describe("timestamps", () => {
  test("formatTimestamp() prints UTC with three decimals", () => {
    expect(formatTimestamp(0n)).toBe("1970-01-01T00:00:00.000Z");
    expect(formatTimestamp(1700000000120n)).toBe("2023-11-14T22:13:20.120Z");
    expect(formatTimestamp(-1n)).toBe("1969-12-31T23:59:59.999Z");
  });

  test("formatTimestamp() refuses years it cannot print", () => {
    for (const timestamp of [
      -(2n ** 63n),
      -62_167_219_200_001n,
      253_402_300_800_000n,
      2n ** 63n - 1n,
    ]) {
      expect(refusal(() => formatTimestamp(timestamp))).toContain("outside the years 0 to 9999");
    }
    expect(parseTimestamp(formatTimestamp(-62_167_219_200_000n))).toBe(-62_167_219_200_000n);
    expect(parseTimestamp(formatTimestamp(253_402_300_799_999n))).toBe(253_402_300_799_999n);
  });

  test.each([
    ["2023-11-14T22:13:20.120Z", 1700000000120n],
    ["2023-11-14T22:13:20.12Z", 1700000000120n],
    ["2023-11-14T22:13:20Z", 1700000000000n],
    ["2023-11-14T22:13:20.123999999Z", 1700000000123n],
    ["1969-12-31T23:59:59.9999Z", -1n],
    ["2023-11-15T00:13:20+02:00", 1700000000000n],
    ["2023-11-14T20:43:20.5-01:30", 1700000000500n],
  ])("parseTimestamp() reads %s", (text, value) => {
    expect(parseTimestamp(text)).toBe(value);
  });

  test.each([
    "",
    "2023-11-14",
    "2023-11-14 22:13:20Z",
    "2023-11-14T22:13:20",
    "2023-11-14T22:13:20.Z",
    "2023-02-30T00:00:00Z",
    "2023-13-01T00:00:00Z",
    "2023-11-14T24:00:00Z",
    "2023-11-14T22:13:60Z",
    "2023-11-14T22:13:20+24:00",
    "2023-11-14T22:13:20+01:60",
  ])("parseTimestamp() refuses %j", (text) => {
    expect(refusal(() => parseTimestamp(text))).toMatch(/^Cannot parse timestamp/);
  });
});
