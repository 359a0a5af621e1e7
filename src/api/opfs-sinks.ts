/**
 * Restoring into the browser's private file system.
 *
 * A restore writes beside its target, into the folder of what belongs to the database, and keeps there what it fetched.
 * Only a complete, verified database takes the target's name. One that was interrupted, by the end of its tab or by an
 * error, finds what was fetched when it is begun again.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import type { OpenFile } from "../core/sync-files.ts";
import { TargetExistsError } from "../replica/errors.ts";
import type { RestoreSink } from "../replica/restore-sink.ts";
import { KeptStore } from "../transports/kept-store.ts";
import { checkDatabase } from "../vfs/check-database.ts";
import type { Sqlite3 } from "../vfs/sqlite3.ts";
import {
  handleError,
  hasFile,
  locate,
  moveFile,
  openHandle,
  type OpfsDatabase,
  type OpfsWork,
  quotaError,
  removeFile,
  sideFolder,
} from "./opfs-handles.ts";
import { opfsState } from "./opfs-state.ts";

/** Options of {@linkcode sahPoolSink} and {@linkcode opfsFileSink}. */
export interface OpfsSinkOptions {
  /** Replace an existing database, which nothing may have open. @default false */
  readonly force?: boolean | undefined;
  /**
   * What becomes of the two journal mode bytes. A file marked WAL opens only with `PRAGMA locking_mode=EXCLUSIVE`; a pool
   * marks every file for a rollback journal.
   * @default "rollback"
   */
  readonly journalHeader?: "keep" | "rollback" | undefined;
  /**
   * Keep what was fetched until the restore has succeeded, so that it goes on where it was interrupted. Takes as much space
   * as the files of the replica, meanwhile.
   * @default true
   */
  readonly resume?: boolean | undefined;
  /** sqlite-wasm, where the restored database is to be checked with `integrityCheck`; it is read into memory for it. */
  readonly sqlite3?: Sqlite3 | undefined;
}

/** What `installOpfsSAHPoolVfs` resolves to, as far as it is used here. */
export interface SahPool {
  /** Name under which its VFS is registered. */
  readonly vfsName: string;
  /** Paths of the files that have one. */
  getFileNames(): string[];
  /** How many those are. */
  getFileCount(): number;
  /** How many there is room for. */
  getCapacity(): number;
  /** Makes room for more files. */
  addCapacity(files: number): Promise<number>;
  /** Makes a database of the pieces that `next` returns until it returns none. */
  importDb(name: string, next: () => Uint8Array | undefined): Promise<number>;
  /** All bytes of a file. */
  exportFile(name: string): Uint8Array;
  /** Removes a file; false where there is none. */
  unlink(name: string): boolean;
}

/** Files of a pool that a database takes: itself, its journal, its WAL. */
const POOL_FILES = 3;

/** Bytes that are imported at once. */
const IMPORT_BYTES = 2 << 20;

/** What SQLite keeps beside a database and would replay into another one. */
const LOGS = ["-journal", "-wal"] as const;

/** Puts a complete database, which `file` has in `folder`, in the place of the target. */
interface Target extends OpfsDatabase {
  exists(): Promise<boolean>;
  replace(written: WrittenFile): Promise<void>;
}

interface WrittenFile {
  readonly file: OpenFile;
  readonly folder: FileSystemDirectoryHandle;
  readonly size: number;
}

const TEMPORARY = "restoring";
const FETCHED = "fetched";

/**
 * A sink that restores into a database of a pool (`opfs-sahpool`). While the finished database is copied into the pool
 * nothing else may use the pool.
 *
 * @example
 * ```ts ignore
 * const pool = await openSahPool(sqlite3);
 * const { position } = await restore(store, sahPoolSink(pool, "/notes.db"));
 * ```
 */
export function sahPoolSink(
  pool: SahPool,
  name: string,
  options: OpfsSinkOptions = {},
): RestoreSink {
  const path = absolute(name);
  const target: Target = {
    vfs: pool.vfsName,
    path,
    exists: async () => pool.getFileNames().includes(path),
    async replace({ file, size }) {
      // Without the database nothing replays its logs, so it goes first.
      for (const each of ["", ...LOGS]) pool.unlink(path + each);
      const missing = POOL_FILES - (pool.getCapacity() - pool.getFileCount());
      if (missing > 0) await pool.addCapacity(missing);
      let at = 0;
      await pool.importDb(path, () => {
        if (at >= size) return undefined;
        const bytes = new Uint8Array(Math.min(IMPORT_BYTES, size - at));
        file.read(bytes, at);
        at += bytes.length;
        return bytes;
      });
    },
  };
  return opfsSink(path, options, async () => target);
}

/**
 * A sink that restores into a plain file of OPFS, as the VFS `opfs` opens it: a handle, or an absolute path.
 *
 * @example
 * ```ts ignore
 * await restore(store, opfsFileSink("/notes.db"));
 * const db = new sqlite3.oo1.OpfsDb("/notes.db");
 * ```
 */
export function opfsFileSink(
  target: FileSystemFileHandle | string,
  options: OpfsSinkOptions = {},
): RestoreSink {
  const name = typeof target === "string" ? target : target.name;
  const work = { operation: "restore to", object: name };
  return opfsSink(name, options, async () => {
    const path = typeof target === "string" ? absolute(target) : await pathOf(target, work);
    return {
      vfs: "opfs",
      path,
      async exists() {
        const { folder, name: file } = await locate(work, path);
        if (!(await hasFile(folder, file))) return false;
        return (await (await folder.getFileHandle(file)).getFile()).size > 0;
      },
      async replace({ file, folder }) {
        file.close();
        const to = await locate(work, path);
        for (const each of ["", ...LOGS]) await removeFile(work, to.folder, to.name + each);
        await moveFile(work, { folder, name: TEMPORARY }, to);
      },
    };
  });
}

function absolute(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}

async function pathOf(handle: FileSystemFileHandle, work: OpfsWork): Promise<string> {
  const root = await navigator.storage.getDirectory();
  const names = await root.resolve(handle);
  if (names === null) throw handleError(new Error("the file is not one of this origin's"), work);
  return `/${names.join("/")}`;
}

function opfsSink(
  name: string,
  options: OpfsSinkOptions,
  target: () => Promise<Target>,
): RestoreSink {
  const { force = false, resume = true, sqlite3 } = options;
  const work = { operation: "restore to", object: name };
  const folderOf = async (): Promise<FileSystemDirectoryHandle> =>
    await sideFolder(work, await target());
  let folder: FileSystemDirectoryHandle | undefined;
  let file: OpenFile | undefined;
  let size = 0;
  let kept: { readonly store: KeptStore; readonly file: OpenFile } | undefined;

  const endKeeping = async (forgets: boolean): Promise<void> => {
    if (kept === undefined) return;
    const isEmpty = kept.file.size() === 0;
    kept.file.close();
    kept = undefined;
    if (forgets || isEmpty) await removeFile(work, await folderOf(), FETCHED);
  };
  const discard = async (): Promise<void> => {
    file?.close();
    file = undefined;
    if (folder !== undefined) await removeFile(work, folder, TEMPORARY);
  };
  const written = (): OpenFile => {
    if (file === undefined) throw handleError(new Error("the restore has not begun"), work);
    return file;
  };
  const check = async (kind: "quick" | "full"): Promise<string> => {
    const bytes = new Uint8Array(size);
    written().read(bytes, 0);
    return checkDatabase(sqlite3 as Sqlite3, bytes, kind);
  };
  return {
    name,
    journalHeader: options.journalHeader ?? "rollback",
    ...(sqlite3 === undefined ? {} : { check }),

    async keeping(store) {
      // What lies on this machine is not worth a copy.
      if (!resume || store.local === true) return store;
      const fetched = await openHandle(work, await folderOf(), FETCHED);
      kept = { store: new KeptStore(store, fetched), file: fetched };
      return kept.store;
    },

    async start() {
      const at = await target();
      if (!force && (await at.exists())) {
        throw new TargetExistsError({
          ...work,
          what: "the database exists",
          next: "Choose another target, or force the restore to replace it",
        });
      }
      folder = await folderOf();
      file = await openHandle(work, folder, TEMPORARY);
      file.truncate(0);
    },

    write: (offset, bytes) => written().write(bytes, offset),

    truncate(bytes) {
      size = bytes;
      written().truncate(bytes);
    },

    async chosen(marker) {
      const { vfs, path } = await target();
      const state = await opfsState({ vfs, path });
      state.replaceMarker(marker);
      state.close();
    },

    async finish() {
      const at = await target();
      written().sync();
      // Room for the copy that a pool makes.
      await endKeeping(true);
      try {
        if (size > 0) {
          await at.replace({ file: written(), folder: await folderOf(), size });
        }
      } catch (error) {
        // A pool says so where a private window of Chromium wrote less than it was given.
        const isShort = error instanceof Error && error.message.startsWith("Expected to write");
        throw isShort ? quotaError(work, error) : handleError(error, work);
      }
      await discard();
    },

    async abort(reason) {
      // What turned out to be damaged must not come back from here.
      const isDamaged = reason !== undefined && isPagestreamError(reason, "DAMAGED_FILE");
      await endKeeping(isDamaged);
      await discard();
    },
  };
}
