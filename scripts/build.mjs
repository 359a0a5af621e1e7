/**
 * Builds `dist` of both packages with the TypeScript compiler alone: one JavaScript file and one declaration per source.
 *
 * @module
 */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { StepError, pinnedNode, quietStep, root } from "./lib/process.mjs";

/** Compiles what changed, after removing output whose source is gone. */
export async function build() {
  removeOrphans(join(root, "dist"), join(root, "src"));
  removeOrphans(join(root, "adapters/node/dist"), join(root, "adapters/node"));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await quietStep("build", [pinnedNode, tsc, "-b", "tsconfig.build.json"]);
}

/** Removes compiled files whose source no longer exists; the compiler never does. */
function removeOrphans(dist, sources) {
  if (!existsSync(dist)) return;
  for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const stem = path.slice(dist.length).replace(/(\.d\.ts|\.js)$/, "");
    if (stem === path.slice(dist.length)) continue;
    if (!existsSync(`${sources}${stem}.ts`)) rmSync(path);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await build();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    process.exitCode = 1;
  }
}
