/**
 * Another process that writes a replica, seen from the test.
 *
 * @module
 */
import { type ChildProcess, fork } from "node:child_process";
import type { FromWriter, Step, ToWriter, WriterCommands } from "./writer-process.ts";

/** What a command failed with in the other process. */
export class WriterError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A process that writes, and that can be frozen at any step. */
export class Writer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #calls = new Map<
    number,
    { readonly resolve: (result: unknown) => void; readonly reject: (error: Error) => void }
  >();
  #next = 1;
  #at = (): void => {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (message: FromWriter) => this.#hear(message));
    child.on("exit", (code, signal) => {
      const error = new Error(`the writer ended with ${code ?? signal}`);
      for (const { reject } of this.#calls.values()) reject(error);
    });
  }

  /** Starts one. */
  static async start(): Promise<Writer> {
    const child = fork(new URL("writer-process.ts", import.meta.url), {
      serialization: "advanced",
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("exit", () => reject(new Error("the writer did not start")));
    });
    return new Writer(child);
  }

  /** Has it run a command. */
  call<C extends keyof WriterCommands>(
    command: C,
    ...[argument]: Parameters<WriterCommands[C]>
  ): ReturnType<WriterCommands[C]> {
    const id = this.#next++;
    const result = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    this.#send({ type: "call", id, command, argument });
    return result as ReturnType<WriterCommands[C]>;
  }

  /** Freezes it at a step of `work`, lets `meanwhile` happen, and returns how the work ends when it goes on. */
  async frozenAt<T>(
    step: Step,
    work: () => Promise<T>,
    meanwhile: () => Promise<void>,
  ): Promise<PromiseSettledResult<T>> {
    let working: Promise<PromiseSettledResult<T>> | undefined;
    const begin = async (): Promise<void> => {
      working = Promise.allSettled([work()]).then(([settled]) => settled);
    };
    await this.freeze(step, begin, meanwhile);
    return await (working as unknown as Promise<PromiseSettledResult<T>>);
  }

  /** Freezes it at a step that it comes to by itself after `begin`, and lets `meanwhile` happen. */
  async freeze(
    step: Step,
    begin: () => Promise<unknown>,
    meanwhile: () => Promise<void>,
  ): Promise<void> {
    await this.call("stopAt", step);
    const at = new Promise<void>((resolve) => (this.#at = resolve));
    await begin();
    await at;
    this.#child.kill("SIGSTOP");
    try {
      await meanwhile();
    } finally {
      this.#child.kill("SIGCONT");
    }
    this.#send({ type: "go" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }

  #send(message: ToWriter): void {
    this.#child.send(message);
  }

  #hear(message: FromWriter): void {
    if (message.type === "at") this.#at();
    if (message.type === "ready" || message.type === "at") return;
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (message.type === "done") call?.resolve(message.result);
    else call?.reject(new WriterError(message.code, message.message));
  }
}
