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
const archiveOf = (name: string): string => installed.archives[name] ?? `no archive of ${name}`;
const publint = (name: string) => tool("publint/src/cli.js", archiveOf(name), "--strict");
const attw = (name: string) => {
  const flags = ["--profile=esm-only", "--no-definitely-typed", "--format=ascii", "--no-color"];
  // A WebAssembly module, which only bundlers resolve.
  const excluded = ["--exclude-entrypoints", "trampoline.wasm"];
  return tool("@arethetypeswrong/cli/dist/index.js", archiveOf(name), ...flags, ...excluded);
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
  // The longest first, so that the two that run at a time end together.
  const tests = [
    { name: "JSR dry run", run: () => deno("publish", "--dry-run", "--allow-dirty", "--quiet") },
    { name: "types of pagestream", run: () => attw("pagestream") },
    { name: "types of @pagestream/node", run: () => attw("@pagestream/node") },
    { name: "dead code and dependencies", run: () => tool("knip/bin/knip.js", "--no-progress") },
    { name: "size budget", run: checkSizes },
    { name: "publint pagestream", run: () => publint("pagestream") },
    { name: "publint @pagestream/node", run: () => publint("@pagestream/node") },
    { name: "packed files", run: () => installed.problems },
    {
      name: "entries load in Node",
      run: () => loadEntries(installed, "node", [...names.shared, ...names.node]),
    },
    { name: "entries load in Bun", run: () => loadEntries(installed, "bun", names.shared) },
    { name: "entries load in Deno", run: () => loadEntries(installed, "deno", names.shared) },
    { name: "documentation", run: lintDocumentation },
  ];
  const passed = await runReported(tests, { workers: 2 });
  process.exitCode = passed ? 0 : 1;
} finally {
  installed.remove();
}
