/**
 * The calls a file store makes, at once where that is quicker than to ask another thread.
 *
 * On a local file system most of them take some microseconds, a tenth of what it costs to hand them to the runtime's pool of
 * threads and to be told of their end. On a share or a file system in user space any of them may take as long as a network
 * does, or for ever, and must not hold up the program.
 *
 * @module
 */
import * as fs from "node:fs";
import * as pool from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { errnoOf } from "./errors.ts";

/** An open file, as of `node:fs/promises`. */
export interface StoredFile {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  utimes(atime: string, mtime: string): Promise<void>;
  /** Never holds up the program: it waits for the disk. */
  sync(): Promise<void>;
  stat(options: { readonly bigint: true }): Promise<fs.BigIntStats>;
  close(): Promise<void>;
}

/** Calls of the file system, as of `node:fs/promises`. */
export interface FileCalls {
  lstat(path: string): Promise<fs.BigIntStats>;
  open(path: string, flags: "r" | "wx", mode?: number): Promise<StoredFile>;
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
}

/** For a file system that may be slow. */
export const POOLED_CALLS: FileCalls = {
  lstat: (path) => pool.lstat(path, { bigint: true }),
  open: (path, flags, mode) => pool.open(path, flags, mode),
  link: (from, to) => pool.link(from, to),
  rename: (from, to) => pool.rename(from, to),
  unlink: (path) => pool.unlink(path),
};

/** For a local one. */
export const DIRECT_CALLS: FileCalls = {
  lstat: async (path) => fs.lstatSync(path, { bigint: true }),
  open: async (path, flags, mode) => new DirectFile(fs.openSync(path, flags, mode)),
  link: async (from, to) => fs.linkSync(from, to),
  rename: async (from, to) => fs.renameSync(from, to),
  unlink: async (path) => fs.unlinkSync(path),
};

/** Bytes that are copied into the system's memory faster than another thread is woken up; more of them wait for that one. */
const SMALL_WRITE = 1 << 17;

class DirectFile implements StoredFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }> {
    if (length <= SMALL_WRITE) {
      return { bytesWritten: fs.writeSync(this.#fd, bytes, offset, length, position) };
    }
    return await new Promise((resolve, reject) => {
      fs.write(this.#fd, bytes, offset, length, position, (error, bytesWritten) =>
        error === null ? resolve({ bytesWritten }) : reject(error),
      );
    });
  }

  async utimes(atime: string, mtime: string): Promise<void> {
    fs.futimesSync(this.#fd, atime, mtime);
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fsync(this.#fd, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  async stat(): Promise<fs.BigIntStats> {
    return fs.fstatSync(this.#fd, { bigint: true });
  }

  async close(): Promise<void> {
    fs.closeSync(this.#fd);
  }
}

/** What `statfs` calls the local file systems of Linux: ext, XFS, Btrfs, F2FS, ZFS, bcachefs, tmpfs, and layers of them. */
const LOCAL_TYPES: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e, 0x01021994, 0x794c7630,
]);

/** The calls for a directory, or for the one above that exists; elsewhere than on Linux nothing is known to be local. */
export async function callsFor(directory: string): Promise<FileCalls> {
  if (process.platform !== "linux") return POOLED_CALLS;
  try {
    const { type } = await pool.statfs(directory);
    return LOCAL_TYPES.has(type) ? DIRECT_CALLS : POOLED_CALLS;
  } catch (error) {
    const parent = dirname(directory);
    const isMissing = errnoOf(error) === "ENOENT" && parent !== directory;
    return isMissing ? await callsFor(parent) : POOLED_CALLS;
  }
}
