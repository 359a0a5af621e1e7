/**
 * Where `openReplicated` can have its database: what the places differ in.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { FileLock, SyncFiles } from "../core/sync-files.ts";
import { bytesSink } from "../replica/bytes-sink.ts";
import { fileState, type LocalState, memoryState, stateDirectory } from "../replica/local-state.ts";
import type { RestoreResult } from "../replica/restore-options.ts";
import type { RestoreSink } from "../replica/restore-sink.ts";
import { syncFileSink } from "../replica/sync-file-sink.ts";
import { recoverFiles } from "../replica/target-files.ts";
import type { MemoryVfs } from "../vfs/memory-vfs.ts";
import { fileHasFingerprint, type Fingerprint, hasFingerprint } from "./fingerprint.ts";

/** Restores into a sink. */
export type RestoreInto = (sink: RestoreSink) => Promise<RestoreResult>;

/** A place for databases, served by a VFS of sqlite-wasm that is registered under a name. */
export interface DatabaseFiles {
  /** Name of that VFS. */
  readonly vfs: string;
  /** Journal mode of a database whose user wants no other. */
  readonly journalMode: "memory" | "truncate";
  /** The path as the VFS and messages have it. */
  fullPath(path: string): string;
  /** Keeps others from restoring the same database; throws `DatabaseLockedError` where one is at it. */
  lock(path: string): FileLock | Promise<FileLock>;
  /** Whether there is a database, once an interrupted restore has been completed or undone. */
  isPresent(path: string): boolean | Promise<boolean>;
  /** Whether there was a database that has been replicated from here. */
  isKnown(path: string): boolean | Promise<boolean>;
  /** Replaces whatever lies at the path: nothing, or what is known not to be needed. */
  sink(path: string): RestoreSink;
  /**
   * Lets `restore` put another state in the place of a closed database. `undefined`, with nothing replaced, where that does
   * not hold any more what it did when the fingerprint was taken.
   */
  replace(
    path: string,
    unchanged: Fingerprint,
    restore: RestoreInto,
  ): Promise<RestoreResult | undefined>;
  /** Opens the replication's own state; whoever replicates closes it. */
  openState(path: string): LocalState | Promise<LocalState>;
}

/** Databases in memory. */
export function memoryDatabaseFiles(memory: MemoryVfs, vfs: string): DatabaseFiles {
  return {
    vfs,
    journalMode: "memory",
    fullPath: (path) => path,
    lock: () => ({ release() {} }),
    isPresent: (path) => memory.read(path) !== undefined,
    isKnown: () => false,
    sink(path) {
      const sink = bytesSink();
      return {
        ...sink,
        finish() {
          void sink.finish();
          memory.write(path, sink.bytes);
        },
      };
    },
    async replace(path, unchanged, restore) {
      const sink = bytesSink();
      const result = await restore(sink);
      // Nothing keeps others from it meanwhile.
      const bytes = memory.read(path) ?? new Uint8Array(0);
      const isSame = hasFingerprint(unchanged, bytes.length, (into, offset) =>
        into.set(bytes.subarray(offset, offset + into.length)),
      );
      if (!isSame) return undefined;
      memory.write(path, sink.bytes);
      return result;
    },
    openState: memoryState,
  };
}

/** Databases in files of a runtime with synchronous calls. */
export function syncDatabaseFiles(
  files: SyncFiles,
  vfs: string,
  platform: Platform,
): DatabaseFiles {
  const sink = (path: string): RestoreSink =>
    syncFileSink(files, path, { platform, force: true, journalHeader: "rollback" });
  return {
    vfs,
    journalMode: "truncate",
    fullPath: (path) => files.fullPath(path),
    lock: (path) => files.lock(path),
    isPresent(path) {
      recoverFiles(files, path);
      return (files.identity(path)?.size ?? 0) > 0;
    },
    isKnown: () => false,
    sink,
    async replace(path, unchanged, restore) {
      const lock = files.lock(path);
      try {
        if (!fileHasFingerprint(files, path, unchanged)) return undefined;
        return await restore(sink(path));
      } finally {
        lock.release();
      }
    },
    openState: (path) => fileState(files, stateDirectory(path)),
  };
}
