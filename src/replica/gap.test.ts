import { describe, expect, test } from "vitest";
import { planBridge } from "./bridge.ts";
import { isSound, type Standing, standingOf } from "./gap.ts";
import type { LtxFileInfo } from "./replica.ts";

/** A listing from names like `0:1-3`. */
function listed(...names: string[]): Standing {
  const levels: LtxFileInfo[][] = Array.from({ length: 10 }, () => []);
  for (const name of names) {
    const [level, min, max] = name.split(/[:-]/).map(Number) as [number, number, number];
    levels[level]?.push({
      level,
      minTxid: BigInt(min),
      maxTxid: BigInt(max),
      size: 200,
      time: new Date(max * 1000),
      key: name,
      etag: "",
    });
  }
  return standingOf(levels);
}

describe("standingOf()", () => {
  test("finds nothing missing in a replica of every level", () => {
    const standing = listed("0:5-5", "0:6-6", "1:3-4", "1:5-5", "2:1-4", "9:1-4");
    expect(standing).toMatchObject({ maxTxid: 6n, newestL0: 6n, compacted: 5n, snapshot: 4n });
    expect(standing.reach).toBe(6n);
    expect(isSound(standing)).toBe(true);
  });

  test("knows an empty replica", () => {
    expect(listed()).toMatchObject({ maxTxid: 0n, newestL0: 0n, reach: 0n, gap: undefined });
  });

  test("finds a file missing between others of level 0, which the maximum does not show", () => {
    const { gap, maxTxid, reach } = listed("0:1-1", "0:2-2", "0:4-4", "0:5-5");
    expect({ gap, maxTxid, reach }).toEqual({
      gap: { after: 2n, before: 4n },
      maxTxid: 5n,
      reach: 2n,
    });
  });

  test("finds it although a snapshot leads over it, since Litestream's compaction ends there", () => {
    const { gap, reach } = listed("0:1-1", "0:2-2", "0:4-4", "0:5-5", "9:1-5");
    expect({ gap, reach }).toEqual({ gap: { after: 2n, before: 4n }, reach: 5n });
  });

  test("lets level 0 lack what is compacted, and begin after a snapshot", () => {
    expect(isSound(listed("0:1-1", "0:4-4", "0:5-5", "1:1-4"))).toBe(true);
    expect(isSound(listed("0:9-9", "1:1-4", "9:1-8"))).toBe(true);
  });

  test("finds a hole between levels, which a restore does not get over", () => {
    const { gap, reach } = listed("0:7-7", "1:1-4");
    expect({ gap, reach }).toEqual({ gap: { after: 4n, before: 7n }, reach: 4n });
  });

  test("finds level 0 emptied by somebody's rule, and a level above its newest file", () => {
    expect(isSound(listed("1:1-4"))).toBe(false);
    expect(isSound(listed("0:3-3", "9:1-4"))).toBe(false);
    expect(listed("1:1-4")).toMatchObject({ maxTxid: 4n, newestL0: 0n });
  });

  test("finds a replica whose first file is gone", () => {
    expect(listed("0:2-2", "0:3-3")).toMatchObject({ reach: 0n, gap: { after: 0n, before: 2n } });
  });
});

describe("planBridge()", () => {
  test("begins an empty replica with a snapshot", () => {
    expect(planBridge(listed(), false)).toEqual({ level: 9, minTxid: 1n, also: undefined });
  });

  test("goes on where level 1 ends", () => {
    const standing = listed("0:4-4", "1:1-4");
    expect(planBridge(standing, false)).toEqual({ level: 1, minTxid: 5n, also: undefined });
  });

  test("goes on after the snapshot where no level is compacted", () => {
    const standing = listed("0:4-4", "9:1-4");
    expect(planBridge(standing, false)).toEqual({ level: 1, minTxid: 5n, also: undefined });
  });

  test("writes a snapshot where the page size has changed, since no level mixes sizes", () => {
    expect(planBridge(listed("0:4-4", "1:1-4"), true)).toEqual({
      level: 9,
      minTxid: 1n,
      also: undefined,
    });
  });

  test("begins level 1 anew where nothing of the replica can be restored", () => {
    expect(planBridge(listed("0:2-2", "0:3-3"), false)).toEqual({
      level: 1,
      minTxid: 1n,
      also: undefined,
    });
  });

  test("leads level 1 on too where files of level 0 are left that nothing follows", () => {
    const standing = listed("0:6-6", "0:8-8", "1:1-4", "9:1-5");
    expect(planBridge(standing, true)).toEqual({ level: 9, minTxid: 1n, also: 5n });
  });

  test("writes a snapshot where what level 1 stands on is gone", () => {
    expect(planBridge(listed("0:9-9", "1:5-9"), false)).toEqual({
      level: 9,
      minTxid: 1n,
      also: undefined,
    });
  });
});
