/**
 * What the commands share that ask a running daemon.
 *
 * @module
 */
import { resolve } from "node:path";
import { askDaemon } from "../daemon/control-client.ts";
import { CommandError, EXIT, usageError } from "./failure.ts";

/** Flags of every command that asks a daemon. */
export interface ControlFlags {
  readonly socket: string;
  readonly timeout: string;
  readonly json?: boolean;
}

/** A question to the daemon. */
export interface Question {
  /** Name of the command, for its errors. */
  readonly command: string;
  readonly route: string;
  readonly body?: object;
  /** Whether a timeout of 0 seconds, or less, means none. */
  readonly endless?: boolean;
}

/** An answer to give up on is waited for a little longer than the daemon waits itself, which knows more. */
const GRACE_MS = 1_000;

/** Asks; throws what the daemon refuses. `T` is what the API says its answer is. */
export async function ask<T>(question: Question, flags: ControlFlags): Promise<T> {
  const { command, route, body } = question;
  const timeout = toSeconds(flags, question.endless === true);
  const timeoutMs = timeout === 0 ? 2 ** 31 - 1 : timeout * 1000 + GRACE_MS;
  let answer;
  try {
    const full = body && { ...body, ...(timeout === 0 ? {} : { timeout }) };
    answer = await askDaemon({ socket: flags.socket, route, body: full, timeoutMs });
  } catch (error) {
    const { name, message } = error as Error;
    if (name === "AbortError" || name === "TimeoutError") {
      throw failure(`${command} failed: no answer in ${timeout} s`);
    }
    throw failure(`failed to connect to control socket: ${message}`);
  }
  if (answer.status === 200) return answer.body as T;
  const { error } = answer.body as { readonly error?: string };
  throw failure(`${command} failed: ${error ?? String(answer.body)}`);
}

/** The absolute path of a database argument: the daemon has another working directory. */
export function databasePath(database: string | undefined, command: string): string {
  if (database === undefined || database === "") {
    throw usageError("database path required", `pagestream ${command} /path/to/db`);
  }
  return resolve(database.replace(/^sqlite3?:\/\//, ""));
}

/** Prints an answer: as JSON, or one `key: value` a line. */
export function printAnswer(answer: object, { json }: Pick<ControlFlags, "json">): void {
  if (json === true) return void process.stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`);
  for (const [key, value] of Object.entries(answer)) {
    if (value !== undefined) process.stdout.write(`${key}: ${value}\n`);
  }
}

function toSeconds({ timeout }: ControlFlags, endless: boolean): number {
  const seconds = Number(timeout);
  if (!/^-?\d+$/.test(timeout)) {
    const what = `invalid value ${JSON.stringify(timeout)} for flag -timeout: a number of seconds`;
    throw usageError(what, "-timeout 30");
  }
  if (seconds > 0) return seconds;
  if (endless) return 0;
  throw usageError("timeout must be greater than 0");
}

function failure(message: string): CommandError {
  return new CommandError(message, { code: "CONTROL", exitCode: EXIT.failure });
}
