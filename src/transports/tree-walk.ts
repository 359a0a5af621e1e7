/**
 * Listing what lies in folders as keys in order: for stores that can only list one folder at a time.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import type { ListOptions } from "./object-store.ts";
import { StoreError } from "./errors.ts";
import { checkKey, checkPrefix, isKey } from "./path-rules.ts";

/** Names of objects that are being written; no key may look like one, and no listing shows one. */
export const TEMP_NAME: RegExp = /^\.pagestream-[0-9a-f]{16}\.tmp$/;

/** A fresh name for an object that is being written, hidden from listings. */
export function tempName(randomBytes: (length: number) => Uint8Array): string {
  const hex = Array.from(randomBytes(8), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `.pagestream-${hex}.tmp`;
}

/** Like `checkKey`, and refuses the names of objects that are being written with `StoreError`. */
export function checkFileKey(key: string, operation: string): void {
  checkKey(key, operation);
  if (!TEMP_NAME.test(key.slice(key.lastIndexOf("/") + 1))) return;
  throw new StoreError({
    operation,
    object: key,
    what: "the name is reserved for files that are being written",
    next: "Use another key",
  });
}

/** What lies directly in a folder. */
export interface FolderEntry {
  /** Its name, decoded, without a slash. */
  readonly name: string;
  /** Whether it is a folder itself. */
  readonly folder: boolean;
}

/** A file with the key it has as an object. */
export interface TreeFile<E extends FolderEntry> {
  /** Relative to the root of the walk. */
  readonly key: string;
  /** What the folder's listing told of it. */
  readonly entry: E;
}

/** How to walk. */
export interface WalkOptions<E extends FolderEntry> extends ListOptions {
  /**
   * Lists a folder by its key prefix, which is empty or ends in a slash; of a folder that is not there, nothing. Names
   * that cannot be part of a key are skipped here.
   */
  readonly list: (folder: string) => Promise<readonly E[]>;
  /** Most files in a run. @default 64 */
  readonly window?: number | undefined;
  /** What errors call the place. */
  readonly description: string;
}

/**
 * Yields the files that `prefix` and `startAfter` ask for, in key order, in runs of neighbours, so that what must be
 * asked for each can be asked for several at once.
 */
export async function* walkTree<E extends FolderEntry>(
  options: WalkOptions<E>,
): AsyncGenerator<readonly TreeFile<E>[], void, undefined> {
  const { prefix = "" } = options;
  checkPrefix(prefix, "list");
  yield* walk(prefix.slice(0, prefix.lastIndexOf("/") + 1), options);
}

async function* walk<E extends FolderEntry>(
  folder: string,
  options: WalkOptions<E>,
): AsyncGenerator<readonly TreeFile<E>[], void, undefined> {
  const { list, window = 64, description, signal } = options;
  throwIfAborted(signal, "list", description);
  let run: TreeFile<E>[] = [];
  for (const file of wanted(folder, await list(folder), options)) {
    if (run.length === window || (file.entry.folder && run.length > 0)) {
      throwIfAborted(signal, "list", description);
      yield run;
      run = [];
    }
    if (file.entry.folder) yield* walk(file.key, options);
    else run.push(file);
  }
  throwIfAborted(signal, "list", description);
  if (run.length > 0) yield run;
}

/**
 * The entries that can hold what is asked for, sorted; the keys of folders end in a slash, which also sorts them where
 * the keys below them belong.
 */
function wanted<E extends FolderEntry>(
  folder: string,
  entries: readonly E[],
  { prefix = "", startAfter }: ListOptions,
): TreeFile<E>[] {
  const files: TreeFile<E>[] = [];
  for (const entry of entries) {
    const key = folder + entry.name + (entry.folder ? "/" : "");
    if (!key.startsWith(prefix) && !(entry.folder && prefix.startsWith(key))) continue;
    if (startAfter !== undefined && key <= startAfter) {
      // Below a folder that sorts before, keys may still sort after.
      if (!entry.folder || !startAfter.startsWith(key)) continue;
    }
    if (TEMP_NAME.test(entry.name) || !isKey(folder + entry.name)) continue;
    files.push({ key, entry });
  }
  return files.sort((a, b) => (a.key < b.key ? -1 : 1));
}
