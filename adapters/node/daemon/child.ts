/**
 * The child of `-exec`: an application that runs as long as its databases are replicated.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { split } from "shellwords";

/** A process that runs. */
export interface Child {
  /** Sends it a signal, as far as it has not got it already. */
  forward(signal: NodeJS.Signals): void;
  /**
   * Its exit code once it has ended: 128 and the signal's number where a signal killed it, 0 where that was one that was
   * forwarded. Rejects where it could not be started.
   */
  readonly ended: Promise<number>;
}

/**
 * Starts a command line, split into words as a shell would, without one: no variables, no pipes. It has this process's
 * streams and environment. Throws where a quote is not closed or there is no word.
 */
export function startChild(commandLine: string): Child {
  const [program, ...words] = split(commandLine);
  if (program === undefined) throw new Error("the command line is empty");
  const child = spawn(program, words, { stdio: "inherit" });
  const forwarded = new Set<NodeJS.Signals>();
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (signal === null) resolve(code ?? 1);
      else resolve(forwarded.has(signal) ? 0 : 128 + constants.signals[signal]);
    });
  });
  return {
    ended,
    forward(signal) {
      forwarded.add(signal);
      // A terminal sends its interrupt to the child as well; passing it on would make two of it.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    },
  };
}
