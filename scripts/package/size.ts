/**
 * What each entry point costs a user: bundled, minified, compressed bytes, held to the budget of `size.json`.
 *
 * `node scripts/package/size.ts --update` writes the budget anew: what is measured now, with head-room.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import type { Rollup } from "vite";
import { root } from "../lib/process.mjs";

/** Room to grow before somebody must look at it. */
const HEAD_ROOM = 1.1;

const budgetPath = join(root, "size.json");

/** Entry point to gzip bytes. */
export type Sizes = Readonly<Record<string, number>>;

/** Bundles every entry of `deno.json`, which names the sources, and measures it. */
export async function measureSizes(): Promise<Sizes> {
  const manifest = JSON.parse(readFileSync(join(root, "deno.json"), "utf8")) as {
    exports: Record<string, string>;
  };
  const sizes: Record<string, number> = {};
  for (const [entry, source] of Object.entries(manifest.exports)) {
    sizes[entry] = await bundleSize(join(root, source));
  }
  return sizes;
}

async function bundleSize(input: string): Promise<number> {
  const result = await build({
    configFile: false,
    logLevel: "error",
    root,
    build: {
      write: false,
      modulePreload: false,
      target: "es2022",
      rolldownOptions: {
        input,
        // The caller brings sqlite-wasm and the libraries of NATS, the runtime its modules, and whoever uses an adapter
        // has paid for the rest already; all other dependencies are part of the price.
        external: [/^@sqlite\.org\//, /^@nats-io\//, /^node:/, /^pagestream(\/|$)/],
        preserveEntrySignatures: "strict",
        output: { minify: true, codeSplitting: false },
      },
    },
  });
  const [bundle] = [result].flat() as Rollup.RollupOutput[];
  const chunks = bundle?.output.filter((chunk) => chunk.type === "chunk") ?? [];
  return gzipSync(chunks.map((chunk) => chunk.code).join("\n"), { level: 9 }).byteLength;
}

/** Compares sizes with a budget: an entry above it, or without one, is a problem; so is a budget for nothing. */
export function compareSizes(sizes: Sizes, budget: Sizes): string[] {
  const problems: string[] = [];
  for (const [entry, size] of Object.entries(sizes)) {
    const limit = budget[entry];
    if (limit === undefined)
      problems.push(`size.json has no budget for "${entry}" (${size} B now)`);
    else if (size > limit) problems.push(`"${entry}" is ${size} B, the budget is ${limit} B`);
  }
  for (const entry of Object.keys(budget)) {
    if (!(entry in sizes))
      problems.push(`size.json has a budget for "${entry}", which is no entry`);
  }
  return problems;
}

/** The check of the package suite. */
export async function checkSizes(): Promise<string[]> {
  return compareSizes(await measureSizes(), JSON.parse(readFileSync(budgetPath, "utf8")) as Sizes);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const sizes = await measureSizes();
  for (const [entry, size] of Object.entries(sizes))
    console.log(`${String(size).padStart(7)} B  ${entry}`);
  if (process.argv.includes("--update")) {
    const budget = Object.entries(sizes).map(([entry, size]) => [
      entry,
      Math.ceil(size * HEAD_ROOM),
    ]);
    writeFileSync(budgetPath, `${JSON.stringify(Object.fromEntries(budget), null, 2)}\n`);
  }
}
