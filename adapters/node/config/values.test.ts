import { describe, expect, test } from "vitest";
import {
  formatDuration,
  isAddress,
  parseByteSize,
  parseDuration,
  parseFlag,
  parseMode,
  parseWhole,
} from "./values.ts";

describe("parseByteSize()", () => {
  test.each([
    ["0", 0],
    ["1", 1],
    ["1024", 1024],
    ["100B", 100],
    ["1k", 1000],
    ["1K", 1000],
    ["1kB", 1000],
    ["1KB", 1000],
    ["1KiB", 1024],
    ["1Ki", 1024],
    ["1MB", 1_000_000],
    ["1M", 1_000_000],
    ["5MiB", 5_242_880],
    ["5mi", 5_242_880],
    ["10 MB", 10_000_000],
    ["10 MiB ", 10_485_760],
    [" 7MB", 7_000_000],
    ["1.5MB", 1_500_000],
    ["1.5MiB", 1_572_864],
    ["0.5GiB", 536_870_912],
    [".5KiB", 512],
    ["1GB", 1e9],
    ["1GiB", 2 ** 30],
    ["2TB", 2e12],
    ["2TiB", 2 ** 41],
    ["1PB", 1e15],
    ["1PiB", 2 ** 50],
    ["1,048,576", 1_048_576],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ])("parseByteSize() reads %j as %i", (text, bytes) => {
    expect(parseByteSize(text)).toBe(bytes);
  });

  test.each([
    "",
    " ",
    "MB",
    "-1",
    "-5MiB",
    "5XB",
    "5MiBs",
    "5 M B",
    "1e6",
    "0x10",
    "five",
    "1..5MB",
    "9007199254740992",
    "8EiB",
    "100EB",
    "99999999999999999999",
  ])("parseByteSize() refuses %j", (text) => {
    expect(parseByteSize(text)).toBeUndefined();
  });
});

describe("parseDuration()", () => {
  test.each([
    ["0", 0],
    ["0s", 0],
    ["1s", 1000],
    ["-1s", -1000],
    ["+1s", 1000],
    ["1.5s", 1500],
    [".5s", 500],
    ["1.s", 1000],
    ["250ms", 250],
    ["500us", 0.5],
    ["500µs", 0.5],
    ["1h30m", 5_400_000],
    ["24h", 86_400_000],
    ["1h1m1s1ms", 3_661_001],
  ])("parseDuration() reads %s as %d ms", (text, ms) => {
    expect(parseDuration(text)).toBeCloseTo(ms, 9);
  });

  test.each(["", "10", "1d", "s", "-", "1 s", "1s ", "1s2", "ten", "1h 30m", ".s", "--1s"])(
    "parseDuration() refuses %j",
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  test("formatDuration() writes what parseDuration() reads", () => {
    for (const ms of [0, 1, 999, 1000, 61_000, 90_500, 3_600_000, 86_400_000, -5000]) {
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }
    expect(formatDuration(5_400_000)).toBe("1h30m");
    expect(formatDuration(86_400_000)).toBe("24h");
  });
});

describe("parseFlag()", () => {
  test("parseFlag() takes the words of YAML 1.1", () => {
    for (const text of ["y", "Yes", "TRUE", "true", "on"]) expect(parseFlag(text)).toBe(true);
    for (const text of ["n", "No", "FALSE", "false", "off"]) expect(parseFlag(text)).toBe(false);
    for (const text of ["", "1", "0", "ja", "tru"]) expect(parseFlag(text)).toBeUndefined();
  });
});

describe("parseMode()", () => {
  test("parseMode() takes octal digits behind a zero, since 600 would be another mode to Litestream", () => {
    expect(parseMode("0600")).toBe(0o600);
    expect(parseMode("0o660")).toBe(0o660);
    for (const text of ["600", "0800", "rw", "", "0x10"]) expect(parseMode(text)).toBeUndefined();
  });
});

describe("parseWhole()", () => {
  test("parseWhole() takes whole numbers alone", () => {
    expect(parseWhole("256")).toBe(256);
    expect(parseWhole("-1")).toBe(-1);
    for (const text of ["", "1.5", "1e3", "0x1", "9999999999999999", "one"]) {
      expect(parseWhole(text)).toBeUndefined();
    }
  });
});

describe("isAddress()", () => {
  test("isAddress() needs a port, and no host", () => {
    for (const text of [":9090", "localhost:1", "0.0.0.0:9090", "[::1]:9090"]) {
      expect([text, isAddress(text)]).toEqual([text, true]);
    }
    for (const text of ["9090", "localhost", "http://x:1", ":99999", "::1:80"]) {
      expect([text, isAddress(text)]).toEqual([text, false]);
    }
  });
});
