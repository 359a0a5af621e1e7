import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { afterAll, expect, test } from "vitest";
import { syncFiles } from "../../adapters/node/files.ts";
import { checkpointed } from "../../src/testing/checkpointed.ts";
import { installMemoryVfs } from "../../src/vfs/memory-vfs.ts";
import { installSyncFileVfs } from "../../src/vfs/sync-file-vfs.ts";
import { fuzzCapture } from "./capture-driver.ts";
import type { FuzzBase } from "./capture-session.ts";

// PAGESTREAM_SEED replays one seed; PAGESTREAM_BUDGET_MS is the time of each base; PAGESTREAM_NIGHTLY=1 takes longer.
const nightly = process.env["PAGESTREAM_NIGHTLY"] === "1";
const budgetMs = Number(process.env["PAGESTREAM_BUDGET_MS"] ?? (nightly ? 600_000 : 20_000)) / 2;
const replay = process.env["PAGESTREAM_SEED"];
const steps = Number(process.env["PAGESTREAM_STEPS"] ?? 60);
const leastSeeds = 100;

const sqlite3 = await sqlite3InitModule();
// Its error reports are part of the work here: most refused statements are meant to be refused.
const quiet = sqlite3 as unknown as { config: { warn: () => void; error: () => void } };
quiet.config.warn = () => {};
quiet.config.error = () => {};

const directory = mkdtempSync(join(tmpdir(), "pagestream-fuzz-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const memory = installMemoryVfs(sqlite3);
const files = installSyncFileVfs(sqlite3, { files: syncFiles() });
let paths = 0;
const logical = (main: Uint8Array | undefined, wal: Uint8Array | undefined): Uint8Array =>
  checkpointed(main ?? new Uint8Array(0), wal);
const bases: readonly FuzzBase[] = [
  {
    name: "memory",
    parent: memory.name,
    newPath: () => `fuzz-${++paths}.db`,
    read: (path) => logical(memory.read(path), memory.read(`${path}-wal`)),
  },
  {
    name: "sync-file",
    parent: files.name,
    newPath: () => join(directory, `fuzz-${++paths}.db`),
    read: (path) =>
      logical(
        readFileSync(path),
        existsSync(`${path}-wal`) ? readFileSync(`${path}-wal`) : undefined,
      ),
  },
];

for (const [index, base] of bases.entries()) {
  const time = Math.max(120_000, 4 * budgetMs);
  test(
    `a replica of commit events equals the file after every commit, on ${base.name}`,
    { timeout: time },
    async () => {
      const start = performance.now();
      const first = Number(replay ?? 1 + index * 100_000);
      const totals: Record<string, number> = {};
      let seed = first;
      for (; ; seed++) {
        const enough = seed - first >= (replay === undefined ? leastSeeds : 1);
        if (enough && (replay !== undefined || performance.now() - start > budgetMs)) break;
        const { problem, history, counts } = await fuzzCapture(sqlite3, base, { seed, steps });
        for (const [name, count] of Object.entries(counts)) {
          totals[name] = (totals[name] ?? 0) + count;
        }
        const how = `replay with PAGESTREAM_SEED=${seed} PAGESTREAM_STEPS=${steps}`;
        const what = `seed ${seed} on ${base.name}: ${how}\n${history.join("\n")}`;
        expect(problem, what).toBeUndefined();
      }
      const seeds = seed - first;
      const each = Math.round((performance.now() - start) / seeds);
      const summary = `seeds ${first}..${seed - 1} of ${steps} steps, ${each} ms each`;
      console.log(`${base.name}: ${summary}`, JSON.stringify(totals));
      if (replay !== undefined) return;
      for (const [name, count] of Object.entries(totals)) {
        // Overruns need so much memory that only a few seeds have them.
        expect(count, name).toBeGreaterThan(name === "overruns" ? -1 : 10);
      }
    },
  );
}
