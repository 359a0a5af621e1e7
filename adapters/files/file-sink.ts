/**
 * A restore target on disk.
 *
 * @module
 */
import * as fs from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import type { FileLock, RestoreSink, SyncFiles } from "pagestream";
import {
  ClosedError,
  keepChoice,
  type Recovery,
  recoverFiles,
  refuseTarget,
  swapIn,
  temporaryPath,
} from "pagestream";
import { ioError } from "./errors.ts";
import { fullPath } from "./file-identity.ts";
import { LOCK_SUFFIX } from "./file-lock.ts";
import { integrityCheck } from "./integrity-check.ts";
import type { NativeSqlite } from "./native-sqlite.ts";
import { RunWriter } from "./run-writer.ts";
import { syncFilesOf } from "./sync-files.ts";

/** Options of `fileSink`. */
export interface FileSinkOptions {
  /** Replace an existing database, with its `-wal`, `-journal` and `-shm`. @default false */
  readonly force?: boolean | undefined;
  /** What becomes of a database marked WAL; see `RestoreSink.journalHeader`. @default "keep" */
  readonly journalHeader?: "keep" | "rollback" | undefined;
  /** The caller holds the lock of the target (`syncFiles().lock`), so the sink does not take it. @default false */
  readonly locked?: boolean | undefined;
  /** Mode of a new file, less the umask; a replaced one hands its mode on. @default 0o644, as SQLite's own */
  readonly fileMode?: number | undefined;
}

const OPERATION = "restore to";

/** Makes the sink of a runtime: `fileSink` with the SQLite that locks and checks. */
export function fileSinkOf(
  sqlite: NativeSqlite,
  path: string,
  options: FileSinkOptions = {},
): RestoreSink {
  return new FileSink(sqlite, path, options);
}

/** Completes or undoes what an interrupted restore left at a database file: `recoverTarget` of a runtime. */
export function recoverTargetOf(sqlite: NativeSqlite, path: string): Recovery {
  try {
    return recoverFiles(syncFilesOf(sqlite), fullPath(path));
  } catch (error) {
    throw ioError(error, "recover", path);
  }
}

/** A restore that has begun. */
interface Begun {
  readonly temporary: string;
  readonly handle: FileHandle;
  readonly writer: RunWriter;
  readonly lock: FileLock | undefined;
}

class FileSink implements RestoreSink {
  readonly name: string;
  readonly journalHeader: "keep" | "rollback";
  readonly #sqlite: NativeSqlite;
  readonly #path: string;
  readonly #options: FileSinkOptions;
  readonly #files: SyncFiles;
  #begun: Begun | undefined;

  constructor(sqlite: NativeSqlite, path: string, options: FileSinkOptions) {
    this.name = path;
    this.journalHeader = options.journalHeader ?? "keep";
    this.#sqlite = sqlite;
    this.#path = fullPath(path);
    this.#options = options;
    this.#files = syncFilesOf(sqlite);
  }

  async start(): Promise<void> {
    const { force, fileMode = 0o644 } = this.#options;
    let lock: FileLock | undefined;
    try {
      makeDirectory(dirname(this.#path), this.#files);
      lock = this.#lock();
      recoverFiles(this.#files, this.#path);
      if (force !== true) refuseTarget(this.#files, this.#path);
      // No secret, since it is opened exclusively: to load what makes those takes longer than to restore a small database.
      const random = Uint8Array.from({ length: 8 }, () => Math.random() * 256);
      const temporary = temporaryPath(this.#path, random);
      const handle = await open(temporary, "wx+", fileMode);
      this.#begun = { temporary, handle, writer: new RunWriter(handle), lock };
    } catch (error) {
      lock?.release();
      throw ioError(error, OPERATION, this.name);
    }
  }

  write(offset: number, bytes: Uint8Array): void | Promise<void> {
    try {
      const wait = this.#open().writer.write(offset, bytes);
      return wait?.catch((error: unknown) => {
        throw ioError(error, OPERATION, this.name);
      });
    } catch (error) {
      throw ioError(error, OPERATION, this.name);
    }
  }

  truncate(size: number): Promise<void> {
    return this.#run(async ({ handle, writer }) => {
      await writer.drain();
      await handle.truncate(size);
    });
  }

  check(kind: "quick" | "full"): Promise<string> {
    return this.#run(async ({ temporary, writer }) => {
      await writer.drain();
      return integrityCheck(temporary, kind, this.#sqlite);
    });
  }

  chosen(marker: Uint8Array): void {
    try {
      keepChoice(this.#files, this.#path, marker);
    } catch (error) {
      throw ioError(error, OPERATION, this.name);
    }
  }

  finish(): Promise<void> {
    return this.#run(async ({ temporary, handle, writer, lock }) => {
      await writer.drain();
      handOnOwner(this.#path, handle.fd);
      await handle.sync();
      await handle.close();
      swapIn(this.#files, this.#path, { temporary, force: this.#options.force });
      this.#begun = undefined;
      lock?.release();
    });
  }

  async abort(): Promise<void> {
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#begun = undefined;
    try {
      await begun.writer.settle();
      await begun.handle.close();
      this.#files.remove(begun.temporary);
      // Where `finish` failed half-way.
      recoverFiles(this.#files, this.#path);
    } catch (error) {
      throw ioError(error, "clean up after restoring to", this.name);
    } finally {
      begun.lock?.release();
    }
  }

  /**
   * The lock of a database that exists. A new one needs none: what is written is invisible until it is put in place,
   * and a lock file would stay behind beside a file that perhaps is only to be looked at.
   */
  #lock(): FileLock | undefined {
    if (this.#options.locked === true) return undefined;
    const used = ["", LOCK_SUFFIX].some((suffix) => fs.existsSync(this.#path + suffix));
    return used && this.#options.force === true ? this.#files.lock(this.#path) : undefined;
  }

  #open(): Begun {
    if (this.#begun !== undefined) return this.#begun;
    throw new ClosedError({
      operation: OPERATION,
      object: this.name,
      what: "the sink has not been started, or is finished",
      next: "Make a new sink for each restore",
    });
  }

  async #run<T>(call: (begun: Begun) => Promise<T>): Promise<T> {
    try {
      return await call(this.#open());
    } catch (error) {
      throw ioError(error, OPERATION, this.name);
    }
  }
}

/** Makes a directory and its parents, durably. */
function makeDirectory(path: string, files: SyncFiles): void {
  const first = fs.mkdirSync(path, { recursive: true });
  if (first === undefined) return;
  for (let at = path; at.length >= first.length; at = dirname(at)) files.syncDirectory(dirname(at));
}

/** Gives the new file the mode of the one it replaces and, where this user may, its owner. */
function handOnOwner(path: string, fd: number): void {
  const old = fs.statSync(path, { throwIfNoEntry: false });
  if (old === undefined || process.platform === "win32") return;
  try {
    fs.fchownSync(fd, old.uid, old.gid);
  } catch {
    // Only root may give files away; the restored file then belongs to who restored it.
  }
  fs.fchmodSync(fd, old.mode & 0o777);
}
