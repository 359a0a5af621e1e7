import { expect, test } from "vitest";
import { formatTimestamp, parseTimestamp } from "./timestamp.ts";

test("formatTimestamp() drops trailing zeros of the fraction as Go does", () => {
  const base = Date.UTC(2026, 0, 2, 3, 4, 5);
  expect(formatTimestamp(base + 678)).toBe("2026-01-02T03:04:05.678Z");
  expect(formatTimestamp(base + 600)).toBe("2026-01-02T03:04:05.6Z");
  expect(formatTimestamp(base)).toBe("2026-01-02T03:04:05Z");
  expect(formatTimestamp(Date.UTC(2026, 0, 1))).toBe("2026-01-01T00:00:00Z");
  expect(formatTimestamp(-1)).toBe("1969-12-31T23:59:59.999Z");
});

test("parseTimestamp() reads fractions of any length, rounded down, and offsets", () => {
  const base = Date.UTC(2026, 0, 2, 3, 4, 5);
  expect(parseTimestamp("2026-01-02T03:04:05Z")).toBe(base);
  expect(parseTimestamp("2026-01-02T03:04:05.6Z")).toBe(base + 600);
  expect(parseTimestamp("2026-01-02T03:04:05.678999999Z")).toBe(base + 678);
  expect(parseTimestamp("2026-01-02T05:34:05.001+02:30")).toBe(base + 1);
  expect(parseTimestamp("2026-01-02T01:04:05-02:00")).toBe(base);
});

test("parseTimestamp() gives undefined for what is no time", () => {
  for (const text of [
    "",
    "2026-01-02",
    "2026-01-02T03:04:05",
    "2026-02-30T03:04:05Z",
    "2026-13-01T03:04:05Z",
    "2026-01-02T24:00:00Z",
    "2026-01-02T03:04:05.Z",
    "2026-01-02T03:04:05+99:00",
    "x2026-01-02T03:04:05Z",
  ]) {
    expect(`${text} ${parseTimestamp(text)}`).toBe(`${text} undefined`);
  }
});
