/**
 * Synchronous file calls in the form a SQLite VFS and the local state of a replication need.
 *
 * @module
 */
import * as fs from "node:fs";
import process from "node:process";
import type { FileIdentity, OpenOptions, SyncFile, SyncFiles } from "pagestream";
import { errnoOf } from "./errors.ts";
import { fullPath, identity, toIdentity } from "./file-identity.ts";
import { lockDatabase } from "./file-lock.ts";
import type { NativeSqlite } from "./native-sqlite.ts";

const FLAGS: Readonly<Record<OpenOptions["mode"], number>> = {
  read: fs.constants.O_RDONLY,
  write: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT,
  exclusive: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
};

/** Options of `syncFiles`. */
export interface SyncFilesOptions {
  /** Mode of files that are created, less the umask. @default 0o644, as SQLite's own */
  readonly fileMode?: number | undefined;
  /** Mode of directories that are created, less the umask. @default 0o755 */
  readonly directoryMode?: number | undefined;
}

/**
 * Makes the file calls of a runtime: `syncFiles` with the SQLite that locks. Failures throw the runtime's own errors,
 * except `lock`, which throws `DatabaseLockedError` and `IoError`.
 */
export function syncFilesOf(sqlite: NativeSqlite, options: SyncFilesOptions = {}): SyncFiles {
  const { fileMode = 0o644, directoryMode = 0o755 } = options;
  return {
    fullPath,
    open: (path, { mode }) => new OpenFile(fs.openSync(path, FLAGS[mode], fileMode)),
    identity,
    remove: (path) => ignoreMissing(() => fs.unlinkSync(path)),
    rename: (from, to) => fs.renameSync(from, to),
    list: (directory) => {
      let names: string[] = [];
      ignoreMissing(() => (names = fs.readdirSync(directory)));
      return names.sort();
    },
    makeDirectory: (path) => void fs.mkdirSync(path, { recursive: true, mode: directoryMode }),
    syncDirectory,
    lock: (path) => lockDatabase(path, sqlite),
  };
}

/** A file by its descriptor. */
export class OpenFile implements SyncFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(into: Uint8Array, offset: number): number {
    let done = 0;
    while (done < into.length) {
      const n = fs.readSync(this.#fd, into, done, into.length - done, offset + done);
      if (n === 0) break;
      done += n;
    }
    return done;
  }

  write(bytes: Uint8Array, offset: number): void {
    let done = 0;
    while (done < bytes.length) {
      done += fs.writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
    }
  }

  truncate(size: number): void {
    fs.ftruncateSync(this.#fd, size);
  }

  sync(): void {
    fs.fsyncSync(this.#fd);
  }

  size(): number {
    return fs.fstatSync(this.#fd).size;
  }

  identity(): FileIdentity {
    return toIdentity(fs.fstatSync(this.#fd, { bigint: true }));
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

/** Returns when the directory's entries are on stable storage. Windows keeps them without being asked. */
export function syncDirectory(path: string): void {
  if (process.platform === "win32") return;
  const fd = fs.openSync(path, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function ignoreMissing(call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
