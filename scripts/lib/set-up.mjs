/**
 * Brings a fresh clone to the point where the command and the tests can run: installed and built.
 *
 * Installs only when needed: a stamp in node_modules holds the hash of the lock file that was installed.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "../build.mjs";
import { StepError, pinnedNode, quietStep, root } from "./process.mjs";

const lockPath = join(root, "package-lock.json");
const stampPath = join(root, "node_modules", ".pagestream-lock");

/** Installs what the lock file names, unless that is installed already. */
export async function install() {
  const lock = readFileSync(lockPath);
  const hash = createHash("sha256").update(lock).digest("hex");
  if (existsSync(pinnedNode)) {
    if (existsSync(stampPath) && readFileSync(stampPath, "utf8").trim() === hash) return;
    if (matchesInstalled(JSON.parse(lock.toString()))) {
      writeFileSync(stampPath, `${hash}\n`);
      return;
    }
  }
  // Node below 22.13 only starts these scripts, so npm's warning about engines would mislead.
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  await quietStep("install", [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    env: process.env,
  });
  if (!existsSync(pinnedNode)) {
    console.error(
      `${pinnedNode} is missing: npm did not run the install script of the package "node". Run: npm ci --ignore-scripts=false`,
    );
    throw new StepError("install failed");
  }
  writeFileSync(stampPath, `${hash}\n`);
}

/**
 * Tells whether node_modules is what the lock file wants, for those who ran `npm ci` themselves. npm leaves a record
 * of what it installed, in the lock file's own form; packages of other platforms are absent from it.
 */
function matchesInstalled(lock) {
  const recordPath = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(recordPath)) return false;
  const installed = JSON.parse(readFileSync(recordPath, "utf8")).packages ?? {};
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path === "") continue;
    const there = installed[path];
    if (there === undefined ? entry.optional !== true : there.version !== entry.version)
      return false;
  }
  return Object.keys(installed).every((path) => path in lock.packages);
}

/** Installs and, unless told not to, builds. */
export async function setUp(options = {}) {
  await install();
  if (options.build !== false) await build();
}
