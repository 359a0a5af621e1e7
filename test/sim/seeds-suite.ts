/**
 * A share of the seeds as a test; each share is a file of its own, since files run side by side.
 *
 * @module
 */
import process from "node:process";
import { expect, test } from "vitest";
import { runSeeds } from "./seeds.ts";
import { simulate } from "./simulation.ts";

/** Files that share the seeds. */
const SHARES = 2;
/** Seeds that all shares run at least. */
const LEAST_SEEDS = 2_000;
/** How long a nightly run goes on, in milliseconds, unless PAGESTREAM_BUDGET_MS says otherwise. */
const NIGHTLY_MS = 1_800_000;

const { env } = process;
const nightly = env["PAGESTREAM_NIGHTLY"] === "1";

/** Defines the test of one share, from 0. PAGESTREAM_SEED replays one seed, in the first share. */
export function testSeeds(share: number): void {
  const replay = env["PAGESTREAM_SEED"];
  if (replay !== undefined && share > 0) return;
  // Nights go on where nobody has been.
  const first = nightly ? 1_000_000 + Math.floor(Date.now() / 1000) * 1_000 : 1;
  test(`a replica keeps every promise whatever goes wrong, seeds ${share} of ${SHARES}`, async () => {
    if (replay !== undefined) {
      const { problem, trace } = await simulate(Number(replay));
      for (const line of trace) console.log(line);
      expect(problem).toBeUndefined();
      return;
    }
    const { seeds, counts, failed } = await runSeeds({
      first: Number(env["PAGESTREAM_FIRST"] ?? first) + share,
      step: SHARES,
      least: LEAST_SEEDS / SHARES,
      budgetMs: nightly ? Number(env["PAGESTREAM_BUDGET_MS"] ?? NIGHTLY_MS) : 0,
    });
    console.log(`${seeds} seeds from ${first + share} on`, JSON.stringify(counts));
    if (failed === undefined) return;
    for (const line of failed.trace) console.log(line);
    expect(failed.problem, `replay with PAGESTREAM_SEED=${failed.seed}`).toBeUndefined();
  }, 86_400_000);
}
