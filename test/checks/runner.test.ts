/** @module */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { run } from "../../scripts/lib/process.mjs";
import { problemsOf, runReported } from "../../scripts/lib/report.mjs";
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
