/**
 * Memory of restores at scale: a database of 1 GB, and a chain of 8,000 files.
 *
 * usage: node bench/restore/scale.ts [--directory PATH]
 *
 * Each restore is a process of its own; its largest resident set is what the operating system says of it. The bound
 * is asserted, times are only reported.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeMachine } from "../harness.ts";
import { measureProgram } from "../process.ts";
import { scaleReplica, type ScaleReplicaOptions } from "./scale-replica.ts";

const CASES: readonly (readonly [name: string, options: ScaleReplicaOptions, boundMb: number])[] = [
  [
    "1 GB: a snapshot, 60 files of level 1, 300 of level 0",
    { pages: 262_144, l1: 60, pagesPerL1: 1500, l0: 300, pagesPerL0: 20 },
    150,
  ],
  [
    "20 MB: a snapshot and 8,000 files of level 0",
    { pages: 5000, l1: 0, pagesPerL1: 0, l0: 8000, pagesPerL0: 8 },
    200,
  ],
];

const { values } = parseArgs({
  options: { directory: { type: "string", default: join(tmpdir(), "pagestream-bench-scale") } },
});
const root = fileURLToPath(new URL("../..", import.meta.url));
const command = [
  join(root, "node_modules/node/bin/node"),
  join(root, "adapters/node/bin/pagestream.mjs"),
];

console.log(describeMachine());
for (const [name, options, boundMb] of CASES) {
  const replica = scaleReplica(values.directory, options);
  const output = join(values.directory, "restored.db");
  const run = await measureProgram([...command, "restore", "-o", output, `file://${replica}`]);
  rmSync(output);
  console.log(
    `${name}: ${run.memory.toFixed(0)} MB, ${run.wall.toFixed(1)} s wall, ` +
      `${run.user.toFixed(1)} s user, ${run.system.toFixed(1)} s system`,
  );
  if (run.memory > boundMb) throw new Error(`More than ${boundMb} MB of memory`);
}
