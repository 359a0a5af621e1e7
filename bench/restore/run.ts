/**
 * `pagestream restore` against `litestream restore`: whole processes, in turn, on one replica that Litestream wrote.
 *
 * usage: node bench/restore/run.ts [--runs N] [--rows N] [--changes N] [--directory PATH]
 *
 * Needs `npm run build` and `node scripts/tools.mjs litestream python`. Every output is compared byte by byte. Time and
 * memory are what the operating system says of a process and all its children when they have ended.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { describeMachine } from "../harness.ts";
import { measureProgram, median, type ProgramRun } from "../process.ts";
import { sampleReplica } from "./sample-replica.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const litestream = join(root, ".tools/bin/litestream");

interface Contestant {
  readonly name: string;
  /** Program and arguments; `output` and the replica are appended. */
  readonly command: readonly string[];
  readonly runs: ProgramRun[];
}

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "7" },
    rows: { type: "string", default: "395000" },
    changes: { type: "string", default: "8" },
    directory: { type: "string", default: join(tmpdir(), "pagestream-bench-restore") },
  },
});
if (!existsSync(litestream)) {
  throw new Error(`${litestream} is missing. Run: node scripts/tools.mjs`);
}

const replica = sampleReplica(values.directory, {
  litestream,
  rows: Number(values.rows),
  changes: Number(values.changes),
});
const pinned = join(root, "node_modules/node/bin/node");
const contestants: Contestant[] = [
  {
    name: "pagestream, pinned Node",
    command: [pinned, join(root, "adapters/node/bin/pagestream.mjs")],
    runs: [],
  },
  {
    name: "pagestream, .bin",
    command: [which("node"), join(root, "node_modules/.bin/pagestream")],
    runs: [],
  },
  { name: "litestream", command: [litestream], runs: [] },
];

console.log(
  `${describeMachine()}; ${execFileSync(litestream, ["version"], { encoding: "utf8" }).trim()}`,
);
console.log(
  `${mb(replica.databaseSize)} MB database from ${replica.files} files of ${mb(replica.size)} MB, ` +
    `ratio ${(replica.size / replica.databaseSize).toFixed(3)}, in ${values.directory}`,
);
console.log(
  `load average before: ${loadavg()
    .map((n) => n.toFixed(2))
    .join(" ")}`,
);

const digests = new Set<string>();
// The first round fills the page cache and does not count.
for (let round = -1; round < Number(values.runs); round++) {
  for (const { command, runs } of contestants) {
    const run = await restoreOnce(command);
    if (round >= 0) runs.push(run);
  }
}
if (digests.size !== 1) throw new Error("The restored databases are not the same");

console.log(
  `load average after: ${loadavg()
    .map((n) => n.toFixed(2))
    .join(" ")}; outputs are equal`,
);
const theirs = contestants.at(-1)!;
for (const { name, runs } of contestants) {
  const wall = median(runs.map((run) => run.wall));
  const range = runs.map((run) => run.wall).toSorted((a, b) => a - b);
  const cpu = (run: ProgramRun): number => run.user + run.system;
  const ratio = median(theirs.runs.map((run) => run.wall)) / wall;
  const cpuRatio = median(theirs.runs.map(cpu)) / median(runs.map(cpu));
  console.log(
    `  ${name.padEnd(24)} wall ${seconds(wall)} (${seconds(range[0]!)} to ${seconds(range.at(-1)!)})  ` +
      `user ${seconds(median(runs.map((run) => run.user)))}  system ${seconds(median(runs.map((run) => run.system)))}  ` +
      `memory ${Math.max(...runs.map((run) => run.memory)).toFixed(0)} MB  ` +
      `${ratio.toFixed(2)} x wall, ${cpuRatio.toFixed(2)} x CPU`,
  );
}

async function restoreOnce(command: readonly string[]): Promise<ProgramRun> {
  const output = join(values.directory, "restored.db");
  for (const suffix of ["", "-wal", "-shm"]) rmSync(output + suffix, { force: true });
  // What earlier runs have left to write must not be written at this one's expense.
  execFileSync("sync");
  const args = [...command, "restore", "-o", output, `file://${replica.directory}`];
  const run = await measureProgram(args);
  digests.add(createHash("sha256").update(readFileSync(output)).digest("hex"));
  rmSync(output);
  return run;
}

function which(name: string): string {
  const folders = (process.env["PATH"] ?? "").split(":");
  // The pinned Node stands first where npm scripts run; what a user has comes after it.
  const outside = folders.filter((folder) => !folder.includes("node_modules"));
  const found = outside.map((folder) => join(folder, name)).find((path) => existsSync(path));
  return found ?? process.execPath;
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
