/**
 * Which file a path means.
 *
 * @module
 */
import * as fs from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { FileIdentity } from "pagestream";
import { errnoOf } from "./errors.ts";

/** The absolute form of a path, symbolic links of its existing parts resolved. */
export function fullPath(path: string): string {
  const absolute = resolve(path);
  try {
    return fs.realpathSync.native(absolute);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
  }
  const target = danglingTarget(absolute);
  if (target !== undefined) return fullPath(target);
  const parent = dirname(absolute);
  return parent === absolute ? absolute : join(fullPath(parent), basename(absolute));
}

/** Where a symbolic link points that leads nowhere yet: opening it to create makes that file. */
function danglingTarget(path: string): string | undefined {
  try {
    return resolve(dirname(path), fs.readlinkSync(path));
  } catch {
    return undefined;
  }
}

/** The identity behind a path, or `undefined` where there is no such file. */
export function identity(path: string): FileIdentity | undefined {
  const stat = fs.statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? undefined : toIdentity(stat);
}

/** What a `bigint` stat says of who a file is. */
export function toIdentity(stat: fs.BigIntStats): FileIdentity {
  return {
    device: stat.dev,
    inode: stat.ino,
    links: Number(stat.nlink),
    size: Number(stat.size),
  };
}

/** Tells whether two identities are of one file; a missing file equals none. */
export function isSameFile(a: FileIdentity | undefined, b: FileIdentity | undefined): boolean {
  return a !== undefined && b !== undefined && a.inode === b.inode && a.device === b.device;
}
