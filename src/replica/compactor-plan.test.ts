import { describe, expect, test } from "vitest";
import { levelFiles, spansOf } from "../../test/helpers/level-files.ts";
import { findLevelFaults, planCompaction, planRepair } from "./compactor-plan.ts";
import type { LtxFileInfo } from "./replica.ts";

function plan(text: string, level = 1, maxInputs?: number): string {
  const levels = levelFiles(text) as [LtxFileInfo[], ...LtxFileInfo[][]];
  const known = {
    target: levels[level] ?? [],
    sources: levels[level - 1] ?? [],
    snapshots: levels[9] ?? [],
  };
  const { files, minTxid, gap, more } = planCompaction(level, known, { maxInputs });
  const words = files.length === 0 ? ["nothing"] : [spansOf(files), "as", `${minTxid}-`];
  if (gap !== undefined) {
    const how = gap.bridged ? "bridged" : "gap";
    words.push(
      how,
      `at level ${gap.level}:`,
      `${gap.reached} ${spansOf([gap.next as LtxFileInfo])}`,
    );
  }
  if (more) words.push("more");
  return words.join(" ");
}

describe("planCompaction()", () => {
  test.each<[name: string, files: string, plan: string]>([
    ["all of a new replica", "0:1 0:2 0:3", "0:1 0:2 0:3 as 1-"],
    ["what follows the last file", "1:1-3 0:2 0:3 0:4 0:5", "0:4 0:5 as 4-"],
    ["nothing new", "1:1-3 0:2 0:3", "nothing"],
    ["nothing at all", "", "nothing"],
    ["files in any order", "0:3 0:1 0:2", "0:1 0:2 0:3 as 1-"],
    ["a file covered by a longer one only once", "0:1 0:1-3 0:2 0:4", "0:1-3 0:4 as 1-"],
    ["overlapping files", "0:1-4 0:3-6 0:6-9", "0:1-4 0:3-6 0:6-9 as 1-"],
  ])("planCompaction() takes %s", (_, files, expected) => {
    expect(plan(files)).toBe(expected);
  });

  test.each<[name: string, files: string, plan: string]>([
    [
      "begins an empty level after the newest snapshot",
      "9:1-2 9:1-4 0:3 0:4 0:5 0:6",
      "0:5 0:6 as 5-",
    ],
    ["has nothing to do where a snapshot holds all", "9:1 0:1", "nothing"],
    [
      "goes on after the level's own end, whatever a snapshot holds",
      "9:1-5 1:1-3 0:4 0:5 0:6",
      "0:4 0:5 0:6 as 4-",
    ],
  ])("planCompaction() %s (O3)", (_, files, expected) => {
    expect(plan(files)).toBe(expected);
  });

  test.each<[name: string, files: string, plan: string]>([
    [
      "cuts a straddling source to what is behind the level's end",
      "2:1-90 1:85-95 1:96-99",
      "1:85-95 1:96-99 as 91-",
    ],
    [
      "and one that straddles the snapshot an empty level begins after",
      "9:1-90 1:85-95",
      "1:85-95 as 91-",
    ],
  ])("planCompaction() %s (O7)", (_, files, expected) => {
    expect(plan(files, 2)).toBe(expected);
  });

  test.each<[name: string, files: string, plan: string]>([
    ["at the seam", "1:1-3 0:5 0:6", "nothing gap at level 0: 3 0:5"],
    ["before the first file", "0:2 0:3", "nothing gap at level 0: 0 0:2"],
    ["inside, after what lies before it", "0:1 0:2 0:4", "0:1 0:2 as 1- gap at level 0: 2 0:4"],
    [
      "that a snapshot leads over",
      "9:1-5 1:1-3 0:6 0:7",
      "0:6 0:7 as 6- bridged at level 0: 3 0:6",
    ],
    [
      "that an older snapshot does not reach over",
      "9:1-4 1:1-3 0:6",
      "nothing gap at level 0: 3 0:6",
    ],
    [
      "inside that a snapshot leads over, in two files",
      "9:1-5 1:1-2 0:3 0:6",
      "0:3 as 3- bridged at level 0: 3 0:6 more",
    ],
  ])("planCompaction() tells a gap %s", (_, files, expected) => {
    expect(plan(files)).toBe(expected);
  });

  test("planCompaction() takes no more files than are merged at once", () => {
    expect(plan("0:1 0:2 0:3 0:4 0:5", 1, 3)).toBe("0:1 0:2 0:3 as 1- more");
    expect(plan("1:1-3 0:4 0:5", 1, 2)).toBe("0:4 0:5 as 4-");
  });
});

describe("planRepair()", () => {
  const repair = (text: string): string => {
    const below = levelFiles(text).flat();
    const next = { level: 2, minTxid: 61n, maxTxid: 90n };
    return spansOf(planRepair({ level: 2, reached: 30n, next, bridged: false }, below));
  };

  test.each<[name: string, files: string, plan: string]>([
    ["the files of the level below", "1:1-30 1:31-45 1:46-60 1:61-75", "1:31-45 1:46-60"],
    [
      "those of several levels, the longest first",
      "1:31-45 0:44-50 0:46 0:51-60",
      "1:31-45 0:44-50 0:51-60",
    ],
    ["one that begins before the gap", "1:16-60", "1:16-60"],
    ["nothing where one file ends behind the gap", "1:31-45 1:46-75", ""],
    ["nothing where a TXID is in no file", "1:31-45 1:47-60", ""],
    ["nothing where there is nothing", "", ""],
  ])("planRepair() takes %s", (_, files, expected) => {
    expect(repair(files)).toBe(expected);
  });

  test("planRepair() takes nothing where one merge does not do", () => {
    const files = (count: number): string =>
      Array.from({ length: count }, (_, i) => `0:${31 + i}`).join(" ");
    const next = { level: 1, minTxid: 288n, maxTxid: 300n };
    const gap = { level: 1, reached: 30n, next, bridged: false };
    expect(planRepair(gap, levelFiles(files(257)).flat())).toEqual([]);
    expect(planRepair({ ...gap, reached: 31n }, levelFiles(files(257)).flat())).toHaveLength(256);
  });
});

describe("findLevelFaults()", () => {
  const faults = (text: string): string[] =>
    findLevelFaults(levelFiles(text).flat()).map(
      ({ type, previous, next }) => `${type} ${previous.maxTxid} ${next.minTxid}`,
    );

  test("findLevelFaults() accepts files that follow each other, one file and none", () => {
    expect(faults("1:4-6 1:1-3 1:7")).toEqual([]);
    expect(faults("1:5")).toEqual([]);
    expect(faults("")).toEqual([]);
  });

  test("findLevelFaults() tells every gap and overlap", () => {
    expect(faults("1:1-3 1:5 1:6-9 1:8-12 1:20")).toEqual(["gap 3 5", "overlap 9 8", "gap 12 20"]);
  });
});
