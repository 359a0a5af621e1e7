/**
 * What several files say must agree: the two manifests, the versions, the pinned runtimes.
 *
 * @module
 */

import { json } from "./tree.ts";
import type { Problems, Tree } from "./tree.ts";

interface PackageManifest {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string | null>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

interface JsrManifest {
  readonly version?: string;
  readonly license?: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly imports?: Readonly<Record<string, string>>;
}

/** The source file behind a compiled entry: `./dist/api/index.js` is `./src/api/index.ts`, adapters lie beside `src`. */
export function sourceOf(compiled: string): string {
  return compiled
    .replace(/^\.\/dist\/(adapters\/)?/, (_, adapters) => `./${adapters ?? "src/"}`)
    .replace(/(\.d\.ts|\.js)$/, ".ts");
}

/** `package.json` and `deno.json` list the same entry points, version, licence and dependencies. */
export function checkManifests(tree: Tree): Problems {
  const problems: string[] = [];
  const npm = json<PackageManifest>(tree, "package.json");
  const jsr = json<JsrManifest>(tree, "deno.json");
  const node = json<PackageManifest>(tree, "adapters/node/package.json");

  const npmEntries = new Map<string, string>();
  for (const [entry, target] of Object.entries(npm.exports ?? {})) {
    if (typeof target === "string") continue;
    const [first] = Object.keys(target);
    if (first !== "types")
      problems.push(`package.json: exports["${entry}"] does not begin with types`);
    const compiled = target["default"];
    if (typeof compiled !== "string")
      problems.push(`package.json: exports["${entry}"] has no default`);
    else npmEntries.set(entry, sourceOf(compiled));
    if (typeof target["types"] === "string" && typeof compiled === "string") {
      if (sourceOf(target["types"]) !== sourceOf(compiled)) {
        problems.push(`package.json: exports["${entry}"] has the types of another file`);
      }
    }
  }
  const jsrEntries = new Map(Object.entries(jsr.exports ?? {}));
  for (const entry of new Set([...npmEntries.keys(), ...jsrEntries.keys()])) {
    const [a, b] = [npmEntries.get(entry), jsrEntries.get(entry)];
    if (a !== b)
      problems.push(
        `entry "${entry}" is ${a ?? "absent"} in package.json and ${b ?? "absent"} in deno.json`,
      );
    if (a !== undefined && !tree.has(a.slice("./".length)))
      problems.push(`package.json: ${a} does not exist`);
  }

  for (const field of ["version", "license"] as const) {
    if (npm[field] !== jsr[field] || npm[field] !== node[field]) {
      problems.push(
        `${field} differs: ${npm[field]} (npm), ${jsr[field]} (JSR), ${node[field]} (@pagestream/node)`,
      );
    }
  }
  if (node.dependencies?.["pagestream"] !== npm.version) {
    problems.push(
      `adapters/node/package.json: depends on pagestream ${node.dependencies?.["pagestream"]}, not ${npm.version}`,
    );
  }
  const pinned = npm.devDependencies?.["node"];
  if (node.dependencies?.["node"] !== pinned) {
    problems.push(
      `adapters/node/package.json: brings Node ${node.dependencies?.["node"]}, the tests run ${pinned}`,
    );
  }

  const wanted = { ...npm.dependencies, ...npm.peerDependencies };
  for (const [name, version] of Object.entries(wanted)) {
    const mapped = jsr.imports?.[name];
    if (mapped !== `npm:${name}@${version}`) {
      problems.push(
        `deno.json: maps ${name} to ${mapped ?? "nothing"} instead of npm:${name}@${version}`,
      );
    }
  }
  return problems;
}

/** Dependencies of both packages are pinned exactly, so that an install is the same everywhere. */
export function checkPins(tree: Tree): Problems {
  const problems: string[] = [];
  for (const path of ["package.json", "adapters/node/package.json"]) {
    const manifest = json<PackageManifest>(tree, path);
    const all = { ...manifest.dependencies, ...manifest.devDependencies };
    for (const [name, version] of Object.entries(all)) {
      if (!/^\d+\.\d+\.\d+/.test(version) && version !== "file:.") {
        problems.push(`${path}: ${name} is ${version}, not an exact version`);
      }
    }
  }
  return problems;
}
