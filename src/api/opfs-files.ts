/**
 * `opfsFiles`: databases of `openReplicated` in the browser's private file system.
 *
 * @module
 */
import type { FileLock } from "../core/sync-files.ts";
import type { RestoreSink } from "../replica/restore-sink.ts";
import { DatabaseLockedError } from "../vfs/errors.ts";
import type { DatabaseFiles } from "./database-files.ts";
import { type Fingerprint, hasFingerprint } from "./fingerprint.ts";
import { hasFile, locate } from "./opfs-handles.ts";
import { opfsFileSink, type SahPool, sahPoolSink } from "./opfs-sinks.ts";
import { opfsState } from "./opfs-state.ts";

/**
 * Lets `openReplicated` have its database in OPFS, in a dedicated worker: in a pool, or without one in plain files over the
 * VFS `opfs`, which needs a page with COOP and COEP.
 *
 * The proof of what the replica has, and files that wait for it, are kept beside the database: a tab that ends loses no
 * commit, and the next one reads nothing of the replica to go on.
 *
 * @example
 * ```ts ignore
 * const pool = await openSahPool(sqlite3);
 * const app = await openReplicated({
 *   sqlite3,
 *   files: opfsFiles(pool),
 *   path: "/notes.db",
 *   replica: store,
 * });
 * ```
 */
export function opfsFiles(pool?: SahPool): DatabaseFiles {
  const vfs = pool?.vfsName ?? "opfs";
  const sink = (path: string): RestoreSink =>
    pool ? sahPoolSink(pool, path, { force: true }) : opfsFileSink(path, { force: true });
  return {
    vfs,
    journalMode: "truncate",
    fullPath: (path) => (path.startsWith("/") ? path : `/${path}`),
    lock: (path) => lock(`pagestream-restore:${vfs}:${path}`, path),
    async isPresent(path) {
      if (pool !== undefined) return pool.getFileNames().includes(path);
      return (await readFile(undefined, path, 1)).length > 0;
    },
    async isKnown(path) {
      const state = await opfsState({ vfs, path });
      try {
        return state.readMarker() !== undefined;
      } finally {
        state.close();
      }
    },
    sink,
    async replace(path, unchanged, restore) {
      const held = await lock(`pagestream-restore:${vfs}:${path}`, path);
      try {
        const read = (name: string): Promise<Uint8Array> => readFile(pool, name);
        return (await isUnchanged(read, path, unchanged)) ? await restore(sink(path)) : undefined;
      } finally {
        held.release();
      }
    },
    openState: (path) => opfsState({ vfs, path }),
  };
}

/** The lock of the origin's tabs and workers. */
async function lock(name: string, path: string): Promise<FileLock> {
  return await new Promise<FileLock>((resolve, reject) => {
    const held = (taken: Lock | null): Promise<void> | undefined => {
      if (taken === null) {
        reject(
          new DatabaseLockedError({
            operation: "restore to",
            object: path,
            what: "another tab or worker restores it",
            next: "Let one tab write at a time, with holdWriter",
          }),
        );
        return undefined;
      }
      return new Promise((release) => resolve({ release }));
    };
    navigator.locks.request(name, { ifAvailable: true }, held).catch(reject);
  });
}

/** What a file of a pool, or of OPFS, begins with, up to `most` bytes; nothing where it is missing. */
async function readFile(
  pool: SahPool | undefined,
  path: string,
  most: number = Number.POSITIVE_INFINITY,
): Promise<Uint8Array> {
  if (pool !== undefined) {
    return pool.getFileNames().includes(path) ? pool.exportFile(path) : new Uint8Array(0);
  }
  const { folder, name } = await locate({ operation: "read", object: path }, path);
  if (!(await hasFile(folder, name))) return new Uint8Array(0);
  const file = await (await folder.getFileHandle(name)).getFile();
  return new Uint8Array(await file.slice(0, Math.min(most, file.size)).arrayBuffer());
}

/** Whether a closed database, with nothing beside it that SQLite would replay, has a fingerprint. */
async function isUnchanged(
  read: (path: string) => Promise<Uint8Array>,
  path: string,
  fingerprint: Fingerprint,
): Promise<boolean> {
  if ((await read(`${path}-wal`)).length > 0) return false;
  // One that is kept for the next transaction has a header of zeros.
  if ((await read(`${path}-journal`)).subarray(0, 8).some((byte) => byte !== 0)) return false;
  const bytes = await read(path);
  return hasFingerprint(fingerprint, bytes.length, (into, offset) =>
    into.set(bytes.subarray(offset, offset + into.length)),
  );
}
