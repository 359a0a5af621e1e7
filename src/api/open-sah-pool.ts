/**
 * `openSahPool`: the pool of files behind `opfs-sahpool`, without its traps.
 *
 * @module
 */
import { handleError } from "./opfs-handles.ts";

/** What opens a pool: sqlite-wasm, as far as it is used here. */
export interface SahPoolInstaller<Pool> {
  /** Of sqlite-wasm. */
  installOpfsSAHPoolVfs(options: SahPoolOptions): Promise<Pool>;
}

/** Options of {@linkcode openSahPool}, which are sqlite-wasm's. */
export interface SahPoolOptions {
  /** Name of the VFS. @default "opfs-sahpool" */
  readonly name?: string;
  /** Folder of OPFS with the files of the pool. @default a dot and the name */
  readonly directory?: string;
  /** Files that a new pool has room for. @default 6 */
  readonly initialCapacity?: number;
}

/** What is used of a pool: it can let go of its files. */
export interface PausingPool {
  /** Whether it has let go of them. */
  isPaused(): boolean;
  /** Takes them again. */
  unpauseVfs(): Promise<unknown>;
}

/** The files of a tab that ended are given back a moment later. */
const TRIES = 40;
const PAUSE_MS = 25;

/**
 * Opens the pool, in a dedicated worker, or takes its files again after `pauseVfs`. A pool whose files another tab has just
 * let go of is tried for a second, then it is `DatabaseLockedError`.
 *
 * Never call `installOpfsSAHPoolVfs` without `preserveOnInitFailure`, which this gives it: where it fails, as it does while
 * the files are still held, it deletes the pool with every database in it.
 *
 * @example
 * ```ts ignore
 * const sqlite3 = await sqlite3InitModule();
 * const pool = await openSahPool(sqlite3);
 * ```
 */
export async function openSahPool<Pool extends PausingPool>(
  sqlite3: SahPoolInstaller<Pool>,
  options: SahPoolOptions = {},
): Promise<Pool> {
  const safe = {
    ...options,
    preserveOnInitFailure: true,
    forceReinitIfPreviouslyFailed: true,
    // Each try that fails would be a line on the console.
    verbosity: 0,
  };
  for (let left = TRIES; ; left--) {
    try {
      const pool = await sqlite3.installOpfsSAHPoolVfs(safe);
      if (pool.isPaused()) await pool.unpauseVfs();
      return pool;
    } catch (error) {
      const isBusy = (error as Partial<DOMException>).name === "NoModificationAllowedError";
      const object = options.name ?? "opfs-sahpool";
      if (!isBusy || left === 0) throw handleError(error, { operation: "open the pool", object });
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
