/**
 * The primary: turns the commits of one database into the L0 files of its replicas.
 *
 * Commits collect in the open group; a cut encodes the group into one file, which stays in the local state with its
 * final bytes until every destination that follows has confirmed it. The marker moves with the first of them.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { ClosedError, isPagestreamError, type PagestreamError } from "../core/errors.ts";
import type { EventStream } from "../core/event-stream.ts";
import type { Platform } from "../core/platform.ts";
import { noteAdopted } from "./adopted.ts";
import type { HalfBridge } from "./bridge.ts";
import { ClockWatch } from "./clock-watch.ts";
import { CommitCollector } from "./commit-collector.ts";
import { commitGuards } from "./commit-guards.ts";
import type { StartEvent } from "./comparison.ts";
import { Confirmations, type ConfirmationWait } from "./confirmations.ts";
import { ConfirmedFiles } from "./confirmed-files.ts";
import {
  type Continuity,
  type ContinuityOptions,
  continueAnyway,
  establishContinuity,
  type RestedState,
} from "./continuity.ts";
import type { Destination, DoubtsEnd } from "./destination.ts";
import { Destinations } from "./destinations.ts";
import { holdCount, PREPARE_MODES } from "./durability.ts";
import { asPagestreamError, EventReporter } from "./event-reporter.ts";
import { finalFlush } from "./final-flush.ts";
import type { HeldCommits } from "./held-commits.ts";
import { L0Cutter } from "./l0-cutter.ts";
import { makeDestinations } from "./make-destinations.ts";
import { proveState, type ProvenState } from "./known-marker.ts";
import type { LocalCommits } from "./local-commits.ts";
import { type LeaseHolder, leaseHolder } from "./lease.ts";
import type { LocalState } from "./local-state.ts";
import { MarkerKeeper } from "./marker-keeper.ts";
import {
  cadenceOf,
  CLOSE_DEADLINE_MS,
  GROUP_BYTES,
  type PrimaryOptions,
  STAGING_BYTES,
} from "./primary-options.ts";
import { recoverLog } from "./recover-log.ts";
import type { Replica } from "./replica.ts";
import type {
  CloseOptions,
  DestinationStatus,
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
import { planStart } from "./start-destinations.ts";
import { type Survey, surveyAll } from "./survey.ts";

/** One running replication. */
export class Primary implements Replication {
  readonly #source: CommitSource;
  readonly #options: PrimaryOptions;
  readonly #platform: Platform;
  readonly #state: LocalState;
  readonly #destinations: Destinations;
  /** Who takes the leases, where any are wanted. */
  readonly #holder: LeaseHolder | undefined;
  readonly #reporter: EventReporter;
  readonly #marker: MarkerKeeper;
  readonly #confirmations: Confirmations;
  readonly #collector: CommitCollector;
  readonly #snapshots: SnapshotWriter;
  /** With durability `local`. */
  readonly #local: LocalCommits | undefined;
  /** With a durability that holds. */
  readonly #held: HeldCommits | undefined;
  readonly #confirmedFiles: ConfirmedFiles;
  readonly #clockWatch: ClockWatch;
  readonly #unlisten: () => void;

  #proven: ProvenState | undefined;
  #doubtsEnd: DoubtsEnd | undefined;
  /** Key of page digests. */
  #key: Uint8Array = new Uint8Array(0);

  #closed = false;
  #paused = false;
  #failure: PagestreamError | undefined;
  #closing: Promise<void> | undefined;
  readonly #stats = { commits: 0, pages: 0, bytes: 0, files: 0 };

  constructor(source: CommitSource, replicas: readonly Replica[], options: PrimaryOptions) {
    const { platform, state, durability = "async" } = options;
    this.#source = source;
    this.#options = options;
    this.#platform = platform;
    this.#state = state;
    this.#holder = leaseHolder(options);
    this.#reporter = new EventReporter(() => this.position, options.tap, options.stream);
    this.#confirmedFiles = new ConfirmedFiles({
      state,
      isNeeded: (name) => this.#destinations.needs(name),
      onError: (error, name) => this.#reporter.error(error, "remove", name),
    });
    this.#clockWatch = new ClockWatch(platform.clock, (aheadMs) =>
      this.#reporter.announce({ type: "clock", aheadMs }),
    );
    this.#marker = new MarkerKeeper({
      state,
      replica: (replicas[0] as Replica).description,
      clock: platform.clock,
      nonce: this.#holder?.nonce,
      onError: (error) => this.#reporter.error(error, "write", "the marker"),
    });
    const stopped = (): PagestreamError | undefined => this.#stopped();
    const degraded = (reason: string): void => this.#reporter.emit({ type: "degraded", reason });
    const { groupBytes = GROUP_BYTES, stagingBytes = STAGING_BYTES } = options;
    this.#collector = new CommitCollector({
      source,
      clock: platform.clock,
      cadence: cadenceOf(options, replicas, degraded),
      groupBytes,
      stagingBytes,
      events: {
        // With dead or slow stores files would only pile up.
        mayCut: () => stopped() === undefined && !this.#paused && this.#destinations.mayCut,
        mayWait: () => this.#destinations.isBusy,
        stopped,
        committed: (pages) => this.#committed(pages),
        cut: (files, settles) => {
          this.#staged(files, settles);
          this.#destinations.take(files);
          this.#confirmations.settle();
        },
        held: (files, settles) => this.#staged(files, settles),
        failed: (error) => this.#cutFailed(error),
        lost: (error) => this.#lost(error),
        degraded,
        empty: (sequence, settles) => this.#empty(sequence, settles),
        lowered: (from, to) => this.#confirmations.lower(from, to),
      },
    });
    const common = { source, state, platform, collector: this.#collector, stopped };
    this.#confirmations = new Confirmations({
      ...common,
      destinations: () => this.#destinations,
    });
    this.#snapshots = new SnapshotWriter(common);
    const list = makeDestinations(replicas, {
      options,
      tools: {
        source,
        collector: this.#collector,
        snapshots: this.#snapshots,
        key: () => this.#key,
        leap: (txid) => this.#leap(txid),
      },
      confirmations: this.#confirmations,
      reporter: this.#reporter,
      holder: this.#holder,
      all: () => this.#destinations,
      events: {
        uploaded: (destination, file) => this.#uploaded(destination, file),
        superseded: (destination, landed, file) => this.#superseded(destination, landed, file),
        conflict: (destination, error) => this.#conflict(destination, error),
        caughtUp: (destination, bridge) => this.#caughtUp(destination, bridge),
        released: (names) => names.forEach((name) => this.#confirmedFiles.release(name)),
      },
    });
    this.#destinations = new Destinations(list, {
      stagingBytes,
      inTurn: durability.startsWith("hold"),
      oneAtATime: options.budget !== undefined,
      state,
    });
    // From here on no commit is missed: what comes before continuity is settled waits in the group.
    const { local, held } = commitGuards({
      source,
      collector: this.#collector,
      destinations: this.#destinations,
      confirmedFiles: this.#confirmedFiles,
      options,
      stopped,
    });
    this.#local = local;
    this.#held = held;
    const listener = this.#local ?? this.#held ?? this.#collector;
    this.#unlisten = source.listen(listener, { prepare: PREPARE_MODES[durability] });
    // Before anything is awaited: nothing was delivered yet.
    if (options.rested === undefined) this.#proven = proveState(source, state);
  }

  /** Settles continuity and begins to upload. */
  async start(announce: readonly StartEvent[] = [], signal?: AbortSignal): Promise<void> {
    const { takeOver = false, rested } = this.#options;
    const proven = this.#proven;
    // A second attempt looks at the database.
    this.#proven = undefined;
    const survey = await surveyAll(this.#destinations.list, { takeOver, signal });
    const logged = await recoverLog({
      source: this.#source,
      writer: survey.lead.writer,
      state: this.#state,
      platform: this.#platform,
      always: this.#local !== undefined,
      signal,
    });
    // Only a hold stages what is not committed yet.
    const acknowledged = logged || this.#held === undefined;
    const { position, onBehind } = this.#options;
    const where = this.#where(survey, { position, onBehind, signal });
    await this.#adopt(
      survey,
      await establishContinuity({ ...where, acknowledged, rested, proven }),
    );
    for (const event of announce) this.#reporter.announce(event);
    // What the database is now is staged: a commit logged after that continues it.
    if (this.#local !== undefined) await this.#confirmations.cut(signal);
    if (this.#held !== undefined) {
      this.#collector.hurry();
      await this.#confirmations.durable({ only: this.#destinations.first, signal });
      await this.durable({ at: this.#holdCount, signal });
    }
  }

  get #holdCount(): number {
    return holdCount(this.#options, this.#destinations.list.length);
  }

  /** A start failed that is tried again, or is not where somebody has to decide first. */
  startFailed(error: PagestreamError, isOver: boolean): void {
    const { first } = this.#destinations;
    if (isOver) return this.#conflict(first, error);
    this.#reporter.emit({ type: "stalled", destination: first.name, error });
    this.#confirmations.reject(error);
  }

  /**
   * Lets go of everything, where nothing is to be done and nobody waits: all that is committed is in the stores, and so it
   * stays known in the local state. Sends no request. Otherwise `undefined`.
   */
  rest(): RestedState | undefined {
    const { sequence } = this.#source;
    const { list, replicated: txid } = this.#destinations;
    const isDone =
      this.#stopped() === undefined &&
      !this.#paused &&
      this.#local === undefined &&
      this.#held === undefined &&
      this.#collector.isEmpty &&
      this.#confirmations.isQuiet &&
      !this.#snapshots.isBusy &&
      this.#marker.txid === txid &&
      list.every((each) => each.isIdle && each.has(sequence, this.#collector.doubts));
    if (!isDone) return undefined;
    this.#marker.close();
    this.detach();
    return { txid, sequence };
  }

  /** Ends delivery without any upload: the start failed, or there is nothing to deliver. */
  detach(): void {
    this.#closed = true;
    this.#unlisten();
    for (const destination of this.#destinations.list) void destination.stop();
    this.#state.close();
  }

  // What the user sees.

  get events(): EventStream<ReplicationEvent> {
    return this.#reporter.stream;
  }

  get position(): Position {
    const { rested } = this.#options;
    if (rested !== undefined && this.#collector.last === undefined) {
      const { txid } = rested;
      const local = this.#collector.isEmpty ? txid : txid + 1n;
      return { local, staged: txid, replicated: txid };
    }
    const staged = this.#collector.last?.txid ?? 0n;
    const { replicated } = this.#destinations;
    return { local: this.#collector.localTxid, staged, replicated };
  }

  get stats(): ReplicationStats {
    const since = this.#destinations.since ?? this.#collector.since;
    const lagMs = since === undefined ? 0 : this.#platform.clock.monotonic() - since;
    const logged = this.#local?.bytes ?? 0;
    const pendingBytes = this.#collector.heldBytes + this.#destinations.pendingBytes + logged;
    return { ...this.#stats, lagMs, pendingBytes };
  }

  get destinations(): readonly DestinationStatus[] {
    return this.#destinations.status(this.#platform.clock.monotonic());
  }

  flush(options: WaitOptions = {}): Promise<void> {
    this.#options.hurry?.();
    return this.#confirmations.flush(withoutOnly(options));
  }

  waitFor(txid: bigint, options: WaitOptions = {}): Promise<void> {
    return this.#confirmations.waitFor(txid, withoutOnly(options));
  }

  durable(options: WaitOptions = {}): Promise<void> {
    return this.#confirmations.durable(withoutOnly(options));
  }

  async snapshot(options: WaitOptions = {}): Promise<SnapshotResult> {
    const snapshots = this.#destinations.list.map((each) => each.snapshot(options));
    // One that fails must not keep the others from theirs.
    const failed = (await Promise.allSettled(snapshots)).find((end) => end.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return await (snapshots[0] as Promise<SnapshotResult>);
  }

  pause(): void {
    this.#paused = true;
    for (const destination of this.#destinations.list) destination.pause();
  }

  resume(): void {
    this.#paused = false;
    for (const destination of this.#destinations.list) destination.resume();
    this.#collector.schedule();
  }

  async takeOver(options: WaitOptions = {}): Promise<void> {
    const { list } = this.#destinations;
    const what = "the replica is being taken over";
    this.#failure ??= new ClosedError({ operation: "replicate", object: this.#source.name, what });
    await this.#snapshots.end();
    await Promise.all(list.map((destination) => destination.stop()));
    await this.#collector.end();
    for (const name of this.#state.staged()) this.#state.removeStaged(name);
    this.#local?.forget();
    this.#marker.forget();
    const survey = await surveyAll(list, { takeOver: true, signal: options.signal });
    const where = this.#where(survey, options);
    const found = await continueAnyway(where, "taken over after a conflict");
    this.#failure = undefined;
    await this.#adopt(survey, found);
  }

  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options.deadlineMs ?? CLOSE_DEADLINE_MS);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // Continuity.

  #where(
    survey: Survey,
    options: Pick<ReplicateOptions, "position" | "onBehind" | "signal">,
  ): ContinuityOptions {
    const { position, onBehind, signal } = options;
    return {
      source: this.#source,
      replica: survey.lead.replica,
      names: this.#destinations.list.map(({ name }) => name),
      state: this.#state,
      platform: this.#platform,
      position,
      onBehind,
      signal,
    };
  }

  async #adopt(survey: Survey, found: Continuity): Promise<void> {
    const { key, lastTime } = found;
    const { state, platform, signal } = this.#options;
    const where = { state, platform, signal };
    const { last, proven, place, feed } = await planStart(survey, found, where);
    if (found.adopts) {
      const seen = [survey.lead, ...survey.others.keys()];
      await Promise.all(seen.map(({ replica }) => noteAdopted(replica, last.txid + 1n, signal)));
    }
    this.#key = key;
    this.#marker.begin(found.marker, key);
    place();
    this.#collector.begin(new L0Cutter(state, platform, { last, key }), proven);
    feed();
    // Not before the marker says what became of them.
    for (const name of found.settled) {
      if (!this.#destinations.needs(name)) state.removeStaged(name);
    }
    // Nobody can read events before the start has ended.
    for (const event of found.events) this.#reporter.announce(event);
    this.#clockWatch.check(lastTime);
    // After a rest somebody may wait already.
    this.#confirmations.settle();
  }

  /** Goes on behind what a destination holds that was not asked at the start: its files are of an earlier life. */
  #leap(txid: bigint): void {
    this.#collector.leap(txid);
    this.#reporter.announce({ type: "forked", txid });
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
    const unobserved = asPagestreamError(error, "observe", this.#source.name);
    this.#reporter.emit({ type: "error", error: unobserved });
    this.#held?.fail(unobserved);
    this.#confirmations.lose(unobserved);
  }

  #cutFailed(error: unknown): void {
    const wrapped = asPagestreamError(error, "cut", this.#source.name);
    this.#reporter.emit({ type: "error", error: wrapped });
    this.#confirmations.reject(wrapped);
  }

  #empty(sequence: number, settles: number): void {
    for (const each of this.#destinations.list) each.nothingUpTo(sequence, settles);
    this.#confirmations.settle();
  }

  // Uploading.

  /** `instead` is what local state has under the name of a file that was withdrawn. */
  #uploaded(destination: Destination, file: StagedFile, instead?: StagedFile): void {
    const { level, size, header } = file;
    const { name } = destination;
    this.#stats.bytes += size;
    this.#stats.files++;
    if (level === 0) {
      destination.confirm(file, this.#doubtsEnd);
      this.#marker.confirm(file);
      this.#destinations.settled(destination, file, instead);
    }
    // With a log the newest file stays: the marker may lag behind it, and it proves what the log continues.
    const logged = level === 0 && this.#local !== undefined;
    this.#confirmedFiles.confirmed(file, logged || this.#held?.isHeld(file) === true);
    const type = level === 0 ? "uploaded" : "snapshot";
    this.#reporter.emit({ type, destination: name, level, txid: header.maxTxid, size });
    this.#held?.uploaded(file, this.#isHoldMet(header.maxTxid));
    this.#confirmations.settle();
    this.#collector.schedule();
  }

  /** Whether enough destinations have a TXID for a held COMMIT to return. */
  #isHoldMet(txid: bigint): boolean {
    const { list } = this.#destinations;
    return list.filter(({ replicated }) => replicated >= txid).length >= this.#holdCount;
  }

  /** A file whose transaction was rolled back is in the store after all. */
  #superseded(destination: Destination, landed: StagedFile, file: StagedFile): void {
    this.#doubtsEnd = undefined;
    // Its sequence is that of no commit, or of another one.
    this.#uploaded(destination, { ...landed, sequence: 0 }, file);
    this.#collector.superseded(landed, file);
  }

  #caughtUp(destination: Destination, bridge: HalfBridge | undefined): void {
    const { name, replicated } = destination;
    const { base, l0 } = bridge ?? {};
    if (base !== undefined && l0 !== undefined) {
      this.#stats.bytes += base.size + l0.size;
      this.#stats.files += 2;
      this.#marker.confirm(l0, base.digests);
      this.#confirmedFiles.release(l0.name);
    }
    const size = base?.size ?? 0;
    this.#reporter.emit({ type: "repaired", destination: name, txid: replicated, size });
    this.#confirmations.settle();
    this.#collector.schedule();
  }

  #conflict({ name: destination }: Destination, error: PagestreamError): void {
    this.#failure = error;
    this.#collector.makeFull();
    this.#reporter.emit({ type: "conflict", destination, error });
    this.#held?.fail(error);
    this.#confirmations.reject(error);
    // A database with two writers is replicated nowhere until somebody has decided.
    for (const each of this.#destinations.list) void each.stop();
  }

  // Ending.

  /** Why nothing is replicated any more. */
  #stopped(): PagestreamError | undefined {
    if (this.#failure !== undefined || !this.#closed) return this.#failure;
    const what = "the replication is closed";
    return new ClosedError({ operation: "replicate", object: this.#source.name, what });
  }

  async #close(deadlineMs: number): Promise<void> {
    let failure: unknown;
    try {
      this.resume();
      await finalFlush({
        confirmations: this.#confirmations,
        destinations: this.#destinations.list,
        platform: this.#platform,
        object: this.#source.name,
        position: () => this.position,
        deadlineMs,
      });
    } catch (error) {
      failure = error;
    }
    this.#closed = true;
    this.#unlisten();
    const ended = this.#collector.end();
    const stopped = this.#destinations.list.map((destination) => destination.stop());
    const snapshots = this.#snapshots.end();
    // A store that answers neither yes nor no must not keep the process: what it was given is staged.
    if (failure === undefined) await Promise.all([...stopped, ended, snapshots]);
    if (failure === undefined || isPagestreamError(failure, "CONFLICT")) {
      await Promise.all(this.#destinations.list.map((destination) => destination.release()));
    }
    const what = "the replication was closed before the wait ended";
    const closed = new ClosedError({ operation: "wait for", object: this.#source.name, what });
    this.#held?.fail(closed);
    this.#confirmations.reject(closed);
    this.#marker.close();
    this.#state.close();
    this.#reporter.close();
    if (failure !== undefined) throw failure;
  }
}

/** What a caller says, and nothing that is ours alone. */
function withoutOnly({ at, signal }: WaitOptions): ConfirmationWait {
  return { at, signal };
}
