/**
 * The databases of a directory: which files count, and where their state and their replicas lie.
 *
 * @module
 */
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import type { OpenPaths } from "./config.ts";

/** Which files of a directory are databases to replicate. */
export interface DirectoryRule {
  /** Absolute. */
  readonly dir: string;
  /** What the last part of a path has to match. */
  readonly expression: RegExp;
  /** Whether directories below count too. */
  readonly recursive: boolean;
}

/** First bytes of every SQLite database that is not empty. */
const MAGIC = "SQLite format 3\0";

/** What lies beside a database: of SQLite, of a restore that is under way, and our lock, which is a database itself. */
const BESIDE = /(?:-wal|-shm|-journal|\.pagestream-lock|\.before-restore|\.restoring|\.tmp)$/;

/** State of a replication, ours or Litestream's. */
const STATE = /^\..+-(?:litestream|pagestream)$/;

/** Paths of the databases that lie there now, sorted. What is `open` is not opened once more to look at it. */
export function databasesIn(rule: DirectoryRule, open: OpenPaths): string[] {
  const found: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (!entry.isDirectory()) {
        if (isDatabase(path, rule, open)) found.push(path);
      } else if (rule.recursive && !STATE.test(entry.name)) {
        walk(path);
      }
    }
  };
  walk(rule.dir);
  return found.sort();
}

/** Whether a rule names a file, and it is a SQLite database. */
export function isDatabase(path: string, rule: DirectoryRule, open: OpenPaths): boolean {
  const below = relative(rule.dir, path);
  const folders = below.split(sep).slice(0, -1);
  if (below === "" || folders[0] === ".." || folders.some((folder) => STATE.test(folder))) {
    return false;
  }
  if (folders.length > 0 && !rule.recursive) return false;
  const name = basename(path);
  if (BESIDE.test(name) || !rule.expression.test(name)) return false;
  // To close a descriptor would end the locks that SQLite holds on the same file in this process.
  return open.has(path) || hasMagic(path);
}

function hasMagic(path: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    const bytes = new Uint8Array(MAGIC.length);
    const count = readSync(descriptor, bytes);
    return count === MAGIC.length && String.fromCharCode(...bytes) === MAGIC;
  } catch {
    return false;
  } finally {
    closeSync(descriptor);
  }
}

/** Where the state of a member lies. */
export interface MemberStateOptions {
  readonly dir: string;
  /** Base of hidden directories, one for each member. */
  readonly metaPath: string | undefined;
  /** Base of directories named as the members. */
  readonly metaDir: string | undefined;
}

/** The directory of the state of a member; undefined: beside it. */
export function memberState(
  path: string,
  { dir, metaPath, metaDir }: MemberStateOptions,
): string | undefined {
  const below = relative(dir, path);
  if (metaDir !== undefined) return join(metaDir, `${below}-pagestream`);
  if (metaPath === undefined) return undefined;
  return join(metaPath, dirname(below), `.${basename(below)}-pagestream`);
}
