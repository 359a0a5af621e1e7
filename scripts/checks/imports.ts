/**
 * The direction of imports between the rooms, and the absence of cycles between files.
 *
 * @module
 */

import { posix } from "node:path";
import { parse } from "./syntax.ts";
import { json, sources } from "./tree.ts";
import type { Problems, Tree } from "./tree.ts";

/** The rooms each room may import from by a relative path, besides itself. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  core: [],
  ltx: ["core"],
  transports: ["core", "ltx"],
  vfs: ["core", "ltx", "transports"],
  replica: ["core", "ltx", "transports"],
  api: ["core", "ltx", "transports", "vfs", "replica"],
  http: ["core", "ltx", "transports", "vfs", "replica", "api"],
  testing: ["core", "ltx", "transports", "vfs", "replica", "api"],
};

/** Rooms that see of the transports only the contract. */
const CONTRACT_ONLY = ["vfs", "replica"];

/** The contract of the transports: as pure as the rooms that use it. */
export const CONTRACT: readonly string[] = [
  "src/transports/object-store.ts",
  "src/transports/store-traits.ts",
  "src/transports/errors.ts",
  "src/transports/timestamp.ts",
];

/** Rooms that import nothing from outside, except the named packages. */
const PURE: Readonly<Record<string, readonly string[]>> = {
  core: [],
  ltx: ["lz4js"],
  replica: [],
  vfs: [],
};

interface Manifest {
  readonly name?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** Every import points down the rooms, and packages come from the manifest of the package that imports them. */
export function checkImports(tree: Tree): Problems {
  const problems: string[] = [];
  for (const [path, text] of sources(tree)) {
    for (const entry of parse(path, text).imports) {
      const where = `${path}:${entry.line} imports ${entry.specifier}`;
      const relative = entry.specifier.startsWith(".");
      const problem = relative
        ? checkRelative(tree, path, entry.specifier)
        : checkPackage(tree, path, entry);
      if (problem !== undefined) problems.push(`${where}: ${problem}`);
    }
  }
  return problems;
}

/** `src/core/x.ts` is in room `src/core`, `adapters/node/cli/x.ts` in room `adapters/node`. */
function roomOf(path: string): string {
  return path.split("/").slice(0, 2).join("/");
}

function checkRelative(tree: Tree, path: string, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(path), specifier);
  if (!tree.has(target)) return "there is no such file";
  const [from, to] = [roomOf(path), roomOf(target)];
  if (from === to) return undefined;
  if (path.startsWith("adapters/")) {
    // Compiled, the adapters do not lie to the rest as their sources do; and some are packages of their own.
    if (to === "adapters/files" && !path.startsWith("adapters/node/")) return undefined;
    return "adapters use pagestream by its name";
  }
  if (!to.startsWith("src/")) return "only src and the importer's own room are in reach";
  const [fromName, toName] = [from.slice("src/".length), to.slice("src/".length)];
  if (from.startsWith("src/") && !(BELOW[fromName] ?? []).includes(toName)) {
    return `${from} may import from ${BELOW[fromName]?.join(", ") || "no other room"}`;
  }
  if (CONTRACT_ONLY.includes(fromName) && toName === "transports" && !CONTRACT.includes(target)) {
    return `${from} knows of the transports only their contract, ${CONTRACT.join(", ")}`;
  }
  return undefined;
}

function checkPackage(
  tree: Tree,
  path: string,
  entry: { readonly specifier: string; readonly typeOnly: boolean; readonly dynamic: boolean },
): string | undefined {
  const name = entry.specifier
    .split("/")
    .slice(0, entry.specifier.startsWith("@") ? 2 : 1)
    .join("/");
  const room = roomOf(path).slice("src/".length);
  if (path.startsWith("src/")) {
    if (name.startsWith("node:") || name === "pagestream")
      return "src uses no runtime and no own name";
    if (name === "@sqlite.org/sqlite-wasm") {
      return entry.typeOnly
        ? undefined
        : "the caller passes sqlite-wasm in; only its types are imported";
    }
    const allowed = PURE[room];
    if (allowed !== undefined && !allowed.includes(name)) return "the room is pure";
  }
  if (name.startsWith("node:")) return undefined;
  const manifest = json<Manifest>(
    tree,
    path.startsWith("adapters/node/") ? "adapters/node/package.json" : "package.json",
  );
  if (name === manifest.name || name in (manifest.dependencies ?? {})) return undefined;
  if (name in (manifest.peerDependencies ?? {})) {
    return entry.typeOnly || entry.dynamic || path.startsWith("adapters/node/")
      ? undefined
      : "a peer is imported lazily, or as a type";
  }
  return "the manifest does not name this package";
}

/** No file reaches itself through imports, types included. */
export function checkCycles(tree: Tree): Problems {
  const graph = new Map<string, string[]>();
  for (const [path, text] of sources(tree)) {
    const targets = parse(path, text)
      .imports.filter((entry) => entry.specifier.startsWith("."))
      .map((entry) => posix.join(posix.dirname(path), entry.specifier));
    graph.set(path, targets);
  }
  const problems: string[] = [];
  const state = new Map<string, "open" | "done">();
  const walk = (path: string, trail: readonly string[]): void => {
    state.set(path, "open");
    for (const next of graph.get(path) ?? []) {
      if (state.get(next) === "open") {
        const cycle = [...trail.slice(trail.indexOf(next)), next];
        problems.push(`${next} imports itself: ${cycle.join(" -> ")}`);
      } else if (graph.has(next) && !state.has(next)) walk(next, [...trail, next]);
    }
    state.set(path, "done");
  };
  for (const path of graph.keys()) if (!state.has(path)) walk(path, [path]);
  return problems;
}
