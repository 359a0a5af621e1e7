/**
 * Descriptors of followed databases and of their shared memory.
 *
 * To close any descriptor of a file ends all POSIX locks that the process has on it, those of SQLite's connections included.
 * So each file is opened once in a process, whoever reads it, and closed when no connection to it can be left.
 *
 * @module
 */
import type { SyncFile, SyncFiles } from "pagestream";

interface Kept {
  readonly file: SyncFile;
  users: number;
}

const kept = new Map<string, Kept>();

/** A file that others may be reading through the same descriptor. */
export interface KeptFile extends Pick<SyncFile, "read" | "size" | "identity"> {
  /**
   * Lets go of it. A `shared` file, to which this process may have connections that nobody here knows of, stays open as long
   * as it has a name; else the last one closes it.
   */
  release(shared: boolean): void;
}

/** Opens a file for reading, or takes the descriptor that is open already. Throws the runtime's errors. */
export function keepFile(files: SyncFiles, path: string): KeptFile {
  const known = files.identity(path);
  let key = known === undefined ? "" : `${known.device}:${known.inode}`;
  let entry = kept.get(key);
  if (entry === undefined) {
    const file = files.open(path, { mode: "read" });
    // Somebody may have put another file there meanwhile, and that one may be open already: then both stay.
    const { device, inode } = file.identity();
    key = `${device}:${inode}`;
    entry = kept.get(key) ?? { file, users: 0 };
    kept.set(key, entry);
  }
  entry.users++;
  return share(entry, key);
}

function share(entry: Kept, key: string): KeptFile {
  const { file } = entry;
  let released = false;
  return {
    read: (into, offset) => file.read(into, offset),
    size: () => file.size(),
    identity: () => file.identity(),
    release(shared) {
      if (released) return;
      released = true;
      entry.users--;
      if (entry.users > 0 || (shared && file.identity().links > 0)) return;
      kept.delete(key);
      file.close();
    },
  };
}
