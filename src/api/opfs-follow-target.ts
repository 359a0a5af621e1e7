/**
 * A followed copy in the browser's private file system.
 *
 * @module
 */
import { IoError } from "../core/errors.ts";
import { type RedoFile, redoFollowTarget } from "../replica/follow-redo.ts";
import type { FollowTarget } from "../replica/follow-target.ts";
import { DatabaseLockedError } from "../vfs/errors.ts";

/** Holds a copy in three files of a folder of OPFS: `<name>`, `<name>-redo` and `<name>-txid`. */
export interface OpfsFollowTarget extends FollowTarget {
  /**
   * The database of the newest step, marked for a rollback journal: a new array. A step is applied in one synchronous run,
   * so that it is always a whole state. Only while a follower has the target open.
   */
  read(): Uint8Array<ArrayBuffer>;
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

/** A `FileSystemFileHandle` as a worker has it. */
interface WorkerFileHandle {
  createSyncAccessHandle?(): Promise<AccessHandle>;
}

/**
 * Makes the target of a copy in OPFS, in a dedicated worker: only there are the synchronous file handles that make a step
 * atomic. While a follower has it open nobody else can open the files.
 *
 * @example
 * ```ts ignore
 * import { follow, opfsFollowTarget } from "pagestream";
 *
 * const copy = opfsFollowTarget(await navigator.storage.getDirectory(), "copy.db");
 * const follower = await follow(store, copy);
 * console.log(follower.position, copy.read().length);
 * ```
 */
export function opfsFollowTarget(
  directory: FileSystemDirectoryHandle,
  name: string,
): OpfsFollowTarget {
  const object = `opfs:${name}`;
  let database: RedoFile | undefined;
  const target = redoFollowTarget(object, async () => {
    const opened: RedoFile[] = [];
    try {
      for (const suffix of ["", "-redo", "-txid"]) {
        opened.push(await openFile(directory, name + suffix));
      }
    } catch (error) {
      for (const file of opened) file.close();
      throw openingError(error, object);
    }
    const [main, log, position] = opened as [RedoFile, RedoFile, RedoFile];
    database = main;
    return { database: main, log, position };
  });
  return {
    name: object,
    get state() {
      return target.state;
    },
    open: () => target.open(),
    begin: (next) => target.begin(next),
    close: () => target.close(),
    read() {
      const bytes = new Uint8Array(database?.size() ?? 0);
      database?.read(bytes, 0);
      return bytes;
    },
  };
}

async function openFile(directory: FileSystemDirectoryHandle, name: string): Promise<RedoFile> {
  const file = (await directory.getFileHandle(name, { create: true })) as WorkerFileHandle;
  const handle = await file.createSyncAccessHandle?.();
  if (handle === undefined) throw new TypeError("there are no synchronous file handles here");
  return {
    read: (into, at) => handle.read(into, { at }),
    write(bytes, at) {
      const written = handle.write(bytes, { at });
      if (written < bytes.length) throw new Error(`${written} of ${bytes.length} bytes written`);
    },
    truncate: (size) => handle.truncate(size),
    sync: () => handle.flush(),
    size: () => handle.getSize(),
    close: () => handle.close(),
  };
}

function openingError(error: unknown, object: string): Error {
  const operation = "follow into";
  if ((error as Partial<DOMException>).name === "NoModificationAllowedError") {
    return new DatabaseLockedError({
      operation,
      object,
      what: "another tab or worker has it open",
      next: "Close the other follower first",
    });
  }
  return new IoError({
    operation,
    object,
    what: (error as Error).message,
    next: "Follow in a dedicated worker",
    cause: error,
  });
}
