/**
 * The primary: turns the commits of one database into the L0 files of one replica.
 *
 * Commits collect in the open group; a cut encodes the group into one file, which stays in the local state with its
 * final bytes until the store has confirmed it; only then does the marker move.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { AbortedError, ClosedError, type PagestreamError, TimeoutError } from "../core/errors.ts";
import type { EventStream } from "../core/event-stream.ts";
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
import { Destination, type DoubtsEnd } from "./destination.ts";
import { budgetedReplica } from "./budgeted-store.ts";
import { blockingUpload, checkDurability, HOLD_DEADLINE_MS, PREPARE_MODES } from "./durability.ts";
import { asPagestreamError, EventReporter, type EventTap } from "./event-reporter.ts";
import { groupCadence } from "./group-cadence.ts";
import { HeldCommits } from "./held-commits.ts";
import { L0Cutter } from "./l0-cutter.ts";
import { LocalCommits } from "./local-commits.ts";
import { type LocalState, memoryState } from "./local-state.ts";
import { MarkerKeeper } from "./marker-keeper.ts";
import { recoverLog } from "./recover-log.ts";
import { RequestBudget } from "./request-budget.ts";
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
import type { StagedFile } from "./staged-file.ts";
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
  readonly budget: RequestBudget | undefined;
  readonly tap?: EventTap | undefined;
};

/** Starts replicating `source` into `replica`. Resolves when it is known how to continue. */
export async function startPrimary(
  source: CommitSource,
  unbudgeted: Replica,
  options: ReplicateOptions & {
    readonly platform: Platform;
    /** What the caller has done for the start, told to whoever reads events first. */
    readonly announce?: readonly StartEvent[] | undefined;
    /** Shared with other databases. @default one of its own, where `requestsPerHour` is given */
    readonly budget?: RequestBudget | undefined;
    /** Told of every event. */
    readonly tap?: EventTap | undefined;
  },
): Promise<Replication> {
  const { platform, requestsPerHour } = options;
  const budget =
    options.budget ??
    (requestsPerHour === undefined
      ? undefined
      : new RequestBudget(platform.clock, requestsPerHour));
  const complete = { ...options, budget, state: options.state ?? memoryState() };
  const replica = budgetedReplica(unbudgeted, budget);
  if (replica.store.probe !== undefined) await replica.prepareToWrite();
  checkDurability(source, { replica, state: complete.state, options: complete });
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
  readonly #source: CommitSource;
  readonly #options: PrimaryOptions;
  readonly #platform: Platform;
  readonly #state: LocalState;
  readonly #destination: Destination;
  readonly #reporter: EventReporter;
  readonly #marker: MarkerKeeper;
  readonly #waiters = new Waiters();
  readonly #collector: CommitCollector;
  /** With durability `local`. */
  readonly #local: LocalCommits | undefined;
  /** With a durability that holds. */
  readonly #held: HeldCommits | undefined;
  readonly #confirmedFiles: ConfirmedFiles;
  readonly #clockWatch: ClockWatch;
  readonly #unlisten: () => void;

  #doubtsEnd: DoubtsEnd | undefined;

  #closed = false;
  #paused = false;
  #failure: PagestreamError | undefined;
  /** Why commits are no longer seen. */
  #unobserved: PagestreamError | undefined;
  #closing: Promise<void> | undefined;
  readonly #stats = { commits: 0, pages: 0, bytes: 0, files: 0 };

  constructor(source: CommitSource, replica: Replica, options: PrimaryOptions) {
    this.#source = source;
    this.#options = options;
    this.#platform = options.platform;
    this.#state = options.state;
    this.#reporter = new EventReporter(() => this.position, options.tap);
    this.#confirmedFiles = new ConfirmedFiles(options.state, (error, name) =>
      this.#reporter.error(error, "remove", name),
    );
    this.#clockWatch = new ClockWatch(options.platform.clock, (aheadMs) =>
      this.#reporter.announce({ type: "clock", aheadMs }),
    );
    this.#marker = new MarkerKeeper({
      state: options.state,
      replica: replica.description,
      clock: options.platform.clock,
      onError: (error) => this.#reporter.error(error, "write", "the marker"),
    });
    const groupBytes = options.groupBytes ?? GROUP_BYTES;
    const stagingBytes = options.stagingBytes ?? STAGING_BYTES;
    this.#collector = new CommitCollector({
      source,
      clock: options.platform.clock,
      cadence: groupCadence({
        clock: options.platform.clock,
        groupMs: options.groupMs ?? (replica.store.local ? LOCAL_GROUP_MS : REMOTE_GROUP_MS),
        budget: options.budget,
        onLonger: () =>
          this.#reporter.emit({
            type: "degraded",
            reason: "the budget of requests makes groups longer",
          }),
      }),
      groupBytes,
      stagingBytes,
      events: {
        // With a dead or slow store files would only pile up.
        mayCut: () =>
          this.#stopped() === undefined &&
          !this.#paused &&
          !this.#destination.uploader.failing &&
          // What takes the name of a withdrawn file decides which TXID comes next.
          (!this.#destination.uploader.hasRival ||
            this.#destination.uploader.pending.length === 0) &&
          this.#destination.uploader.pendingBytes < stagingBytes &&
          // More files would wait for requests, and need one each.
          (options.budget === undefined || this.#destination.uploader.pending.length === 0),
        stopped: () => this.#stopped(),
        committed: (pages) => this.#committed(pages),
        cut: (files, settles) => {
          this.#staged(files, settles);
          this.#destination.uploader.add(...files);
          this.#waiters.settle();
        },
        held: (files, settles) => this.#staged(files, settles),
        failed: (error) => this.#cutFailed(error),
        lost: (error) => this.#lost(error),
        degraded: (reason) => this.#reporter.emit({ type: "degraded", reason }),
        empty: (sequence, settles) => this.#empty(sequence, settles),
        lowered: (from, to) => this.#waiters.lower(from, to),
      },
    });
    this.#destination = new Destination({
      replica,
      state: options.state,
      platform: options.platform,
      source,
      collector: this.#collector,
      flush: (wait) => this.flush(wait),
      waitFor: (txid, wait) => this.waitFor(txid, wait),
      stopped: () => this.#stopped(),
      events: {
        uploaded: (destination, file) => this.#uploaded(destination, file),
        stalled: (_, error) => this.#stalled(error),
        superseded: (destination, landed, file) => this.#superseded(destination, landed, file),
        recovered: () => this.#reporter.emit({ type: "recovered" }),
        conflict: (_, error) => this.#conflict(error),
      },
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
        staged: () => this.#destination.uploader.pendingBytes,
      });
    } else if (durability !== "async") {
      this.#held = new HeldCommits({
        ...common,
        uploader: this.#destination.uploader,
        state: options.state,
        clock: options.platform.clock,
        deadlineMs: options.holdDeadlineMs ?? HOLD_DEADLINE_MS,
        block: blockingUpload(options),
        committed: () => this.#confirmedFiles.committed(),
        ahead: (sequence) => {
          // What is committed is in the store only once the next file is.
          this.#destination.ahead(sequence);
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
      writer: this.#destination.writer,
      state: this.#state,
      platform: this.#platform,
      always: this.#local !== undefined,
      signal,
    });
    // Only a hold stages what is not committed yet.
    const acknowledged = logged || this.#held === undefined;
    this.#adopt(await establishContinuity({ ...this.#where(this.#options), acknowledged }));
    for (const event of announce) this.#reporter.announce(event);
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

  get events(): EventStream<ReplicationEvent> {
    return this.#reporter.stream;
  }

  get position(): Position {
    const staged = this.#collector.last?.txid ?? 0n;
    const { replicated } = this.#destination;
    return { local: this.#collector.localTxid, staged, replicated };
  }

  get stats(): ReplicationStats {
    const since = this.#destination.uploader.pending[0]?.since ?? this.#collector.since;
    const lagMs = since === undefined ? 0 : this.#platform.clock.monotonic() - since;
    const logged = this.#local?.bytes ?? 0;
    const pendingBytes =
      this.#collector.heldBytes + this.#destination.uploader.pendingBytes + logged;
    return { ...this.#stats, lagMs, pendingBytes };
  }

  async flush(options: WaitOptions = {}): Promise<void> {
    this.#source.check?.();
    this.#destination.uploader.wake();
    this.#collector.hurry();
    await this.#settled(options);
  }

  async waitFor(txid: bigint, options: WaitOptions = {}): Promise<void> {
    const target = { txid };
    await this.#wait(
      { target, reached: () => this.#destination.replicated >= target.txid },
      options,
    );
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
        ? this.#destination.has(sequence, doubts)
        : this.#collector.isEmpty && this.#destination.uploader.pending.length === 0;
    await this.#wait({ reached }, options);
    if (this.#unobserved !== undefined) throw this.#unobserved;
  }

  snapshot(options: WaitOptions = {}): Promise<SnapshotResult> {
    return this.#destination.snapshot(options);
  }

  pause(): void {
    this.#paused = true;
    this.#destination.uploader.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#destination.uploader.resume();
    this.#collector.schedule();
  }

  async takeOver(options: WaitOptions = {}): Promise<void> {
    this.#failure ??= new ClosedError({
      operation: "replicate",
      object: this.#source.name,
      what: "the replica is being taken over",
    });
    await this.#destination.stop();
    await this.#collector.end();
    for (const name of this.#state.staged()) this.#state.removeStaged(name);
    this.#local?.forget();
    this.#marker.forget();
    const found = await continueAnyway(this.#where(options), "taken over after a conflict");
    this.#destination.uploader.restart();
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
      replica: this.#destination.replica,
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
    this.#marker.begin(found.marker, key);
    // Not before the marker says what became of them.
    for (const name of found.settled) this.#state.removeStaged(name);
    const { sequence, differing } = found;
    const proven = found.needsFull === undefined ? { sequence, differing } : undefined;
    // While anything of the proven state still has to be uploaded, nothing is durable.
    const isCurrent = proven !== undefined && promoted.length + differing.length === 0;
    this.#destination.begin(txid, isCurrent ? sequence : undefined);
    this.#destination.uploader.add(...promoted);
    this.#collector.begin(new L0Cutter(this.#state, this.#platform, { last, key }), proven);
    // Nobody can read events before the start has ended.
    for (const event of found.events) this.#reporter.announce(event);
    this.#clockWatch.check(lastTime);
  }

  // What the collector tells.

  #committed(pages: number): void {
    this.#stats.commits++;
    this.#reporter.emit({ type: "commit", pages });
  }

  #staged(files: readonly StagedFile[], settles: number | undefined): void {
    const file = files.at(-1) as StagedFile;
    const { pageCount: pages, size, full } = file;
    const txid = file.header.maxTxid;
    // What is in doubt may be a commit that was never counted: nothing is durable before this file is.
    if (settles !== undefined) this.#doubtsEnd = { txid, doubts: settles };
    this.#stats.pages += pages;
    this.#reporter.emit({ type: "cut", txid, pages, size, full });
    this.#clockWatch.check(file.header.timestamp);
    try {
      this.#local?.staged(files);
    } catch (error) {
      // The log keeps what the files hold until they can be synced.
      this.#reporter.error(error, "sync", file.name);
    }
  }

  #lost(error: Error): void {
    this.#unobserved = asPagestreamError(error, "observe", this.#source.name);
    this.#reporter.emit({ type: "error", error: this.#unobserved });
    this.#held?.fail(this.#unobserved);
    this.#waiters.reject(this.#unobserved);
  }

  #cutFailed(error: unknown): void {
    const wrapped = asPagestreamError(error, "cut", this.#source.name);
    this.#reporter.emit({ type: "error", error: wrapped });
    this.#waiters.reject(wrapped);
  }

  #empty(sequence: number, settles: number): void {
    this.#destination.nothingUpTo(sequence, settles);
    this.#waiters.settle();
  }

  // Uploading.

  #uploaded(destination: Destination, file: StagedFile): void {
    const { level, size, header } = file;
    this.#stats.bytes += size;
    this.#stats.files++;
    if (level === 0) {
      destination.confirm(file, this.#doubtsEnd);
      this.#marker.confirm(file);
    }
    this.#confirmedFiles.confirmed(file, this.#held?.isHeld(file) === true);
    const type = level === 0 ? "uploaded" : "snapshot";
    this.#reporter.emit({ type, level, txid: header.maxTxid, size });
    this.#held?.uploaded(file);
    this.#waiters.settle();
    this.#collector.schedule();
  }

  /** A file whose transaction was rolled back is in the store after all. */
  #superseded(destination: Destination, landed: StagedFile, file: StagedFile): void {
    this.#doubtsEnd = undefined;
    // Its sequence is that of no commit, or of another one.
    this.#uploaded(destination, { ...landed, sequence: 0 });
    this.#collector.superseded(landed, file);
  }

  #stalled(error: PagestreamError): void {
    this.#reporter.emit({ type: "stalled", error });
    this.#waiters.reject(error);
  }

  #conflict(error: ConflictError): void {
    this.#failure = error;
    this.#collector.makeFull();
    this.#reporter.emit({ type: "conflict", error });
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
    const stopped = this.#destination.stop();
    // A store that answers neither yes nor no must not keep the process: what it was given is staged.
    if (failure === undefined) await Promise.all([stopped, ended]);
    const what = "the replication was closed before the wait ended";
    const closed = new ClosedError({ operation: "wait for", object: this.#source.name, what });
    this.#held?.fail(closed);
    this.#waiters.reject(closed);
    this.#marker.close();
    this.#state.close();
    this.#reporter.close();
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
}
