/**
 * Files of the browser's private file system, opened for synchronous calls, and the folders of what belongs to a database.
 *
 * @module
 */
import { InvalidArgumentError, IoError, isPagestreamError, QuotaError } from "../core/errors.ts";
import type { OpenFile } from "../core/sync-files.ts";
import { DatabaseLockedError } from "../vfs/errors.ts";

/** What is done, for messages. */
export interface OpfsWork {
  readonly operation: string;
  readonly object: string;
}

/** The part of a `FileSystemSyncAccessHandle` used here. */
interface AccessHandle {
  read(into: Uint8Array, options: { readonly at: number }): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  flush(): void;
  getSize(): number;
  close(): void;
}

/** A `FileSystemFileHandle` as a worker has it; browsers rename their own files with `move`. */
interface WorkerFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle?(): Promise<AccessHandle>;
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
}

/** The handles of a tab that ended are given back a moment later: so often, and so long after each other, it is tried. */
const TRIES = 20;
const PAUSE_MS = 25;

/** Opens a file of a folder, made where it is missing, to be used by nobody else until it is closed. */
export async function openHandle(
  work: OpfsWork,
  folder: FileSystemDirectoryHandle,
  name: string,
): Promise<OpenFile> {
  for (let left = TRIES; ; left--) {
    try {
      const file: WorkerFileHandle = await folder.getFileHandle(name, { create: true });
      const handle = await file.createSyncAccessHandle?.();
      if (handle === undefined) throw new TypeError("there are no synchronous file handles here");
      return openFile(work, handle);
    } catch (error) {
      const isBusy = (error as Partial<DOMException>).name === "NoModificationAllowedError";
      if (!isBusy || left === 0) throw handleError(error, work);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function openFile(work: OpfsWork, handle: AccessHandle): OpenFile {
  const guarded = <T>(call: () => T): T => {
    try {
      return call();
    } catch (error) {
      throw handleError(error, work);
    }
  };
  return {
    read: (into, at) => guarded(() => handle.read(into, { at })),
    write: (bytes, at) =>
      guarded(() => {
        const written = handle.write(bytes, { at });
        // A private window of Chromium throws nothing when its storage is full: it returns -8, as 2^32 - 8.
        if (written !== bytes.length) throw quotaError(work);
      }),
    truncate: (size) => guarded(() => handle.truncate(size)),
    sync: () => guarded(() => handle.flush()),
    size: () => guarded(() => handle.getSize()),
    close: () => handle.close(),
  };
}

/** The error of a full storage. */
export function quotaError({ operation, object }: OpfsWork, cause?: unknown): QuotaError {
  return new QuotaError({
    operation,
    object,
    what: "the browser grants this origin no more storage",
    next: "Free space, or ask for persistent storage with requestPersistence",
    cause,
  });
}

/** A failed call as an error of this library; those of this library pass unchanged. */
export function handleError(error: unknown, { operation, object }: OpfsWork): Error {
  if (isPagestreamError(error)) return error;
  const { name, message } = error as Partial<DOMException>;
  if (name === "NoModificationAllowedError") {
    return new DatabaseLockedError({
      operation,
      object,
      what: "another tab or worker has it open",
      next: "Let one tab write at a time, with holdWriter",
      cause: error,
    });
  }
  if (name === "QuotaExceededError") return quotaError({ operation, object }, error);
  return new IoError({
    operation,
    object,
    what: message ?? String(error),
    next:
      error instanceof TypeError ? "Do it in a dedicated worker of a current browser" : undefined,
    cause: error,
  });
}

/** The folder and the name behind an absolute path of OPFS; the folders are made where they are missing. */
export async function locate(
  work: OpfsWork,
  path: string,
): Promise<{ readonly folder: FileSystemDirectoryHandle; readonly name: string }> {
  const names = path.split("/").filter((name) => name !== "");
  const name = names.pop();
  if (name === undefined || [...names, name].some((each) => each === "." || each === "..")) {
    throw new InvalidArgumentError({ ...work, what: "it is not the path of a file" });
  }
  try {
    let folder = await navigator.storage.getDirectory();
    for (const each of names) folder = await folder.getDirectoryHandle(each, { create: true });
    return { folder, name };
  } catch (error) {
    throw handleError(error, work);
  }
}

/** The folder of what is kept beside a database: `.pagestream/<VFS>/<path, escaped>`, made where it is missing. */
export async function sideFolder(
  work: OpfsWork,
  database: OpfsDatabase,
): Promise<FileSystemDirectoryHandle> {
  const { vfs, path } = database;
  const place = `/.pagestream/${encodeURIComponent(vfs)}/${encodeURIComponent(path)}/x`;
  return (await locate(work, place)).folder;
}

/** A database of OPFS. */
export interface OpfsDatabase {
  /** Name of the VFS that has it, such as `opfs-sahpool`. */
  readonly vfs: string;
  /** Its path there. */
  readonly path: string;
}

/** Whether a folder has a file of that name. */
export async function hasFile(folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    await folder.getFileHandle(name);
    return true;
  } catch {
    return false;
  }
}

/** Removes a file; missing is no error. */
export async function removeFile(
  work: OpfsWork,
  folder: FileSystemDirectoryHandle,
  name: string,
): Promise<void> {
  try {
    await folder.removeEntry(name);
  } catch (error) {
    if ((error as Partial<DOMException>).name !== "NotFoundError") throw handleError(error, work);
  }
}

/** Gives a closed file another folder and name, in the place of what has it. */
export async function moveFile(
  work: OpfsWork,
  from: { readonly folder: FileSystemDirectoryHandle; readonly name: string },
  to: { readonly folder: FileSystemDirectoryHandle; readonly name: string },
): Promise<void> {
  try {
    const file: WorkerFileHandle = await from.folder.getFileHandle(from.name);
    if (file.move === undefined) throw new TypeError("this browser cannot rename files of OPFS");
    await file.move(to.folder, to.name);
  } catch (error) {
    throw handleError(error, work);
  }
}
