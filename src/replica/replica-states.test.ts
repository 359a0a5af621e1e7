import { describe, expect, test } from "vitest";
import type { LtxFileInfo } from "./replica.ts";
import { STATES, stepsBetween } from "./replica-states.ts";

/** A file as a listing has it. */
function file(level: number, minTxid: number, maxTxid: number, size = 100): LtxFileInfo {
  const span = { level, minTxid: BigInt(minTxid), maxTxid: BigInt(maxTxid) };
  return { ...span, size, time: new Date(maxTxid * 1_000), key: `${level}/${minTxid}`, etag: "" };
}

/** L0 files from one TXID to another. */
function l0(from: number, to: number): LtxFileInfo[] {
  return Array.from({ length: to - from + 1 }, (_, i) => file(0, from + i, from + i));
}

/** The steps in short: `<level>:<min>-<max>`. */
function steps(files: readonly LtxFileInfo[], from: number, to: number): string | undefined {
  return stepsBetween(files, BigInt(from), BigInt(to))
    ?.map((f) => `${f.level}:${f.minTxid}-${f.maxTxid}`)
    .join(" ");
}

describe("stepsBetween()", () => {
  test("takes every state of a short history", () => {
    expect(steps(l0(1, 3), 0, 3)).toBe("0:1-1 0:2-2 0:3-3");
    expect(steps(l0(1, 3), 1, 3)).toBe("0:2-2 0:3-3");
  });

  test("takes small steps at the end of a long one, and large ones before", () => {
    const files = [...l0(1, 200), file(1, 1, 100), file(9, 1, 130), file(1, 101, 200)];
    const found = stepsBetween(files, 0n, 200n) as LtxFileInfo[];
    expect(found.map((f) => f.level).slice(0, 2)).toEqual([9, 0]);
    expect(found).toHaveLength(1 + (200 - 130));
    expect(found.filter((f) => f.maxTxid >= BigInt(200 - STATES))).toHaveLength(STATES + 1);
  });

  test("goes on with increments although a snapshot would go further", () => {
    const files = [...l0(100, 104), file(9, 1, 103, 1e9)];
    expect(steps(files, 101, 104)).toBe("0:102-102 0:103-103 0:104-104");
  });

  test("takes what reaches back where nothing else is left", () => {
    expect(steps([file(9, 1, 103), file(0, 104, 104)], 101, 104)).toBe("9:1-103 0:104-104");
  });

  test("takes the smaller of two files that end alike", () => {
    expect(steps([file(9, 1, 5, 900), file(1, 1, 5, 800)], 0, 5)).toBe("1:1-5");
  });

  test("finds no way where a file is missing", () => {
    expect(steps([...l0(1, 3), ...l0(5, 6)], 0, 6)).toBeUndefined();
    expect(steps(l0(3, 6), 0, 6)).toBeUndefined();
    expect(steps(l0(3, 6), 1, 6)).toBeUndefined();
  });

  test("is quick with many files", () => {
    const files = l0(1, 50_000);
    expect(stepsBetween(files, 0n, 50_000n)).toHaveLength(50_000);
  });
});
