/**
 * A VFS that keeps its files in JavaScript memory, where the application can read and write them too.
 *
 * @module
 */
import {
  SQLITE_OPEN_CREATE,
  SQLITE_OPEN_DELETEONCLOSE,
  SQLITE_OPEN_EXCLUSIVE,
} from "./constants.ts";
import { ByteStore } from "./byte-store.ts";
import { VfsError } from "./errors.ts";
import { FileLocks, type HandleLock } from "./file-locks.ts";
import { registerVfs, STORES_PAGES, type VfsFile, type VfsFileSystem } from "./io-methods.ts";
import type { Sqlite3 } from "./sqlite3.ts";

/** How to install a memory VFS. */
export interface MemoryVfsOptions {
  /** Name to open databases with. @default "pagestream-memory" */
  readonly name?: string | undefined;
}

/** An installed memory VFS and its files. A path is any string, taken as it is. */
export interface MemoryVfs {
  /** What to give SQLite as VFS: `new DB(path, flags, name)`, or `?vfs=` of a URI. */
  readonly name: string;
  /** The last error that SQLite was told of as a bare result code. */
  readonly lastError: unknown;
  /** A copy of a file's bytes; undefined where there is no such file. */
  read(path: string): Uint8Array<ArrayBuffer> | undefined;
  /** Creates or replaces a file; the bytes are copied. Throws `VfsError` while SQLite has the file open. */
  write(path: string, bytes: Uint8Array): void;
  /** Removes a file; false when there is none. Throws `VfsError` while SQLite has it open. */
  remove(path: string): boolean;
  /** The paths of all files, sorted. */
  list(): string[];
}

/** One file, shared by all its handles. */
interface MemoryFile {
  readonly bytes: ByteStore;
  readonly locks: FileLocks;
  handles: number;
}

/**
 * Installs a VFS that stores pages in JavaScript memory. `journal_mode=MEMORY` suits it best: nothing outlives the
 * process anyway.
 *
 * @example
 * ```ts
 * import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
 * import { installMemoryVfs } from "pagestream/vfs";
 *
 * const sqlite3 = await sqlite3InitModule();
 * const memory = installMemoryVfs(sqlite3);
 * const db = new sqlite3.oo1.DB(`file:app.db?vfs=${memory.name}`, "c");
 * db.exec("PRAGMA journal_mode=MEMORY; CREATE TABLE note(body)");
 * const bytes = memory.read("app.db"); // the whole file, as it stands
 * ```
 */
export function installMemoryVfs(sqlite3: Sqlite3, options: MemoryVfsOptions = {}): MemoryVfs {
  const files = new MemoryFiles();
  const { name = "pagestream-memory" } = options;
  const vfs = registerVfs(sqlite3, files, { name, deviceCharacteristics: STORES_PAGES });
  return Object.assign(vfs, {
    read: (path: string) => files.read(path),
    write: (path: string, bytes: Uint8Array) => files.replace(path, bytes),
    remove: (path: string) => files.discard(path),
    list: () => files.list(),
  });
}

class MemoryFiles implements VfsFileSystem {
  readonly #files = new Map<string, MemoryFile>();

  open(path: string | undefined, flags: number): VfsFile {
    if (path === undefined) return temporaryFile();
    let file = this.#files.get(path);
    if (file === undefined) {
      if ((flags & SQLITE_OPEN_CREATE) === 0) {
        throw new VfsError({ operation: "open", object: path, what: "there is no such file" });
      }
      file = newFile();
      this.#files.set(path, file);
    } else if ((flags & SQLITE_OPEN_EXCLUSIVE) !== 0 && (flags & SQLITE_OPEN_CREATE) !== 0) {
      throw new VfsError({ operation: "create", object: path, what: "the file exists" });
    }
    file.handles++;
    return new MemoryHandle(file, () => {
      file.handles--;
      if ((flags & SQLITE_OPEN_DELETEONCLOSE) !== 0) this.#files.delete(path);
    });
  }

  remove(path: string): boolean {
    const file = this.#files.get(path);
    if (file === undefined) return false;
    // An open file cannot be deleted, as this VFS promises SQLite. An empty journal means the same as none.
    if (file.handles > 0) file.bytes.truncate(0);
    else this.#files.delete(path);
    return true;
  }

  exists(path: string): boolean {
    return this.#files.has(path);
  }

  existsWithBytes(path: string): boolean {
    return (this.#files.get(path)?.bytes.size ?? 0) > 0;
  }

  fullPath(path: string): string {
    return path;
  }

  read(path: string): Uint8Array<ArrayBuffer> | undefined {
    return this.#files.get(path)?.bytes.copy();
  }

  replace(path: string, bytes: Uint8Array): void {
    this.#refuseOpen("write", path);
    const file = newFile();
    file.bytes.write(bytes, 0);
    this.#files.set(path, file);
  }

  discard(path: string): boolean {
    this.#refuseOpen("remove", path);
    return this.#files.delete(path);
  }

  list(): string[] {
    return [...this.#files.keys()].toSorted();
  }

  #refuseOpen(operation: string, path: string): void {
    if ((this.#files.get(path)?.handles ?? 0) === 0) return;
    throw new VfsError({
      operation,
      object: path,
      what: "SQLite has the file open",
      next: "Close the database first",
    });
  }
}

/** A handle on a file in memory. */
class MemoryHandle implements VfsFile {
  readonly lock: HandleLock;
  readonly #bytes: ByteStore;
  readonly #onClose: () => void;

  constructor(file: { readonly bytes: ByteStore; readonly locks: FileLocks }, onClose: () => void) {
    this.#bytes = file.bytes;
    this.lock = file.locks.handle();
    this.#onClose = onClose;
  }

  read(into: Uint8Array, offset: number): number {
    return this.#bytes.read(into, offset);
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#bytes.write(bytes, offset);
  }

  truncate(size: number): void {
    this.#bytes.truncate(size);
  }

  sync(): void {}

  size(): number {
    return this.#bytes.size;
  }

  close(): void {
    this.#onClose();
  }
}

/** A handle on a new file that has no name and vanishes when it is closed. */
export function temporaryFile(): VfsFile {
  return new MemoryHandle(newFile(), () => {});
}

function newFile(): MemoryFile {
  return { bytes: new ByteStore(), locks: new FileLocks(), handles: 0 };
}
