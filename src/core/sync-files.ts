/**
 * The few synchronous file calls that a SQLite VFS and the local state of a replication need. Adapters supply them.
 *
 * @module
 */

/** Which file a path or a handle refers to, whatever its name. */
export interface FileIdentity {
  /** The file system; an inode number means something only within one. */
  readonly device: bigint;
  /** The file within its file system, whatever it is called: a rename keeps it. */
  readonly inode: bigint;
  /** Number of directory entries that name the file; 0 once it is deleted. */
  readonly links: number;
  /** Size in bytes. */
  readonly size: number;
}

/** An open file. Every method throws the runtime's own error on failure; callers translate. */
export interface SyncFile {
  /** Fills `into` from `offset`; returns the bytes read, short only at the end of the file. */
  read(into: Uint8Array, offset: number): number;
  /** Writes all of `bytes` at `offset`, growing the file as needed. */
  write(bytes: Uint8Array, offset: number): void;
  /** Sets the size in bytes. */
  truncate(size: number): void;
  /** Returns when the file's bytes are on stable storage. */
  sync(): void;
  /** Size in bytes. */
  size(): number;
  /** The identity of the open file itself. */
  identity(): FileIdentity;
  /** Gives the handle back; unsynced bytes stay with the operating system. The last call on a handle. */
  close(): void;
}

/** A file that its user opened for good, as a browser's private file system gives one: no name, no second handle. */
export type OpenFile = Pick<SyncFile, "read" | "write" | "truncate" | "sync" | "size" | "close">;

/** How {@linkcode SyncFiles.open} opens. */
export interface OpenOptions {
  /** `read`: must exist; `write`: must exist; `create`: made when missing; `exclusive`: must not exist. */
  readonly mode: "read" | "write" | "create" | "exclusive";
}

/** A held lock; it also ends with the process. */
export interface FileLock {
  /** Lets the next one lock; a second call does nothing. */
  release(): void;
}

/** Synchronous file calls of one runtime. Paths use its own syntax. */
export interface SyncFiles {
  /** The absolute form of a path, symbolic links of existing parts resolved. */
  fullPath(path: string): string;
  /** Opens a file of an existing directory; each call gives a handle of its own. */
  open(path: string, options: OpenOptions): SyncFile;
  /** The identity behind a path, or `undefined` where there is no such file. */
  identity(path: string): FileIdentity | undefined;
  /** Removes a file; false when there is none. */
  remove(path: string): boolean;
  /** Renames a file, replacing what is there. */
  rename(from: string, to: string): void;
  /** Names (not paths) in a directory, sorted; empty when it does not exist. */
  list(directory: string): string[];
  /** Creates a directory and its parents where missing. */
  makeDirectory(path: string): void;
  /** Returns when the directory's entries are on stable storage. */
  syncDirectory(path: string): void;
  /**
   * Takes the lock that keeps a database file to one process: held by the kernel on `<path>.pagestream-lock`, so it
   * dies with the process, and by a registry within the process. Throws `DatabaseLockedError` where it is taken or
   * where another process has SQLite locks on the file itself.
   */
  lock(path: string): FileLock;
}
