import { describe, expect, test } from "vitest";
import { levelFiles, spansOf } from "../../test/helpers/level-files.ts";
import { seededRandom } from "../testing/index.ts";
import { planCompaction } from "./compactor-plan.ts";
import { planRestore } from "./plan.ts";
import type { LtxFileInfo } from "./replica.ts";
import { planRetention, type RetentionPlan, type RetentionRules } from "./retention.ts";

/** Ages in tens of milliseconds: a TXID is written at its number times 10. */
const RULES: RetentionRules = {
  nowMs: 1000,
  l0RetentionMs: 100,
  snapshotRetentionMs: 500,
  retentionEnabled: true,
};

function plan(text: string, rules: Partial<RetentionRules> = {}): RetentionPlan {
  return planRetention(levelFiles(text), { ...RULES, ...rules });
}

function removed(text: string, rules: Partial<RetentionRules> = {}): string {
  return spansOf(plan(text, rules).remove);
}

function reason(text: string, of: string, rules: Partial<RetentionRules> = {}): string | undefined {
  return plan(text, rules).decisions.find(({ file }) => spansOf([file]) === of)?.reason;
}

describe("planRetention() of level 0", () => {
  test.each<[name: string, files: string, gone: string]>([
    ["what level 1 holds and is old enough goes", "0:1 0:2 0:3 1:1-3", "0:1 0:2"],
    ["the newest stays, however old (I14)", "0:3 1:1-3", ""],
    ["without level 1 all stays", "0:1 0:2 0:3", ""],
    ["what level 1 does not hold yet stays", "0:1 0:2 0:3 0:4 1:1-2", "0:1 0:2"],
    [
      "what is young stays, and all behind it",
      "0:88 0:89@900 0:90@901 0:91@800 0:92 1:1-92",
      "0:88 0:89",
    ],
    ["what a snapshot holds below level 1 goes too", "0:1 0:2 0:3 0:4 1:3-4 9:1-2", "0:1 0:2 0:3"],
    ["what is in a hole of level 1 stays, and all behind it", "0:1 0:2 0:3 0:4 1:1 1:3-4", "0:1"],
    ["with nothing above at all, nothing goes", "0:1 0:2", ""],
  ])("planRetention(): %s", (_, files, gone) => {
    expect(removed(files)).toBe(gone);
  });

  test("planRetention() keeps all of level 0 where its retention is 0", () => {
    expect(removed("0:1 0:2 0:3 1:1-3", { l0RetentionMs: 0 })).toBe("");
  });

  test("planRetention() tells when the next file is old enough", () => {
    expect(plan("0:1 0:95@950 0:96 1:1-96").nextAtMs).toBe(1050);
    expect(plan("0:95@950 0:96 0:97 1:1-96").nextAtMs).toBe(1050);
    expect(plan("0:95@950 0:96").nextAtMs).toBe(undefined);
    expect(plan("0:95@950 1:1-95").nextAtMs).toBe(undefined);
  });
});

describe("planRetention() of the levels above", () => {
  test.each<[name: string, files: string, gone: string]>([
    ["old snapshots go, the newest stays", "9:1-10 9:1-40 9:1-45", "9:1-10 9:1-40"],
    ["an only snapshot stays, however old (I16)", "9:1-10", ""],
    ["without an old snapshot nothing goes", "1:1-50 1:51-60 9:1-55", ""],
    [
      "the floor is the newest snapshot that goes, not the one that stays (I15, L8)",
      "1:1-9 1:10-39 1:40-41 1:42-60 9:1-10 9:1-40 9:1-45",
      "1:1-9 1:10-39 9:1-10 9:1-40",
    ],
    ["a file that ends at the floor stays", "1:1-40 1:41-60 9:1-40 9:1-45", "9:1-40"],
    [
      "the newest of a level stays below the floor (I16)",
      "2:1-5 2:6-9 9:1-10 9:1-60",
      "2:1-5 9:1-10",
    ],
    ["a snapshot cut while it was written is none", "9:1-10 9:1-40", "9:1-10"],
  ])("planRetention(): %s", (_, files, gone) => {
    expect(removed(files)).toBe(gone);
  });

  test.each<[name: string, files: string, adopted: readonly bigint[], gone: string]>([
    ["the newest snapshot before an adoption stays", "9:1-10 9:1-20 9:1-60", [25n], "9:1-10"],
    ["so does each of several", "9:1-10 9:1-20 9:1-30 9:1-60", [15n, 25n], "9:1-30"],
    ["one of the adoption itself does not", "9:1-10 9:1-25 9:1-60", [25n], "9:1-25"],
    [
      "what leads on from it up to the adoption stays, what comes after does not",
      "1:1-9 1:10-14 1:15-24 1:25-30 1:31-60 9:1-10 9:1-40 9:1-60",
      [25n],
      "1:1-9 1:25-30 9:1-40",
    ],
    [
      "all before the adoption stays where no snapshot is older",
      "1:1-9 1:10-30 1:31-60 9:1-40 9:1-60",
      [15n],
      "1:10-30 9:1-40",
    ],
  ])("planRetention(): %s", (_, files, adopted, gone) => {
    expect(removed(files, { adopted })).toBe(gone);
    expect(removed(files, { adopted: [] })).not.toBe(gone);
  });

  test("planRetention() asks for nothing later for what an adoption keeps", () => {
    expect(plan("9:1-10 9:1-80", { adopted: [20n] }).nextAtMs).toBe(undefined);
  });

  test("planRetention() does not count on a snapshot too short to be whole", () => {
    const levels = levelFiles("9:1-10 9:1-60");
    const [old, cut] = levels[9] as [LtxFileInfo, LtxFileInfo];
    levels[9] = [old, { ...cut, size: 99 }];
    const { decisions } = planRetention(levels, RULES);
    expect(decisions.map((d) => d.reason)).toEqual([
      "the newest snapshot",
      "too short to be whole",
    ]);
  });

  test("planRetention() tells when the next snapshot is old enough, and never of the newest", () => {
    expect(plan("9:1-10 9:1-60 9:1-70 9:1-80").nextAtMs).toBe(1101);
    expect(plan("9:1-80").nextAtMs).toBe(undefined);
  });
});

describe("planRetention()", () => {
  test("planRetention() removes nothing where retention is off", () => {
    const files = "0:1 0:2 0:3 1:1-3 9:1-10 9:1-40 9:1-60";
    expect(removed(files, { retentionEnabled: false })).toBe("");
    expect(reason(files, "0:1", { retentionEnabled: false })).toBe("retention is off");
  });

  test("planRetention() says of every file what becomes of it and why", () => {
    const files = "0:1 0:94@940 0:95 0:96 1:1-95 2:1-9 2:10-45 9:1-20 9:1-60";
    const { decisions } = plan(files);
    expect(decisions.map((d) => `${spansOf([d.file])} ${d.remove ? "goes" : "stays"}`)).toEqual([
      "0:1 goes",
      "0:94 stays",
      "0:95 stays",
      "0:96 stays",
      "1:1-95 stays",
      "2:1-9 goes",
      "2:10-45 stays",
      "9:1-20 goes",
      "9:1-60 stays",
    ]);
    expect(reason(files, "0:94")).toBe("younger than 100 ms");
    expect(reason(files, "2:1-9")).toBe("ends before the floor 0000000000000014");
    expect(reason(files, "9:1-20")).toBe("older than 500 ms, and a newer one is there");
  });

  test("planRetention() never takes a file of a restore planned before, nor a point after the newest snapshot (L7), seed 11", () => {
    const random = seededRandom(11);
    for (let round = 0; round < 300; round++) {
      const levels = history(random);
      const before = planRestore(levels);
      const nowMs = Number(before.newestTxid) * 10 + random.int(400);
      const { remove, floor } = planRetention(levels, {
        ...RULES,
        nowMs,
        l0RetentionMs: random.int(200),
      });
      const gone = new Set(remove.map(({ key }) => key));
      expect(before.files.filter(({ key }) => gone.has(key))).toEqual([]);
      const left = levels.map((files) => files.filter(({ key }) => !gone.has(key)));
      expect(planRestore(left).txid).toBe(before.newestTxid);
      expect(left[0]?.at(-1)).toEqual(levels[0]?.at(-1));
      const snapshot = left[9]?.at(-1);
      for (const file of left.slice(1).flat()) {
        if (snapshot === undefined || file.maxTxid < snapshot.maxTxid) continue;
        expect(planRestore(left, { txid: file.maxTxid }).txid).toBe(file.maxTxid);
      }
      expect(
        left.flat().filter((f) => f.level > 0 && f.maxTxid < floor && !isNewest(f, levels)),
      ).toEqual([]);
    }
  });
});

function isNewest(file: LtxFileInfo, levels: readonly LtxFileInfo[][]): boolean {
  return levels[file.level]?.at(-1) === file;
}

/** A replica as writing, compaction, snapshots and earlier retention leave it. */
function history(random: ReturnType<typeof seededRandom>): LtxFileInfo[][] {
  let levels = levelFiles("");
  const add = (text: string): void => {
    const more = levelFiles(text);
    levels = levels.map((files, i) => [...files, ...(more[i] ?? [])]);
  };
  for (let txid = 1; txid <= 150; txid++) {
    add(`0:${txid}`);
    for (const level of [1, 2, 3]) {
      if (random.int(3 ** level * 2) > 0) continue;
      const { files, minTxid } = planCompaction(level, {
        target: levels[level] ?? [],
        sources: levels[level - 1] ?? [],
        snapshots: levels[9] ?? [],
      });
      const last = files.at(-1);
      if (last !== undefined) add(`${level}:${minTxid}-${last.maxTxid}`);
    }
    if (random.int(40) === 0) add(`9:1-${txid}`);
    if (random.int(30) === 0) {
      const { remove } = planRetention(levels, { ...RULES, nowMs: txid * 10 });
      levels = levels.map((files) => files.filter((file) => !remove.includes(file)));
    }
  }
  return levels;
}
