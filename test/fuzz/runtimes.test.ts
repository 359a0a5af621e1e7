import { join } from "node:path";
import { expect, test } from "vitest";
import { binFolder, root, run } from "../../scripts/lib/process.mjs";
import type { SeedsResult } from "./run-seeds.ts";

const LEAST_SEEDS = 30;

/** What both runtimes may take together; the least number of seeds is run whatever it takes. */
const budgetMs = Number(process.env["PAGESTREAM_BUDGET_MS"] ?? 20_000);
const eachMs = Math.min(25_000, budgetMs / 2);

const script = join(root, "test/fuzz/run-seeds.ts");
const deno = ["run", "--allow-all", "--no-config", "--node-modules-dir=manual", "--quiet"];
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  Deno: [join(binFolder, "deno"), ...deno, script],
  Bun: [join(binFolder, "bun"), script],
};

for (const [name, command] of Object.entries(RUNTIMES)) {
  test(
    `a replica of commit events equals the file after every commit, in ${name}`,
    { timeout: 240_000 },
    async () => {
      const env: NodeJS.ProcessEnv = {
        ...process.env,
        NO_COLOR: "1",
        PAGESTREAM_SEEDS: String(LEAST_SEEDS),
        PAGESTREAM_BUDGET_MS: String(eachMs),
      };
      const { output, code } = await run(command, { env, quiet: true });
      const line = output.trimEnd().split("\n").at(-1) ?? "";
      expect(line, output).toMatch(/^\{.*\}$/);
      const { first, seeds, steps, totals, failed } = JSON.parse(line) as SeedsResult;
      console.log(`${name}: seeds ${first}..${first + seeds - 1} of ${steps} steps`, totals);
      const how = `${command.join(" ")} with PAGESTREAM_SEED=${failed?.seed} PAGESTREAM_STEPS=${steps}`;
      expect(failed, `replay: ${how}`).toBeUndefined();
      expect(code, output).toBe(0);
      if (env["PAGESTREAM_SEED"] === undefined) {
        expect(seeds).toBeGreaterThanOrEqual(LEAST_SEEDS);
        expect(totals["commits"]).toBeGreaterThan(100);
      }
    },
  );
}
