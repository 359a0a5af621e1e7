/**
 * The examples of doc comments as programs: those that say `ts ignore` need a server or what only their reader has.
 *
 * @module
 */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTree, sources } from "../checks/tree.ts";
import { pinnedNode, root } from "./process.mjs";

/** Examples in a folder of their own, which resolves the packages as a user's project does. */
export interface DocExamples {
  /** The command that compiles all of them. */
  readonly compile: readonly string[];
  /** Programs that run them one after another, by runtime; each example has an empty folder. */
  readonly programs: ReadonlyMap<string, string>;
  /** Deletes the folder. */
  remove(): void;
}

/** Writes every example of both packages into a folder. */
export function writeDocExamples(): DocExamples {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-doc-examples-"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  write("package.json", '{ "type": "module" }');
  const extended = join(root, "tsconfig.test.json");
  // An example may end where its reader goes on.
  const compilerOptions = { noUnusedLocals: false, tsBuildInfoFile: "./.tsbuildinfo" };
  const include = ["*.ts", join(root, "scripts/lib/bun-sqlite.d.ts")];
  const config = { extends: extended, compilerOptions, include, references: [] };
  write("tsconfig.json", JSON.stringify(config));

  const byRuntime = new Map<string, string[]>();
  for (const [path, text] of sources(readTree(root))) {
    for (const [i, example] of examplesOf(text).entries()) {
      const name = `${path.replaceAll(/[/.]/g, "-")}-${i}.ts`;
      write(name, `${example}\nexport {};\n`);
      const runtime = /^adapters\/(bun|deno)\//.exec(path)?.[1] ?? "node";
      byRuntime.set(runtime, [...(byRuntime.get(runtime) ?? []), name]);
    }
  }
  const programs = new Map<string, string>();
  for (const [runtime, names] of byRuntime) {
    const program = `run-${runtime}.js`;
    write(program, programOf(folder, names));
    programs.set(runtime, join(folder, program));
  }
  const compile = [pinnedNode, join(root, "node_modules/typescript/bin/tsc"), "-p", folder];
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  return { compile, programs, remove };
}

/** The code between the fences of each example that is not to be ignored, without its asterisks. */
export function examplesOf(text: string): string[] {
  const blocks = text.matchAll(/^ *\* ```ts\n((?: *\*.*\n)*?) *\* ```$/gm);
  return [...blocks].map(([, lines = ""]) => lines.replaceAll(/^ *\* ?/gm, "").trimEnd());
}

function programOf(folder: string, names: readonly string[]): string {
  for (const name of names) mkdirSync(join(folder, `in-${name}`));
  return `
for (const name of ${JSON.stringify(names)}) {
  process.chdir(${JSON.stringify(folder)} + "/in-" + name);
  try {
    await import("./" + name);
  } catch (error) {
    console.error(name, error);
    process.exitCode = 1;
  }
}
`;
}
