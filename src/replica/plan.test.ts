import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import {
  type DamagedFileError,
  type GapError,
  type TimestampNotAvailableError,
  type TxidNotAvailableError,
} from "./errors.ts";
import { fileKey } from "./layout.ts";
import { type RestoreTarget, planRestore } from "./plan.ts";
import type { LtxFileInfo } from "./replica.ts";
import { restorablePoints } from "./restore-points.ts";

/** `level:min-max@time/size`, or `level:txid@time`; times in ms, by default the last TXID times 10. */
function files(text: string): LtxFileInfo[][] {
  const levels: LtxFileInfo[][] = Array.from({ length: 10 }, () => []);
  for (const word of text.split(/\s+/).filter((w) => w !== "")) {
    const match = /^(\d):(\d+)(?:-(\d+))?(?:@(\d+))?(?:\/(\d+))?$/.exec(word);
    if (match === null) throw new Error(`not a file: ${word}`);
    const [, level, min, max = min, time, size = "200"] = match as unknown as string[];
    const span = {
      level: Number(level),
      minTxid: BigInt(min as string),
      maxTxid: BigInt(max as string),
    };
    levels[span.level]?.push({
      ...span,
      size: Number(size),
      time: new Date(Number(time ?? Number(max) * 10)),
      key: fileKey("directory", span),
      etag: "",
    });
  }
  return levels;
}

function chosen(text: string, target: RestoreTarget = {}): string {
  const plan = planRestore(files(text), target);
  const names = plan.files.map((f) =>
    f.minTxid === f.maxTxid ? `${f.level}:${f.minTxid}` : `${f.level}:${f.minTxid}-${f.maxTxid}`,
  );
  return `${names.join(" ")} = ${plan.txid}@${plan.time.getTime()}`;
}

function failure(text: string, target: RestoreTarget = {}): unknown {
  try {
    planRestore(files(text), target);
  } catch (error) {
    return error;
  }
  throw new Error("the plan was accepted");
}

const at = (ms: number): RestoreTarget => ({ timestamp: new Date(ms) });

describe("planRestore()", () => {
  test.each<[name: string, files: string, target: RestoreTarget, plan: string]>([
    ["one first file", "0:1", {}, "0:1 = 1@10"],
    ["a chain of level 0", "0:1 0:2 0:3", {}, "0:1 0:2 0:3 = 3@30"],
    ["the newest snapshot", "9:1-2 9:1-4 0:1 0:2 0:3 0:4 0:5", {}, "9:1-4 0:5 = 5@50"],
    ["a higher level that reaches further", "9:1-2 0:3 0:4 1:3-4", {}, "9:1-2 1:3-4 = 4@40"],
    [
      "a larger maximum before a higher level",
      "0:1 2:2-3 1:2-4 0:2 0:3 0:4",
      {},
      "0:1 1:2-4 = 4@40",
    ],
    ["a smaller minimum at the same maximum", "9:1-3 1:3-4 2:2-4 0:4", {}, "9:1-3 2:2-4 = 4@40"],
    ["the higher level of equal ranges", "0:1 1:2-4 2:2-4 0:5", {}, "0:1 2:2-4 0:5 = 5@50"],
    ["files that overlap what is reached", "9:1-5 1:4-7 0:8", {}, "9:1-5 1:4-7 0:8 = 8@80"],
    ["no file that is contained", "9:1-5 0:4 0:5 0:6", {}, "9:1-5 0:6 = 6@60"],
    ["files without a snapshot", "1:1-3 0:4", {}, "1:1-3 0:4 = 4@40"],
    [
      "old files below the snapshot though they have gaps",
      "0:2 0:5 9:1-7 0:8",
      {},
      "9:1-7 0:8 = 8@80",
    ],
    ["a TXID that level 0 ends with", "9:1-5 0:1 0:2 0:3 0:4", { txid: 3n }, "0:1 0:2 0:3 = 3@30"],
    ["a TXID that a snapshot ends with", "9:1-2 9:1-5 0:3 0:4 0:5", { txid: 5n }, "9:1-5 = 5@50"],
    [
      "a TXID behind an older snapshot",
      "9:1-2 9:1-5 1:3-4 0:3 0:4",
      { txid: 4n },
      "9:1-2 1:3-4 = 4@40",
    ],
    ["a TXID by smaller steps", "9:1-2 2:3-8 1:3-4 0:5", { txid: 5n }, "9:1-2 1:3-4 0:5 = 5@50"],
    ["a TXID below a gap", "0:1 0:2 0:9", { txid: 2n }, "0:1 0:2 = 2@20"],
    ["a time between two files", "0:1 0:2 0:3", at(25), "0:1 0:2 = 2@20"],
    ["the very time of a file", "0:1 0:2 0:3", at(20), "0:1 0:2 = 2@20"],
    ["the oldest time", "0:1 0:2 0:3", at(10), "0:1 = 1@10"],
    ["the newest time", "0:1 0:2 0:3", at(30), "0:1 0:2 0:3 = 3@30"],
    ["a time after the newest", "0:1 0:2 0:3", at(99), "0:1 0:2 0:3 = 3@30"],
    ["a snapshot taken later than its TXID", "0:1 0:2 9:1-2@25 0:3", at(24), "0:1 0:2 = 2@20"],
    [
      "the time of a snapshot that level 0 also reaches",
      "0:1 0:2 9:1-2@25",
      at(25),
      "9:1-2 = 2@20",
    ],
    ["a compacted file by its last member's time", "0:1 1:2-4 0:2 0:5", at(39), "0:1 0:2 = 2@20"],
    ["times before a gap", "0:1 0:2 0:9", at(89), "0:1 0:2 = 2@20"],
  ])("planRestore() chooses %s", (_, text, target, plan) => {
    expect(chosen(text, target)).toBe(plan);
  });

  test("planRestore() says in errors what was asked for", () => {
    const asked = { operation: "follow", object: "s3://bucket/db" };
    expect(() => planRestore([], {}, asked)).toThrow(
      /^Cannot follow s3:\/\/bucket\/db: it holds no LTX files/u,
    );
  });

  test("planRestore() gives a reason for every file and adds up their sizes", () => {
    const plan = planRestore(files("9:1-2/1000 0:3/131 0:4/200"));
    expect(plan.files.map((f) => f.reason)).toEqual([
      "the newest snapshot not after what is wanted",
      "of the files that hold 0000000000000003, the one that reaches furthest",
      "of the files that hold 0000000000000004, the one that reaches furthest",
    ]);
    expect(plan.totalBytes).toBe(1331);
  });

  test("planRestore() tells the newest TXID and the level 0 file of the state reached", () => {
    const plan = planRestore(files("9:1-2 0:1 0:2 0:3 0:4"), { txid: 2n });
    expect(plan.newestTxid).toBe(4n);
    expect(plan.newestL0?.key).toBe("ltx/0/0000000000000002-0000000000000002.ltx");
    expect(planRestore(files("9:1-2 0:1"), { txid: 2n }).newestL0).toBeUndefined();
  });

  test("planRestore() says that there is no backup only where there are no files", () => {
    for (const target of [{}, { txid: 1n }, at(5)]) {
      expect(isPagestreamError(failure("", target), "NO_BACKUP")).toBe(true);
      expect(isPagestreamError(failure("0:2", target), "GAP")).toBe(true);
    }
  });

  test("planRestore() names the first file where nothing begins at TXID 1", () => {
    const error = failure("1:7-8 0:5 0:6") as GapError;
    expect(error.message).toContain("0000000000000005-0000000000000005.ltx");
    expect(error.reached).toBe(0n);
  });

  test("planRestore() names both sides of a gap before the newest state", () => {
    const error = failure("9:1-4 0:5 0:9 1:8-9") as GapError;
    expect(error.code).toBe("GAP");
    expect(error.reached).toBe(5n);
    expect(error.nextFile).toBe("0000000000000008-0000000000000009.ltx");
    expect(error.message).toContain("0000000000000005");
  });

  test("planRestore() refuses a gap below the wanted time rather than give older data", () => {
    expect(isPagestreamError(failure("0:1 0:2 0:4 0:5", at(40)), "GAP")).toBe(true);
    expect(isPagestreamError(failure("0:1 0:2 0:4 0:5", at(1000)), "GAP")).toBe(true);
  });

  test("planRestore() ignores a snapshot that does not begin at TXID 1", () => {
    expect(isPagestreamError(failure("9:3-5 0:1"), "GAP")).toBe(true);
    expect(chosen("9:3-5 9:1-2 0:1 0:2 1:3-6")).toBe("9:1-2 1:3-6 = 6@60");
  });

  test.each([
    ["inside a compacted file", "9:1-2 1:3-6 0:7", 4n, 2n, 6n],
    ["after the newest", "0:1 0:2", 3n, 2n, undefined],
    ["before the oldest", "9:1-5 0:6", 1n, undefined, 5n],
    ["behind a gap", "0:1 0:2 0:4 9:1-6", 4n, 2n, 6n],
  ])("planRestore() names the neighbours of a TXID %s", (_, text, txid, earlier, later) => {
    const error = failure(text, { txid }) as TxidNotAvailableError;
    expect(error.code).toBe("TXID_NOT_AVAILABLE");
    expect(error).toMatchObject({ txid, earlier, later });
  });

  test("planRestore() names the oldest restorable time", () => {
    // The files at 20 and 30 are older, but the state they belong to is gone.
    const error = failure("0:2 0:3 9:1-4", at(39)) as TimestampNotAvailableError;
    expect(error.code).toBe("TIMESTAMP_NOT_AVAILABLE");
    expect(error.oldest.getTime()).toBe(40);
    expect(error.message).toContain("1970-01-01T00:00:00.04Z");
  });

  test("planRestore() refuses a planned file that is shorter than its header", () => {
    const error = failure("0:1 0:2/99") as DamagedFileError;
    expect(error.code).toBe("DAMAGED_FILE");
    expect(error.file).toBe("ltx/0/0000000000000002-0000000000000002.ltx");
    expect(chosen("0:1 0:2/99 1:1-2")).toBe("1:1-2 = 2@20");
  });
});

describe("restorablePoints()", () => {
  test("restorablePoints() lists what exact plans reach, with the level and size they end with", () => {
    const points = restorablePoints(files("9:1-2@29/500 0:2 1:3-6/300 0:6 0:7 0:9").flat());
    expect(points.map((p) => `${p.txid}@${p.time.getTime()} ${p.level}/${p.size}`)).toEqual([
      "2@29 9/500",
      "6@60 1/300",
      "7@70 0/200",
    ]);
  });

  test.each([1, 2, 3, 4, 5, 6])(
    "restorablePoints() agrees with a plan per TXID (seed %i)",
    (seed) => {
      const random = seededRandom(seed);
      for (let round = 0; round < 40; round++) {
        const words = new Map<string, string>();
        for (let i = 0; i < 14; i++) {
          const level = random.pick([0, 0, 0, 1, 2, 9]);
          const min = level === 9 ? 1 : 1 + random.int(12);
          const file = `${level}:${min}-${min + (level === 0 ? 0 : random.int(5))}`;
          words.set(file, `${file}@${random.int(100)}`);
        }
        const levels = files([...words.values()].join(" "));
        const points = restorablePoints(levels.flat());
        const txids = new Set(points.map((p) => p.txid));
        for (let txid = 1n; txid <= 20n; txid++) {
          let reached = true;
          try {
            const plan = planRestore(levels, { txid });
            const point = points.find((p) => p.txid === txid);
            expect({ level: plan.files.at(-1)?.level, time: plan.time }).toEqual({
              level: point?.level,
              time: point?.time,
            });
          } catch (error) {
            if (!isPagestreamError(error)) throw error;
            reached = false;
          }
          expect(`${txid} ${reached}`).toBe(`${txid} ${txids.has(txid)}`);
        }
      }
    },
  );

  test("restorablePoints() and planRestore() take 20,000 files in well under a second", () => {
    const words = Array.from({ length: 20_000 }, (_, i) => `0:${i + 1}`);
    for (let i = 1; i < 20_000; i += 10) words.push(`1:${i}-${i + 9}`);
    const levels = files(words.join(" "));
    const start = performance.now();
    expect(restorablePoints(levels.flat())).toHaveLength(20_000);
    expect(planRestore(levels).files).toHaveLength(2_000);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
