/**
 * The primary: turns the commits of one database into the L0 files of one replica.
 *
 * Commits collect in the open group; a cut encodes the group into one file, which stays in the local state with its
 * final bytes until the store has confirmed it; only then does the marker move.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import {
  AbortedError,
  ClosedError,
  isPagestreamError,
  PagestreamError,
  TimeoutError,
} from "../core/errors.ts";
import { EventStream } from "../core/event-stream.ts";
import type { Platform } from "../core/platform.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { ClockWatch } from "./clock-watch.ts";
import { CommitCollector } from "./commit-collector.ts";
import type { StartEvent } from "./comparison.ts";
import { ConfirmedFiles } from "./confirmed-files.ts";
import {
  type Continuity,
  type ContinuityOptions,
  continueAnyway,
  establishContinuity,
} from "./continuity.ts";
import type { ConflictError } from "./errors.ts";
import { blockingUpload, checkDurability, HOLD_DEADLINE_MS, PREPARE_MODES } from "./durability.ts";
import { HeldCommits } from "./held-commits.ts";
import { L0Cutter } from "./l0-cutter.ts";
import { LocalCommits } from "./local-commits.ts";
import { type LocalState, memoryState } from "./local-state.ts";
import { MarkerKeeper } from "./marker-keeper.ts";
import { recoverLog } from "./recover-log.ts";
import type { Replica } from "./replica.ts";
import type {
  CloseOptions,
  Position,
  ReplicateOptions,
  Replication,
  ReplicationEvent,
  ReplicationStats,
  SnapshotResult,
  WaitOptions,
} from "./replication.ts";
import { SnapshotWriter } from "./snapshot.ts";
import type { StagedFile } from "./staged-file.ts";
import { Uploader } from "./uploader.ts";
import { type Wait, Waiters } from "./waiters.ts";

/** Cadence where a request costs money, as Litestream's. */
const REMOTE_GROUP_MS = 1_000;
/** Cadence where it costs a system call. */
const LOCAL_GROUP_MS = 10;
const GROUP_BYTES = 16 << 20;
const STAGING_BYTES = 64 << 20;
const CLOSE_DEADLINE_MS = 30_000;
/** Options with everything that the platform or the caller may leave out filled in. */
type PrimaryOptions = ReplicateOptions & {
  readonly platform: Platform;
  readonly state: LocalState;
};

/** Starts replicating `source` into `replica`. Resolves when it is known how to continue. */
export async function startPrimary(
  source: CommitSource,
  replica: Replica,
  options: ReplicateOptions & {
    readonly platform: Platform;
    /** What the caller has done for the start, told to whoever reads events first. */
    readonly announce?: readonly StartEvent[] | undefined;
  },
): Promise<Replication> {
  const complete = { ...options, state: options.state ?? memoryState() };
  if (replica.store.probe !== undefined) await replica.prepareToWrite();
  checkDurability(source, { replica, state: complete.state, options });
  const primary = new Primary(source, replica, complete);
  try {
    await primary.start(options.announce);
  } catch (error) {
    primary.detach();
    throw error;
  }
  return primary;
}

class Primary implements Replication {
  readonly events: EventStream<ReplicationEvent> = new EventStream();
  readonly #source: CommitSource;
  readonly #replica: Replica;
  readonly #options: PrimaryOptions;
  readonly #platform: Platform;
  readonly #state: LocalState;
  readonly #uploader: Uploader;
  readonly #marker: MarkerKeeper;
  readonly #waiters = new Waiters();
  readonly #collector: CommitCollector;
  /** With durability `local`. */
  readonly #local: LocalCommits | undefined;
  /** With a durability that holds. */
  readonly #held: HeldCommits | undefined;
  readonly #snapshots: SnapshotWriter;
  readonly #confirmedFiles: ConfirmedFiles;
  readonly #clockWatch: ClockWatch;
  readonly #unlisten: () => void;

  #replicated = 0n;
  /** Sequence of the last commit that the store has; -1 before the database is known to be there at all. */
  #replicatedSequence = -1;
  /** How many of the source's doubts about continuity have ended with a full file in the store. */
  #settledDoubts = 0;
  /** The full file that ends doubts once it is confirmed. */
  #doubtsEnd: { readonly txid: bigint; readonly doubts: number } | undefined;

  #closed = false;
  #paused = false;
  #failure: PagestreamError | undefined;
  /** Why commits are no longer seen. */
  #unobserved: PagestreamError | undefined;
  #closing: Promise<void> | undefined;
  readonly #stats = { commits: 0, pages: 0, bytes: 0, files: 0 };

  constructor(source: CommitSource, replica: Replica, options: PrimaryOptions) {
    this.#source = source;
    this.#replica = replica;
    this.#options = options;
    this.#platform = options.platform;
    this.#state = options.state;
    this.#confirmedFiles = new ConfirmedFiles(options.state, (error, name) =>
      this.#emit({ type: "error", error: wrap(error, "remove", name) }),
    );
    this.#clockWatch = new ClockWatch(options.platform.clock, (aheadMs) =>
      this.#announce({ type: "clock", aheadMs }),
    );
    this.#marker = new MarkerKeeper({
      state: options.state,
      replica: replica.description,
      clock: options.platform.clock,
      onError: (error) => this.#emit({ type: "error", error: wrap(error, "write", "the marker") }),
    });
    this.#uploader = new Uploader({
      replica,
      state: options.state,
      platform: options.platform,
      events: {
        uploaded: (file) => this.#uploaded(file),
        stalled: (error) => this.#stalled(error),
        superseded: (landed, file) => this.#superseded(landed, file),
        recovered: () => this.#emit({ type: "recovered" }),
        conflict: (error) => this.#conflict(error),
      },
    });
    const groupBytes = options.groupBytes ?? GROUP_BYTES;
    const stagingBytes = options.stagingBytes ?? STAGING_BYTES;
    this.#collector = new CommitCollector({
      source,
      clock: options.platform.clock,
      groupMs: options.groupMs ?? (replica.store.local ? LOCAL_GROUP_MS : REMOTE_GROUP_MS),
      groupBytes,
      stagingBytes,
      events: {
        // With a dead or slow store files would only pile up.
        mayCut: () =>
          this.#stopped() === undefined &&
          !this.#paused &&
          !this.#uploader.failing &&
          // What takes the name of a withdrawn file decides which TXID comes next.
          (!this.#uploader.hasRival || this.#uploader.pending.length === 0) &&
          this.#uploader.pendingBytes < stagingBytes,
        stopped: () => this.#stopped(),
        committed: (pages) => this.#committed(pages),
        cut: (files, settles) => {
          this.#staged(files, settles);
          this.#uploader.add(...files);
          this.#waiters.settle();
        },
        held: (files, settles) => this.#staged(files, settles),
        failed: (error) => this.#cutFailed(error),
        lost: (error) => this.#lost(error),
        degraded: (reason) => this.#emit({ type: "degraded", reason }),
        empty: (sequence, settles) => this.#empty(sequence, settles),
        lowered: (from, to) => this.#waiters.lower(from, to),
      },
    });
    this.#snapshots = new SnapshotWriter({
      source,
      replica,
      state: options.state,
      platform: options.platform,
      collector: this.#collector,
      flush: (wait) => this.flush(wait),
      waitFor: (txid, wait) => this.waitFor(txid, wait),
      uploaded: (file) => this.#uploaded(file),
      stopped: () => this.#stopped(),
    });
    // From here on no commit is missed: what comes before continuity is settled waits in the group.
    const { durability = "async" } = options;
    const common = {
      collector: this.#collector,
      name: source.name,
      stopped: () => this.#stopped(),
    };
    if (durability === "local") {
      this.#local = new LocalCommits({
        ...common,
        state: options.state,
        groupBytes,
        stagingBytes,
        staged: () => this.#uploader.pendingBytes,
      });
    } else if (durability !== "async") {
      this.#held = new HeldCommits({
        ...common,
        uploader: this.#uploader,
        state: options.state,
        clock: options.platform.clock,
        deadlineMs: options.holdDeadlineMs ?? HOLD_DEADLINE_MS,
        block: blockingUpload(options),
        committed: () => this.#confirmedFiles.committed(),
        ahead: (sequence) => {
          // What is committed is in the store only once the next file is.
          this.#replicatedSequence = Math.min(this.#replicatedSequence, sequence - 2);
        },
      });
    }
    const listener = this.#local ?? this.#held ?? this.#collector;
    this.#unlisten = source.listen(listener, { prepare: PREPARE_MODES[durability] });
  }

  /** Settles continuity and begins to upload. */
  async start(announce: readonly StartEvent[] = []): Promise<void> {
    const { signal } = this.#options;
    const logged = await recoverLog({
      source: this.#source,
      replica: this.#replica,
      state: this.#state,
      platform: this.#platform,
      always: this.#local !== undefined,
      signal,
    });
    // Only a hold stages what is not committed yet.
    const acknowledged = logged || this.#held === undefined;
    this.#adopt(await establishContinuity({ ...this.#where(this.#options), acknowledged }));
    for (const event of announce) this.#announce(event);
    if (this.#local !== undefined) await this.#stageAll(signal);
    if (this.#held !== undefined) {
      this.#collector.hurry();
      await this.durable({ signal });
    }
  }

  /** Resolves when what the database is now is staged: a commit logged after that continues it. */
  async #stageAll(signal: AbortSignal | undefined): Promise<void> {
    const txid = this.#collector.localTxid;
    this.#collector.hurry();
    const reached = (): boolean =>
      this.#collector.isEmpty || (this.#collector.last?.txid ?? 0n) >= txid;
    await this.#wait({ reached }, { signal });
  }

  /** Ends delivery without any upload: the start failed. */
  detach(): void {
    this.#closed = true;
    this.#unlisten();
    this.#state.close();
  }

  // What the user sees.

  get position(): Position {
    const staged = this.#collector.last?.txid ?? 0n;
    return { local: this.#collector.localTxid, staged, replicated: this.#replicated };
  }

  get stats(): ReplicationStats {
    const since = this.#uploader.pending[0]?.since ?? this.#collector.since;
    const lagMs = since === undefined ? 0 : this.#platform.clock.monotonic() - since;
    const logged = this.#local?.bytes ?? 0;
    const pendingBytes = this.#collector.heldBytes + this.#uploader.pendingBytes + logged;
    return { ...this.#stats, lagMs, pendingBytes };
  }

  async flush(options: WaitOptions = {}): Promise<void> {
    this.#source.check?.();
    this.#uploader.wake();
    this.#collector.hurry();
    await this.#settled(options);
  }

  async waitFor(txid: bigint, options: WaitOptions = {}): Promise<void> {
    const target = { txid };
    await this.#wait({ target, reached: () => this.#replicated >= target.txid }, options);
  }

  async durable(options: WaitOptions = {}): Promise<void> {
    this.#source.check?.();
    await this.#settled(options);
  }

  /** Resolves when all that the source has delivered is in the store; never says so where it may miss a commit. */
  async #settled(options: WaitOptions): Promise<void> {
    const { sequence } = this.#source;
    const { doubts } = this.#collector;
    const reached = (): boolean =>
      this.#unobserved === undefined
        ? this.#replicatedSequence >= sequence && this.#settledDoubts >= doubts
        : this.#collector.isEmpty && this.#uploader.pending.length === 0;
    await this.#wait({ reached }, options);
    if (this.#unobserved !== undefined) throw this.#unobserved;
  }

  snapshot(options: WaitOptions = {}): Promise<SnapshotResult> {
    return this.#snapshots.write(options);
  }

  pause(): void {
    this.#paused = true;
    this.#uploader.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#uploader.resume();
    this.#collector.schedule();
  }

  async takeOver(options: WaitOptions = {}): Promise<void> {
    this.#failure ??= new ClosedError({
      operation: "replicate",
      object: this.#source.name,
      what: "the replica is being taken over",
    });
    await this.#snapshots.end();
    await this.#uploader.stop();
    await this.#collector.end();
    for (const name of this.#state.staged()) this.#state.removeStaged(name);
    this.#local?.forget();
    this.#marker.forget();
    const found = await continueAnyway(this.#where(options), "taken over after a conflict");
    this.#uploader.restart();
    this.#failure = undefined;
    this.#adopt(found);
  }

  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options.deadlineMs ?? CLOSE_DEADLINE_MS);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // Continuity.

  #where(options: Pick<ReplicateOptions, "position" | "onBehind" | "signal">): ContinuityOptions {
    const { position, onBehind, signal } = options;
    return {
      source: this.#source,
      replica: this.#replica,
      state: this.#state,
      platform: this.#platform,
      position,
      onBehind,
      signal,
    };
  }

  #adopt(found: Continuity): void {
    const { maxTxid: txid, pageSize, commit, lastTime, key, promoted } = found;
    const header = promoted.at(-1)?.header ?? { maxTxid: txid, pageSize, commit, timestamp: 0n };
    const last = {
      txid: header.maxTxid,
      pageSize: header.pageSize,
      commit: header.commit,
      time: header.timestamp > lastTime ? header.timestamp : lastTime,
    };
    this.#replicated = txid;
    this.#replicatedSequence = -1;
    this.#marker.begin(found.marker, key);
    // Not before the marker says what became of them.
    for (const name of found.settled) this.#state.removeStaged(name);
    const { sequence, differing } = found;
    const proven = found.needsFull === undefined ? { sequence, differing } : undefined;
    // While anything of the proven state still has to be uploaded, nothing is durable.
    if (proven !== undefined && promoted.length + differing.length === 0)
      this.#replicatedSequence = sequence;
    this.#uploader.add(...promoted);
    this.#collector.begin(new L0Cutter(this.#state, this.#platform, { last, key }), proven);
    // Nobody can read events before the start has ended.
    for (const event of found.events) this.#announce(event);
    this.#clockWatch.check(lastTime);
  }

  // What the collector tells.

  #committed(pages: number): void {
    this.#stats.commits++;
    this.#emit({ type: "commit", pages });
  }

  #staged(files: readonly StagedFile[], settles: number | undefined): void {
    const file = files.at(-1) as StagedFile;
    const { pageCount: pages, size, full } = file;
    const txid = file.header.maxTxid;
    // What is in doubt may be a commit that was never counted: nothing is durable before this file is.
    if (settles !== undefined) this.#doubtsEnd = { txid, doubts: settles };
    this.#stats.pages += pages;
    this.#emit({ type: "cut", txid, pages, size, full });
    this.#clockWatch.check(file.header.timestamp);
    try {
      this.#local?.staged(files);
    } catch (error) {
      // The log keeps what the files hold until they can be synced.
      this.#emit({ type: "error", error: wrap(error, "sync", file.name) });
    }
  }

  #lost(error: Error): void {
    this.#unobserved = wrap(error, "observe", this.#source.name);
    this.#emit({ type: "error", error: this.#unobserved });
    this.#held?.fail(this.#unobserved);
    this.#waiters.reject(this.#unobserved);
  }

  #cutFailed(error: unknown): void {
    const wrapped = wrap(error, "cut", this.#source.name);
    this.#emit({ type: "error", error: wrapped });
    this.#waiters.reject(wrapped);
  }

  #empty(sequence: number, settles: number): void {
    this.#replicatedSequence = sequence;
    this.#settledDoubts = settles;
    this.#waiters.settle();
  }

  // Uploading.

  #uploaded(file: StagedFile): void {
    const { level, size, header } = file;
    this.#stats.bytes += size;
    this.#stats.files++;
    if (level === 0) {
      this.#replicated = header.maxTxid;
      this.#replicatedSequence = Math.max(this.#replicatedSequence, file.sequence);
      if (this.#doubtsEnd !== undefined && header.maxTxid >= this.#doubtsEnd.txid) {
        this.#settledDoubts = this.#doubtsEnd.doubts;
      }
      this.#marker.confirm(file);
    }
    this.#confirmedFiles.confirmed(file, this.#held?.isHeld(file) === true);
    const type = level === 0 ? "uploaded" : "snapshot";
    this.#emit({ type, level, txid: header.maxTxid, size });
    this.#held?.uploaded(file);
    this.#waiters.settle();
    this.#collector.schedule();
  }

  /** A file whose transaction was rolled back is in the store after all. */
  #superseded(landed: StagedFile, file: StagedFile): void {
    this.#doubtsEnd = undefined;
    // Its sequence is that of no commit, or of another one.
    this.#uploaded({ ...landed, sequence: 0 });
    this.#collector.superseded(landed, file);
  }

  #stalled(error: PagestreamError): void {
    this.#emit({ type: "stalled", error });
    this.#waiters.reject(error);
  }

  #conflict(error: ConflictError): void {
    this.#failure = error;
    this.#collector.makeFull();
    this.#emit({ type: "conflict", error });
    this.#held?.fail(error);
    this.#waiters.reject(error);
  }

  // Waiting and ending.

  /** Why nothing is replicated any more. */
  #stopped(): PagestreamError | undefined {
    if (this.#failure !== undefined || !this.#closed) return this.#failure;
    const what = "the replication is closed";
    return new ClosedError({ operation: "replicate", object: this.#source.name, what });
  }

  async #wait(wait: Wait, options: WaitOptions): Promise<void> {
    const object = this.#source.name;
    if (wait.reached()) return;
    const stopped = this.#stopped();
    if (stopped !== undefined) throw stopped;
    await this.#waiters.add(wait, options.signal, () => {
      const cause = options.signal?.reason;
      return new AbortedError({
        operation: "wait for",
        object,
        what: "the operation was aborted",
        cause,
      });
    });
  }

  async #close(deadlineMs: number): Promise<void> {
    let failure: unknown;
    try {
      this.resume();
      await this.#finalFlush(deadlineMs);
    } catch (error) {
      failure = error;
    }
    this.#closed = true;
    this.#unlisten();
    const ended = this.#collector.end();
    const stopped = this.#uploader.stop();
    const snapshots = this.#snapshots.end();
    // A store that answers neither yes nor no must not keep the process: what it was given is staged.
    if (failure === undefined) await Promise.all([stopped, ended, snapshots]);
    const what = "the replication was closed before the wait ended";
    const closed = new ClosedError({ operation: "wait for", object: this.#source.name, what });
    this.#held?.fail(closed);
    this.#waiters.reject(closed);
    this.#marker.close();
    this.#state.close();
    this.#emit({ type: "closed" });
    this.events.close();
    if (failure !== undefined) throw failure;
  }

  async #finalFlush(deadlineMs: number): Promise<void> {
    const { clock, newAborter } = this.#platform;
    const aborter = newAborter();
    const cancel = clock.schedule(() => aborter.abort("deadline"), deadlineMs);
    try {
      await this.flush({ signal: aborter.signal });
    } catch (error) {
      if (!aborter.signal.aborted) throw error;
      const { local, replicated } = this.position;
      throw new TimeoutError({
        operation: "close",
        object: this.#source.name,
        what: `txid ${formatTxid(local)} was not confirmed within ${deadlineMs} ms, only ${formatTxid(replicated)} is`,
        next: "The next start uploads what was staged, or reads the database again",
      });
    } finally {
      cancel();
    }
  }

  #announce(event: DistributiveOmit<ReplicationEvent, "position">): void {
    this.events.announce({ ...event, position: this.position } as ReplicationEvent);
  }

  #emit(event: DistributiveOmit<ReplicationEvent, "position">): void {
    if (!this.events.hasReaders) return;
    this.events.emit({ ...event, position: this.position } as ReplicationEvent);
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function wrap(error: unknown, operation: string, object: string): PagestreamError {
  if (isPagestreamError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new PagestreamError("IO", { operation, object, what, cause: error });
}
