/**
 * Runs the command as a process of its own, as its users do.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** The script that npm links as `pagestream`. */
export const BIN: string = join(ROOT, "node_modules/@pagestream/node/bin/pagestream.mjs");

/** What a process came to. */
export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of {@linkcode pagestream}. */
export interface RunOptions {
  /** @default the Node of this process */
  readonly node?: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Called with each piece of standard output. */
  readonly onOutput?: (text: string, child: ChildProcess) => void;
}

/** Runs the command and resolves when it has ended. */
export function pagestream(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { node = process.execPath, cwd = tmpdir(), onOutput } = options;
  const { FORCE_COLOR: _, ...inherited } = process.env;
  const child = spawn(node, [BIN, ...args], {
    cwd,
    env: { ...inherited, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    onOutput?.(text, child);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** A folder for one test file. */
export interface Scratch {
  readonly path: string;
  /** A path inside it that nothing has used. */
  next(name?: string): string;
  remove(): void;
}

/** Makes a temporary folder. */
export function makeScratch(): Scratch {
  const path = mkdtempSync(join(tmpdir(), "pagestream-command-"));
  let count = 0;
  return {
    path,
    next: (name = "app.db") => join(path, `${++count}-${name}`),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}
