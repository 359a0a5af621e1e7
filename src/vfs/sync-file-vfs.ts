/**
 * A VFS over real files, by the synchronous file calls of a runtime.
 *
 * The file belongs to one process: `SyncFiles.lock` sees to that. SQLite's own locks are then kept in memory, and
 * whether a journal exists is known without asking the file system at every statement. Native SQLite does not see
 * that lock, so every commit also proves that its journal or WAL is still the file that a recovery would find. The
 * shared memory of WAL mode is in memory too, and SQLite builds it anew from the WAL after a crash.
 *
 * @module
 */
import { parentDirectory } from "../core/paths.ts";
import type { FileLock, OpenOptions, SyncFile, SyncFiles } from "../core/sync-files.ts";
import {
  SQLITE_OPEN_CREATE,
  SQLITE_OPEN_DELETEONCLOSE,
  SQLITE_OPEN_EXCLUSIVE,
  SQLITE_OPEN_MAIN_DB,
  SQLITE_OPEN_READONLY,
  SQLITE_OPEN_WAL,
} from "./constants.ts";
import { ForeignAccessError } from "./errors.ts";
import { FileLocks } from "./file-locks.ts";
import { registerVfs, STORES_PAGES, type VfsFile, type VfsFileSystem } from "./io-methods.ts";
import { temporaryFile } from "./memory-vfs.ts";
import { type FileOwner, type Known, MainFile, OpenFile, WalFile } from "./open-file.ts";
import type { Sqlite3 } from "./sqlite3.ts";

/** What a sync-file VFS is made of. */
export interface SyncFileVfsOptions {
  /** The runtime's file calls. */
  readonly files: SyncFiles;
  /** Name to open databases with. @default "pagestream-files" */
  readonly name?: string | undefined;
}

/** An installed sync-file VFS. */
export interface SyncFileVfs {
  /** What to give SQLite as VFS: `new DB(path, flags, name)`, or `?vfs=` of a URI. */
  readonly name: string;
  /**
   * The last error that SQLite was told of as a bare result code: `DatabaseLockedError` behind "database is locked"
   * at opening, `ForeignAccessError` behind "disk I/O error" at COMMIT, or the runtime's own.
   */
  readonly lastError: unknown;
}

/**
 * Installs a VFS over real files. One process may have a database open at a time, through one VFS.
 *
 * @example
 * ```ts
 * import { syncFiles } from "@pagestream/node";
 * import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
 * import { installSyncFileVfs } from "pagestream/vfs";
 *
 * const sqlite3 = await sqlite3InitModule();
 * const vfs = installSyncFileVfs(sqlite3, { files: syncFiles() });
 * const db = new sqlite3.oo1.DB(`file:app.db?vfs=${vfs.name}`, "c");
 * db.exec("PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL");
 * ```
 */
export function installSyncFileVfs(sqlite3: Sqlite3, options: SyncFileVfsOptions): SyncFileVfs {
  const { files, name = "pagestream-files" } = options;
  const deviceCharacteristics = STORES_PAGES;
  return registerVfs(sqlite3, new FileSystem(files), { name, deviceCharacteristics });
}

/** A database with at least one open handle. */
interface OpenDatabase {
  readonly locks: FileLocks;
  readonly lock: FileLock;
  handles: number;
  readonly main: Known;
  /** Its journal and WAL: looked for when first asked, then kept by our own opens, writes and deletes. */
  readonly known: Map<string, Known>;
}

class FileSystem implements VfsFileSystem {
  readonly #files: SyncFiles;
  readonly #databases = new Map<string, OpenDatabase>();
  /** Handles on files other than main databases, by path. */
  readonly #open = new Map<string, Set<OpenFile>>();

  constructor(files: SyncFiles) {
    this.#files = files;
  }

  open(path: string | undefined, flags: number): VfsFile {
    if (path === undefined) return temporaryFile();
    if ((flags & SQLITE_OPEN_MAIN_DB) !== 0) return this.#openDatabase(path, flags);
    const isWal = (flags & SQLITE_OPEN_WAL) !== 0;
    // Two connections that share a wal-index must not append to two files.
    if (isWal) this.#prove(path, "open");
    const known = this.#known(path);
    const file = this.#files.open(path, { mode: openMode(flags) });
    if (known.presence === "absent") {
      known.presence = "empty";
      known.entrySynced = false;
    }
    const handles = this.#open.get(path) ?? new Set();
    this.#open.set(path, handles);
    const owner: FileOwner = {
      files: this.#files,
      path,
      lock: new FileLocks().handle(),
      known,
      onClose: () => {
        handles.delete(opened);
        if (handles.size === 0) this.#open.delete(path);
        if ((flags & SQLITE_OPEN_DELETEONCLOSE) !== 0) this.remove(path, false);
      },
    };
    const opened = isWal
      ? new WalFile(file, owner, () => this.#prove(path, "commit to"))
      : new OpenFile(file, owner);
    handles.add(opened);
    return opened;
  }

  remove(path: string, syncDirectory: boolean): boolean {
    const handles = this.#open.get(path);
    if (handles !== undefined) {
      // An open file cannot be deleted, as this VFS promises SQLite: connections keep their journal open between
      // transactions. An empty journal means the same as none.
      for (const handle of handles) {
        handle.truncate(0);
        if (syncDirectory) handle.sync();
        break;
      }
      return true;
    }
    const removed = this.#files.remove(path);
    const known = this.#known(path);
    known.presence = "absent";
    // A WAL that a power cut brought back would be played over whatever was committed after its deletion; a journal whose
    // name is on stable storage would take back a COMMIT that was acknowledged.
    const durably = syncDirectory || path.endsWith("-wal") || known.entrySynced;
    if (removed && durably) this.#files.syncDirectory(parentDirectory(path));
    return removed;
  }

  exists(path: string): boolean {
    return this.#known(path).presence !== "absent";
  }

  existsWithBytes(path: string): boolean {
    return this.#known(path).presence === "filled";
  }

  fullPath(path: string): string {
    return this.#files.fullPath(path);
  }

  #openDatabase(path: string, flags: number): VfsFile {
    let database = this.#databases.get(path);
    if (database === undefined) {
      const lock = this.#files.lock(path);
      const main: Known = { presence: "filled", entrySynced: false };
      database = { locks: new FileLocks(), lock, handles: 0, main, known: new Map() };
    }
    const { lock, locks } = database;
    let file: SyncFile;
    try {
      file = this.#files.open(path, { mode: openMode(flags) });
    } catch (error) {
      if (database.handles === 0) lock.release();
      throw error;
    }
    this.#databases.set(path, database);
    database.handles++;
    return new MainFile(file, {
      files: this.#files,
      path,
      lock: locks.handle(),
      known: database.main,
      onClose: () => {
        database.handles--;
        if (database.handles > 0) return;
        this.#databases.delete(path);
        lock.release();
      },
      proveJournal: () => this.#prove(`${path}-journal`, "commit to"),
      proveWal: () => this.#prove(`${path}-wal`, "checkpoint"),
    });
  }

  /** What is known of a path; what belongs to no open database is looked up each time. */
  #known(path: string): Known {
    const base = /^(.*)-(?:journal|wal)$/su.exec(path)?.[1];
    const database = base === undefined ? undefined : this.#databases.get(base);
    const cached = database?.known.get(path);
    if (cached !== undefined) return cached;
    const identity = this.#files.identity(path);
    const size = identity?.size ?? 0;
    const known: Known = {
      presence: identity === undefined ? "absent" : size > 0 ? "filled" : "empty",
      // Whoever made it may have died before it was.
      entrySynced: false,
    };
    database?.known.set(path, known);
    return known;
  }

  /** Throws `ForeignAccessError` unless a recovery would find the journal or WAL that is open under this path. */
  #prove(path: string, operation: string): void {
    const handles = this.#open.get(path);
    if (handles === undefined) return;
    const found = this.#files.identity(path);
    for (const handle of handles) {
      const own = handle.identity();
      if (own.links === 1 && own.inode === found?.inode && own.device === found.device) continue;
      const [, database = path, kind = ""] = /^(.*)-(journal|wal)$/su.exec(path) ?? [];
      throw new ForeignAccessError({
        operation,
        object: database,
        what: `its ${kind === "wal" ? "WAL" : "journal"} ${own.links > 1 ? "has another name" : "was deleted or replaced"} by someone else`,
        next: "Keep other programs away from the database, then close and open it again",
      });
    }
  }
}

function openMode(flags: number): OpenOptions["mode"] {
  if ((flags & SQLITE_OPEN_READONLY) !== 0) return "read";
  if ((flags & SQLITE_OPEN_CREATE) === 0) return "write";
  return (flags & SQLITE_OPEN_EXCLUSIVE) !== 0 ? "exclusive" : "create";
}
