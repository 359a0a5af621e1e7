/**
 * The primary: turns the commits of one database into the L0 files of one replica.
 *
 * Commits collect in the open group; a cut encodes the group into one file, which stays in the local state with its
 * final bytes until the store has confirmed it; only then does the marker move.
 *
 * @module
 */
import type {
  CommitListener,
  CommitSource,
  CommittedTransaction,
  DatabaseImage,
} from "../core/commit-source.ts";
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
import { CommitGroup } from "./commit-group.ts";
import { type Continuity, establishContinuity } from "./continuity.ts";
import type { ConflictError } from "./errors.ts";
import { L0Cutter } from "./l0-cutter.ts";
import { type LocalState, memoryState } from "./local-state.ts";
import { MarkerKeeper } from "./marker-keeper.ts";
import type { Replica } from "./replica.ts";
import type {
  CloseOptions,
  Position,
  ReplicateOptions,
  Replication,
  ReplicationEvent,
  ReplicationStats,
  WaitOptions,
} from "./replication.ts";
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
/** A clock this far behind the replica's newest file is worth an event. */
const CLOCK_TOLERANCE_MS = 60_000;
/** Attempts to read chosen pages at one boundary before all pages are read instead. */
const IMAGE_ATTEMPTS = 3;
/** Pause before a cut is tried again that local storage refused. */
const CUT_RETRY_MS = 1_000;

/** Options with everything that the platform or the caller may leave out filled in. */
type PrimaryOptions = ReplicateOptions & {
  readonly platform: Platform;
  readonly state: LocalState;
};

/** Starts replicating `source` into `replica`. Resolves when it is known how to continue. */
export async function startPrimary(
  source: CommitSource,
  replica: Replica,
  options: ReplicateOptions & { readonly platform: Platform },
): Promise<Replication> {
  const complete = { ...options, state: options.state ?? memoryState() };
  const primary = new Primary(source, replica, complete);
  try {
    await primary.start();
  } catch (error) {
    primary.detach();
    throw error;
  }
  return primary;
}

class Primary implements Replication, CommitListener {
  readonly events: EventStream<ReplicationEvent> = new EventStream();
  readonly #source: CommitSource;
  readonly #replica: Replica;
  readonly #options: PrimaryOptions;
  readonly #platform: Platform;
  readonly #state: LocalState;
  readonly #uploader: Uploader;
  readonly #marker: MarkerKeeper;
  readonly #waiters = new Waiters();
  readonly #groupMs: number;
  readonly #unlisten: () => void;
  #cutter: L0Cutter | undefined;

  #group = new CommitGroup();
  /** A group whose pages are being read from the database, while later commits collect in the next group. */
  #imaging: CommitGroup | undefined;
  #imageTask: Promise<void> = Promise.resolve();
  #replicated = 0n;
  /** Sequence of the last commit that the store has; -1 before the database is known to be there at all. */
  #replicatedSequence = -1;
  /** How often the source doubted its continuity, and how many of those doubts a full file in the store has ended. */
  #doubts = 0;
  #settledDoubts = 0;
  /** The full file that ends doubts once it is confirmed. */
  #doubtsEnd: { readonly txid: bigint; readonly doubts: number } | undefined;

  #closed = false;
  #paused = false;
  #failure: PagestreamError | undefined;
  #closing: Promise<void> | undefined;
  #lastCut = Number.NEGATIVE_INFINITY;
  /** After a failed cut: when to try again. */
  #retryAt = Number.NEGATIVE_INFINITY;
  /** Whether somebody waits for a cut, whatever the cadence says. */
  #urgent = false;
  #cutQueued = false;
  #cancelCut: (() => void) | undefined;
  readonly #stats = { commits: 0, pages: 0, bytes: 0, files: 0 };

  constructor(source: CommitSource, replica: Replica, options: PrimaryOptions) {
    this.#source = source;
    this.#replica = replica;
    this.#options = options;
    this.#platform = options.platform;
    this.#state = options.state;
    this.#groupMs = options.groupMs ?? (replica.store.local ? LOCAL_GROUP_MS : REMOTE_GROUP_MS);
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
        conflict: (error) => this.#conflict(error),
      },
    });
    // From here on no commit is missed: what comes before continuity is settled waits in the group.
    this.#unlisten = source.listen(this);
  }

  /** Settles continuity and begins to upload. */
  async start(): Promise<void> {
    const { position, signal } = this.#options;
    this.#adopt(await this.#establish({ position, signal }));
  }

  /** Ends delivery without any upload: the start failed. */
  detach(): void {
    this.#closed = true;
    this.#unlisten();
    this.#state.close();
  }

  // What the user sees.

  get position(): Position {
    const staged = this.#cutter?.last.txid ?? 0n;
    return { local: this.#localTxid(), staged, replicated: this.#replicated };
  }

  get stats(): ReplicationStats {
    const since = this.#uploader.pending[0]?.since ?? this.#imaging?.since ?? this.#group.since;
    const lagMs = since === undefined ? 0 : this.#platform.clock.monotonic() - since;
    return { ...this.#stats, lagMs };
  }

  async flush(options: WaitOptions = {}): Promise<void> {
    this.#urgent = true;
    this.#uploader.wake();
    this.#cutNow();
    await this.durable(options);
  }

  async waitFor(txid: bigint, options: WaitOptions = {}): Promise<void> {
    const target = { txid };
    await this.#wait({ target, reached: () => this.#replicated >= target.txid }, options);
  }

  async durable(options: WaitOptions = {}): Promise<void> {
    const { sequence } = this.#source;
    const doubts = this.#doubts;
    const reached = (): boolean =>
      this.#replicatedSequence >= sequence && this.#settledDoubts >= doubts;
    await this.#wait({ reached }, options);
  }

  pause(): void {
    this.#paused = true;
    this.#uploader.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#uploader.resume();
    this.#scheduleCut();
  }

  async takeOver(options: WaitOptions = {}): Promise<void> {
    this.#failure ??= new ClosedError({
      operation: "replicate",
      object: this.#source.name,
      what: "the replica is being taken over",
    });
    await this.#uploader.stop();
    await this.#imageTask;
    for (const name of this.#state.staged()) this.#state.removeStaged(name);
    this.#marker.forget();
    const found = await this.#establish(options);
    this.#uploader.restart();
    this.#failure = undefined;
    this.#adopt({ ...found, needsFull: found.needsFull ?? "taken over after a conflict" });
  }

  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options.deadlineMs ?? CLOSE_DEADLINE_MS);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // What the source tells.

  commit(transaction: CommittedTransaction): void {
    this.#stats.commits++;
    const { pages, pageSize, full } = transaction;
    const large = pages.pgnos.length * pageSize > (this.#options.groupBytes ?? GROUP_BYTES);
    if (large || full) this.#cutNow();
    if ((large || full) && this.#mayCut() && !this.#pending()) this.#cutTransaction(transaction);
    else this.#collect(transaction, large);
    this.#emit({ type: "commit", pages: pages.pgnos.length });
    this.#scheduleCut();
  }

  needsFull(reason: string): void {
    // What is in doubt may be a commit that was never counted: nothing is durable before the next full file is.
    this.#doubts++;
    this.#group.makeFull();
    this.#emit({ type: "degraded", reason });
    this.#scheduleCut();
  }

  #collect(transaction: CommittedTransaction, large: boolean): void {
    const group = this.#group;
    const otherSize = group.transactions > 0 && group.pageSize !== transaction.pageSize;
    if (transaction.full || otherSize) group.makeFull();
    else if (large) group.dropImages();
    group.add(transaction, this.#platform.clock.monotonic());
    if (group.bytes <= (this.#options.groupBytes ?? GROUP_BYTES)) return;
    this.#cutNow();
    if (this.#group.bytes > (this.#options.stagingBytes ?? STAGING_BYTES)) {
      this.#group.dropImages();
      const reason = "more waits for the store than is kept: page images will be read again later";
      this.#emit({ type: "degraded", reason });
    }
  }

  // Continuity.

  #establish(options: Pick<ReplicateOptions, "position" | "signal">): Promise<Continuity> {
    const { position, signal } = options;
    return establishContinuity({
      source: this.#source,
      replica: this.#replica,
      state: this.#state,
      platform: this.#platform,
      position,
      signal,
    });
  }

  #adopt(found: Continuity): void {
    const { maxTxid: txid, pageSize, commit, lastTime: time, key, promoted } = found;
    const header = promoted.at(-1)?.header;
    const last = header
      ? {
          txid: header.maxTxid,
          pageSize: header.pageSize,
          commit: header.commit,
          time: header.timestamp,
        }
      : { txid, pageSize, commit, time };
    this.#cutter = new L0Cutter(this.#state, this.#platform, { last, key });
    this.#replicated = txid;
    this.#replicatedSequence = -1;
    this.#marker.begin(found.marker, key);
    if (found.needsFull !== undefined) {
      this.#group.makeFull();
    } else {
      this.#group.forgetUpTo(found.sequence);
      if (promoted.length === 0) this.#replicatedSequence = found.sequence;
      if (last.pageSize === 0) this.#cutter.startFromEmpty();
    }
    const aheadMs = Number(time) - this.#platform.clock.now();
    if (aheadMs > CLOCK_TOLERANCE_MS) this.#emit({ type: "clock", aheadMs });
    this.#uploader.add(...promoted);
    this.#scheduleCut();
  }

  // Cutting.

  /** Whether there is anything to cut: commits, or the need for a full file. */
  #pending(): boolean {
    return this.#group.transactions > 0 || this.#group.content === "full";
  }

  /** Whether a file may be cut at this moment. With a dead store it would only pile up. */
  #mayCut(): boolean {
    return (
      this.#cutter !== undefined &&
      !this.#closed &&
      this.#failure === undefined &&
      this.#imaging === undefined &&
      !this.#paused &&
      !this.#uploader.failing
    );
  }

  #localTxid(): bigint {
    const staged = this.#cutter?.last.txid ?? 0n;
    return staged + (this.#imaging ? 1n : 0n) + (this.#pending() ? 1n : 0n);
  }

  /** Cuts the open group when its time has come, else sets a timer for that moment. */
  #scheduleCut(): void {
    if (!this.#pending()) {
      this.#urgent = false;
      return;
    }
    if (!this.#mayCut() || this.#cutQueued) return;
    const { clock } = this.#platform;
    const due = this.#urgent
      ? this.#retryAt
      : Math.max(this.#retryAt, this.#lastCut + this.#groupMs);
    const wait = due - clock.monotonic();
    if (wait > 0) {
      this.#cutLater(wait);
      return;
    }
    // At the end of the current turn: commits made in one go share a file.
    this.#cutQueued = true;
    void Promise.resolve().then(() => {
      this.#cutQueued = false;
      this.#cutNow();
    });
  }

  #cutLater(delayMs: number): void {
    this.#cancelCut ??= this.#platform.clock.schedule(() => {
      this.#cancelCut = undefined;
      this.#cutNow();
    }, delayMs);
  }

  #cutNow(): void {
    const cutter = this.#cutter;
    if (cutter === undefined || !this.#pending() || !this.#mayCut()) return;
    this.#cancelCut?.();
    this.#cancelCut = undefined;
    this.#lastCut = this.#platform.clock.monotonic();
    if (!cutter.continues(this.#group)) {
      this.#imageTask = this.#cutImage(cutter);
      return;
    }
    try {
      const files = cutter.cutGroup(this.#group);
      this.#group = new CommitGroup();
      this.#enqueue(files);
    } catch (error) {
      this.#cutFailed(error);
    }
  }

  /** Encodes a transaction straight from the database: it is too large to hold, or it changed the page size. */
  #cutTransaction(transaction: CommittedTransaction): void {
    const now = this.#platform.clock.monotonic();
    this.#lastCut = now;
    try {
      this.#enqueue((this.#cutter as L0Cutter).cutTransaction(transaction, now));
    } catch (error) {
      // Its pages can be read only during the commit; later only the whole database will do.
      this.#group.makeFull();
      this.#group.add(transaction, now);
      this.#cutFailed(error);
    }
  }

  /** Cuts a file whose pages are read from the database: those of a group without images, or all. */
  async #cutImage(cutter: L0Cutter): Promise<void> {
    let imaging = this.#group;
    const doubts = this.#doubts;
    this.#imaging = imaging;
    this.#group = new CommitGroup();
    try {
      const image = await this.#imageOf(cutter);
      imaging = this.#imaging;
      this.#throwIfStopped();
      if (image.pageSize === 0) {
        // Nothing to save: the first commit will bring every page.
        cutter.startFromEmpty();
        this.#replicatedSequence = image.sequence;
        this.#settledDoubts = doubts;
        this.#group.forgetUpTo(image.sequence);
        return;
      }
      this.#forgetUpTo(image.sequence);
      const { content, since } = imaging;
      const full = content === "full";
      const files = await cutter.cutImage(image, { full, since });
      this.#throwIfStopped();
      this.#imaging = undefined;
      if (full) this.#doubtsEnd = { txid: cutter.last.txid, doubts };
      this.#enqueue(files);
    } catch (error) {
      this.#group.prepend(imaging);
      this.#imaging = undefined;
      if (!this.#closed && this.#failure === undefined) this.#cutFailed(error);
    } finally {
      this.#imaging = undefined;
      this.#waiters.settle();
      this.#scheduleCut();
    }
  }

  /**
   * The image for the imaging group. Chosen pages are right only when no commit slipped in before the boundary, since
   * the pages it changed would be missing; after a few attempts all pages are read, which is right at any boundary.
   */
  async #imageOf(cutter: L0Cutter): Promise<DatabaseImage> {
    for (let attempt = 1; ; attempt++) {
      const imaging = this.#imaging as CommitGroup;
      const resized = this.#source.pageSize !== cutter.last.pageSize;
      if (resized || attempt > IMAGE_ATTEMPTS) imaging.makeFull();
      const before = this.#source.sequence;
      const full = imaging.content === "full";
      const image = await this.#source.image(full ? {} : { pages: imaging.sortedNumbers() });
      if (full || image.sequence === before) return image;
      await image.runs[Symbol.asyncIterator]().return?.();
      this.#group.prepend(imaging);
      this.#imaging = this.#group;
      this.#group = new CommitGroup();
    }
  }

  /** Drops what the file being cut already covers; a wait for a TXID that thereby will not be is given the right one. */
  #forgetUpTo(sequence: number): void {
    const had = this.#pending();
    if (!this.#group.forgetUpTo(sequence) || !had) return;
    const { staged } = this.position;
    this.#waiters.lower(staged + 2n, staged + 1n);
  }

  #throwIfStopped(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closed) {
      const object = this.#source.name;
      throw new ClosedError({ operation: "cut", object, what: "the replication is closed" });
    }
  }

  #cutFailed(error: unknown): void {
    // What the encoder refuses will not become right by trying again; a full file will.
    if (isPagestreamError(error, "LTX_ENCODE")) this.#group.makeFull();
    this.#emit({ type: "error", error: wrap(error, "cut", this.#source.name) });
    this.#waiters.reject(wrap(error, "cut", this.#source.name));
    this.#retryAt = this.#platform.clock.monotonic() + CUT_RETRY_MS;
    this.#scheduleCut();
  }

  #enqueue(files: readonly StagedFile[]): void {
    const file = files.at(-1) as StagedFile;
    const { pageCount: pages, size, full } = file;
    this.#stats.pages += pages;
    this.#emit({ type: "cut", txid: file.header.maxTxid, pages, size, full });
    this.#uploader.add(...files);
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
    try {
      this.#state.removeStaged(file.name);
    } catch (error) {
      // It stays until the next start, which finds it confirmed.
      this.#emit({ type: "error", error: wrap(error, "remove", file.name) });
    }
    const type = level === 0 ? "uploaded" : "snapshot";
    this.#emit({ type, level, txid: header.maxTxid, size });
    this.#waiters.settle();
    this.#scheduleCut();
  }

  #stalled(error: PagestreamError): void {
    this.#emit({ type: "stalled", error });
    this.#waiters.reject(error);
  }

  #conflict(error: ConflictError): void {
    this.#failure = error;
    this.#group.makeFull();
    this.#emit({ type: "conflict", error });
    this.#waiters.reject(error);
  }

  // Waiting and ending.

  async #wait(wait: Wait, options: WaitOptions): Promise<void> {
    const object = this.#source.name;
    if (wait.reached()) return;
    if (this.#failure !== undefined) throw this.#failure;
    this.#throwIfStopped();
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
    this.#cancelCut?.();
    const stopped = this.#uploader.stop();
    // A store that answers neither yes nor no must not keep the process: what it was given is staged.
    if (failure === undefined) await stopped;
    const what = "the replication was closed before the wait ended";
    this.#waiters.reject(
      new ClosedError({ operation: "wait for", object: this.#source.name, what }),
    );
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
