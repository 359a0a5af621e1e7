/**
 * What users get: packs both packages, unpacks them as an install would, and loads every entry from there.
 *
 * @module
 */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binFolder, pinnedNode, root, run } from "../lib/process.mjs";

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** The two packages, by their folder. */
const PACKAGES = ["", "adapters/node"];

/** Everything that must not reach a user. */
const UNWANTED = /\.test\.|tsconfig|tsbuildinfo|\.tgz$/;

/** A scratch project with both packages installed in it. */
export interface Installed {
  readonly folder: string;
  /** The archives as npm publishes them, by the package's name. */
  readonly archives: Readonly<Record<string, string>>;
  /** What was wrong with the packed files. */
  readonly problems: readonly string[];
  remove(): void;
}

/** Packs and unpacks both packages; their dependencies are links to what is installed here. */
export async function installPacked(): Promise<Installed> {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-package-"));
  const archives: Record<string, string> = {};
  const problems: string[] = [];
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  for (const path of PACKAGES) {
    const manifest = readManifest(path);
    const target = join(folder, "node_modules", manifest.name);
    mkdirSync(target, { recursive: true });
    const into = mkdtempSync(join(folder, "packed-"));
    const pack = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", into];
    const packed = await run(pack, { cwd: join(root, path), quiet: true });
    if (packed.code !== 0) problems.push(packed.output);
    const [archive] = readdirSync(into);
    if (archive === undefined) continue;
    archives[manifest.name] = join(into, archive);
    await run(["tar", "-xzf", join(into, archive), "--strip-components=1", "-C", target]);
    problems.push(...unwantedFiles(target).map((name) => `${manifest.name} would ship ${name}`));
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      if (name !== "pagestream") linkDependency(folder, path, name);
    }
  }
  return {
    folder,
    archives,
    problems,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(join(root, path, "package.json"), "utf8")) as Manifest;
}

function unwantedFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    UNWANTED.test(name),
  );
}

function linkDependency(folder: string, importer: string, name: string): void {
  const own = join(root, importer, "node_modules", name);
  const source = readable(own) ? own : join(root, "node_modules", name);
  const target = join(folder, "node_modules", name);
  mkdirSync(join(target, ".."), { recursive: true });
  // Both packages may need it; their versions are one.
  if (!existsSync(target)) symlinkSync(source, target);
}

function readable(folder: string): boolean {
  try {
    return readdirSync(folder).length > 0;
  } catch {
    return false;
  }
}

/** The names by which users import what the packages export. */
export function entryNames(): { readonly shared: string[]; readonly node: string[] } {
  const namesOf = (path: string): string[] => {
    const manifest = readManifest(path);
    const entries = Object.entries(manifest.exports).filter(
      ([, target]) => typeof target !== "string",
    );
    return entries.map(([entry]) => manifest.name + entry.slice(1));
  };
  return { shared: namesOf(""), node: namesOf("adapters/node") };
}

/** Loads entries in one runtime; each must export something. */
export async function loadEntries(
  installed: Installed,
  runtime: "node" | "bun" | "deno",
  names: readonly string[],
): Promise<string[]> {
  const script = join(installed.folder, `load-${runtime}.mjs`);
  const lines = names.map(
    (name) =>
      `if (Object.keys(await import("${name}")).length === 0) throw new Error("${name} exports nothing");`,
  );
  writeFileSync(script, lines.join("\n"));
  const command = {
    node: [pinnedNode, script],
    bun: [join(binFolder, "bun"), script],
    deno: [
      join(binFolder, "deno"),
      "run",
      "--node-modules-dir=manual",
      "--no-config",
      "-A",
      script,
    ],
  }[runtime];
  const result = await run(command, { cwd: installed.folder, quiet: true });
  return result.code === 0 ? [] : [result.output.trim()];
}
