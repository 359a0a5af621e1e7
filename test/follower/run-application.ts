/**
 * Starts an application in a process of its own.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ApplicationResult, ApplicationTask } from "./wal-application.ts";

const PROGRAM = fileURLToPath(new URL("wal-application.ts", import.meta.url));

/** Runs it to its end; without a busy timeout unless one is given. */
export function runApplication(
  task: Partial<ApplicationTask> & Pick<ApplicationTask, "kind" | "path">,
): Promise<ApplicationResult> {
  const whole: ApplicationTask = { timeoutMs: 0, ms: 0, seed: 1, ...task };
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(whole)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(JSON.parse(output)) : reject(new Error(`ended with code ${code}`)),
    );
  });
}
