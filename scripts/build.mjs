/**
 * Builds `dist` of both packages with the TypeScript compiler alone: one JavaScript file and one declaration per source.
 *
 * @module
 */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { StepError, pinnedNode, quietStep, root } from "./lib/process.mjs";

/** Compiles what changed, after removing output whose source is gone. */
export async function build() {
  const source = (path) => join(root, path.startsWith("adapters/") ? path : `src/${path}`);
  removeOrphans(join(root, "dist"), source);
  removeOrphans(join(root, "adapters/node/dist"), (path) => join(root, "adapters/node", path));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await quietStep("build", [pinnedNode, tsc, "-b", "tsconfig.build.json"]);
}

/** Removes compiled files whose source, without its ending, no longer exists; the compiler never does. */
function removeOrphans(dist, sourceOf) {
  if (!existsSync(dist)) return;
  for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const name = relative(dist, path).replaceAll("\\", "/");
    const stem = name.replace(/(\.d\.ts|\.js)$/, "");
    if (stem !== name && !existsSync(`${sourceOf(stem)}.ts`)) rmSync(path);
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
