/**
 * Keys and files: where a key lies under the root of a file store, and which keys lie there.
 *
 * @module
 */
import { type BigIntStats, constants, type Dirent, lstatSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type ListOptions, NotFoundError, type ObjectInfo, StoreError } from "pagestream";
import {
  checkKey,
  checkPrefix,
  type FolderEntry,
  formatTimestamp,
  TEMP_NAME,
  throwIfAborted,
  TIMESTAMP_METADATA,
  walkTree,
} from "pagestream/transports/store-kit";
import { errnoOf, storeError } from "./errors.ts";
import type { FileCalls } from "./file-calls.ts";

// O_NONBLOCK: opening a pipe must not wait for its writer. Neither flag exists on Windows.
/** How the file of an object is opened. */
export const READ_FLAGS: number =
  constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Whether a file of that name is one that is being written, here or by Litestream. */
function isTemporary(name: string): boolean {
  return TEMP_NAME.test(name) || name.endsWith(".ltx.tmp");
}

/** A directory that holds objects. */
export interface Tree {
  /** Its absolute path. */
  readonly root: string;
  /** How to ask for what is in it. */
  readonly calls: () => Promise<FileCalls>;
}

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
export async function locate(tree: Tree, key: string, operation: string): Promise<Place> {
  const paths = pathsOf(tree.root, key, operation);
  const stats = await lookAt(paths, { calls: await tree.calls(), operation, key });
  return { path: paths.at(-1) as string, stat: stats.at(-1) };
}

/** The path of a key, for whoever refuses a symbolic link at its end by himself: one look less than {@linkcode locate}. */
export async function pathOf(tree: Tree, key: string, operation: string): Promise<string> {
  const paths = pathsOf(tree.root, key, operation);
  await lookAt(paths.slice(0, -1), { calls: await tree.calls(), operation, key });
  return paths.at(-1) as string;
}

/** As {@linkcode pathOf}, while the thread blocks. */
export function pathOfSync(root: string, key: string, operation: string): string {
  const paths = pathsOf(root, key, operation);
  const path = paths.pop() as string;
  for (const folder of paths) {
    if (statOrNothingSync(folder, operation, key)?.isSymbolicLink())
      throw symbolicLink(operation, key);
  }
  return path;
}

/** The paths of all folders of a key, and at the end its own. */
function pathsOf(root: string, key: string, operation: string): string[] {
  checkKey(key, operation);
  const segments = key.split("/");
  if (isTemporary(segments.at(-1) ?? "")) {
    throw new StoreError({
      operation,
      object: key,
      what: "the name is reserved for files that are being written",
      next: "Use another key",
    });
  }
  return segments.map((_, i) => join(root, ...segments.slice(0, i + 1)));
}

interface Looking {
  readonly calls: FileCalls;
  readonly operation: string;
  readonly key: string;
}

async function lookAt(
  paths: readonly string[],
  looking: Looking,
): Promise<(BigIntStats | undefined)[]> {
  const stats = await Promise.all(paths.map((path) => statOrNothing(path, looking)));
  if (stats.some((stat) => stat?.isSymbolicLink())) {
    throw symbolicLink(looking.operation, looking.key);
  }
  return stats;
}

async function statOrNothing(
  path: string,
  { calls, operation, key }: Looking,
): Promise<BigIntStats | undefined> {
  try {
    return await calls.lstat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw storeError(error, operation, key);
  }
}

/** What is at a path, looked at while the thread blocks; `undefined` where nothing is. */
export function statOrNothingSync(
  path: string,
  operation: string,
  key: string,
): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
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
  tree: Tree,
  options: ListOptions,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const { root } = tree;
  const { prefix = "" } = options;
  checkPrefix(prefix, "list");
  const directory = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  if (directory !== "") await locate(tree, directory.slice(0, -1), "list");
  const calls = await tree.calls();
  const list = (folder: string): Promise<FolderEntry[]> => entriesOf(root, folder, prefix);
  for await (const run of walkTree({ ...options, list, description: root })) {
    const stats = await Promise.all(
      run.map(({ key }) =>
        statOrNothing(join(root, ...key.split("/")), { calls, operation: "list", key }),
      ),
    );
    throwIfAborted(options.signal, "list", root);
    for (const [i, { key }] of run.entries()) {
      const stat = stats[i];
      // Deleted since the directory was read.
      if (stat?.isFile()) yield objectInfo(key, stat, "list");
    }
  }
}

/** The files and directories in a directory. A link that could be asked for is an error: the listing would be short. */
async function entriesOf(root: string, directory: string, prefix: string): Promise<FolderEntry[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(join(root, ...directory.split("/")), { withFileTypes: true });
  } catch (error) {
    const code = errnoOf(error);
    // Only a directory below the root may turn out to be a file: that is another key, not a broken store.
    if (code === "ENOENT" || (code === "ENOTDIR" && directory !== "")) return [];
    throw storeError(error, "list", directory === "" ? root : directory);
  }
  const found: FolderEntry[] = [];
  for (const entry of entries) {
    const key = directory + entry.name;
    if (entry.isSymbolicLink() && (key.startsWith(prefix) || prefix.startsWith(key))) {
      throw symbolicLink("list", key);
    }
    if (isTemporary(entry.name) || !(entry.isDirectory() || entry.isFile())) continue;
    found.push({ name: entry.name, folder: entry.isDirectory() });
  }
  return found;
}
