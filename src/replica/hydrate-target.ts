/**
 * Where a local copy of a replica is kept while it is read from.
 *
 * @module
 */
import type { SyncFile, SyncFiles } from "../core/sync-files.ts";

/** What a copy needs of a file. */
export type CopyFile = Pick<SyncFile, "read" | "write" | "truncate" | "sync" | "size">;

/** The files of a copy, opened; nobody else may have them open. */
export interface CopyFiles {
  /** The pages, each at its place in the database. */
  readonly pages: CopyFile;
  /** What tells after a crash which of the pages are right; undefined where nothing outlives the process. */
  readonly record: CopyFile | undefined;
  /** Closes the files; what is in them stays. */
  close(): void;
}

/** Where a copy goes. */
export interface HydrationTarget {
  /** What it is, for messages. */
  readonly name: string;
  /** Path of the database; undefined where it has none. */
  readonly path: string | undefined;
  /** Opens the files, made where they are missing. Throws `DatabaseLockedError` where somebody else has them. */
  open(): CopyFiles | Promise<CopyFiles>;
}

/** A copy in memory. */
export interface BytesHydrationTarget extends HydrationTarget {
  /** The pages that are there, others zero: a database once the copy is complete. A view of the memory of the copy. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const FIRST_CAPACITY = 1024 * 1024;

/**
 * Makes a target in memory, which is gone with the process.
 *
 * @example
 * ```ts ignore
 * import { bytesHydrationTarget, hydrate, openReplicaReader } from "pagestream";
 *
 * const reader = await openReplicaReader(store);
 * const hydration = await hydrate(reader, bytesHydrationTarget());
 * await hydration.complete();
 * ```
 */
export function bytesHydrationTarget(): BytesHydrationTarget {
  const file = new MemoryFile();
  return {
    name: "memory",
    path: undefined,
    get bytes() {
      return file.bytes;
    },
    open: () => ({ pages: file, record: undefined, close() {} }),
  };
}

/** What is appended to the path of a copy to name its record. */
const RECORD_SUFFIX = "-hydration";

/**
 * Makes a target on disk, by the file calls of a runtime: the database at `path`, and beside it `<path>-hydration`, by which
 * the copy is found again. Nobody else may use the files while they are hydrated; what has no record beside it is left alone.
 *
 * @example
 * ```ts ignore
 * import { hydrate, openReplicaReader, syncFileHydrationTarget } from "pagestream";
 * import { syncFiles } from "@pagestream/node";
 *
 * const reader = await openReplicaReader(store);
 * const hydration = await hydrate(reader, syncFileHydrationTarget(syncFiles(), "copy.db"));
 * ```
 */
export function syncFileHydrationTarget(files: SyncFiles, path: string): HydrationTarget {
  return {
    name: path,
    path,
    open() {
      const lock = files.lock(path);
      const opened: SyncFile[] = [];
      const close = (): void => {
        for (const file of opened) file.close();
        lock.release();
      };
      try {
        for (const suffix of [RECORD_SUFFIX, ""]) {
          opened.push(files.open(path + suffix, { mode: "create" }));
        }
      } catch (error) {
        close();
        throw error;
      }
      const [record, pages] = opened as [SyncFile, SyncFile];
      return { pages, record, close };
    },
  };
}

/** Grows with what arrives rather than with what was announced: a header may announce terabytes. */
class MemoryFile implements CopyFile {
  #bytes = new Uint8Array(0);
  #size = 0;

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#size);
  }

  read(into: Uint8Array, offset: number): number {
    const part = this.bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#reserve(offset + bytes.length);
    this.#bytes.set(bytes, offset);
  }

  truncate(size: number): void {
    this.#reserve(size);
    this.#bytes.fill(0, size, this.#size);
    this.#size = size;
  }

  sync(): void {}

  size(): number {
    return this.#size;
  }

  #reserve(size: number): void {
    if (size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(size, this.#bytes.length * 1.5, FIRST_CAPACITY));
      grown.set(this.bytes);
      this.#bytes = grown;
    }
    this.#size = Math.max(this.#size, size);
  }
}
