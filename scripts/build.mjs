/**
 * Builds `dist` of both packages with the TypeScript compiler alone: one JavaScript file and one declaration per source. Of
 * the compiled command it then makes a few files, since each module that a program loads costs it most of a millisecond.
 *
 * @module
 */

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { pastBarrels } from "./lib/past-barrels.mjs";
import { StepError, pinnedNode, quietStep, root } from "./lib/process.mjs";

/** Compiles what changed, after removing output whose source is gone. */
export async function build() {
  const source = (path) => join(root, path.startsWith("adapters/") ? path : `src/${path}`);
  removeOrphans(join(root, "dist"), source);
  removeOrphans(join(root, "adapters/node/dist"), (path) => join(root, "adapters/node", path));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await quietStep("build", [pinnedNode, tsc, "-b", "tsconfig.build.json"]);
  await bundleCommand();
}

/** Puts the command and what it needs of `pagestream` together; the packages that its own manifest names stay outside. */
async function bundleCommand() {
  const package_ = join(root, "adapters/node");
  const manifests = [package_, root].map((folder) =>
    JSON.parse(readFileSync(join(folder, "package.json"), "utf8")),
  );
  const outside = manifests.map(({ peerDependencies }) => peerDependencies);
  outside.push(manifests[0].dependencies);
  const outdir = join(package_, "dist/command");
  const { build: bundle } = await import("esbuild");
  const { metafile } = await bundle({
    absWorkingDir: root,
    entryPoints: [join(package_, "dist/cli/main.js")],
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node22",
    external: Object.keys(Object.assign({}, ...outside))
      .filter((name) => name !== "pagestream")
      .flatMap((name) => [name, `${name}/*`]),
    plugins: [pastBarrels],
    metafile: true,
    logLevel: "warning",
  });
  writeFileSync(join(outdir, "LICENSES.txt"), licensesOf(Object.keys(metafile.inputs)));
}

/** The licences of the packages of others among these files. */
function licensesOf(paths) {
  const names = paths.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  const texts = [...new Set(names)].sort().flatMap((name) => {
    if (name === undefined) return [];
    const folder = join(root, "node_modules", name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const { license, author } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const text = file === undefined ? `${license}, ${author}` : readFileSync(join(folder, file));
    return [`${name}\n\n${String(text).trim()}\n`];
  });
  return texts.join("\n\n");
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
