/**
 * Follows the WAL of a database that any processes write, through a native SQLite.
 *
 * @module
 */
import {
  type CommitSource,
  type PagestreamError,
  type Platform,
  type SyncFiles,
  UnsupportedError,
} from "pagestream";
import type { NativeDriver } from "./native-driver.ts";

/** Calls `changed` whenever a file may have been written; returns the function that ends it. Throws where it cannot. */
export type WatchFile = (path: string, changed: () => void) => () => void;

/** Options of `openWalFollower`. */
export interface WalFollowerOptions {
  /** The SQLite to open the database with: the application's own where this process has it open, too. */
  readonly driver: NativeDriver;
  /** The runtime's file calls. */
  readonly files: SyncFiles;
  /** Bytes of the WAL past which the follower checkpoints by itself. @default 64 MiB */
  readonly walLimit?: number | undefined;
  /** Milliseconds between looks that nothing has called for. @default 60000 */
  readonly safetyTickMs?: number | undefined;
  /** Switches a database to WAL that is in another journal mode, instead of refusing it. @default false */
  readonly enforceWal?: boolean | undefined;
  /** Time and timers. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** What is told of writes. @default the runtime's `fs.watch` */
  readonly watch?: WatchFile | undefined;
  /** Told of what goes wrong while the follower goes on by itself. */
  readonly onWarning?: ((warning: PagestreamError) => void) | undefined;
}

/** A followed database: what `replicate` reads from. */
export interface WalFollower extends CommitSource, AsyncDisposable {
  /** The database file, as an absolute path. */
  readonly path: string;
  /** Bytes of the WAL that hold committed frames. */
  readonly walBytes: number;
  /** Delivers every commit that was made before the call. Throws where that cannot be known. */
  check(): void;
  /** Lets go of all locks, so that the application may leave WAL mode; nothing is delivered until {@linkcode resume}. */
  pause(): void;
  /** Goes on: with the next commit where nothing was missed, else with `needsFull`. */
  resume(): void;
  /** Takes what is committed now, and lets go of the database. */
  close(): Promise<void>;
}

/** Starts following the database at `path`, which may be empty or not there yet. */
export async function openWalFollower(
  path: string,
  options: WalFollowerOptions,
): Promise<WalFollower> {
  throw new UnsupportedError({
    operation: "follow",
    object: path,
    what: `the follower on ${options.driver.name} is being built`,
  });
}
