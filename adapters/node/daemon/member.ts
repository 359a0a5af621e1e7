/**
 * One database of the daemon: opened as soon as it can be, tried again while it cannot.
 *
 * @module
 */
import { existsSync } from "node:fs";
import {
  type CommitListener,
  type CommitSource,
  type FileLock,
  type Fleet,
  type FleetDatabaseState,
  IoError,
  isPagestreamError,
  type LocalState,
  type ObjectStore,
  type PagestreamError,
  type Platform,
  type Position,
  type PositionToken,
  type Replication,
  type SnapshotResult,
} from "pagestream";
import type { WalCheckpoint } from "pagestream/files-kit";
import type { DatabaseConfig, ReplicaConfig } from "../config/config.ts";
import { MissingDatabaseError } from "./errors.ts";
import type { DaemonDatabase, DaemonDatabaseState } from "./status.ts";

/** A database whose commits are followed. */
export interface DaemonSource extends CommitSource {
  /** Bytes of its WAL. */
  readonly walBytes: number;
  /** Takes what is committed now, and lets go of the database. */
  close(): Promise<void>;
}

/** What is told of a database while it is followed. */
export interface SourceEvents {
  /** A checkpoint was made for it. */
  readonly onCheckpoint: (checkpoint: WalCheckpoint) => void;
  /** Something goes wrong, and following goes on all the same. */
  readonly onWarning: (error: PagestreamError) => void;
}

/** Opens a database that exists. */
export type OpenSource = (
  config: DatabaseConfig,
  events: SourceEvents,
) => DaemonSource | Promise<DaemonSource>;

/** What a member works with; all members share it. */
export interface MemberTools {
  readonly fleet: Fleet;
  readonly platform: Platform;
  /** Keeps others from replicating a database: they would share its local state. */
  readonly lock: (path: string) => FileLock;
  /** Opens a database, which exists. */
  readonly open: OpenSource;
  /** Makes the store of a replica; `database` is the path of what goes there. */
  readonly openStore: (replica: ReplicaConfig, database: string) => Promise<ObjectStore>;
  /** The local state of a database. */
  readonly stateOf: (config: DatabaseConfig) => LocalState;
  /** What others are told of this writer. */
  readonly owner: string;
  /** Told when it replicates, and of each start that failed. */
  readonly onStart: (member: Member) => void;
  readonly onFailure: (member: Member, error: PagestreamError, retryMs: number) => void;
  /** Told of each checkpoint that is made for it. */
  readonly onCheckpoint?: ((member: Member, checkpoint: WalCheckpoint) => void) | undefined;
  /** Told of what goes wrong while it is followed all the same. */
  readonly onWarning?: ((member: Member, error: PagestreamError) => void) | undefined;
}

/** How one database came to its end. */
export interface MemberEnd {
  readonly position: Position | undefined;
  /** Why not all of it is in the replica. */
  readonly error: PagestreamError | undefined;
}

/** Options of a member's end. */
export interface EndOptions {
  /** How long the final upload may take in all, in milliseconds. */
  readonly deadlineMs: number;
  /** Pause in milliseconds after which what has not started is tried again until the deadline. @default not at all */
  readonly retryMs?: number | undefined;
}

/** Pause before the first further try; it doubles up to the longest, as Litestream's. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 300_000;
/** Pause between two looks for a file that is not there: they cost a call of the file system. */
const MISSING_PAUSE_MS = 1_000;

/** One database, from its registration to its end. Starts and ends follow each other, whoever asks for them. */
export class Member {
  readonly config: DatabaseConfig;
  /** Proof of the state that a restore has just made. */
  restored: PositionToken | undefined;
  /** When anything was last told of it, in milliseconds since the epoch. */
  updatedAt: number | undefined;
  readonly #tools: MemberTools;
  readonly #stores: ObjectStore[] = [];
  #wanted = true;
  #closing = false;
  #source: DaemonSource | undefined;
  #replication: Replication | undefined;
  #lock: FileLock | undefined;
  /** The start under way. */
  #starting: Promise<void> | undefined;
  #aborter: { abort(reason?: unknown): void } | undefined;
  #cancelRetry: (() => void) | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #error: PagestreamError | undefined;
  #position: Position | undefined;
  #syncedAt: number | undefined;
  /** Snapshots under way. */
  #snapshots = 0;
  /** Whether it was open once, so that something may be left to upload. */
  #wasOpen = false;

  constructor(config: DatabaseConfig, tools: MemberTools) {
    this.config = config;
    this.#tools = tools;
  }

  /** Whether it is to run. */
  get isWanted(): boolean {
    return this.#wanted;
  }

  /** Whether it ran at any time, so that something may be left to upload. */
  get hasRun(): boolean {
    return this.#wasOpen;
  }

  /** The replication; `undefined` while it does not run. */
  get replication(): Replication | undefined {
    return this.#replication;
  }

  get source(): DaemonSource | undefined {
    return this.#source;
  }

  /** As of this moment; `inFleet` is what the fleet says of it. */
  view(inFleet: FleetDatabaseState | undefined): DaemonDatabase {
    const { path, replica } = this.config;
    const replication = this.#replication;
    const position = replication?.position ?? this.#position;
    if (replication !== undefined && position?.local === position?.replicated) this.noteSync();
    const destinations = replication?.destinations ?? [];
    const { pageSize = 0, commit = 0, walBytes = 0 } = this.#source ?? {};
    return {
      path,
      replicaType: replica.type,
      replica: replica.name,
      state: this.#stateOf(inFleet),
      error: destinations.find(({ error }) => error !== undefined)?.error ?? this.#error,
      position,
      stats: replication?.stats,
      destinations,
      sizeBytes: pageSize * commit,
      walBytes,
      syncedAt: this.#syncedAt,
      updatedAt: this.updatedAt,
      snapshotting: this.#snapshots > 0,
    };
  }

  #stateOf(inFleet: FleetDatabaseState | undefined): DaemonDatabaseState {
    if (this.#closing) return "closing";
    if (!this.#wanted) return "stopped";
    if (this.#replication !== undefined && inFleet !== undefined) {
      return inFleet === "stopped" ? "conflict" : inFleet;
    }
    return this.#error === undefined ? "starting" : "waiting";
  }

  /** All that was committed is in the replica. */
  noteSync(): void {
    this.#syncedAt = this.#tools.platform.clock.now();
  }

  /** Uploads the whole database. */
  async snapshot(replication: Replication): Promise<SnapshotResult> {
    this.#snapshots++;
    try {
      return await replication.snapshot();
    } finally {
      this.#snapshots--;
    }
  }

  /** Tries to start, now; resolves when it runs, or has failed and is to be tried again later. */
  async start(): Promise<void> {
    this.#wanted = true;
    if (this.#replication !== undefined) return;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#starting ??= this.#start().finally(() => (this.#starting = undefined));
    await this.#starting;
  }

  /** Starts once; throws where that fails, and does not try again. */
  async startOnce(): Promise<Replication> {
    const { fleet, platform, owner } = this.#tools;
    const { config } = this;
    const { path } = config;
    if (!existsSync(path)) throw new MissingDatabaseError(path);
    const aborter = platform.newAborter();
    this.#aborter = aborter;
    try {
      this.#lock = this.#tools.lock(path);
      if (this.#stores.length === 0) {
        for (const replica of [config.replica, ...config.otherReplicas]) {
          this.#stores.push(await this.#tools.openStore(replica, path));
        }
      }
      const open = async (): Promise<CommitSource> => {
        this.#source = await this.#tools.open(config, {
          onCheckpoint: (checkpoint) => this.#tools.onCheckpoint?.(this, checkpoint),
          onWarning: (error) => this.#tools.onWarning?.(this, error),
        });
        return observed(this.#source, (error) => this.#lost(error));
      };
      const replication = await fleet.register(path, open, this.#stores, {
        ...config.options,
        state: this.#tools.stateOf(config),
        position: this.restored,
        owner,
        signal: aborter.signal,
      });
      this.restored = undefined;
      this.#replication = replication;
      this.#wasOpen = true;
      this.#error = undefined;
      this.#pauseMs = FIRST_PAUSE_MS;
      return replication;
    } catch (error) {
      await this.#letGo();
      throw error;
    } finally {
      this.#aborter = undefined;
    }
  }

  /**
   * Uploads what is left and lets go of the database; it can be started again. A failure is returned: it has ended all the
   * same.
   */
  async end(options: EndOptions): Promise<MemberEnd> {
    this.#wanted = false;
    this.#closing = true;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    const { clock } = this.#tools.platform;
    const deadline = clock.monotonic() + options.deadlineMs;
    const left = (): number => Math.max(0, deadline - clock.monotonic());
    const abort = (): void => this.#aborter?.abort("close");
    const cancel = clock.schedule(abort, left());
    let error: PagestreamError | undefined;
    try {
      await this.#starting;
      if (this.#replication === undefined) error = await this.#lastTries(left, options.retryMs);
      if (this.#replication !== undefined) error = await this.#finish(left());
    } finally {
      cancel();
      this.#closing = false;
    }
    this.#error = error;
    return { position: this.#position, error };
  }

  /** As {@linkcode end}, for good. */
  async close(options: EndOptions): Promise<MemberEnd> {
    const end = await this.end(options);
    for (const store of this.#stores.splice(0)) await store.close?.();
    return end;
  }

  async #start(): Promise<void> {
    try {
      await this.startOnce();
      this.#tools.onStart(this);
    } catch (error) {
      const failure = asError(error, this.config.path);
      this.#error = failure;
      if (this.#wanted) this.#retryLater(failure);
    }
  }

  #retryLater(error: PagestreamError): void {
    const isMissing = error instanceof MissingDatabaseError;
    const pause = isMissing ? MISSING_PAUSE_MS : this.#pauseMs;
    if (!isMissing) this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
    this.#tools.onFailure(this, error, pause);
    this.#cancelRetry = this.#tools.platform.clock.schedule(() => void this.start(), pause);
  }

  /** The file went, or is another one than was opened: begins anew. */
  #lost(error: Error): void {
    const replication = this.#replication;
    if (replication === undefined || this.#closing) return;
    this.#error = asError(error, this.config.path);
    this.#starting ??= (async () => {
      await this.#finish(FIRST_PAUSE_MS);
      if (this.#wanted) this.#retryLater(asError(error, this.config.path));
    })().finally(() => (this.#starting = undefined));
  }

  /** Tries what has not started: the reason may pass. Where there is no file, and never was, there is nothing to do. */
  async #lastTries(
    left: () => number,
    pauseMs: number | undefined,
  ): Promise<PagestreamError | undefined> {
    const { clock } = this.#tools.platform;
    for (;;) {
      if (this.#error === undefined) return undefined;
      if (!existsSync(this.config.path)) return this.#wasOpen ? this.#error : undefined;
      if (pauseMs === undefined || left() <= pauseMs) return this.#error;
      await new Promise<void>((resolve) => void clock.schedule(resolve, pauseMs));
      try {
        await this.startOnce();
        return undefined;
      } catch (error) {
        this.#error = asError(error, this.config.path);
      }
    }
  }

  async #finish(deadlineMs: number): Promise<PagestreamError | undefined> {
    const { fleet } = this.#tools;
    const { path } = this.config;
    const replication = this.#replication as Replication;
    let failure: PagestreamError | undefined;
    try {
      await fleet.unregister(path, { deadlineMs });
      this.noteSync();
    } catch (error) {
      failure = asError(error, path);
    }
    this.#position = replication.position;
    this.#replication = undefined;
    await this.#letGo();
    return failure;
  }

  async #letGo(): Promise<void> {
    const source = this.#source;
    this.#source = undefined;
    // What it took before this is uploaded or staged; it has nobody left to tell of more.
    await source?.close().catch(() => undefined);
    this.#lock?.release();
    this.#lock = undefined;
  }
}

/** The source, which tells of its loss too. */
function observed(source: CommitSource, onLost: (error: Error) => void): CommitSource {
  const listen = (listener: CommitListener): (() => void) =>
    source.listen({
      commit: (transaction) => listener.commit(transaction),
      needsFull: (reason) => listener.needsFull(reason),
      lost(error) {
        listener.lost?.(error);
        onLost(error);
      },
    });
  return new Proxy(source, {
    get(target, name) {
      if (name === "listen") return listen;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** What was thrown, as an error of the library. */
function asError(error: unknown, path: string): PagestreamError {
  if (isPagestreamError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new IoError({ operation: "replicate", object: path, what, cause: error });
}
