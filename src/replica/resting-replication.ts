/**
 * A replication that lets go of everything while its database is idle, and starts again with the next commit.
 *
 * At rest there is the local state, which knows the digest of every page, and a listener. The first commit makes a
 * primary, which takes it in at once, and then looks at the replica as any start does, but not at the database: nobody
 * has looked away since. A replica that another writer has continued meanwhile is a conflict, as it would have been without
 * the rest.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { ClosedError } from "../core/errors.ts";
import { EventStream } from "../core/event-stream.ts";
import type { RestedState } from "./continuity.ts";
import type { EventTap } from "./event-reporter.ts";
import { Primary } from "./primary.ts";
import type { PrimaryOptions } from "./primary-options.ts";
import { RelaySource } from "./relay-source.ts";
import type { Replica } from "./replica.ts";
import type {
  CloseOptions,
  DestinationStatus,
  Position,
  Replication,
  ReplicationEvent,
  ReplicationStats,
  SnapshotResult,
  WaitOptions,
} from "./replication.ts";
import type { Scheduler } from "./scheduler.ts";
import { Starting } from "./start-again.ts";

/** A database is put to rest this long after it was last heard of: when its next upload begins with a listing anyway. */
const REST_MS = 5 * 60_000;

/** What a {@linkcode RestingReplication} works with. */
export type RestingOptions = Omit<PrimaryOptions, "signal" | "tap" | "stream" | "rested"> & {
  readonly scheduler: Scheduler;
  /** Told of every event. */
  readonly tap: EventTap;
};

type Counters = Pick<ReplicationStats, "commits" | "pages" | "bytes" | "files">;

/** One replication of one database, at work or at rest. */
export class RestingReplication implements Replication, EventTap {
  readonly events: EventStream<ReplicationEvent> = new EventStream();
  readonly #source: RelaySource;
  readonly #replicas: readonly Replica[];
  readonly #options: RestingOptions;
  #primary: Primary | undefined;
  #rested: RestedState | undefined;
  /** Counted by the primaries before this one. */
  #counted: Counters | undefined;
  /** Whether a look at what there is to do is due. */
  #looks = false;
  #heardAt = 0;
  /** Ends a start after a rest. */
  #waking: Starting | undefined;
  #closing: Promise<void> | undefined;

  /** Listens from now on; {@linkcode start} begins. */
  constructor(source: CommitSource, replicas: readonly Replica[], options: RestingOptions) {
    this.#replicas = replicas;
    this.#options = options;
    this.#source = new RelaySource(source, () => void this.#awake());
    this.#primary = this.#make(undefined);
  }

  /** Settles continuity and begins to upload; rejects as `replicate` does, and has ended then. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const primary = this.#awake();
    try {
      await primary.start([], signal);
    } catch (error) {
      primary.detach();
      this.#source.end();
      throw error;
    }
    this.#heard();
  }

  /** Whether it has let go of everything. */
  get isAtRest(): boolean {
    return this.#primary === undefined;
  }

  get position(): Position {
    const txid = this.#rested?.txid ?? 0n;
    return this.#primary?.position ?? { local: txid, staged: txid, replicated: txid };
  }

  get stats(): ReplicationStats {
    const stats = this.#primary?.stats ?? { ...NOTHING, lagMs: 0, pendingBytes: 0 };
    const { commits, pages, bytes, files } = this.#counted ?? NOTHING;
    return {
      ...stats,
      commits: stats.commits + commits,
      pages: stats.pages + pages,
      bytes: stats.bytes + bytes,
      files: stats.files + files,
    };
  }

  get destinations(): readonly DestinationStatus[] {
    const replicated = this.#rested?.txid ?? 0n;
    const rest = { state: "following", replicated, lagMs: 0, pendingBytes: 0 } as const;
    return (
      this.#primary?.destinations ??
      this.#replicas.map(({ description: name }) => ({ ...rest, name, error: undefined }))
    );
  }

  async flush(options?: WaitOptions): Promise<void> {
    this.#source.check();
    this.#waking?.hurry();
    await this.#primary?.flush(options);
  }

  async waitFor(txid: bigint, options?: WaitOptions): Promise<void> {
    if (this.#primary === undefined && txid <= this.position.replicated) return;
    await this.#awake().waitFor(txid, options);
  }

  async durable(options?: WaitOptions): Promise<void> {
    this.#source.check();
    await this.#primary?.durable(options);
  }

  async snapshot(options?: WaitOptions): Promise<SnapshotResult> {
    return await this.#awake().snapshot(options);
  }

  pause(): void {
    this.#awake().pause();
  }

  resume(): void {
    this.#primary?.resume();
  }

  async takeOver(options?: WaitOptions): Promise<void> {
    await this.#awake().takeOver(options);
  }

  close(options?: CloseOptions): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  tell(event: ReplicationEvent): void {
    this.#heard();
    this.#options.tap.tell(event);
  }

  async #close(options: CloseOptions | undefined): Promise<void> {
    await this.#options.scheduler.cancel(this);
    // From here on nothing is looked at any more.
    this.#looks = true;
    try {
      this.#source.check();
      if (this.#primary !== undefined) return await this.#primary.close(options);
      this.#options.state.close();
      this.events.emit({ type: "closed", position: this.position });
      this.events.close();
    } finally {
      this.#source.end();
      this.#waking?.end();
    }
  }

  #make(rested: RestedState | undefined): Primary {
    const { events: stream } = this;
    return new Primary(this.#source, this.#replicas, {
      ...this.#options,
      // What is told of the first start is true of that alone.
      ...(rested === undefined ? {} : { position: undefined, takeOver: undefined }),
      tap: this,
      stream,
      rested,
    });
  }

  /** The primary; where there is none one that takes in what is told from now on, and looks at the replica meanwhile. */
  #awake(): Primary {
    if (this.#primary !== undefined) return this.#primary;
    if (this.#closing !== undefined) {
      const what = "the replication is closed";
      throw new ClosedError({ operation: "replicate", object: this.#source.name, what });
    }
    this.#primary = this.#make(this.#rested);
    void this.#startAgain(this.#primary);
    this.#heard();
    return this.#primary;
  }

  async #startAgain(primary: Primary): Promise<void> {
    const { platform } = this.#options;
    this.#waking = new Starting(primary, {
      start: (signal) => primary.start([], signal),
      name: this.#source.name,
      platform,
    });
    await this.#waking.run();
    this.#waking = undefined;
  }

  /** Something happens: it is looked at again when nothing has for a while. */
  #heard(): void {
    const { platform } = this.#options;
    this.#heardAt = platform.clock.now();
    if (!this.#looks) this.#look(REST_MS);
  }

  #look(delayMs: number): void {
    const { scheduler, platform } = this.#options;
    this.#looks = true;
    scheduler.schedule(this, platform.clock.now() + delayMs, async () => this.#rest());
  }

  #rest(): void {
    this.#looks = false;
    const quietMs = this.#options.platform.clock.now() - this.#heardAt;
    const primary = this.#primary;
    if (primary === undefined || this.#closing !== undefined) return;
    if (quietMs < REST_MS) return this.#look(REST_MS - quietMs);
    const { stats } = this;
    const rested = primary.rest();
    if (rested === undefined) return this.#look(REST_MS);
    const { commits, pages, bytes, files } = stats;
    this.#counted = { commits, pages, bytes, files };
    this.#rested = rested;
    this.#primary = undefined;
  }
}

const NOTHING: Counters = { commits: 0, pages: 0, bytes: 0, files: 0 };
