/**
 * Runs the tests of `test/runtime` in every runtime, against the packages as users install them.
 *
 * Each runtime's own test runner runs the same files; every test records its result in a file of ours. A runtime that
 * ran fewer tests than another has failed, whatever its runner says.
 *
 * `node scripts/runtimes.ts deno bun` runs these alone.
 *
 * @module
 */

import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { binFolder, environment, pinnedNode, root, run } from "./lib/process.mjs";
import { runReported } from "./lib/report.mjs";
import { startWebServers } from "../test/servers/web.ts";
import { installPacked } from "./package/contents.ts";
import { toolsFolder } from "./tools.mjs";

const LIMIT_MS = 120_000;

/** Runtimes that are tested at once. */
const WORKERS = 2;

const DENO_FLAGS = ["--allow-all", "--no-config", "--node-modules-dir=manual", "--quiet"];
const deno = join(binFolder, "deno");
const bun = join(binFolder, "bun");
const node = (program: string): Runtime => ({
  run: [program],
  test: [program, "--test", "--test-concurrency=1", "--test-reporter=dot"],
});

/** How a runtime runs a program, and how it runs test files. */
interface Runtime {
  readonly run: readonly string[];
  readonly test: readonly string[];
}

const RUNTIMES: Readonly<Record<string, Runtime>> = {
  "Node 22": node(join(toolsFolder, "bin/node22")),
  "Node 24": node(pinnedNode),
  "Node 26": node(join(toolsFolder, "bin/node26")),
  Deno: {
    run: [deno, "run", ...DENO_FLAGS],
    test: [deno, "test", "--no-check", ...DENO_FLAGS],
  },
  Bun: { run: [bun], test: [bun, "test", `--timeout=${LIMIT_MS}`] },
};

/** What a test recorded of itself; an empty `detail` means passed. */
interface Result {
  readonly name: string;
  readonly seconds: number;
  readonly detail: string;
}

interface RuntimeRun {
  readonly name: string;
  readonly results: readonly Result[];
  readonly problems: readonly string[];
}

const wanted = process.argv.slice(2).map((name) => name.toLowerCase());
const names = Object.keys(RUNTIMES);
const chosen = names.filter(
  (name) => wanted.length === 0 || wanted.includes(name.toLowerCase().replace(" ", "")),
);

// The same stores on the same servers for all.
const [installed, web] = await Promise.all([installPacked(), startWebServers()]);
const tests = join(installed.folder, "test");
cpSync(join(root, "test/runtime"), tests, { recursive: true });
mkdirSync(join(installed.folder, "node_modules/@sqlite.org"));
for (const name of ["@sqlite.org/sqlite-wasm", "@nats-io", "better-sqlite3"]) {
  symlinkSync(join(root, "node_modules", name), join(installed.folder, "node_modules", name));
}
const stores = "addresses" in web ? JSON.stringify(web.addresses) : "{}";
const skipped = "missing" in web ? `run ${web.missing.join(", ")}` : undefined;
const scratch = join(installed.folder, "tmp");
mkdirSync(scratch);
const files = readdirSync(tests).filter((name) => name.endsWith(".test.ts"));
/** What a runtime runs in one go: in two parts, the longer one first, so that all workers have work to the end. */
const parts = [
  files.filter((name) => name !== "web-stores.test.ts"),
  files.filter((name) => name === "web-stores.test.ts"),
] as const;

/** Runs one part in one runtime; what its runner printed is a problem when no test recorded why it failed. */
async function runIn(name: string, part: readonly string[]): Promise<RuntimeRun> {
  const start = performance.now();
  const { test } = RUNTIMES[name] as Runtime;
  // Locks are held against another runtime's processes, too: the next one's in the list.
  const neighbour = RUNTIMES[names[(names.indexOf(name) + 3) % names.length] as string] as Runtime;
  const report = join(installed.folder, `${name.replace(" ", "-")}-${part[0]}.jsonl`);
  const env = environment({
    NO_COLOR: "1",
    // What a killed process leaves goes with the rest.
    TMPDIR: scratch,
    PAGESTREAM_RESULTS: report,
    PAGESTREAM_WEB_STORES: stores,
    PAGESTREAM_NEIGHBOUR: JSON.stringify(neighbour.run),
  });
  const command = [...test, ...part.map((file) => join(tests, file))];
  const ended = await run(command, { cwd: installed.folder, env, quiet: true, limitMs: LIMIT_MS });
  const results = readResults(report);
  const failed = results.some((result) => result.detail !== "");
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${name.padEnd(12)}${seconds.padStart(6)} s  ${results.length} tests`);
  return { name, results, problems: ended.code === 0 || failed ? [] : [ended.output.trimEnd()] };
}

function readResults(path: string): Result[] {
  try {
    const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Result);
  } catch {
    return [];
  }
}

try {
  const done: RuntimeRun[] = [];
  const queue = parts.flatMap((part) => chosen.map((name) => ({ name, part })));
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      done.push(await runIn(next.name, next.part));
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
  const runs = chosen.map((name): RuntimeRun => {
    const own = done.filter((each) => each.name === name);
    const results = own.flatMap((each) => each.results);
    return { name, results, problems: own.flatMap((each) => each.problems) };
  });
  const everything = new Set(runs.flatMap(({ results }) => results.map(({ name }) => name)));
  const passed = await runReported([
    ...(skipped === undefined
      ? []
      : [{ name: "stores over the web", run: (): string[] => [], skip: skipped }]),
    ...runs.flatMap(({ name, results, problems }) => {
      const ran = new Set(results.map((result) => result.name));
      const missing = [...everything].filter((test) => !ran.has(test));
      return [
        {
          name: `${name} runs every test`,
          run: () => [...problems, ...missing.map((test) => `${test} did not run`)],
        },
        ...results.map((result) => ({
          name: `${name}: ${result.name}`,
          run: () => (result.detail === "" ? [] : [result.detail]),
        })),
      ];
    }),
  ]);
  process.exitCode = passed && everything.size > 0 ? 0 : 1;
} finally {
  if ("end" in web) await web.end();
  installed.remove();
}
