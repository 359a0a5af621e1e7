/**
 * Puts a restored database in the place of an old one, so that a crash at any step leaves the old set of files, no
 * file, or the new file alone: never a new database beside an old log, which SQLite would replay into it.
 *
 * A restore writes to a name of its own, `<path>.restore-<random>.tmp`. When the file is complete and synced:
 *
 * 1. it becomes `<path>.restoring`: from here on a crash finds everything it needs by name,
 * 2. the old database, then its `-wal` and `-journal`, move to `.before-restore` names, and `-shm` is deleted,
 * 3. `<path>.restoring` becomes the database,
 * 4. the old files are deleted, the database last.
 *
 * The directory is synced between these steps, so that no later one can survive a power cut without the earlier ones.
 * `<path>.restoring` thus tells what a crash left: while it is there the new database is not, and the old set is put
 * back; once it is gone the new database is in place, and what is left of the old set is deleted.
 *
 * @module
 */
import { toHex } from "../core/bytes.ts";
import { fileName, parentDirectory } from "../core/paths.ts";
import type { SyncFiles } from "../core/sync-files.ts";
import { TargetExistsError } from "./errors.ts";

/** What SQLite keeps beside a database and would replay into it. */
const LOGS = ["-wal", "-journal"] as const;
const SHARED_MEMORY = "-shm";
const ASIDE = ".before-restore";
const RESTORING = ".restoring";
const TEMPORARY = /^\.restore-[0-9a-f]{16}\.tmp$/;

/** What {@linkcode recoverFiles} found: nothing, a swap it undid, or one it completed. */
export type Recovery = "clean" | "undone" | "completed";

/** Where a restore writes; `random` makes the name its own. */
export function temporaryPath(path: string, random: Uint8Array): string {
  return `${path}.restore-${toHex(random.subarray(0, 8))}.tmp`;
}

/** Refuses a target that holds a database, or files that would be replayed into one. */
export function refuseTarget(files: SyncFiles, path: string): void {
  const size = files.identity(path)?.size ?? 0;
  const side = [...LOGS, SHARED_MEMORY].find((suffix) => exists(files, path + suffix));
  if (size === 0 && side === undefined) return;
  throw new TargetExistsError({
    operation: "restore to",
    object: path,
    what: size > 0 ? "the file exists" : `${path}${side} exists, which belongs to another database`,
    next: "Choose another target, or force the restore to replace it",
  });
}

/**
 * Completes or undoes what an interrupted restore left at a target, and removes its temporary files. A restore that is
 * still writing to the same target loses its file and fails. Call it before a database is opened or restored.
 */
export function recoverFiles(files: SyncFiles, path: string): Recovery {
  const aside = ["", ...LOGS].filter((suffix) => exists(files, path + suffix + ASIDE));
  const restoring = exists(files, path + RESTORING);
  let recovery: Recovery = "clean";
  if (restoring) {
    undo(files, path, aside);
    recovery = "undone";
  } else if (aside.length > 0 && exists(files, path)) {
    removeAside(files, path, aside);
    recovery = "completed";
  }
  removeTemporaries(files, path);
  return recovery;
}

/** Swaps in the complete, synced file at `temporary`. With `force` left out it must not replace anything. */
export function swapIn(
  files: SyncFiles,
  path: string,
  options: { readonly temporary: string; readonly force?: boolean | undefined },
): void {
  const directory = parentDirectory(path);
  if (options.force !== true) refuseTarget(files, path);
  // An empty file has nothing to lose: renaming over it is a step less.
  const main = (files.identity(path)?.size ?? 0) > 0 ? [""] : [];
  const logs = LOGS.filter((suffix) => exists(files, path + suffix));
  if (main.length + logs.length === 0) {
    files.remove(path + SHARED_MEMORY);
    files.rename(options.temporary, path);
    files.syncDirectory(directory);
    return;
  }
  files.rename(options.temporary, path + RESTORING);
  files.syncDirectory(directory);
  for (const suffix of [...main, ...logs]) {
    files.rename(path + suffix, path + suffix + ASIDE);
    // The database must be gone for good before its log is: without the log it is an older state.
    files.syncDirectory(directory);
  }
  if (files.remove(path + SHARED_MEMORY)) files.syncDirectory(directory);
  files.rename(path + RESTORING, path);
  files.syncDirectory(directory);
  removeAside(files, path, [...main, ...logs]);
}

/** Puts the old set back: the logs first, since nobody can replay them while the database is missing. */
function undo(files: SyncFiles, path: string, aside: readonly string[]): void {
  const directory = parentDirectory(path);
  const foreign = aside.find((suffix) => (files.identity(path + suffix)?.size ?? 0) > 0);
  if (foreign !== undefined) {
    throw new TargetExistsError({
      operation: "recover",
      object: path,
      what: `a restore was interrupted, and another ${path}${foreign} has appeared since; the old one is ${path}${foreign}${ASIDE}`,
      next: "Decide which of them to keep and remove the other",
    });
  }
  for (const suffix of [...aside].reverse()) {
    files.rename(path + suffix + ASIDE, path + suffix);
    files.syncDirectory(directory);
  }
  if (files.remove(path + RESTORING)) files.syncDirectory(directory);
}

/** Deletes the old set, the database last. */
function removeAside(files: SyncFiles, path: string, aside: readonly string[]): void {
  for (const suffix of [...aside].reverse()) {
    files.remove(path + suffix + ASIDE);
    files.syncDirectory(parentDirectory(path));
  }
}

function removeTemporaries(files: SyncFiles, path: string): void {
  const directory = parentDirectory(path);
  const name = fileName(path);
  for (const entry of files.list(directory)) {
    if (entry.startsWith(name) && TEMPORARY.test(entry.slice(name.length))) {
      files.remove(`${directory}/${entry}`);
    }
  }
}

function exists(files: SyncFiles, path: string): boolean {
  return files.identity(path) !== undefined;
}
