/**
 * Reads of the files of a store that block the thread: of what the system has in memory a few microseconds each.
 *
 * @module
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { LocalReads, ObjectInfo } from "pagestream";
import { otherVersion } from "pagestream/transports/store-kit";
import { ended, storeError } from "./errors.ts";
import { objectInfo, pathOfSync, READ_FLAGS, statOrNothingSync } from "./file-tree.ts";

/** Files that are kept open: a replica has about ten, and a process may have a thousand of all kinds. */
const MAX_OPEN = 64;

interface OpenFile {
  readonly fd: number;
  readonly info: ObjectInfo;
}

/** Begins to read the files under `root`. */
export function openLocalReads(root: string): LocalReads {
  /** By key, the one used last at the end. */
  const files = new Map<string, OpenFile>();
  const drop = (key: string, { fd }: OpenFile): void => {
    files.delete(key);
    closeSync(fd);
  };
  const fileOf = (key: string, etag: string): OpenFile => {
    let file = files.get(key);
    if (file !== undefined && etag !== "" && file.info.etag !== etag) {
      drop(key, file);
      file = undefined;
    }
    files.delete(key);
    file ??= openFile(root, key);
    files.set(key, file);
    if (etag !== "" && file.info.etag !== etag) {
      drop(key, file);
      throw otherVersion({ operation: "read", object: key });
    }
    const [oldest] = files;
    if (oldest !== undefined && files.size > MAX_OPEN) drop(...oldest);
    return file;
  };
  return {
    read(key, { offset, length, etag }, into) {
      const { fd } = fileOf(key, etag);
      const bytes = into ?? new Uint8Array(length);
      readExactly(fd, bytes, { offset, key });
      return bytes;
    },
    close() {
      for (const [key, file] of files) drop(key, file);
    },
  };
}

function openFile(root: string, key: string): OpenFile {
  const path = pathOfSync(root, key, "read");
  const fd = openDescriptor(path, key);
  try {
    // Of the file that is open: what lies at the path may be another one by now.
    return { fd, info: objectInfo(key, fstatSync(fd, { bigint: true }), "read") };
  } catch (error) {
    closeSync(fd);
    throw storeError(error, "read", key);
  }
}

function openDescriptor(path: string, key: string): number {
  const look = (): ObjectInfo => objectInfo(key, statOrNothingSync(path, "read", key), "read");
  if (constants.O_NOFOLLOW === undefined) look();
  try {
    return openSync(path, READ_FLAGS);
  } catch (error) {
    // Says what is wrong with it.
    look();
    throw storeError(error, "read", key);
  }
}

function readExactly(
  fd: number,
  bytes: Uint8Array,
  { offset, key }: { readonly offset: number; readonly key: string },
): void {
  for (let done = 0; done < bytes.length;) {
    let count: number;
    try {
      count = readSync(fd, bytes, done, bytes.length - done, offset + done);
    } catch (error) {
      throw storeError(error, "read", key);
    }
    if (count === 0) throw ended(key, offset + done);
    done += count;
  }
}
