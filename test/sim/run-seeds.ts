/**
 * Seeds of the simulation without a test runner: `node test/sim/run-seeds.ts`.
 *
 * PAGESTREAM_SEED replays one seed and prints its story. PAGESTREAM_FIRST is where to begin else, PAGESTREAM_SEEDS how many
 * seeds to run and PAGESTREAM_BUDGET_MS how long at most. The last line is JSON; code 1 says that a seed failed.
 *
 * @module
 */
import process from "node:process";
import { runSeeds } from "./seeds.ts";
import { simulate } from "./simulation.ts";

const { env } = process;
const replay = env["PAGESTREAM_SEED"];
if (replay === undefined) {
  const result = await runSeeds({
    first: Number(env["PAGESTREAM_FIRST"] ?? 1),
    step: 1,
    least: Number(env["PAGESTREAM_SEEDS"] ?? 100),
    budgetMs: Number(env["PAGESTREAM_BUDGET_MS"] ?? 0),
  });
  console.log(JSON.stringify(result));
  process.exitCode = result.failed === undefined ? 0 : 1;
} else {
  const { problem, trace, hash, counts, plan } = await simulate(Number(replay));
  console.log(JSON.stringify(plan, undefined, 1));
  for (const line of trace) console.log(line);
  console.log(problem ?? "all is well");
  console.log(JSON.stringify({ seed: Number(replay), hash, counts }));
  process.exitCode = problem === undefined ? 0 : 1;
}
