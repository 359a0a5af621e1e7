import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { type CrashCell, type CrashCounts, crashLives } from "./crash-life.ts";

// PAGESTREAM_SEED replays one seed; PAGESTREAM_BUDGET_MS is the time of all cells together.
const nightly = process.env["PAGESTREAM_NIGHTLY"] === "1";
const budgetMs = Number(process.env["PAGESTREAM_BUDGET_MS"] ?? (nightly ? 1_200_000 : 30_000));
const replay = process.env["PAGESTREAM_SEED"];
const LIVES = 4;
const LEAST_SEEDS = 2;

const JOURNALS = ["delete", "truncate", "persist", "memory", "wal", "wal-exclusive"] as const;
const LOSSES = ["process", "power", "directories"] as const;
const DURABILITIES = ["async", "local", "hold-retry"] as const;

function cellsOf(durability: CrashCell["durability"]): CrashCell[] {
  const held = durability === "hold-retry";
  const journals = held ? (["delete", "truncate", "memory"] as const) : JOURNALS;
  const levels =
    durability === "async" ? (["off", "normal", "full"] as const) : (["full"] as const);
  return journals.flatMap((journal) =>
    levels.flatMap((synchronous) =>
      LOSSES.map((loss) => ({ journal, synchronous, loss, durability })),
    ),
  );
}

for (const durability of DURABILITIES) {
  const cells = cellsOf(durability);
  // Each cell has the same share, whatever its durability.
  const share = (budgetMs * cells.length) / DURABILITIES.flatMap(cellsOf).length;
  test(
    `a crash at any file call loses nothing confirmed, durability ${durability}`,
    { timeout: Math.max(120_000, 4 * share) },
    async () => {
      const end = performance.now() + share;
      const first = Number(replay ?? 1);
      const table = cells.map((cell) => ({ cell, counts: noCounts() }));
      for (let seed = first; ; seed++) {
        const enough = seed - first >= (replay === undefined ? LEAST_SEEDS : 1);
        if (enough && (replay !== undefined || performance.now() > end)) break;
        // What crashed databases leave behind goes with the instance.
        const sqlite3 = await sqlite3InitModule();
        const quiet = sqlite3 as unknown as { config: { warn: () => void; error: () => void } };
        quiet.config.warn = quiet.config.error = () => {};
        for (const { cell, counts } of table) {
          await crashLives(sqlite3, cell, { seed, lives: LIVES, counts }).catch((error) => {
            const how = `${JSON.stringify(cell)}: replay with PAGESTREAM_SEED=${seed}`;
            throw new Error(how, { cause: error });
          });
        }
      }
      for (const { cell, counts } of table) {
        console.log(Object.values(cell).join(" ").padEnd(36), JSON.stringify(counts));
        expect(counts.crashes).toBeGreaterThan(0);
      }
    },
  );
}

function noCounts(): CrashCounts {
  return { crashes: 0, corrupt: 0, behind: 0, confirmed: 0, restored: 0 };
}
