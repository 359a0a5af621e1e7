import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";
import { pinnedNode, root, run } from "../../scripts/lib/process.mjs";
import { MUTATIONS } from "./mutations.ts";
import type { SeedsResult } from "./seeds.ts";
import { simulate } from "./simulation.ts";

/** Seeds within which each fault must show. */
const BOUND = 60;

test("simulate() does the same for the same seed, whatever ran before", async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const first = await simulate(seed);
    await simulate(seed + 100);
    const again = await simulate(seed);
    expect(again.trace).toEqual(first.trace);
    expect(again.hash).toBe(first.hash);
  }
});

for (const { name } of MUTATIONS) {
  test(`a simulation finds the fault that ${name}`, async () => {
    const mutate = join(root, "test/sim/mutate.ts");
    const script = join(root, "test/sim/run-seeds.ts");
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      PAGESTREAM_MUTATION: name,
      PAGESTREAM_FIRST: undefined,
      PAGESTREAM_SEEDS: String(BOUND),
      PAGESTREAM_SEED: undefined,
      PAGESTREAM_BUDGET_MS: undefined,
    };
    const { output, code } = await run([pinnedNode, "--import", mutate, script], {
      env,
      quiet: true,
    });
    const line = output.trimEnd().split("\n").at(-1) ?? "";
    expect(line, output).toMatch(/^\{"seeds"/);
    const { seeds, failed } = JSON.parse(line) as SeedsResult;
    console.log(`${name}: found by seed ${failed?.seed}, after ${seeds}: ${failed?.problem}`);
    expect(failed, `not found within ${seeds} seeds`).toBeDefined();
    expect(code).toBe(1);
  });
}
