import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import { resolveTime } from "./timestamps.ts";

const NOW = Date.UTC(2026, 10, 22, 12, 0, 0);

describe("resolveTime()", () => {
  test.each([
    ["2026-11-20T12:00:00Z", Date.UTC(2026, 10, 20, 12)],
    ["2026-11-20T12:00:00.5Z", Date.UTC(2026, 10, 20, 12, 0, 0, 500)],
    ["2026-11-20T12:00:00.123456789Z", Date.UTC(2026, 10, 20, 12, 0, 0, 123)],
    ["2026-11-20T12:00:00+02:00", Date.UTC(2026, 10, 20, 10)],
    [" 2026-11-20T12:00:00Z ", Date.UTC(2026, 10, 20, 12)],
    ["5 minutes ago", NOW - 300_000],
    ["1 second ago", NOW - 1000],
    ["an hour ago", NOW - 3_600_000],
    ["1.5h ago", NOW - 5_400_000],
    ["2 days ago", NOW - 172_800_000],
    ["250 milliseconds ago", NOW - 250],
    ["3 Weeks AGO", NOW - 1_814_400_000],
    [5, 5],
    [new Date(7), 7],
  ])("resolveTime(%j) is %i", (input, ms) => {
    expect(resolveTime(input, NOW).getTime()).toBe(ms);
  });

  test.each([
    "",
    "now-ish",
    "5 fortnights ago",
    "2026-02-30T00:00:00Z",
    "2026-11-20",
    Number.NaN,
    new Date(Number.NaN),
    "99999999999999 weeks ago",
  ])("resolveTime() refuses %j", (input) => {
    let error: unknown;
    try {
      resolveTime(input, NOW);
    } catch (e) {
      error = e;
    }
    expect(isPagestreamError(error, "INVALID_ARGUMENT")).toBe(true);
  });
});
