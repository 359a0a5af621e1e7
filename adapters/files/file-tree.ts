/**
 * Keys and files: where a key lies under the root of a file store, and which keys lie there.
 *
 * @module
 */
import type { BigIntStats, Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type ListOptions, NotFoundError, type ObjectInfo, StoreError } from "pagestream";
import {
  checkKey,
  checkPrefix,
  formatTimestamp,
  isKey,
  throwIfAborted,
  TIMESTAMP_METADATA,
} from "pagestream/transports/store-kit";
import { errnoOf, storeError } from "./errors.ts";

/** Names of files that are being written; no key may look like one, and no listing shows one. */
export const TEMP_NAME: RegExp = /^\.pagestream-[0-9a-f]{16}\.tmp$/;

/** Files whose state is asked for at once while listing. */
const STAT_WINDOW = 64;

/** Where a key lies, and what is there. */
export interface Place {
  readonly path: string;
  /** `undefined` where there is nothing. */
  readonly stat: BigIntStats | undefined;
}

/**
 * Finds the file of a key. Refuses what could lead outside of the root: keys that are no relative path, and symbolic
 * links on the way (the root itself may be one).
 */
export async function locate(root: string, key: string, operation: string): Promise<Place> {
  checkKey(key, operation);
  const segments = key.split("/");
  if (TEMP_NAME.test(segments.at(-1) ?? "")) {
    throw new StoreError({
      operation,
      object: key,
      what: "the name is reserved for files that are being written",
      next: "Use another key",
    });
  }
  const stats = await Promise.all(
    segments.map((_, i) => statOrNothing(join(root, ...segments.slice(0, i + 1)), operation, key)),
  );
  if (stats.some((stat) => stat?.isSymbolicLink())) throw symbolicLink(operation, key);
  return { path: join(root, ...segments), stat: stats.at(-1) };
}

async function statOrNothing(
  path: string,
  operation: string,
  key: string,
): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw storeError(error, operation, key);
  }
}

/** Tells whether an error says that nothing is at a path: no entry, or a file where a directory should be. */
export function isMissing(error: unknown): boolean {
  const code = errnoOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** What a file's state tells of the object in it; throws where it is none. */
export function objectInfo(
  key: string,
  stat: BigIntStats | undefined,
  operation: string,
): ObjectInfo {
  if (stat === undefined || stat.isDirectory()) {
    throw new NotFoundError({ operation, object: key, what: "there is no such file" });
  }
  if (stat.isSymbolicLink()) throw symbolicLink(operation, key);
  if (!stat.isFile()) {
    throw new StoreError({
      operation,
      object: key,
      what: "it is a device, pipe or socket",
      next: "Remove it",
    });
  }
  const time = mtimeMs(stat);
  return {
    key,
    size: Number(stat.size),
    etag: etagOf(stat),
    lastModified: new Date(time),
    metadata: { [TIMESTAMP_METADATA]: formatTimestamp(time) },
  };
}

/** Modification time in milliseconds since the Unix epoch, rounded down, also before 1970. */
export function mtimeMs(stat: BigIntStats): number {
  const ns = stat.mtimeNs;
  return Number((ns - (((ns % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n);
}

/**
 * The version tag of a file: every `put` makes a new inode. The time of its making tells two files apart that got the
 * same inode number one after the other.
 */
function etagOf(stat: BigIntStats): string {
  return [stat.ino, stat.size, stat.mtimeNs, stat.birthtimeNs].map((n) => n.toString(16)).join("-");
}

function symbolicLink(operation: string, object: string): StoreError {
  return new StoreError({
    operation,
    object,
    what: "a symbolic link stands in its way, which could lead outside of the replica",
    next: "Replace the link by what it points to",
  });
}

/** All objects under a root, in key order. A missing root is an empty store; any other failure ends in an error. */
export async function* listTree(
  root: string,
  options: ListOptions,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const { prefix = "" } = options;
  checkPrefix(prefix, "list");
  const directory = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  if (directory !== "") await locate(root, directory.slice(0, -1), "list");
  yield* walk(root, directory, options);
}

/** @param directory A key prefix that is empty or ends in a slash */
async function* walk(
  root: string,
  directory: string,
  options: ListOptions,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const object = directory === "" ? root : directory;
  throwIfAborted(options.signal, "list", object);
  const keys = await childKeys(root, directory, options);
  for (let i = 0; i < keys.length;) {
    const key = keys[i] as string;
    if (key.endsWith("/")) {
      yield* walk(root, key, options);
      i++;
      continue;
    }
    const window = filesFrom(keys, i);
    const places = await Promise.all(
      window.map((file) => statOrNothing(join(root, ...file.split("/")), "list", file)),
    );
    throwIfAborted(options.signal, "list", object);
    for (const [j, file] of window.entries()) {
      const stat = places[j];
      // Deleted since the directory was read.
      if (stat?.isFile()) yield objectInfo(file, stat, "list");
    }
    i += window.length;
  }
}

/** The run of file keys that begins at `start`, bounded. */
function filesFrom(keys: readonly string[], start: number): string[] {
  let end = start;
  while (end < keys.length && end - start < STAT_WINDOW && !keys[end]?.endsWith("/")) end++;
  return keys.slice(start, end);
}

/**
 * The entries of a directory that can hold what is asked for, as keys; those of directories end in a slash, which also
 * sorts them where the keys below them belong.
 */
async function childKeys(
  root: string,
  directory: string,
  { prefix = "", startAfter }: ListOptions,
): Promise<string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(join(root, ...directory.split("/")), { withFileTypes: true });
  } catch (error) {
    const code = errnoOf(error);
    // Only a directory below the root may turn out to be a file: that is another key, not a broken store.
    if (code === "ENOENT" || (code === "ENOTDIR" && directory !== "")) return [];
    throw storeError(error, "list", directory === "" ? root : directory);
  }
  const keys: string[] = [];
  for (const entry of entries) {
    const key = directory + entry.name + (entry.isDirectory() ? "/" : "");
    if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue;
    // Leaving a link out would make the listing short without a word.
    if (entry.isSymbolicLink()) throw symbolicLink("list", key);
    if (entry.isDirectory() ? isPassed(key, startAfter) : isPassedFile(key, startAfter)) continue;
    if (TEMP_NAME.test(entry.name) || !isKey(directory + entry.name)) continue;
    if (entry.isDirectory() || entry.isFile()) keys.push(key);
  }
  return keys.sort();
}

function isPassedFile(key: string, startAfter: string | undefined): boolean {
  return startAfter !== undefined && key <= startAfter;
}

/** Tells whether every key below a directory sorts before or at `startAfter`. */
function isPassed(directory: string, startAfter: string | undefined): boolean {
  return startAfter !== undefined && directory < startAfter && !startAfter.startsWith(directory);
}
