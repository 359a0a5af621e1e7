/**
 * Seeds of the capture fuzz on files, without a test runner: `bun test/fuzz/run-seeds.ts`, and so with Node and Deno.
 *
 * PAGESTREAM_SEEDS is how many seeds to run at least and PAGESTREAM_BUDGET_MS how long to go on; PAGESTREAM_SEED replays
 * one of PAGESTREAM_STEPS steps. Prints one line of JSON, a {@linkcode SeedsResult}, and ends with code 1 at a problem.
 *
 * @module
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { checkpointed } from "../../src/testing/checkpointed.ts";
import { installSyncFileVfs } from "../../src/vfs/sync-file-vfs.ts";
import { fuzzCapture } from "./capture-driver.ts";

/** What a run did. */
export interface SeedsResult {
  readonly first: number;
  readonly seeds: number;
  readonly steps: number;
  /** Sums of what the seeds counted. */
  readonly totals: Readonly<Record<string, number>>;
  /** The seed that failed, with its last statements. */
  readonly failed?: {
    readonly seed: number;
    readonly problem: string;
    readonly history: readonly string[];
  };
}

const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";
const { syncFiles } = (await import(
  `../../adapters/${runtime}/files.ts`
)) as typeof import("../../adapters/node/files.ts");

const replay = process.env["PAGESTREAM_SEED"];
const first = Number(replay ?? 1);
const least = replay === undefined ? Number(process.env["PAGESTREAM_SEEDS"] ?? 30) : 1;
const budgetMs = replay === undefined ? Number(process.env["PAGESTREAM_BUDGET_MS"] ?? 0) : 0;
const steps = Number(process.env["PAGESTREAM_STEPS"] ?? 100);

const sqlite3 = await sqlite3InitModule();
// Its error reports are part of the work here: most refused statements are meant to be refused.
const quiet = sqlite3 as unknown as { config: { warn: () => void; error: () => void } };
quiet.config.warn = () => {};
quiet.config.error = () => {};

const directory = mkdtempSync(join(tmpdir(), "pagestream-seeds-"));
const parent = installSyncFileVfs(sqlite3, { files: syncFiles() }).name;
const bytesOf = (path: string): Uint8Array | undefined =>
  existsSync(path) ? readFileSync(path) : undefined;
let paths = 0;
const base = {
  name: "sync-file",
  parent,
  newPath: () => join(directory, `${++paths}.db`),
  read: (path: string) => checkpointed(bytesOf(path) ?? new Uint8Array(0), bytesOf(`${path}-wal`)),
};

async function runSeeds(): Promise<SeedsResult> {
  const end = performance.now() + budgetMs;
  const totals: Record<string, number> = {};
  let seed = first;
  for (; seed - first < least || performance.now() < end; seed++) {
    const { problem, history, counts } = await fuzzCapture(sqlite3, base, { seed, steps });
    for (const [name, count] of Object.entries(counts)) totals[name] = (totals[name] ?? 0) + count;
    if (problem !== undefined) {
      return { first, seeds: seed - first, steps, totals, failed: { seed, problem, history } };
    }
  }
  return { first, seeds: seed - first, steps, totals };
}

try {
  const result = await runSeeds();
  console.log(JSON.stringify(result));
  process.exitCode = result.failed === undefined ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
