/**
 * What lets one test file run in Node, Deno and Bun: their common test runner, and the adapter of the runtime at hand.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import * as runner from "node:test";
import type { NativeHandle } from "pagestream/bun";
import type { TestKit } from "pagestream/testing";
import type { ChildOptions } from "./child.ts";

/** The runtime that runs this. */
export const runtime: "bun" | "deno" | "node" =
  "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";

/** What Deno needs to run a file as the others do. */
const DENO_RUN = ["run", "--allow-all", "--no-config", "--node-modules-dir=manual", "--quiet"];

/** The adapter of the runtime that runs this; all have these names, and Node's some more. */
export const adapter: typeof import("pagestream/bun") = await (runtime === "bun"
  ? import("pagestream/bun")
  : runtime === "deno"
    ? import("pagestream/deno")
    : import("@pagestream/node"));

/** A native SQLite that an application may use: the runtime's own, or the one that all of them can load. */
export type Library = "own" | "better-sqlite3";

/** Opens a database with a native SQLite. */
export async function openNative(library: Library, path: string): Promise<NativeHandle> {
  const name =
    library === "better-sqlite3" ? library : runtime === "bun" ? "bun:sqlite" : "node:sqlite";
  const module = (await import(name)) as Record<string, new (path: string) => NativeHandle>;
  const Database = module[name === "node:sqlite" ? "DatabaseSync" : "default"];
  if (Database === undefined) throw new Error(`${name} has no database`);
  return new Database(path);
}

/** Starts a program in the runtime that runs this. */
const OWN_COMMAND: readonly string[] =
  runtime === "deno" ? [process.execPath, ...DENO_RUN] : [process.execPath];

/** Processes that a test has started; none outlives it. */
const children = new Set<Child>();

let titles: readonly string[] = [];

/** Groups tests under a title. */
export function describe(title: string, body: () => void): void {
  // Some runners call the body of an inner group at once, others after the outer one.
  const own = [...titles, title];
  void runner.describe(title, () => {
    const outer = titles;
    titles = own;
    body();
    titles = outer;
  });
}

/** Registers a test, whose result also goes to the file PAGESTREAM_RESULTS: each runner reports in a form of its own. */
export function test(title: string, body: () => void | Promise<void>): void {
  const name = [...titles, title].join(" > ");
  void runner.test(title, async () => {
    const start = performance.now();
    let detail = "";
    try {
      await body();
    } catch (error) {
      detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw error;
    } finally {
      await Promise.all([...children].map((child) => child.end("SIGKILL")));
      const path = process.env["PAGESTREAM_RESULTS"];
      const seconds = (performance.now() - start) / 1000;
      if (path !== undefined) {
        appendFileSync(path, `${JSON.stringify({ name, seconds, detail })}\n`);
      }
    }
  });
}

/** The matchers of the contract suites. */
export const expect: TestKit["expect"] = (actual) => ({
  toBe: (expected) => assert.equal(actual, expected),
  toEqual: (expected) => assert.deepEqual(actual, expected),
});

const scratch = mkdtempSync(join(tmpdir(), `pagestream-${runtime}-`));
let count = 0;
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** An empty directory of the caller's own, gone with the process. */
export function freshDirectory(): string {
  const directory = join(scratch, String(++count));
  mkdirSync(directory);
  return directory;
}

/** A program of this folder in a process of its own. */
export class Child {
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  /** Resolves to the exit code as a shell has it. */
  readonly ended: Promise<number>;
  #wake = (): void => undefined;
  #over = false;

  /** Starts `child.ts`, in this runtime or by the command line of another. */
  constructor(options: ChildOptions, command: readonly string[] = OWN_COMMAND) {
    const [program = "", ...args] = command;
    const script = new URL("child.ts", import.meta.url).pathname;
    // What the child records of its own is nobody's result.
    const env = { ...process.env, PAGESTREAM_RESULTS: undefined, NODE_TEST_CONTEXT: undefined };
    this.#process = spawn(program, [...args, script, JSON.stringify(options)], {
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.add(this);
    let text = "";
    this.#process.stdout?.on("data", (chunk: Uint8Array) => {
      text += new TextDecoder().decode(chunk);
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      this.#lines.push(...lines);
      this.#wake();
    });
    this.ended = new Promise((resolve) => {
      this.#process.on("close", (code, signal) => {
        this.#over = true;
        children.delete(this);
        this.#wake();
        resolve(code ?? 128 + constants.signals[signal ?? "SIGKILL"]);
      });
    });
  }

  /** The next line that begins with `prefix`, without it; other lines and an early end are errors. */
  async line(prefix: string): Promise<string> {
    while (this.#lines.length === 0) {
      if (this.#over) throw new Error(`the child ended instead of saying ${prefix}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const line = this.#lines.shift() ?? "";
    if (!line.startsWith(prefix)) throw new Error(`the child said ${line} instead of ${prefix}`);
    return line.slice(prefix.length).trim();
  }

  /** Sends a signal and resolves to the exit code as a shell has it: Deno tells 143 and SIGTERM alike. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<number> {
    this.#process.kill(signal);
    return this.ended;
  }
}
