/**
 * The lock that keeps a database file to one process.
 *
 * JavaScript has no `fcntl` locks, but SQLite has: a side file `<database>.pagestream-lock` is opened as a SQLite
 * database and held in `BEGIN EXCLUSIVE`. The kernel drops that lock when the process ends, however it ends, so nothing
 * stale can remain. The side file stays empty and is never deleted: whoever deletes a lock file lets two processes
 * lock two files of the same name.
 *
 * Native SQLite does not look at that side file. On Linux `/proc/locks` shows whether it has the database itself
 * locked; a connection that is idle in a rollback mode shows nothing there and cannot be found.
 *
 * @module
 */
import * as fs from "node:fs";
import process from "node:process";
import type { FileIdentity, FileLock } from "pagestream";
import { DatabaseLockedError } from "pagestream/vfs";
import { errnoOf, ioError, NOT_PERMITTED } from "./errors.ts";
import { fullPath, identity, isSameFile } from "./file-identity.ts";
import type { NativeSqlite, SqliteHandle } from "./native-sqlite.ts";

/** What is appended to the path of a database to name its lock file. */
export const LOCK_SUFFIX = ".pagestream-lock";

const SQLITE_BUSY = 5;
const OPERATION = "lock";

/**
 * The locks this thread holds, by full path. SQLite's own bookkeeping, which all threads of the process share, refuses
 * the other threads; this list adds the files that can be reached under two names.
 */
const held = new Map<string, HeldLock>();

interface HeldLock {
  /** The database file as it was, if there was one. */
  readonly file: FileIdentity | undefined;
  /** Kept here, because a database that nobody refers to is closed when garbage is collected. */
  readonly release: () => void;
}

/** Options of {@linkcode lockDatabase}. */
export interface LockOptions {
  /** Native SQLite may have the file open: the lock is against others that replicate it. @default false */
  readonly besideNative?: boolean | undefined;
}

/** Takes the lock of a database file, which need not exist yet. Throws `DatabaseLockedError`, or `IoError`. */
export function lockDatabase(
  path: string,
  sqlite: NativeSqlite,
  options: LockOptions = {},
): FileLock {
  const full = fullPath(path);
  refuseHeldHere(full);
  const release = holdSideFile(full, sqlite);
  try {
    if (options.besideNative !== true) refuseForeignLocks(full);
  } catch (error) {
    release();
    throw error;
  }
  held.set(full, { file: identity(full), release });
  let released = false;
  return {
    release() {
      if (released) return;
      released = true;
      held.delete(full);
      release();
    },
  };
}

function refuseHeldHere(full: string): void {
  const own = identity(full);
  for (const [path, { file }] of held) {
    const same = path === full || isSameFile(own, file) || isSameFile(own, identity(path));
    if (same) {
      throw locked(
        full,
        "this process has it open already",
        "Close the other use of the file first",
      );
    }
  }
}

function holdSideFile(full: string, sqlite: NativeSqlite): () => void {
  let database: SqliteHandle | undefined;
  try {
    database = sqlite.open(full + LOCK_SUFFIX);
    // No journal file: nothing is ever written, and a lock must leave as little behind as possible.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    const holder = database;
    return () => holder.close();
  } catch (error) {
    database?.close();
    if (isBusy(error)) {
      throw locked(
        full,
        "another process or thread has it open through Pagestream",
        "Stop that process, or use another database file",
      );
    }
    throw ioError(error, OPERATION, full);
  }
}

/** Keeps the thread for some milliseconds: for locks that others let go of soon, where nothing can be awaited. */
export function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Whether SQLite says that somebody else has a lock. Node and Bun tell SQLite's result code, under two names; Deno leaves it out and tells the message alone. */
export function isBusy(error: unknown): boolean {
  const { errcode, errno, message } = error as {
    readonly errcode?: number;
    readonly errno?: number;
    readonly message?: string;
  };
  const code = errcode ?? errno;
  return code === undefined ? message === "database is locked" : (code & 0xff) === SQLITE_BUSY;
}

function refuseForeignLocks(full: string): void {
  if (process.platform !== "linux") return;
  const file = identity(full);
  if (file === undefined) return;
  let table: string;
  try {
    table = fs.readFileSync("/proc/locks", "latin1");
  } catch (error) {
    // Without procfs, or Deno's permission for it, the side file alone has to do.
    if (["ENOENT", "EACCES", NOT_PERMITTED].includes(errnoOf(error))) return;
    throw ioError(error, OPERATION, full);
  }
  const owner = findLockOwner(table, file);
  if (owner === undefined) return;
  throw locked(
    full,
    `process ${owner} has SQLite locks on it`,
    "Close every other connection to the database first",
  );
}

/**
 * Searches the text of `/proc/locks` for a granted lock on a file; gives the owner's process id, or `undefined`.
 * Lines read `1: POSIX  ADVISORY  WRITE 5058 fe:00:9978054 1073741824 1073742335`, device numbers in hexadecimal.
 */
export function findLockOwner(table: string, file: FileIdentity): number | undefined {
  const { major, minor } = deviceNumbers(file.device);
  for (const line of table.split("\n")) {
    const match =
      /^\d+: (?:POSIX|OFDLCK|FLOCK) +\w+ +\w+ +(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (match === null) continue;
    const [, pid = "", lockMajor = "", lockMinor = "", inode = ""] = match;
    if (BigInt(inode) !== file.inode) continue;
    const theirMajor = BigInt(`0x${lockMajor}`);
    const sameDevice = theirMajor === major && BigInt(`0x${lockMinor}`) === minor;
    // File systems without a block device of their own (btrfs, overlayfs) tell `stat` one anonymous device, major
    // number 0, and `/proc/locks` another. There the inode has to do: better to refuse once too often.
    if (sameDevice || (theirMajor === 0n && major === 0n)) return Number(pid);
  }
  return undefined;
}

/** Splits a device number as glibc's `major` and `minor` do. */
function deviceNumbers(device: bigint): { readonly major: bigint; readonly minor: bigint } {
  return {
    major: ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n),
    minor: (device & 0xffn) | ((device >> 12n) & 0xffffff00n),
  };
}

function locked(object: string, what: string, next: string): DatabaseLockedError {
  return new DatabaseLockedError({ operation: OPERATION, object, what, next });
}
