/**
 * Runs every example in an empty folder: an example that fails is a wrong page. `deno-x.ts` and `bun-x.ts` run under Deno
 * and Bun, all others under the pinned Node. Those of doc comments are compiled, too.
 *
 * @module
 */

import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeDocExamples } from "./lib/doc-examples.ts";
import { binFolder, pinnedNode, root, run } from "./lib/process.mjs";
import { problemsOf, runReported } from "./lib/report.mjs";

const LIMIT_MS = 30_000;

const folder = join(root, "examples");
const files = (existsSync(folder) ? readdirSync(folder) : []).filter((name) =>
  /\.(ts|mjs|js)$/.test(name),
);

function runtimeOf(name: string): readonly string[] {
  if (name.startsWith("bun")) return [join(binFolder, "bun")];
  if (!name.startsWith("deno")) return [pinnedNode];
  // As in a user's project: without this repository's configuration, which leads to the sources.
  const flags = ["--allow-all", "--no-config", "--node-modules-dir=manual", "--quiet"];
  return [join(binFolder, "deno"), "run", ...flags];
}

const inComments = writeDocExamples();
const tests = [
  ...files.toSorted().map((name) => ({
    name,
    run: async () => {
      const scratch = mkdtempSync(join(tmpdir(), "pagestream-example-"));
      try {
        const command = [...runtimeOf(name), join(folder, name)];
        return await problemsOf(run, command, { cwd: scratch, limitMs: LIMIT_MS });
      } finally {
        rmSync(scratch, { recursive: true, force: true });
      }
    },
  })),
  { name: "doc comments compile", run: () => problemsOf(run, inComments.compile) },
  ...[...inComments.programs].map(([runtime, program]) => ({
    name: `doc comments run in ${runtime}`,
    run: () => problemsOf(run, [...runtimeOf(runtime), program], { limitMs: LIMIT_MS }),
  })),
];
const passed = await runReported(tests, { workers: 2 });
inComments.remove();
if (files.length === 0) console.error("  there is no example");
process.exitCode = passed && files.length > 0 ? 0 : 1;
