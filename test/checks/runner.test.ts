/** @module */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { run } from "../../scripts/lib/process.mjs";
import { problemsOf, readReport, runReported } from "../../scripts/lib/report.mjs";
import { stolenMsOf } from "../../scripts/lib/stolen-time.mjs";
import { SUITES } from "../../scripts/lib/suites.mjs";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

test("runReported() counts a problem and a thrown error as failed, and writes the report", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-report-"));
  vi.stubEnv("PAGESTREAM_REPORT", join(folder, "report.json"));
  vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    const passed = await runReported([
      { name: "good", run: () => [] },
      { name: "silent", run: () => undefined },
      { name: "bad", run: () => ["a problem"] },
      { name: "broken", run: () => Promise.reject(new Error("broke")) },
    ]);
    expect(passed).toBe(false);
    const report = JSON.parse(readFileSync(join(folder, "report.json"), "utf8")) as {
      tests: { status: string }[];
    };
    expect(report.tests.map((entry) => entry.status)).toEqual([
      "passed",
      "passed",
      "failed",
      "failed",
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("readReport() counts and names what failed, in our reports and in Vitest's", () => {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-report-"));
  const path = join(folder, "report.json");
  const read = (report: object): object => {
    writeFileSync(path, JSON.stringify(report));
    return readReport(path);
  };
  try {
    const nothing = { passed: 0, failed: 0, skipped: 0, failures: [] };
    expect(readReport(join(folder, "nowhere"))).toEqual(nothing);
    const ours = [
      { name: "good", status: "passed", detail: "" },
      { name: "bad", status: "failed", detail: "why\nwhere" },
    ];
    expect(read({ tests: ours })).toEqual({
      ...nothing,
      passed: 1,
      failed: 1,
      failures: ["bad: why"],
    });
    const failed = {
      status: "failed",
      fullName: "f() works",
      failureMessages: ["\u001b[31mno\nat"],
    };
    const files = [
      { name: "a.test.ts", status: "failed", assertionResults: [failed, { status: "passed" }] },
      { name: "b.test.ts", status: "failed", message: "cannot load", assertionResults: [] },
    ];
    const counts = { numPassedTests: 1, numPendingTests: 2, numTodoTests: 0 };
    expect(read({ ...counts, testResults: files })).toEqual({
      passed: 1,
      failed: 2,
      skipped: 2,
      failures: ["f() works: no", "b.test.ts: cannot load"],
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("problemsOf() takes the exit code for the truth", async () => {
  const node = process.execPath;
  expect(await problemsOf(run, [node, "-e", "console.log('noise')"])).toEqual([]);
  expect(await problemsOf(run, [node, "-e", "console.error('why'); process.exit(3)"])).toEqual([
    "why",
  ]);
  expect(await problemsOf(run, [node, "-e", "process.exit(3)"])).toHaveLength(1);
  expect(await problemsOf(run, ["/nowhere/at-all"])).toHaveLength(1);
});

test("run() ends a program that hangs, with its children", async () => {
  const child = "setInterval(() => {}, 1000)";
  const parent = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(child)}], { stdio: "inherit" });`;
  const result = await run([process.execPath, "-e", parent + child], { quiet: true, limitMs: 300 });
  expect(result.timedOut).toBe(true);
});

test("SUITES names every suite once", () => {
  const names = SUITES.map((suite) => suite.name);
  expect(new Set(names).size).toBe(names.length);
});

test.each([
  [
    "cpu  9 1 2 3 4 5 6 800 0 0\ncpu0 1 1 1 1 1 1 1 500 0 0\ncpu1 1 1 1 1 1 1 1 300 0 0\nintr 7\n",
    4000,
  ],
  ["cpu  9 1 2 3 4 5 6 0 0 0\ncpu0 9 1 2 3 4 5 6 0 0 0\n", 0],
  ["cpu  9 1 2 3\ncpu0 9 1 2 3\n", 0],
  ["", 0],
])("stolenMsOf() is the time that processors did not get, on average (%#)", (text, ms) => {
  expect(stolenMsOf(text)).toBe(ms);
});
