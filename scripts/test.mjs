/**
 * `npm test`: sets everything up in a fresh clone, runs the suites and ends with the line `N passed, N failed`.
 *
 * `npm test -- unit interop` runs only these suites. Each has a share of the time in `test/budget.json`, which its
 * tests see as PAGESTREAM_BUDGET_MS. `--nightly` drops the budget and sets PAGESTREAM_NIGHTLY=1 for longer seeds.
 * With PAGESTREAM_NO_SKIP=1 whatever is skipped counts as failed, and so does a run that took half as long again as all
 * shares together. What is over by less is only told: the same tests took 1,000 and 1,240 s on one virtual machine on one day,
 * by what its host did for others. The time that it was not given at all is told as well, and does not count.
 *
 * The names of all failed tests stand above the last line, so that the end of a log says what to look for.
 *
 * @module
 */

import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { StepError, environment, pinnedNode, root, run } from "./lib/process.mjs";
import { readReport } from "./lib/report.mjs";
import { install } from "./lib/set-up.mjs";
import { stolenMs } from "./lib/stolen-time.mjs";
import { SUITES } from "./lib/suites.mjs";
import { ensureTools } from "./tools.mjs";

/** Past its share a suite may finish, so that its failures are seen; past this much more it is hanging. */
const HANGING_FACTOR = 2;
const HANGING_EXTRA_MS = 120_000;

/** A run that takes so many times its shares is not slow because of the machine. */
const TOO_LONG_FACTOR = 1.5;

/** Vitest's workers, as `vitest.config.ts` has it. */
const WORKERS = 2;

/** What test files may plan with; the rest is for starting up and for a slower machine. */
const PLANNED_SHARE = 0.7;

const names = process.argv.slice(2).filter((argument) => argument !== "--nightly");
const nightly = process.argv.includes("--nightly") || process.env.PAGESTREAM_NIGHTLY === "1";
const strict = process.env.PAGESTREAM_NO_SKIP === "1";
const { suites: shares, totalSeconds } = JSON.parse(
  readFileSync(join(root, "test/budget.json"), "utf8"),
);

const unknown = names.filter((name) => !SUITES.some((suite) => suite.name === name));
if (unknown.length > 0) {
  console.error(
    `Cannot run ${unknown.join(", ")}: the suites are ${SUITES.map((suite) => suite.name).join(", ")}`,
  );
  process.exit(2);
}

const total = { passed: 0, failed: 0, skipped: 0 };
const summary = [];
/** One line per failed test. */
const failures = [];
let suitesMs = 0;
/** Of these, how long the machine stood still. */
let stoodStillMs = 0;
const scratch = mkdtempSync(join(tmpdir(), "pagestream-test-"));
try {
  await main();
} catch (error) {
  total.failed += 1;
  if (!(error instanceof StepError)) console.error(error);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

if (strict) {
  total.failed += total.skipped;
  if (total.skipped > 0)
    summary.push(`Skipping is forbidden here: ${total.skipped} skipped counted as failed`);
  total.skipped = 0;
}
const [took, stoodStill] = [suitesMs, stoodStillMs].map((ms) => (ms / 1000).toFixed(0));
const overMs = nightly ? 0 : suitesMs - stoodStillMs - totalSeconds * 1000;
const told =
  `the suites took ${took} s, of which the host gave ${stoodStill} s to other machines` +
  (overMs > 0 ? `  OVER BUDGET by ${(overMs / 1000).toFixed(0)} s` : "");
summary.push(told);
if (strict && overMs > (TOO_LONG_FACTOR - 1) * totalSeconds * 1000) {
  total.failed += 1;
  failures.push(told);
}
console.log("");
for (const line of summary) console.log(line);
for (const line of failures) console.log(`FAILED  ${line}`);
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;

async function main() {
  const suites = SUITES.filter((suite) => names.length === 0 || names.includes(suite.name));
  await install();
  const wanted = new Set(
    suites.flatMap((suite) => [...(suite.needs ?? []), ...(suite.wants ?? [])]),
  );
  const missing = wanted.size === 0 ? new Map() : await ensureTools([...wanted]);
  for (const [tool, reason] of missing) summary.push(`${tool} is missing: ${reason}`);
  let built = false;
  for (const group of groupsOf(suites)) {
    const ready = group.filter((suite) => {
      const lacking = (suite.needs ?? []).filter((tool) => missing.has(tool));
      if (lacking.length === 0) return true;
      total.skipped += 1;
      summary.push(`${suite.name.padEnd(12)} skipped for want of ${lacking.join(", ")}`);
      return false;
    });
    if (!built && ready.some((suite) => suite.built === true)) {
      built = true;
      // Left-overs of an earlier build may still do, and each suite tells for itself.
      await build().catch((error) => {
        if (!(error instanceof StepError)) throw error;
        total.failed += 1;
      });
    }
    if (ready.length > 0) console.log(`\n== ${ready.map((suite) => suite.name).join(", ")}`);
    const [start, stolen] = [performance.now(), stolenMs()];
    await Promise.all(ready.map(runSuite));
    suitesMs += performance.now() - start;
    stoodStillMs += stolenMs() - stolen;
  }
}

/** Suites in their order; those of a group run at the same time. */
function groupsOf(suites) {
  const groups = [];
  for (const suite of suites) {
    const group = groups.at(-1);
    if (suite.beside !== undefined && suite.beside === group?.at(-1).name) group.push(suite);
    else groups.push([suite]);
  }
  return groups;
}

async function runSuite(suite) {
  const shareMs = shares[suite.name] * 1000;
  const start = performance.now();
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const part of suite.parts) {
    const result = await runPart(suite, part, shareMs);
    for (const key of Object.keys(counts)) counts[key] += result[key];
  }
  const tookMs = performance.now() - start;
  const overrun = !nightly && tookMs > shareMs;
  for (const key of Object.keys(counts)) total[key] += counts[key];
  const took = (tookMs / 1000).toFixed(1).padStart(6);
  summary.push(
    `${suite.name.padEnd(12)}${took} s of ${String(shareMs / 1000).padStart(3)} s  ` +
      `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped` +
      (overrun ? `  OVER BUDGET by ${((tookMs - shareMs) / 1000).toFixed(1)} s` : ""),
  );
}

/** Runs one part of a suite and counts its tests. A part that fails without a failed test counts as one. */
async function runPart(suite, part, shareMs) {
  const report = join(scratch, `${suite.name}-${part.vitest ?? "report"}.json`);
  const budget = nightly
    ? { PAGESTREAM_NIGHTLY: "1" }
    : { PAGESTREAM_BUDGET_MS: String(fileBudget(part, shareMs)) };
  const env = environment({ ...budget, PAGESTREAM_REPORT: report });
  const limitMs = nightly ? undefined : shareMs * HANGING_FACTOR + HANGING_EXTRA_MS;
  const result = await run([pinnedNode, ...commandOf(part, report)], { env, limitMs });
  const counts = { passed: 0, failed: 0, skipped: 0 };
  if (part.command === undefined) {
    const { failures: failed, ...found } = readReport(report);
    Object.assign(counts, found);
    failures.push(...failed.map((name) => `${suite.name}: ${name}`));
  } else {
    if (result.code === 0) counts.passed = 1;
    console.log(`  ${result.code === 0 ? "ok    " : "FAILED"} ${part.label}`);
  }
  if (result.timedOut) console.error(`${suite.name} hung and was ended after ${limitMs / 1000} s`);
  if (result.code !== 0 && counts.failed === 0) {
    counts.failed = 1;
    const what = part.label ?? part.script ?? `the project ${part.vitest}`;
    failures.push(`${suite.name}: ${what} ended with code ${result.code}, no test failed`);
  }
  // Coverage has thresholds of its own: a test that passed by meeting them.
  else if (part.coverage === true) counts.passed += 1;
  return counts;
}

/** The time that one test file may take so that all of them, two at a time, stay within the share. */
function fileBudget(part, shareMs) {
  const folder = join(root, "test", part.vitest ?? "");
  if (part.vitest === undefined || !existsSync(folder)) return shareMs;
  const files = readdirSync(folder, { recursive: true }).filter((name) =>
    name.endsWith(".test.ts"),
  );
  return Math.floor((shareMs * PLANNED_SHARE * WORKERS) / Math.max(WORKERS, files.length));
}

function commandOf(part, report) {
  if (part.command !== undefined) return part.command;
  if (part.script !== undefined) return [part.script];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const coverage = part.coverage === true ? ["--coverage"] : [];
  const workers = part.workers === undefined ? [] : [`--maxWorkers=${part.workers}`];
  return [
    "node_modules/vitest/vitest.mjs",
    "run",
    `--project=${part.vitest}`,
    ...reporters,
    ...coverage,
    ...workers,
  ];
}
