/**
 * A writer that stops inside the fsync of the WAL; see `torn-writer.py`.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The Python of the test tools; `node scripts/tools.mjs python` installs it. */
export const PYTHON: string = fileURLToPath(new URL("../../.tools/bin/python", import.meta.url));
const PROGRAM = fileURLToPath(new URL("torn-writer.py", import.meta.url));

/** A writer inside its fsync: its frames are in the file, and its transaction is not committed. */
export class TornWriter {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[
      Symbol.asyncIterator
    ]();
  }

  /** Runs a statement up to the fsync of its commit. */
  static async start(path: string, how: "kill" | "eio", sql: string): Promise<TornWriter> {
    const stdio = ["pipe", "pipe", "inherit"] as const;
    const writer = new TornWriter(spawn(PYTHON, [PROGRAM, path, how, sql], { stdio: [...stdio] }));
    const line = await writer.#line();
    if (line !== "insync") throw new Error(`the writer did not stop: ${line}`);
    return writer;
  }

  /** Lets the fsync fail, or the writer die in it; what the writer was told. */
  async fail(): Promise<string | undefined> {
    this.#child.stdin?.write("\n");
    return await this.#line();
  }

  /** Lets it end. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.stdin?.end();
    await ended;
  }

  async #line(): Promise<string | undefined> {
    const { value, done } = await this.#lines.next();
    return done === true ? undefined : value;
  }
}
