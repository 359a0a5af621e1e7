/**
 * What a person types for a replica or a file: a path or a URL.
 *
 * @module
 */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { ObjectStore } from "pagestream";
import { fileStore } from "pagestream/files-kit";
import { usageError } from "./failure.ts";

/** A replica that was named on the command line. */
export interface NamedReplica {
  readonly store: ObjectStore;
  /** Directory it lies in. */
  readonly path: string;
  /** As it was typed. */
  readonly text: string;
}

/** Opens the replica at a path or `file://` URL, which need not exist. */
export function openLocation(text: string): NamedReplica {
  const path = toPath(text);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) {
    throw usageError(`${text} is a file, a replica is a directory`);
  }
  return { store: fileStore(path), path, text };
}

/** The path that a path or `file://` URL names. */
export function toPath(text: string): string {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):\/\//.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return resolve(text);
  if (scheme !== "file") {
    throw usageError(
      `${scheme}:// is not supported by this version: a replica is a directory, as a path or file:// URL`,
    );
  }
  try {
    return fileURLToPath(text);
  } catch {
    throw usageError(
      `${text} is no file URL of this machine`,
      "file:///absolute/path, with three slashes",
    );
  }
}

/** Whether anything is at a path. */
export function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
