/**
 * One replica of a primary: what reaches it, how far it has come, and how it is doing.
 *
 * A destination follows: files go to it as they are cut. One that lacks files that are not to be had any more, because it
 * was added later or was away too long, is *behind* until it is brought up; see `catch-up.ts`.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";
import type { HalfBridge } from "./bridge.ts";
import { CatchUp, type CatchUpTools, type Reached } from "./catch-up.ts";
import type { ConflictError } from "./errors.ts";
import { Fence, type SeenReplica } from "./fence.ts";
import { standingOf } from "./gap.ts";
import { Lease, type LeaseHolder } from "./lease.ts";
import type { Maintenance } from "./maintenance.ts";
import type { MaintenanceMaker } from "./maintenance-start.ts";
import { pointedWriter, PointerWriter } from "./pointer.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import type { DestinationState, SnapshotResult, WaitOptions } from "./replication.ts";
import type { SnapshotTarget } from "./snapshot.ts";
import type { StagedFile } from "./staged-file.ts";
import { Uploader } from "./uploader.ts";
import { fencedWriter, type ReplicaWriter } from "./writer.ts";

/** How long the end of a lease may keep a writer that is done. */
const RELEASE_MS = 5_000;

/** Who is told what happens at a {@linkcode Destination}. */
export interface DestinationEvents {
  /** A file is in the store, confirmed; it is still staged. */
  uploaded(destination: Destination, file: StagedFile): void;
  /** Under the name of `file` the store holds `landed`, which was withdrawn. */
  superseded(destination: Destination, landed: StagedFile, file: StagedFile): void;
  /** The store failed beyond the retry policy; attempts continue. */
  stalled(destination: Destination, error: PagestreamError): void;
  /** The store answers again after it was reported stalled. */
  recovered(destination: Destination): void;
  /** Another writer owns the next name; nothing more is uploaded. */
  conflict(destination: Destination, error: ConflictError): void;
  /** It cannot follow any more. */
  leftBehind(destination: Destination, reason: string): void;
  /** It follows again; the `bridge`, where one was needed, is in the store. */
  caughtUp(destination: Destination, bridge: HalfBridge | undefined): void;
  /** Staged files of these names are not kept for it any more. */
  released(names: readonly string[]): void;
  /** The lease is ours, for the first time or again after it had ended. */
  leased(destination: Destination, generation: number): void;
}

/** What a {@linkcode Destination} works with. */
export interface DestinationOptions {
  readonly replica: Replica;
  /** Folder in local state that no other destination uses. */
  readonly folder: string;
  readonly tools: CatchUpTools;
  /** Who takes the lease; without one none is taken. */
  readonly holder: LeaseHolder | undefined;
  /** How long L0 files are kept, in milliseconds; 0: always. @default 5 minutes */
  readonly l0RetentionMs: number | undefined;
  /** Whether its pointer object is kept. @default false */
  readonly pointer?: boolean | undefined;
  readonly maintain: MaintenanceMaker;
  /** Resolves when this destination has what is committed. */
  readonly flush: (destination: Destination, options: WaitOptions) => Promise<void>;
  /** Resolves when this destination has a TXID. */
  readonly waitFor: (
    target: { readonly destination: Destination; readonly txid: bigint },
    options: WaitOptions,
  ) => Promise<void>;
  readonly events: DestinationEvents;
}

/** What is known at the start of a destination that goes as far as some TXID. */
export interface KnownPlace {
  /** Sequence of the last commit it holds, where that is known. */
  readonly sequence: number | undefined;
  /** Whether its files are of this database's own history, so that the next ones can follow. */
  readonly isOurs: boolean;
}

/** A full file that ends doubts about continuity once it is confirmed. */
export interface DoubtsEnd {
  readonly txid: bigint;
  /** How many of the source's doubts it ends. */
  readonly doubts: number;
}

/** One replica, its queue of files and its cursor. */
export class Destination implements SnapshotTarget {
  /** What it writes to. */
  readonly replica: Replica;
  /** The only way a file, or its removal, reaches the replica. */
  readonly writer: ReplicaWriter;
  /** The L0 files on their way. */
  readonly uploader: Uploader;
  /** Tells other writers of this one; `undefined` where the caller does not want it. */
  readonly lease: Lease | undefined;
  readonly #fence: Fence;
  readonly #pointer: PointerWriter | undefined;
  /** Its levels, snapshots and retention. */
  readonly maintenance: Maintenance;
  readonly #options: DestinationOptions;
  #replicated = 0n;
  /** Whether the replica was seen since the start, so that nothing there can come as a surprise. */
  #isKnown = false;
  /** Whether what it held then is known to be of this database's own history. */
  #isOurs = false;
  /** Sequence of the last commit that the store has; -1 before the database is known to be there at all. */
  #sequence = -1;
  /** How many of the source's doubts about continuity have ended with a full file in the store. */
  #settledDoubts = 0;
  #catchUp: CatchUp | undefined;
  #error: PagestreamError | undefined;
  #paused = false;
  #stopped = false;

  constructor(options: DestinationOptions) {
    const { replica, holder, l0RetentionMs, events } = options;
    const { state, platform } = options.tools;
    this.#options = options;
    this.replica = replica;
    const listed = (levels: readonly (readonly LtxFileInfo[])[]): void => {
      this.maintenance.listed(levels);
      this.#listed(levels);
    };
    this.#fence = new Fence({ replica, l0RetentionMs, listed });
    this.lease =
      holder &&
      new Lease({
        ...holder,
        replica,
        taken: (generation) => events.leased(this, generation),
        passed: () => this.#fence.doubt(),
      });
    this.#pointer = options.pointer === true ? new PointerWriter(replica) : undefined;
    const writer = fencedWriter({ replica, fence: this.#fence, lease: this.lease });
    this.writer = this.#pointer === undefined ? writer : pointedWriter(writer, this.#pointer);
    this.uploader = new Uploader({
      writer: this.writer,
      state,
      platform,
      beforeSnapshot: (signal) => this.maintenance.bringUp(signal),
      events: {
        uploaded: (file) => this.#uploaded(file),
        superseded: (landed, file) => {
          this.maintenance.relist();
          events.superseded(this, landed, file);
        },
        stalled: (error) => {
          this.#error = error;
          // A dead store is asked by one, not by two.
          this.maintenance.pause();
          events.stalled(this, error);
        },
        recovered: () => {
          this.#recovered();
          if (!this.#paused) this.maintenance.resume();
          // What was lost while the store was away is seen now, not when somebody restores.
          void this.replica.levels().then(
            (levels) => this.#listed(levels),
            () => {},
          );
        },
        conflict: (error) => this.#conflict(error),
      },
    });
    this.maintenance = options.maintain(this);
  }

  /** What the store calls itself. */
  get name(): string {
    return this.replica.description;
  }

  /** Whether the database is empty. */
  get isEmpty(): boolean {
    return this.#options.tools.source.commit === 0;
  }

  /** Last TXID confirmed by the store. */
  get replicated(): bigint {
    return this.#replicated;
  }

  /** Whether the store has a TXID of this database's own history. */
  hasOurs(txid: bigint): boolean {
    return this.#isOurs && this.#replicated >= txid;
  }

  /** How it is doing. */
  get state(): DestinationState {
    if (this.#stopped) return "stopped";
    if (this.#catchUp !== undefined) return "behind";
    return this.uploader.failing ? "stalled" : "following";
  }

  /** The newest error that is not over. */
  get error(): PagestreamError | undefined {
    return this.#catchUp?.error ?? this.#error;
  }

  /** Whether the last attempt to reach it failed. */
  get isFailing(): boolean {
    return this.#catchUp?.isFailing ?? this.uploader.failing;
  }

  /** Whether it has to be brought up before it follows again. */
  get isBehind(): boolean {
    return this.#catchUp !== undefined;
  }

  /** Whether it follows and has nothing to do. */
  get isIdle(): boolean {
    const { state, pending, uploader, maintenance } = this;
    return (
      state === "following" && pending.length === 0 && !uploader.hasRival && maintenance.isIdle
    );
  }

  /** Whether it needs a file cut, however many wait for it. */
  get wantsCut(): boolean {
    return this.#catchUp?.wantsCut === true;
  }

  /** Files kept for it, oldest first. */
  get pending(): readonly StagedFile[] {
    return this.#catchUp?.arrived ?? this.uploader.pending;
  }

  /** Monotonic time of the oldest commit that it lacks, as far as that is known. */
  get since(): number | undefined {
    return this.#catchUp?.since ?? this.uploader.pending[0]?.since;
  }

  /** Bytes of the files kept for it. */
  get pendingBytes(): number {
    return this.pending.reduce((sum, { size }) => sum + size, 0);
  }

  /** Whether a staged file is kept for it. */
  needs(name: string): boolean {
    if (this.#catchUp !== undefined) return this.#catchUp.needs(name);
    return this.uploader.pending.some((file) => file.name === name);
  }

  /** The store has what was seen, or nothing. */
  begin(seen: SeenReplica | undefined, known: KnownPlace): void {
    this.#fence.begin(seen);
    this.#replicated = seen?.standing.maxTxid ?? 0n;
    this.#isKnown = true;
    this.#isOurs = known.isOurs;
    this.#sequence = known.sequence ?? -1;
    this.#error = undefined;
    this.#stopped = false;
    this.#catchUp = undefined;
    this.uploader.restart();
    this.maintenance.begin(seen?.levels ?? []);
    if (this.#paused) this.maintenance.pause();
  }

  /**
   * The store did not answer at the start: what it has is found out when it does. `waiting` are the staged files that may
   * be all it lacks.
   */
  beginUnseen(error: PagestreamError, waiting: readonly StagedFile[]): void {
    this.begin(undefined, { sequence: undefined, isOurs: false });
    this.#isKnown = false;
    this.leaveBehind("its store does not answer", error);
    this.take(waiting);
  }

  /** Whether the store has all commits up to `sequence`, and whatever ends `doubts` doubts. */
  has(sequence: number, doubts: number): boolean {
    return (
      this.#catchUp === undefined && this.#sequence >= sequence && this.#settledDoubts >= doubts
    );
  }

  /** Takes files that have been cut, in order. */
  take(files: readonly StagedFile[]): void {
    const last = this.uploader.pending.at(-1)?.header.maxTxid ?? this.#replicated;
    const next = files.find(({ level }) => level === 0)?.header.maxTxid;
    if (this.#catchUp === undefined && next !== undefined && next > last + 1n) {
      this.leaveBehind("files before the next one are missing");
    }
    if (this.#catchUp === undefined) {
      this.uploader.add(...files);
    } else {
      this.#catchUp.take(files);
      this.#start();
    }
  }

  /** An L0 file is confirmed: moves the cursor. */
  confirm(file: StagedFile, doubtsEnd: DoubtsEnd | undefined): void {
    const { maxTxid } = file.header;
    this.#replicated = maxTxid;
    this.#sequence = Math.max(this.#sequence, file.sequence);
    if (doubtsEnd !== undefined && maxTxid >= doubtsEnd.txid) {
      this.#settledDoubts = doubtsEnd.doubts;
    }
  }

  /** As of commit `sequence` the database is empty: there is nothing to upload. */
  nothingUpTo(sequence: number, doubts: number): void {
    this.#sequence = sequence;
    this.#settledDoubts = doubts;
    // What a store holds that was never seen is still to be found out.
    if (!this.#isKnown && this.isFailing) return;
    void this.#catchUp?.stop();
    this.#catchUp = undefined;
  }

  /** The store may hold a transaction with this sequence that was rolled back: the next file sets that right. */
  ahead(sequence: number): void {
    this.#sequence = Math.min(this.#sequence, sequence - 2);
  }

  /** Stops bringing it file by file; what waits for it is kept until it is brought up. */
  leaveBehind(reason: string, error?: PagestreamError): void {
    // A withdrawn file decides what the next one is called: first that is found out.
    if (this.#catchUp !== undefined || this.#stopped || this.uploader.hasRival) return;
    const { tools, events } = this.#options;
    const dead = error ?? (this.uploader.failing ? this.#error : undefined);
    this.#error = undefined;
    const catchUp = new CatchUp({
      tools,
      writer: this.writer,
      folder: this.#options.folder,
      replicated: this.#isKnown ? this.#replicated : undefined,
      isOurs: this.#isOurs,
      bringUp: (signal) => this.maintenance.bringUp(signal),
      error: dead,
      arrived: this.uploader.drop(),
      stalled: (failure) => events.stalled(this, failure),
      recovered: () => this.#recovered(),
      released: (names) => events.released(names),
      conflict: (failure) => this.#conflict(failure),
      done: (reached) => this.#caughtUp(catchUp, reached),
    });
    this.#catchUp = catchUp;
    this.maintenance.pause();
    events.leftBehind(this, reason);
    this.#start();
  }

  /** Gives up the files that are kept for it, since they are too many. */
  dropPending(): void {
    this.leaveBehind("more waits for it than is kept");
    const dropped = this.#catchUp?.drop();
    this.#options.events.released((dropped ?? []).map(({ name }) => name));
  }

  /** A gap was seen in the replica: it is brought up before anything else is uploaded. */
  gapFound(): void {
    this.leaveBehind("files are missing in the replica");
  }

  /** Uploads what is committed, and then the whole database as a file of level 9. */
  snapshot(options: WaitOptions): Promise<SnapshotResult> {
    return this.#options.tools.snapshots.write(this, options);
  }

  flush(options: WaitOptions): Promise<void> {
    return this.#options.flush(this, options);
  }

  waitFor(txid: bigint, options: WaitOptions): Promise<void> {
    return this.#options.waitFor({ destination: this, txid }, options);
  }

  snapshotUploaded(file: StagedFile): void {
    this.#uploaded(file);
  }

  /** Another writer owns it; nothing more is uploaded. */
  lost(error: ConflictError): void {
    this.#conflict(error);
  }

  /** Begins no further upload; one under way goes on. */
  pause(): void {
    this.#paused = true;
    this.uploader.pause();
    this.maintenance.pause();
  }

  resume(): void {
    this.#paused = false;
    this.uploader.resume();
    if (this.#catchUp === undefined) this.maintenance.resume();
    this.#start();
  }

  /** Tries again now instead of after the pause. */
  wake(): void {
    this.uploader.wake();
    if (!this.#paused) this.#catchUp?.wake();
  }

  /** Ends all work; what is not confirmed stays staged. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([this.uploader.stop(), this.#catchUp?.stop(), this.maintenance.close()]);
    await this.#pointer?.close();
  }

  /** Ends the lease, so that the next writer need not wait; where the store does not answer it ends by itself. */
  async release(): Promise<void> {
    const { clock, newAborter } = this.replica.platform;
    const aborter = newAborter();
    const cancel = clock.schedule(() => aborter.abort("deadline"), RELEASE_MS);
    await this.lease?.release(aborter.signal).catch(() => undefined);
    cancel();
  }

  #listed(levels: readonly (readonly LtxFileInfo[])[]): void {
    if (standingOf(levels).gap !== undefined) this.gapFound();
  }

  #start(): void {
    if (!this.#paused && !this.#stopped) this.#catchUp?.start();
  }

  #uploaded(file: StagedFile): void {
    this.maintenance.uploaded(file);
    // Whoever blocked the thread for it may have found the store alive again.
    if (!this.#paused && this.#catchUp === undefined) this.maintenance.resume();
    this.#options.events.uploaded(this, file);
  }

  #recovered(): void {
    this.#error = undefined;
    this.#options.events.recovered(this);
  }

  #conflict(error: ConflictError): void {
    this.#error = error;
    this.#stopped = true;
    this.#options.events.conflict(this, error);
  }

  #caughtUp(catchUp: CatchUp, { txid, sequence, doubts, bridge }: Reached): void {
    if (this.#catchUp !== catchUp) return;
    const { events } = this.#options;
    this.#replicated = txid;
    this.#sequence = Math.max(this.#sequence, sequence);
    this.#settledDoubts = Math.max(this.#settledDoubts, doubts);
    this.#isKnown = true;
    this.#isOurs = true;
    this.#catchUp = undefined;
    this.maintenance.relist();
    if (!this.#paused) this.maintenance.resume();
    const { arrived } = catchUp;
    const isBefore = (file: StagedFile): boolean => file.header.maxTxid <= this.#replicated;
    this.take(arrived.filter((file) => !isBefore(file)));
    events.caughtUp(this, bridge);
    events.released(arrived.filter(isBefore).map(({ name }) => name));
  }
}
