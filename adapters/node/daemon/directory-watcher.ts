/**
 * Tells of files that come and go below a directory.
 *
 * @module
 */
import { type FSWatcher, lstatSync, readdirSync, watch } from "node:fs";
import { join } from "node:path";
import type { Clock } from "pagestream";

/** Events on one path within this many milliseconds are one. */
const DEBOUNCE_MS = 250;

/** Files that belong to a database, and whose coming and going says nothing. */
const SIDE_FILE = /-(?:wal|shm|journal)$|\.pagestream-lock$|\.tmp$/;
/** Directories with the local state of databases. */
const STATE_DIRECTORY = /-(?:litestream|pagestream)$/;

/** Options of {@linkcode watchDirectory}. */
export interface WatchDirectoryOptions {
  readonly clock: Clock;
  /** Whether directories below count too. */
  readonly recursive: boolean;
  /** Called with the path of each file that has come, changed or gone, a while after the first event. */
  readonly onSettled: (path: string) => void;
  /** Whether changes of a path's bytes are of no interest. */
  readonly isKnown: (path: string) => boolean;
  /** A directory cannot be watched. */
  readonly onError: (error: Error, directory: string) => void;
}

/** Watches from now on; returns the function that ends it. What is there already is not told of. */
export function watchDirectory(directory: string, options: WatchDirectoryOptions): () => void {
  const watcher = new DirectoryWatcher(options);
  watcher.add(directory, false);
  return () => watcher.close();
}

class DirectoryWatcher {
  readonly #options: WatchDirectoryOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #pending = new Map<string, () => void>();

  constructor(options: WatchDirectoryOptions) {
    this.#options = options;
  }

  /** Watches a directory; `tells` also of what it holds already, which came before it was watched. */
  add(directory: string, tells: boolean): void {
    if (this.#watchers.has(directory)) return;
    try {
      const watcher = watch(directory, { persistent: false });
      this.#watchers.set(directory, watcher);
      watcher.on("error", (error) => this.#failed(error, directory));
      watcher.on("change", (event, name) => this.#heard(event, join(directory, String(name))));
      for (const entry of readdirSync(directory, { withFileTypes: true })) {
        const path = join(directory, entry.name);
        if (entry.isDirectory()) this.#addBelow(path, tells);
        else if (tells) this.#heard("rename", path);
      }
    } catch (error) {
      this.#failed(error as Error, directory);
    }
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    for (const cancel of this.#pending.values()) cancel();
    this.#watchers.clear();
    this.#pending.clear();
  }

  #addBelow(path: string, tells: boolean): void {
    if (this.#options.recursive && !STATE_DIRECTORY.test(path)) this.add(path, tells);
  }

  /** The timer is not pushed on by further events: a database that is always written would never be told of. */
  #heard(event: string, path: string): void {
    const { clock, isKnown } = this.#options;
    if (SIDE_FILE.test(path) || this.#pending.has(path)) return;
    if (event === "change" && isKnown(path)) return;
    this.#pending.set(
      path,
      clock.schedule(() => this.#settled(path), DEBOUNCE_MS),
    );
  }

  #settled(path: string): void {
    this.#pending.delete(path);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) return this.#addBelow(path, true);
    if (stat === undefined) this.#remove(path);
    this.#options.onSettled(path);
  }

  /** A directory that went takes its watchers with it; another of its name is watched anew. */
  #remove(path: string): void {
    for (const [directory, watcher] of this.#watchers) {
      if (directory !== path && !directory.startsWith(join(path, "/"))) continue;
      watcher.close();
      this.#watchers.delete(directory);
    }
  }

  #failed(error: Error, directory: string): void {
    this.#watchers.get(directory)?.close();
    this.#watchers.delete(directory);
    // A directory that went meanwhile is told of by the one above it.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.#options.onError(error, directory);
  }
}
