import { describe, expect, test } from "vitest";
import { boundaryAfter, boundaryBefore, DEFAULT_LEVELS, resolveLevels } from "./levels.ts";

describe("resolveLevels()", () => {
  test("resolveLevels() fills in Litestream's defaults", () => {
    expect(resolveLevels()).toEqual(DEFAULT_LEVELS);
    expect(DEFAULT_LEVELS).toEqual({
      intervals: [30_000, 300_000, 3_600_000],
      snapshotIntervalMs: 86_400_000,
      snapshotRetentionMs: 86_400_000,
      l0RetentionMs: 300_000,
      l0RetentionCheckMs: 15_000,
      retentionEnabled: true,
    });
  });

  test("resolveLevels() takes no level at all, eight levels, and L0 files that stay", () => {
    expect(resolveLevels({ levels: [] }).intervals).toEqual([]);
    const levels = Array.from({ length: 8 }, (_, i) => ({ level: i + 1, intervalMs: 10 ** i }));
    expect(resolveLevels({ levels }).intervals.length).toBe(8);
    expect(resolveLevels({ l0RetentionMs: 0 }).l0RetentionMs).toBe(0);
    expect(resolveLevels({ retention: { enabled: false } }).retentionEnabled).toBe(false);
  });

  test.each([
    ["nine levels", { levels: Array.from({ length: 9 }, () => ({ intervalMs: 1 })) }, "levels"],
    ["a level left out", { levels: [{ level: 2, intervalMs: 1 }] }, "level 2"],
    ["an interval of 0", { levels: [{ intervalMs: 0 }] }, "interval of level 1"],
    ["an interval that is none", { levels: [{ intervalMs: Number.NaN }] }, "interval of level 1"],
    ["a snapshot interval of 0", { snapshot: { intervalMs: 0 } }, "snapshot.intervalMs"],
    ["a snapshot retention of 0", { snapshot: { retentionMs: 0 } }, "snapshot.retentionMs"],
    ["a negative L0 retention", { l0RetentionMs: -1 }, "l0RetentionMs"],
    ["a check interval of 0", { l0RetentionCheckMs: 0 }, "l0RetentionCheckMs"],
  ])("resolveLevels() refuses %s", (_, options, named) => {
    const failure = expect(() => resolveLevels(options));
    failure.toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    failure.toThrow(named);
  });
});

describe("boundaryBefore()", () => {
  const at = (text: string): number => Date.parse(text);

  test("boundaryBefore() aligns divisors of a day with midnight and weeks with Monday", () => {
    const time = at("2026-11-22T13:46:50.123Z");
    expect(boundaryBefore(time, 30_000)).toBe(at("2026-11-22T13:46:30Z"));
    expect(boundaryBefore(time, 86_400_000)).toBe(at("2026-11-22T00:00:00Z"));
    expect(boundaryBefore(time, 7 * 86_400_000)).toBe(at("2026-11-16T00:00:00Z"));
    expect(boundaryBefore(at("2026-11-22T13:46:30Z"), 30_000)).toBe(at("2026-11-22T13:46:30Z"));
  });

  test("boundaryAfter() is the first one that is still to come", () => {
    expect(boundaryAfter(at("2026-11-22T13:46:30Z"), 30_000)).toBe(at("2026-11-22T13:47:00Z"));
    expect(boundaryAfter(at("2026-11-22T13:46:29.999Z"), 30_000)).toBe(at("2026-11-22T13:46:30Z"));
  });
});
