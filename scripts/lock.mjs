/**
 * Writes package-lock.json from the manifests, with a record for every platform's binary packages.
 *
 * Tools such as oxlint, rolldown or deno name one optional package per platform. npm leaves those out of the lock
 * that the registry in use does not carry, and `npm ci` then refuses that lock as "not in sync". This script adds
 * the missing records: the version is the one their parent names, the platform is read from the name.
 * Run it after each change of a dependency: `node scripts/lock.mjs`.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { spawnSync } from "node:child_process";

const SYSTEMS = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const CPUS = ["arm", "arm64", "ia32", "loong64", "ppc64", "riscv64", "s390x", "wasm32", "x64"];
const DARWIN_ONLY = ["fsevents"];
/**
 * Packages that bring their binaries and ask npm, in their manifest, not to compile them. The lock does not carry that
 * wish, and npm without it runs node-gyp, which needs Python and a compiler.
 */
const PREBUILT = ["better-sqlite3"];
const ALIASES = { aarch64: "arm64", windows: "win32", glibc: "glibc", gnu: "glibc", musl: "musl" };

/** The `os`, `cpu` and `libc` fields of a platform package, from the words of its name. */
export function platformOf(name) {
  if (DARWIN_ONLY.includes(name)) return { os: ["darwin"] };
  const words = name.split(/[-/]/).map((word) => ALIASES[word] ?? word);
  const fields = {};
  const system = words.find((word) => SYSTEMS.includes(word));
  const cpu = words.find((word) => CPUS.includes(word));
  const libc = words.find((word) => word.startsWith("glibc") || word.startsWith("musl"));
  if (words.some((word) => word.startsWith("gnueabi") || word.startsWith("musleabi")))
    fields.cpu = ["arm"];
  if (cpu !== undefined) fields.cpu = [cpu];
  if (system !== undefined) fields.os = [system];
  if (libc !== undefined && system === "linux")
    fields.libc = [libc.startsWith("musl") ? "musl" : "glibc"];
  return fields;
}

/** Adds the missing records to a parsed lock; returns how many. A package without a platform in its name is an error. */
export function completeLock(lock) {
  const packages = lock.packages;
  let added = 0;
  for (const [parent, entry] of Object.entries({ ...packages })) {
    for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
      const version = range.replace(/^[~^]/, "");
      const inside = `${parent}/node_modules/${name}`;
      const top = `node_modules/${name}`;
      if (inside in packages || packages[top]?.version === version) continue;
      const platform = platformOf(name);
      if (platform.cpu === undefined && platform.os === undefined) {
        // Not one of many binaries: npm has resolved it like any other.
        if (top in packages) continue;
        throw new Error(`Cannot tell the platform of ${name}, an optional dependency of ${parent}`);
      }
      const dev = entry.dev === true ? { dev: true } : {};
      packages[top in packages ? inside : top] = { version, ...dev, optional: true, ...platform };
      added += 1;
    }
  }
  for (const name of PREBUILT) {
    const record = packages[`node_modules/${name}`];
    if (record !== undefined) record.gypfile = false;
  }
  const [root, ...others] = Object.entries(packages);
  lock.packages = Object.fromEntries([root, ...others.toSorted(([a], [b]) => (a < b ? -1 : 1))]);
  return added;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const flags = ["install", "--package-lock-only", "--no-audit", "--no-fund", "--loglevel=error"];
  const npm = spawnSync("npm", flags, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (npm.status !== 0) process.exit(npm.status ?? 1);
  const path = new URL("../package-lock.json", import.meta.url);
  const lock = JSON.parse(readFileSync(path, "utf8"));
  const added = completeLock(lock);
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(
    `package-lock.json: ${Object.keys(lock.packages).length} records, ${added} added for other platforms`,
  );
}
