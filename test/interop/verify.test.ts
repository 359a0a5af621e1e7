/**
 * Replicas that released Litestream binaries wrote are sound: the verification finds no fault where there is none.
 *
 * @module
 */
import { fileDrill, fileStore } from "@pagestream/node";
import { verify } from "pagestream";
import { describe, expect, test } from "vitest";
import { fixtures, unpackFixture } from "./fixtures.ts";

/** Those that hold LTX files. */
const names = Object.entries(fixtures)
  .filter(([, { files }]) => files.some(({ path }) => path.startsWith("ltx/")))
  .map(([name]) => name);

describe("verify", () => {
  test.each(names)("verify() finds %s sound, and what it restores too", async (name) => {
    const replica = unpackFixture(name);
    try {
      const report = await verify(fileStore(replica.path), { restore: fileDrill() });
      expect(report.faults).toEqual([]);
      const recorded = fixtures[name]?.files.filter(({ path }) => path.endsWith(".ltx"));
      expect(report.files).toBe(recorded?.length);
      expect(report.drill?.checked).toBe(true);
    } finally {
      replica.remove();
    }
  });
});
