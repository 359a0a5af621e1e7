/**
 * What goes wrong in the command: messages, exit codes, and the error object of `--json`.
 *
 * | exit code | means |
 * | ---: | --- |
 * | 0 | done |
 * | 1 | failed |
 * | 2 | the command line is wrong |
 * | 3 | the configuration is wrong |
 * | 4 | there is no backup |
 * | 5 | the target exists |
 * | 6 | a file, a chain of files or a database is damaged |
 * | 7 | another writer uses the replica |
 * | 8 | the last upload did not finish |
 * | 9 | the replica could not be looked at, so that nothing is known of it |
 *
 * @module
 */
import type { ErrorCode, PagestreamError } from "pagestream";
import { maskSecrets } from "../telemetry/secrets.ts";

/** Exit codes of the command. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  config: 3,
  noBackup: 4,
  targetExists: 5,
  integrity: 6,
  conflict: 7,
  finalSync: 8,
  notLooked: 9,
} as const;

const EXIT_OF: Readonly<Partial<Record<ErrorCode, number>>> = {
  CONFIG: EXIT.config,
  CONFLICT: EXIT.conflict,
  DAMAGED_FILE: EXIT.integrity,
  DECRYPT: EXIT.integrity,
  FOLLOW_POSITION: EXIT.targetExists,
  GAP: EXIT.integrity,
  INTEGRITY: EXIT.integrity,
  INVALID_ARGUMENT: EXIT.usage,
  INVALID_LTX: EXIT.integrity,
  LTX_CHECKSUM: EXIT.integrity,
  LTX_ENCODE: EXIT.integrity,
  LTX_UNSUPPORTED: EXIT.integrity,
  NO_BACKUP: EXIT.noBackup,
  TARGET_EXISTS: EXIT.targetExists,
  TIMEOUT: EXIT.finalSync,
};

/** An error of the command itself, or one of the library with the command line that would help. */
export class CommandError extends Error {
  readonly code: string;
  readonly exitCode: number;
  /** What to type instead. */
  readonly hint: string | undefined;

  constructor(
    message: string,
    details: {
      readonly code: string;
      readonly exitCode: number;
      readonly hint?: string | undefined;
      readonly cause?: unknown;
    },
  ) {
    super(message, { cause: details.cause });
    this.name = "CommandError";
    this.code = details.code;
    this.exitCode = details.exitCode;
    this.hint = details.hint;
  }
}

/** An error in what was typed. */
export function usageError(message: string, hint?: string): CommandError {
  return new CommandError(message, { code: "INVALID_ARGUMENT", exitCode: EXIT.usage, hint });
}

/** The same error with a command line that would help. */
export function withHint(error: unknown, hint: string): CommandError {
  const { message, code, exitCode } = describe(error);
  return new CommandError(message, { code, exitCode, hint, cause: error });
}

/** How an error is to be shown. */
interface Failure {
  readonly message: string;
  readonly code: string;
  readonly exitCode: number;
  readonly hint: string | undefined;
  /** What the error underneath says, where it says more. */
  readonly cause: string | undefined;
}

/** How errors are to be shown. */
export interface ReportOptions {
  /** As an object for programs. */
  readonly json: boolean;
}

/** Writes an error to standard error and returns its exit code. */
export function reportFailure(error: unknown, options: ReportOptions): number {
  const { code, message, hint, exitCode, cause } = describe(error);
  if (options.json) {
    // What is undefined is left out.
    process.stderr.write(`${JSON.stringify({ error: { code, message, hint, cause } })}\n`);
  } else {
    process.stderr.write(`Error: ${message}\n`);
    if (hint !== undefined) process.stderr.write(`Try: ${hint}\n`);
  }
  if (process.env["PAGESTREAM_DEBUG"] && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`);
    if (error.cause instanceof Error) process.stderr.write(`Cause: ${error.cause.stack}\n`);
  }
  return exitCode;
}

function describe(error: unknown): Failure {
  const text = error instanceof Error ? error.message : String(error);
  const [message, cause] = [maskSecrets(text), causeOf(error, text)];
  if (error instanceof CommandError) {
    const { code, exitCode, hint } = error;
    return { message, code, exitCode, hint, cause };
  }
  const known = isLibraryError(error) ? error.code : undefined;
  const exitCode = (known && EXIT_OF[known]) ?? EXIT.failure;
  return { message, code: known ?? "FAILURE", exitCode, hint: undefined, cause };
}

/** The first error underneath that says something else. */
function causeOf(error: unknown, message: string): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof Error)) return undefined;
  return cause.message === message ? causeOf(cause, message) : maskSecrets(cause.message);
}

/** As the library's own guard tells, but without loading the library for the help of a command. */
function isLibraryError(error: unknown): error is PagestreamError {
  return typeof error === "object" && error !== null && Symbol.for("pagestream.error") in error;
}
