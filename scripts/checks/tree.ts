/**
 * The files of the repository as one map, so that every check is a function of texts and can be given a bad sample.
 *
 * @module
 */

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Path from the root, with forward slashes, to the text of the file. */
export type Tree = ReadonlyMap<string, string>;

/** What a check found wrong: one line each, beginning with the path. Empty when all is well. */
export type Problems = readonly string[];

const SKIPPED = new Set(["node_modules", "dist", "coverage", ".git", ".tools"]);
const TEXT = /\.(ts|mjs|js|json|md)$/;

/** Reads every text file below `root`, except what is installed or built. */
export function readTree(root: string): Tree {
  const tree = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED.has(entry.name)) walk(path);
      } else if (entry.isFile()) {
        tree.set(path, TEXT.test(entry.name) ? readFileSync(join(root, path), "utf8") : "");
      }
    }
  };
  walk("");
  return tree;
}

/** A tree from literal texts, for the tests of the checks. */
export function sampleTree(files: Readonly<Record<string, string>>): Tree {
  return new Map(Object.entries(files));
}

/** The sources of both packages, in order: TypeScript under `src` and `adapters`, tests only when asked for. */
export function sources(
  tree: Tree,
  options: { readonly tests?: boolean } = {},
): [string, string][] {
  return [...tree]
    .filter(([path]) => /^(src|adapters)\/.*\.ts$/.test(path) && !path.endsWith(".d.ts"))
    .filter(([path]) => options.tests === true || !path.endsWith(".test.ts"))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** Parses a JSON file of the tree; a missing one is an empty object. */
export function json<T>(tree: Tree, path: string): T {
  return JSON.parse(tree.get(path) ?? "{}") as T;
}
