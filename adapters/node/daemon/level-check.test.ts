/** @module */
import type { Replica } from "pagestream";
import { describe, expect, test } from "vitest";
import { findLevelFaults } from "./level-check.ts";

/** A replica of these ranges, level by level. */
function replica(...levels: readonly (readonly (readonly [number, number])[])[]): Replica {
  const files = levels.map((ranges) =>
    ranges.map(([min, max]) => ({ minTxid: BigInt(min), maxTxid: BigInt(max) })),
  );
  return { levels: async () => files } as unknown as Replica;
}

describe("findLevelFaults()", () => {
  test("findLevelFaults() finds gaps and overlaps of one level or all", async () => {
    const bad = replica(
      [
        [1, 1],
        [3, 3],
      ],
      [
        [5, 9],
        [8, 12],
      ],
    );
    const gap = { level: 0, fault: "gap", after: 1n, before: 3n };
    const overlap = { level: 1, fault: "overlap", after: 9n, before: 8n };
    expect(await findLevelFaults(bad)).toEqual([gap, overlap]);
    expect(await findLevelFaults(bad, { level: 1 })).toEqual([overlap]);
  });

  test("findLevelFaults() passes over what another level bridges, and over snapshots", async () => {
    const bridged = replica(
      [
        [1, 1],
        [5, 5],
        [6, 6],
      ],
      [[2, 5]],
      [],
      [],
      [],
      [],
      [],
      [],
      [],
      [
        [1, 1],
        [1, 6],
      ],
    );
    expect(await findLevelFaults(bridged)).toEqual([]);
  });
});
