/**
 * Keys and files on an SFTP server: where a key lies, and which keys lie there.
 *
 * @module
 */
import { type ListOptions, NotFoundError, type ObjectInfo, StoreError } from "pagestream";
import {
  abortable,
  checkKey,
  checkPrefix,
  formatTimestamp,
  isKey,
  throwIfAborted,
  TIMESTAMP_METADATA,
} from "pagestream/transports/store-kit";
import type { FileEntryWithStats, Stats } from "ssh2";
import {
  SFTP_STATUS,
  type SftpContext,
  sftpError,
  type SftpSession,
  statusOf,
} from "./sftp-connection.ts";
import type { SftpRoot } from "./sftp-options.ts";

/**
 * Names of files that are being written, by us (`<name>.<pid>.<time in ns>.tmp`) and by Litestream, which names them alike: no key may
 * look like one, and no listing shows one.
 */
export const TEMP_NAME: RegExp = /\.\d+\.(\d{19})\.tmp$/;

/** Where a key lies, and what is there. */
export interface SftpPlace {
  readonly path: string;
  /** `undefined` where there is nothing. */
  readonly stats: Stats | undefined;
}

/**
 * Finds the file of a key. Refuses what could lead out of the root: keys that are no relative path, and symbolic links on the way
 * (the root itself may be one).
 */
export async function locate(
  session: SftpSession,
  { prefix }: SftpRoot,
  context: SftpContext,
): Promise<SftpPlace> {
  const key = context.object;
  const segments = key.split("/");
  const all = await Promise.all(
    segments.map((_, i) => statOf(session, prefix + segments.slice(0, i + 1).join("/"), context)),
  );
  if (all.some((stats) => stats?.isSymbolicLink())) throw symbolicLink(context.operation, key);
  return { path: prefix + key, stats: all.at(-1) };
}

/** Like `checkKey`; also refuses names of files that are being written. */
export function checkFileKey(key: string, operation: string): void {
  checkKey(key, operation);
  if (!TEMP_NAME.test(key)) return;
  throw new StoreError({
    operation,
    object: key,
    what: "the name is reserved for files that are being written",
    next: "Use another key",
  });
}

/** The state of a file, not of what a link points to. */
export async function statOf(
  session: SftpSession,
  path: string,
  context: SftpContext,
): Promise<Stats | undefined> {
  try {
    return await session.ask<Stats>((sftp, done) => sftp.lstat(path, done));
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.noSuchFile) return undefined;
    throw sftpError(error, context);
  }
}

/** Throws unless there is a file. */
export function checkFile(stats: Stats | undefined, { operation, object }: SftpContext): Stats {
  if (stats === undefined || stats.isDirectory()) {
    throw new NotFoundError({ operation, object, what: "there is no such file" });
  }
  if (stats.isSymbolicLink()) throw symbolicLink(operation, object);
  if (stats.isFile()) return stats;
  const what = "it is a device, pipe or socket";
  throw new StoreError({ operation, object, what, next: "Remove it" });
}

/** What a file's state tells of the object in it: all but its version, which SFTP does not tell. */
export function infoOf(key: string, { size, mtime }: Pick<Stats, "size" | "mtime">): ObjectInfo {
  return { key, size, etag: "", lastModified: new Date(mtime * 1000) };
}

/** The time of a file in whole seconds, as metadata. */
export function timeOf({ mtime }: Pick<Stats, "mtime">): Readonly<Record<string, string>> {
  return { [TIMESTAMP_METADATA]: formatTimestamp(mtime * 1000) };
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
  session: SftpSession,
  root: SftpRoot,
  options: ListOptions,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const { prefix = "" } = options;
  checkPrefix(prefix, "list");
  const directory = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  if (directory !== "") {
    await locate(session, root, { operation: "list", object: directory.slice(0, -1) });
  }
  yield* walk(session, { root, directory }, options);
}

async function* walk(
  session: SftpSession,
  { root, directory }: { root: SftpRoot; directory: string },
  options: ListOptions,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const { signal } = options;
  const context = { operation: "list", object: directory || root.description, signal };
  throwIfAborted(signal, context.operation, context.object);
  const path = root.prefix + directory;
  const entries = await abortable(readDirectory(session, path, context), context);
  for (const { key, attrs } of childKeys(entries, directory, options)) {
    throwIfAborted(signal, context.operation, context.object);
    if (attrs.isDirectory()) yield* walk(session, { root, directory: key }, options);
    else yield infoOf(key, attrs);
  }
}

/** The entries of a directory; none where it is missing. */
export async function readDirectory(
  session: SftpSession,
  path: string,
  context: SftpContext,
): Promise<FileEntryWithStats[]> {
  try {
    return await session.ask<FileEntryWithStats[]>((sftp, done) => {
      sftp.readdir(path === "" ? "." : path, done);
    });
  } catch (error) {
    const status = statusOf(error);
    if (status === SFTP_STATUS.noSuchFile) return [];
    // What turns out to be a file is another key, not a broken store; servers tell that in several ways.
    const stats = status === undefined ? undefined : await statOf(session, path, context);
    if (stats?.isFile() === true) return [];
    throw sftpError(error, context);
  }
}

interface Child {
  /** Ends in a slash where it is a directory, which also sorts it where the keys below it belong. */
  readonly key: string;
  readonly attrs: Stats;
}

/** The entries that can hold what is asked for, in key order. */
function childKeys(
  entries: readonly FileEntryWithStats[],
  directory: string,
  { prefix = "", startAfter = "" }: ListOptions,
): Child[] {
  const children: Child[] = [];
  for (const { filename, attrs } of entries) {
    if (filename === "." || filename === ".." || TEMP_NAME.test(filename)) continue;
    if (!isKey(directory + filename)) continue;
    const isDirectory = attrs.isDirectory();
    const key = directory + filename + (isDirectory ? "/" : "");
    if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue;
    // Leaving a link out would make the listing short without a word.
    if (attrs.isSymbolicLink()) throw symbolicLink("list", key);
    const passed = isDirectory
      ? key < startAfter && !startAfter.startsWith(key)
      : key <= startAfter;
    if (passed || (!isDirectory && !attrs.isFile())) continue;
    children.push({ key, attrs });
  }
  return children.sort((a, b) => (a.key < b.key ? -1 : 1));
}
