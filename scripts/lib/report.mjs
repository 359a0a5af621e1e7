/**
 * How a script that holds several tests tells the runner of each: lines for people, a file for the runner; and how the
 * runner reads such a file, or Vitest's.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { environment } from "./process.mjs";

/** One test of such a script. `detail` holds what was found wrong, one problem a line. */
/** @typedef {{ name: string, status: "passed" | "failed" | "skipped", seconds: number, detail: string }} ReportedTest */

/**
 * Runs tests and prints one line each. A test returns its problems as lines; none means passed, and so does `undefined`. A
 * thrown error is a problem too. One with `skip` is not run, and says why.
 *
 * @param {readonly { name: string, run: () => unknown, skip?: string }[]} tests
 * @param {{ readonly workers?: number }} [options] how many run at a time, one by default
 * @returns {Promise<boolean>} whether all passed
 */
export async function runReported(tests, { workers = 1 } = {}) {
  const reported = [];
  const queue = [...tests];
  const worker = async () => {
    for (let test = queue.shift(); test !== undefined; test = queue.shift()) {
      reported.push(await runOne(test));
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
  const path = process.env["PAGESTREAM_REPORT"];
  if (path !== undefined) writeFileSync(path, JSON.stringify({ tests: reported }));
  return reported.every((test) => test.status !== "failed");
}

/** @returns {Promise<ReportedTest>} */
async function runOne({ name, run, skip }) {
  if (skip !== undefined) {
    console.log(`  skip   ${name}: ${skip}`);
    return { name, status: "skipped", seconds: 0, detail: skip };
  }
  const start = performance.now();
  let problems;
  try {
    problems = (await run()) ?? [];
  } catch (error) {
    problems = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
  }
  const seconds = (performance.now() - start) / 1000;
  const status = problems.length === 0 ? "passed" : "failed";
  console.log(`  ${status === "passed" ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
  for (const problem of problems) console.log(problem.replace(/^/gm, "         "));
  return { name, status, seconds, detail: problems.join("\n") };
}

/** Runs a program as one test: its output is the problem when it fails. */
export async function problemsOf(run, command, options) {
  const env = environment({ NO_COLOR: "1" });
  const result = await run(command, { env, ...options, quiet: true });
  if (result.code === 0) return [];
  return [
    stripVTControlCharacters(result.output).trimEnd() ||
      `${command.join(" ")} ended with code ${result.code}`,
  ];
}

/**
 * Counts a report of Vitest's or of ours, and names what failed; one that was never written has no tests.
 *
 * @returns {{ passed: number, failed: number, skipped: number, failures: readonly string[] }}
 */
export function readReport(path) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return { passed: 0, failed: 0, skipped: 0, failures: [] };
  }
  if (report.tests !== undefined) {
    const named = (status) => report.tests.filter((test) => test.status === status);
    const failures = named("failed").map(({ name, detail }) => withReason(name, detail));
    const [passed, skipped] = [named("passed").length, named("skipped").length];
    return { passed, failed: failures.length, skipped, failures };
  }
  const failures = [];
  for (const file of report.testResults) {
    const failed = file.assertionResults.filter((test) => test.status === "failed");
    for (const { fullName, failureMessages } of failed) {
      failures.push(withReason(fullName, failureMessages[0]));
    }
    // A test file that could not be loaded has no tests, but failed all the same.
    if (file.status === "failed" && failed.length === 0) {
      failures.push(withReason(file.name, file.message));
    }
  }
  return {
    passed: report.numPassedTests,
    failed: failures.length,
    skipped: report.numPendingTests + report.numTodoTests,
    failures,
  };
}

/** A test and the first line of why it failed. */
function withReason(name, reason) {
  const line = stripVTControlCharacters(reason ?? "")
    .trim()
    .split("\n", 1)[0];
  return line === "" ? name : `${name}: ${line}`;
}
