/**
 * Puts a restored database in the place of an old one, so that a crash at any step leaves the old set of files, no
 * file, or the new file alone: never a new database beside an old log, which SQLite would replay into it.
 *
 * Steps: the old database, then its `-wal` and `-journal`, move to `.before-restore` names; `-shm` is deleted; the new
 * file is renamed in; the directory is synced; the old files are deleted. {@linkcode recoverTarget} completes or undoes
 * whatever a crash left, by one rule: where the database is there the swap was done, where it is not it was not.
 *
 * @module
 */
import type { SyncFiles } from "../core/sync-files.ts";
import { TargetExistsError } from "./errors.ts";

/** What SQLite keeps beside a database and would replay into it. */
const LOGS = ["-wal", "-journal"] as const;
const ASIDE = ".before-restore";

/** Where a database is written before it is swapped in. */
export function temporaryPath(path: string): string {
  return `${path}.restoring`;
}

/** Finishes or undoes a swap that a crash interrupted. Call it before a database is opened or restored. */
export function recoverTarget(files: SyncFiles, path: string): void {
  const aside = ["", ...LOGS].filter((suffix) => exists(files, path + suffix + ASIDE));
  const temporary = temporaryPath(path);
  if (aside.length === 0) {
    files.remove(temporary);
    return;
  }
  if (!exists(files, path)) {
    // The logs first: while the database is missing nobody can replay them into anything.
    for (const suffix of aside.reverse()) {
      files.rename(path + suffix + ASIDE, path + suffix);
    }
    files.remove(temporary);
  } else if (exists(files, temporary)) {
    throw new TargetExistsError({
      operation: "recover",
      object: path,
      what: `a restore was interrupted and another file has appeared at the target since; the old one is ${path}${ASIDE}`,
      next: "Decide which to keep and remove the other",
    });
  } else {
    for (const suffix of aside) files.remove(path + suffix + ASIDE);
  }
  files.syncDirectory(directoryOf(path));
}

/** Refuses a target that holds a database, or files that would be replayed into one. */
export function refuseTarget(files: SyncFiles, path: string): void {
  const size = files.identity(path)?.size ?? 0;
  const side = ["-wal", "-journal", "-shm"].find((suffix) => exists(files, path + suffix));
  if (size === 0 && side === undefined) return;
  throw new TargetExistsError({
    operation: "restore",
    object: path,
    what: size > 0 ? "the file exists" : `${path}${side} exists and would be replayed into it`,
    next: "Choose another target, or force the restore to replace it",
  });
}

/** Swaps in the complete, synced file at {@linkcode temporaryPath}. */
export function swapTarget(files: SyncFiles, path: string): void {
  const replaced = ["", ...LOGS].filter((suffix) => exists(files, path + suffix));
  for (const suffix of replaced) files.rename(path + suffix, path + suffix + ASIDE);
  files.remove(`${path}-shm`);
  files.rename(temporaryPath(path), path);
  files.syncDirectory(directoryOf(path));
  if (replaced.length === 0) return;
  for (const suffix of replaced) files.remove(path + suffix + ASIDE);
  files.syncDirectory(directoryOf(path));
}

/** The directory part of a path, `.` where it has none. */
export function directoryOf(path: string): string {
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return cut < 0 ? "." : path.slice(0, Math.max(1, cut));
}

function exists(files: SyncFiles, path: string): boolean {
  return files.identity(path) !== undefined;
}
