/**
 * The checks of what is published, each one test: contents, entry points, types, both registries, size, dead code.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { binFolder, pinnedNode, root, run } from "../lib/process.mjs";
import { problemsOf, runReported } from "../lib/report.mjs";
import { entryNames, installPacked, loadEntries } from "./contents.ts";
import { checkSizes } from "./size.ts";

const tool = (path: string, ...args: string[]) =>
  problemsOf(run, [pinnedNode, join(root, "node_modules", path), ...args]);
const deno = (...args: string[]) => problemsOf(run, [join(binFolder, "deno"), ...args]);
const publint = (path: string) => tool("publint/src/cli.js", path, "--strict", "--pack=npm");
const attw = (path: string) => {
  const flags = ["--profile=esm-only", "--no-definitely-typed", "--format=ascii", "--no-color"];
  // A WebAssembly module, which only bundlers resolve.
  const excluded = ["--exclude-entrypoints", "trampoline.wasm"];
  return tool("@arethetypeswrong/cli/dist/index.js", "--pack", path, ...flags, ...excluded);
};

const { exports: sources } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8")) as {
  exports: Record<string, string>;
};

/** Every complaint as one line, instead of the nine that the tool draws. What other packages document is their own. */
async function lintDocumentation(): Promise<string[]> {
  const output = (await deno("doc", "--lint", "--quiet", ...Object.values(sources))).join("\n");
  if (output === "") return [];
  const complaints = [...output.matchAll(/error\[([\w-]+)\]: (.*)\n\s*-->\s*(\S+)/g)];
  if (complaints.length === 0) return [output];
  return complaints
    .map(([, rule, message, place]) => `${place?.replace(`${root}/`, "")} ${rule}: ${message}`)
    .filter((complaint) => !complaint.startsWith("node_modules/"));
}

const names = entryNames();
const installed = await installPacked();
try {
  const passed = await runReported([
    { name: "packed files", run: () => installed.problems },
    {
      name: "entries load in Node",
      run: () => loadEntries(installed, "node", [...names.shared, ...names.node]),
    },
    { name: "entries load in Bun", run: () => loadEntries(installed, "bun", names.shared) },
    { name: "entries load in Deno", run: () => loadEntries(installed, "deno", names.shared) },
    { name: "publint pagestream", run: () => publint(".") },
    { name: "publint @pagestream/node", run: () => publint("adapters/node") },
    { name: "types of pagestream", run: () => attw(".") },
    { name: "types of @pagestream/node", run: () => attw("adapters/node") },
    { name: "JSR dry run", run: () => deno("publish", "--dry-run", "--allow-dirty", "--quiet") },
    {
      name: "documentation",
      run: lintDocumentation,
    },
    { name: "size budget", run: checkSizes },
    { name: "dead code and dependencies", run: () => tool("knip/bin/knip.js", "--no-progress") },
  ]);
  process.exitCode = passed ? 0 : 1;
} finally {
  installed.remove();
}
