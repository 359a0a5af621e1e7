import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { afterAll, expect, test } from "vitest";
import { syncFiles } from "../../adapters/node/files.ts";
import { checkpointed } from "../../src/testing/checkpointed.ts";
import { installCaptureVfs } from "../../src/vfs/capture-vfs.ts";
import { installMemoryVfs } from "../../src/vfs/memory-vfs.ts";
import { installSyncFileVfs } from "../../src/vfs/sync-file-vfs.ts";
import { type FuzzBase, fuzzCapture } from "./capture-driver.ts";

// PAGESTREAM_SEED replays one seed; PAGESTREAM_BUDGET_MS is the time of each base; PAGESTREAM_NIGHTLY=1 takes longer.
const nightly = process.env["PAGESTREAM_NIGHTLY"] === "1";
const budgetMs = Number(process.env["PAGESTREAM_BUDGET_MS"] ?? (nightly ? 600_000 : 20_000)) / 2;
const replay = process.env["PAGESTREAM_SEED"];
const steps = Number(process.env["PAGESTREAM_STEPS"] ?? 250);
const leastSeeds = 6;

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
    capture: installCaptureVfs(sqlite3, { parent: memory.name }),
    newPath: () => `fuzz-${++paths}.db`,
    read: (path) => logical(memory.read(path), memory.read(`${path}-wal`)),
  },
  {
    name: "sync-file",
    capture: installCaptureVfs(sqlite3, { parent: files.name }),
    newPath: () => join(directory, `fuzz-${++paths}.db`),
    read: (path) =>
      logical(
        readFileSync(path),
        existsSync(`${path}-wal`) ? readFileSync(`${path}-wal`) : undefined,
      ),
  },
];

for (const base of bases) {
  const time = Math.max(60_000, 4 * budgetMs);
  test(
    `a replica of commit events equals the file after every commit, on ${base.name}`,
    { timeout: time },
    async () => {
      const end = performance.now() + budgetMs;
      const first = replay === undefined ? 1 : Number(replay);
      const count = replay === undefined ? leastSeeds : 1;
      let totals = { seeds: 0, commits: 0, pages: 0, images: 0, xors: 0 };
      for (let seed = first; ; seed++) {
        const done = seed - first >= count;
        if (done && (replay !== undefined || performance.now() > end)) break;
        const result = await fuzzCapture(sqlite3, base, { seed, steps });
        totals = {
          seeds: totals.seeds + 1,
          commits: totals.commits + result.commits,
          pages: totals.pages + result.pages,
          images: totals.images + result.images,
          xors: totals.xors + result.xors,
        };
        const how = `replay with PAGESTREAM_SEED=${seed} PAGESTREAM_STEPS=${steps}`;
        expect(
          result.problem,
          `seed ${seed} on ${base.name}: ${how}\n${result.history.join("\n")}`,
        ).toBeUndefined();
      }
      console.log(
        `${base.name}: seeds ${first}..${first + totals.seeds - 1}`,
        JSON.stringify(totals),
      );
      if (replay === undefined) {
        expect(totals.commits).toBeGreaterThan(100);
        expect(totals.images).toBeGreaterThan(0);
        expect(totals.xors).toBeGreaterThan(0);
      }
    },
  );
}
