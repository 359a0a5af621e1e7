/**
 * `pagestream restore` as a process: what it takes of memory does not grow with the database or the number of files.
 *
 * The full sizes are in `bench/restore/scale.ts`.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { scaleReplica, type ScaleReplicaOptions } from "../../bench/restore/scale-replica.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "pagestream-restore-memory-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Prints the largest resident set in KiB at the end. */
const REPORT =
  "data:text/javascript," +
  'process.on("exit", () => console.log("maxRSS", process.resourceUsage().maxRSS))';

/** Restores in a process of its own; MB (10^6 bytes) of its largest resident set. */
function restoreMemory(options: ScaleReplicaOptions): number {
  const replica = scaleReplica(directory, options);
  const output = join(directory, "restored.db");
  const text = execFileSync(
    join(root, "node_modules/node/bin/node"),
    [
      "--import",
      REPORT,
      join(root, "adapters/node/bin/pagestream.mjs"),
      "restore",
      "-o",
      output,
      `file://${replica}`,
    ],
    { encoding: "utf8" },
  );
  expect(statSync(output).size).toBe(options.pages * 4096);
  rmSync(output);
  return (Number(/maxRSS (\d+)/.exec(text)?.[1]) * 1024) / 1e6;
}

describe("pagestream restore", () => {
  test("pagestream restore takes little more memory for three thousand files than for three", () => {
    const shape = { pages: 4000, l1: 0, pagesPerL1: 0, pagesPerL0: 6 };
    expect(restoreMemory({ ...shape, l0: 3000 })).toBeLessThan(175);
  });

  test("pagestream restore takes no more memory than a window for a large database", () => {
    const shape = { pages: 40_000, l1: 40, pagesPerL1: 600, l0: 200, pagesPerL0: 10 };
    expect(restoreMemory(shape)).toBeLessThan(140);
  });
});
