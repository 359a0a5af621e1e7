/**
 * `replicate` for databases that native SQLite writes, in the process that writes them or beside it.
 *
 * @module
 */
import {
  type CloseOptions,
  type CommitSource,
  type DestinationStatus,
  fileState,
  InvalidArgumentError,
  type Position,
  type ReplicaTargets,
  replicate,
  type ReplicateOptions,
  type Replication,
  type ReplicationEvent,
  type ReplicationStats,
  type SnapshotResult,
  stateDirectory,
  type SyncFiles,
  type WaitOptions,
} from "pagestream";
import { fullPath } from "./file-identity.ts";
import { lockDatabase } from "./file-lock.ts";
import type { NativeDriver } from "./native-driver.ts";
import {
  driverOf,
  inTransaction,
  isNativeHandle,
  type NativeHandle,
  type OpenNative,
  pathOfHandle,
} from "./native-handle.ts";
import type { NativeSqlite } from "./native-sqlite.ts";
import { claimLibrary } from "./one-library.ts";
import { openWalFollower, type WalFollower, type WalFollowerOptions } from "./wal-follower.ts";
import type { WatchFile } from "./wal-wakeups.ts";

/** What a runtime brings to follow a database. */
export interface NativeRuntime {
  /** Its SQLite, for databases given by their path. */
  readonly driver: NativeDriver;
  /** Its SQLite, for the lock. */
  readonly sqlite: NativeSqlite;
  /** Its file calls, for the local state. */
  readonly files: SyncFiles;
  /** What tells of writes, where its `fs.watch` keeps the process alive. */
  readonly watch?: WatchFile | undefined;
}

/** Options of `replicate` for a native database. */
export interface ReplicateNativeOptions
  extends
    Omit<ReplicateOptions, "durability" | "holdDeadlineMs" | "holdAt" | "blockingUploader">,
    Pick<WalFollowerOptions, "walLimit" | "safetyTickMs" | "enforceWal" | "onWarning"> {
  /**
   * Opens another connection with the SQLite library of the handle.
   * @default `new handle.constructor(path)`
   */
  readonly open?: OpenNative | undefined;
}

/** A running replication of a native database. */
export interface NativeReplication extends Replication {
  /** What follows the WAL. `pause()` lets go of all locks, so that the application may leave WAL mode. */
  readonly follower: WalFollower;
  /**
   * Runs `work` and resolves with what it returned, or resolved to, once everything that is committed then is in the
   * store. Rejects with what `work` threw, with `InvalidArgumentError` where it left a transaction open, or, though its
   * commits stand in the database, as `durable` does.
   */
  committed<T>(work: () => T | PromiseLike<T>, options?: WaitOptions): Promise<T>;
}

/** What `replicate` of a runtime takes. */
export type ReplicateTarget = CommitSource | NativeHandle | string;

/** `replicate` with the runtime filled in. */
export async function replicateOn(
  runtime: NativeRuntime,
  database: ReplicateTarget,
  where: { readonly replica: ReplicaTargets; readonly options: ReplicateNativeOptions },
): Promise<Replication> {
  const { replica, options } = where;
  if (typeof database !== "string" && !isNativeHandle(database)) {
    return await replicate(database, replica, options);
  }
  const handle = typeof database === "string" ? undefined : database;
  const path = fullPath(typeof database === "string" ? database : pathOfHandle(database));
  const driver = handle === undefined ? runtime.driver : driverOf(handle, options.open);
  const undo: (() => Promise<void> | void)[] = [claimLibrary(path, driver.name, handle)];
  const letGo = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const lock = lockDatabase(path, runtime.sqlite, { besideNative: true });
    undo.push(() => lock.release());
    const { files, watch } = runtime;
    const follower = await openWalFollower(path, {
      ...options,
      files,
      driver,
      watch,
      maySeal: () => handle === undefined || !inTransaction(handle),
    });
    undo.push(() => follower.close());
    const state = options.state ?? fileState(files, stateDirectory(path));
    const replication = await replicate(follower, replica, { ...options, state });
    return new FollowedReplication(replication, { follower, handle, letGo });
  } catch (error) {
    await letGo();
    throw error;
  }
}

/** A replication that ends with its follower. */
class FollowedReplication implements NativeReplication {
  readonly follower: WalFollower;
  readonly #replication: Replication;
  readonly #handle: NativeHandle | undefined;
  readonly #letGo: () => Promise<void>;
  #closing: Promise<void> | undefined;

  constructor(
    replication: Replication,
    own: {
      readonly follower: WalFollower;
      readonly handle: NativeHandle | undefined;
      readonly letGo: () => Promise<void>;
    },
  ) {
    this.follower = own.follower;
    this.#replication = replication;
    this.#handle = own.handle;
    this.#letGo = own.letGo;
  }

  get position(): Position {
    // Nobody has told of a commit that was made just now.
    if (this.#closing === undefined) {
      try {
        this.follower.check();
      } catch {
        // Said by `durable`; here it is only not known yet.
      }
    }
    return this.#replication.position;
  }

  get stats(): ReplicationStats {
    return this.#replication.stats;
  }

  get destinations(): readonly DestinationStatus[] {
    return this.#replication.destinations;
  }

  get events(): AsyncIterable<ReplicationEvent> {
    return this.#replication.events;
  }

  async committed<T>(work: () => T | PromiseLike<T>, options?: WaitOptions): Promise<T> {
    let result = work();
    if (isPending(result)) {
      // Awaited once: a query builder runs its query each time.
      result = await result;
    } else if (this.#handle !== undefined && inTransaction(this.#handle)) {
      throw new InvalidArgumentError({
        operation: "wait for a commit of",
        object: this.follower.path,
        what: "the work has left its transaction open",
        next: "Let the work end with COMMIT, or give a function that returns a promise",
      });
    }
    await this.durable(options);
    return result;
  }

  flush(options?: WaitOptions): Promise<void> {
    return this.#replication.flush(options);
  }

  waitFor(txid: bigint, options?: WaitOptions): Promise<void> {
    return this.#replication.waitFor(txid, options);
  }

  durable(options?: WaitOptions): Promise<void> {
    return this.#replication.durable(options);
  }

  snapshot(options?: WaitOptions): Promise<SnapshotResult> {
    return this.#replication.snapshot(options);
  }

  pause(): void {
    this.#replication.pause();
  }

  resume(): void {
    this.#replication.resume();
  }

  takeOver(options?: WaitOptions): Promise<void> {
    return this.#replication.takeOver(options);
  }

  close(options?: CloseOptions): Promise<void> {
    return (this.#closing ??= this.#close(options));
  }

  async #close(options: CloseOptions | undefined): Promise<void> {
    try {
      await this.#replication.close(options);
    } finally {
      await this.#letGo();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function isPending<T>(result: T | PromiseLike<T>): result is PromiseLike<T> {
  return typeof (result as { readonly then?: unknown } | null | undefined)?.then === "function";
}
