/**
 * Programs of a test that run in processes of their own, answer questions, and can be killed.
 *
 * @module
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { flushCompileCache } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** On which a child runs the sources. */
const SOURCES = new URL("sources.mjs", import.meta.url).href;
/** Where compiled sources are kept: without it a start takes three times as long. */
const NODE_COMPILE_CACHE = join(tmpdir(), "pagestream-compile-cache");

interface Question {
  readonly id: number;
  readonly ask: unknown;
}

interface Answer {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: { readonly message: string; readonly code: unknown };
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A child process that answers. */
export class Peer {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #count = 0;
  #log = "";

  constructor(program: string, argument: unknown) {
    const execArgv = ["--no-warnings", "--import", SOURCES];
    this.#child = fork(program, [JSON.stringify(argument)], {
      execArgv,
      env: { ...process.env, NODE_COMPILE_CACHE },
      serialization: "advanced",
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const child = this.#child;
    running.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => (this.#log += String(chunk)));
    }
    child.on("message", (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#ended = once(child, "exit").then(() => {
      running.delete(child);
      for (const [id, settle] of this.#waiting) settle({ id, error: this.#ending });
      this.#waiting.clear();
    });
  }

  /** Its process. */
  get pid(): number {
    return this.#child.pid as number;
  }

  /** What it printed. */
  get log(): string {
    return this.#log;
  }

  get #ending(): { readonly message: string; readonly code: unknown } {
    const { exitCode, signalCode } = this.#child;
    return { message: `the process ended (${signalCode ?? exitCode}) ${this.#log}`, code: "ENDED" };
  }

  /** Asks, and gives the answer; rejects with the error of the child, or when it ends. */
  async ask<T>(question: unknown): Promise<T> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      throw Object.assign(new Error(this.#ending.message), { code: "ENDED" });
    }
    const id = ++this.#count;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    const message: Question = { id, ask: question };
    // A child that has just ended is told by its end.
    this.#child.send(message, () => {});
    const { answer, error } = await answered;
    if (error === undefined) return answer as T;
    throw Object.assign(new Error(error.message), { code: error.code });
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** Stops it where it stands, or lets it go on. */
  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(name);
  }

  /** Lets it end by itself. */
  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#ended;
  }

  /** Resolves when it has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }
}

/** In the child: answers every question in turn. */
export function answer(reply: (question: never) => unknown): void {
  let last: Promise<void> = Promise.resolve();
  // Whoever is killed would not do it.
  flushCompileCache();
  process.on("message", ({ id, ask }: Question) => {
    last = last.then(async () => {
      try {
        process.send?.({ id, answer: await reply(ask as never) });
      } catch (error) {
        const { message, code, errcode } = error as Error & { code?: unknown; errcode?: unknown };
        process.send?.({ id, error: { message, code: errcode ?? code } });
      }
    });
  });
}

/** In the child: what {@linkcode Peer} was given. */
export function argument<T>(): T {
  return JSON.parse(process.argv[2] as string) as T;
}
