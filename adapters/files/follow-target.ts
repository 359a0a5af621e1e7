/**
 * A followed copy on disk, guarded by the runtime's own SQLite.
 *
 * @module
 */
import * as fs from "node:fs";
import {
  type CopyGuard,
  type FollowTarget,
  type SyncFile,
  type SyncFiles,
  walFollowTarget,
  webPlatform,
} from "pagestream";
import { DatabaseLockedError } from "pagestream/vfs";
import { ioError } from "./errors.ts";
import { fullPath } from "./file-identity.ts";
import { isBusy } from "./file-lock.ts";
import type { NativeSqlite, SqliteHandle } from "./native-sqlite.ts";
import { OpenFile, syncFilesOf } from "./sync-files.ts";

/** Makes the target of a runtime: `fileFollowTarget` with the SQLite that guards. */
export function fileFollowTargetOf(sqlite: NativeSqlite, path: string): FollowTarget {
  const full = fullPath(path);
  return walFollowTarget(lastingFiles(syncFilesOf(sqlite), full), path, {
    guard: new NativeGuard(sqlite, full),
    randomBytes: webPlatform.randomBytes,
  });
}

/** Descriptors of copies and their shared memory, by file, that were opened once and are used again. */
const lasting = new Map<string, number>();

/**
 * File calls that never close a copy's descriptors while its files have names: to close any descriptor of a file ends all
 * POSIX locks of the process on it, those of other connections in this process included.
 */
function lastingFiles(files: SyncFiles, path: string): SyncFiles {
  const isLocked = (name: string): boolean => name === path || name === `${path}-shm`;
  return {
    ...files,
    open: (name, options) => (isLocked(name) ? openLasting(name) : files.open(name, options)),
  };
}

function openLasting(path: string): SyncFile {
  const { dev, ino } = fs.statSync(path, { bigint: true });
  const key = `${dev}:${ino}`;
  const fd = lasting.get(key) ?? fs.openSync(path, "r+");
  lasting.set(key, fd);
  return new LastingFile(fd, key);
}

class LastingFile extends OpenFile {
  readonly #descriptor: number;
  readonly #key: string;

  constructor(fd: number, key: string) {
    super(fd);
    this.#descriptor = fd;
    this.#key = key;
  }

  /** A file without a name can have no other connection that anybody could still lose. */
  override close(): void {
    if (fs.fstatSync(this.#descriptor).nlink > 0) return;
    lasting.delete(this.#key);
    super.close();
  }
}

class NativeGuard implements CopyGuard {
  readonly #sqlite: NativeSqlite;
  readonly #path: string;
  #handle: SqliteHandle | undefined;

  constructor(sqlite: NativeSqlite, path: string) {
    this.#sqlite = sqlite;
    this.#path = path;
  }

  open(): void {
    const handle = this.#run("open", () => this.#sqlite.open(this.#path));
    this.#handle = handle;
    try {
      // Reading once makes -wal and -shm; what is read is page 1, so that no schema is in the way.
      this.#exec(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL; PRAGMA schema_version",
      );
    } catch (error) {
      this.close();
      throw error;
    }
  }

  lock(): void {
    this.#exec("BEGIN IMMEDIATE");
  }

  unlock(): void {
    // COMMIT, not ROLLBACK: that would let the connection take what was written beside it for its own.
    this.#exec("COMMIT");
  }

  checkpoint(): void {
    try {
      this.#exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // Somebody else is at it; the next step brings the next occasion.
      if (!(error instanceof DatabaseLockedError)) throw error;
    }
  }

  leaveWal(): void {
    this.#exec("PRAGMA journal_mode = DELETE");
  }

  close(): void {
    const handle = this.#handle;
    this.#handle = undefined;
    handle?.close();
  }

  #exec(sql: string): void {
    this.#run("follow into", () => (this.#handle as SqliteHandle).exec(sql));
  }

  #run<T>(operation: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      if (!isBusy(error)) throw ioError(error, operation, this.#path);
      throw new DatabaseLockedError({
        operation,
        object: this.#path,
        what: "another connection to the copy has locked it",
        next: "Let readers only read, and close them where the page size changes; attempts continue",
      });
    }
  }
}
