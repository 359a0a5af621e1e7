/**
 * Time and memory of whole programs, as the operating system counts them.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const python = fileURLToPath(new URL("../.tools/bin/python", import.meta.url));

/** Prints seconds of wall, user and system time, the largest resident set in KiB, and the exit code. */
const MEASURE = `
import os, sys, time
start = time.monotonic()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
    file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(time.monotonic() - start, usage.ru_utime, usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
`;

/** What one run of a program took, its children included. */
export interface ProgramRun {
  /** Seconds from start to end. */
  readonly wall: number;
  /** Seconds of the processor in the program. */
  readonly user: number;
  /** Seconds of the processor in the system, on its behalf. */
  readonly system: number;
  /** Largest resident set in MB (10^6 bytes). */
  readonly memory: number;
}

/** Runs a program to its end; another exit code than 0 is an error. What it prints to stdout is lost. */
export async function measureProgram(
  command: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv | undefined } = {},
): Promise<ProgramRun> {
  if (!existsSync(python)) {
    throw new Error(`${python} is missing. Run: node scripts/tools.mjs python`);
  }
  const child = spawn(python, ["-c", MEASURE, ...command], {
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => (errors += String(chunk)));
  await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  const [wall = 0, user = 0, system = 0, kibibytes = 0, code] = output
    .trim()
    .split(" ")
    .map(Number);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${errors.trim()}`);
  return { wall, user, system, memory: (kibibytes * 1024) / 1e6 };
}

/** The middle of some numbers. */
export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}
