/**
 * Databases that were registered at run time, kept for the next start.
 *
 * @module
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { InvalidArgumentError, IoError } from "pagestream";

/** A database and the URL it was registered with. */
export interface Registration {
  readonly path: string;
  readonly replica: string;
}

/** Reads the file; one that is not there holds none. Throws `IoError` and `InvalidArgumentError`. */
export function readRegistrations(file: string): readonly Registration[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw ioError("read", file, error);
  }
  try {
    const { databases } = JSON.parse(text) as { readonly databases: readonly Registration[] };
    return databases.map(({ path, replica }) => {
      if (typeof path !== "string" || typeof replica !== "string") throw new TypeError();
      return { path, replica };
    });
  } catch {
    const what = "it does not hold what a daemon has written";
    const next = "Restore it from a backup, or remove it and register the databases again";
    throw new InvalidArgumentError({ operation: "read", object: file, what, next });
  }
}

/** Replaces the file, readable by this user alone: a URL may hold secrets. */
export function writeRegistrations(file: string, databases: readonly Registration[]): void {
  const temporary = `${file}.tmp`;
  try {
    const text = `${JSON.stringify({ databases }, undefined, 2)}\n`;
    writeFileSync(temporary, text, { mode: 0o600, flush: true });
    renameSync(temporary, file);
  } catch (error) {
    throw ioError("write", file, error);
  }
}

function ioError(operation: string, object: string, cause: unknown): IoError {
  const what = cause instanceof Error ? cause.message : String(cause);
  return new IoError({ operation, object, what, cause });
}
