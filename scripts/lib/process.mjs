/**
 * Running other programs: quietly with the log shown on failure, or streaming with a time limit.
 *
 * Everything here runs on Node 20 with nothing installed.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");

/** The folder of the installed commands. */
export const binFolder = join(root, "node_modules", ".bin");

/** The pinned Node that every tool and test runs with. */
export const pinnedNode = join(
  root,
  "node_modules/node/bin",
  process.platform === "win32" ? "node.exe" : "node",
);

/** An environment in which the installed commands and the pinned Node come first. */
export function environment(extra = {}) {
  return { ...process.env, PATH: `${binFolder}${delimiter}${process.env.PATH ?? ""}`, ...extra };
}

/** A step that failed; its log has been printed already. */
export class StepError extends Error {}

/** `3.2 s`, right-aligned. */
export function seconds(sinceMs) {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1).padStart(6)} s`;
}

/** Runs one set-up step with its output kept back; prints one line with its seconds, and the log if it failed. */
export async function quietStep(name, [command, ...args], options = {}) {
  const start = performance.now();
  const result = await run([command, ...args], { ...options, quiet: true });
  if (result.code === 0) {
    console.log(`${name.padEnd(12)}${seconds(start)}`);
    return result.output;
  }
  console.error(`${name.padEnd(12)}${seconds(start)}  failed: ${[command, ...args].join(" ")}`);
  console.error(result.output.trimEnd());
  throw new StepError(`${name} failed`);
}

/**
 * Runs a program to its end. `quiet` collects its output, otherwise it streams. Past `limitMs` the whole process
 * group is killed and `timedOut` is true. Resolves always; a program that cannot start has code 127.
 *
 * @param {readonly string[]} commandLine
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, quiet?: boolean, limitMs?: number }} [options]
 * @returns {Promise<{ code: number, output: string, timedOut: boolean }>}
 */
export function run([command, ...args], options = {}) {
  const { cwd = root, env = environment(), quiet = false, limitMs } = options;
  return new Promise((resolve) => {
    // A group of its own, so that a hanging test runner dies together with its workers.
    const child = spawn(command, args, {
      cwd,
      env,
      detached: limitMs !== undefined && process.platform !== "win32",
      stdio: ["ignore", quiet ? "pipe" : "inherit", quiet ? "pipe" : "inherit"],
    });
    let output = "";
    let timedOut = false;
    const kill = () => {
      try {
        process.kill(
          limitMs !== undefined && process.platform !== "win32" ? -child.pid : child.pid,
          "SIGKILL",
        );
      } catch {
        // Gone already.
      }
    };
    const timer =
      limitMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            kill();
          }, limitMs);
    const interrupt = () => {
      kill();
      // Once other programs that run now are ended as well.
      setImmediate(() => process.exit(130));
    };
    process.once("SIGINT", interrupt);
    process.once("SIGTERM", interrupt);
    const end = (code) => {
      clearTimeout(timer);
      process.removeListener("SIGINT", interrupt);
      process.removeListener("SIGTERM", interrupt);
      resolve({ code, output, timedOut });
    };
    child.stdout?.on("data", (chunk) => (output += chunk));
    child.stderr?.on("data", (chunk) => (output += chunk));
    child.on("error", (error) => {
      output += `${error.message}\n`;
      end(127);
    });
    child.on("close", (code) => end(code ?? 1));
  });
}
