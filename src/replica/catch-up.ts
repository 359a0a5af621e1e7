/**
 * A destination that is behind, on its way back: files that are still to be had are put back, else a bridge is built;
 * attempts go on until its store answers.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { isPagestreamError, PagestreamError } from "../core/errors.ts";
import type { Aborter, Platform } from "../core/platform.ts";
import { sleep } from "../core/retry.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { beginBridge, type HalfBridge } from "./bridge.ts";
import type { CommitCollector } from "./commit-collector.ts";
import { shareL0 } from "./copy-file.ts";
import { ConflictError } from "./errors.ts";
import { fillGap, finishBridge } from "./fill-gap.ts";
import { isSound, type Standing, standingOf } from "./gap.ts";
import type { LocalState } from "./local-state.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import type { SnapshotWriter } from "./snapshot.ts";
import type { StagedFile } from "./staged-file.ts";
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS } from "./uploader.ts";
import { stagedObject } from "./upload-staged.ts";
import type { ReplicaWriter } from "./writer.ts";

/** Looks at files that go meanwhile before that counts as a failure. */
const LOOKS = 4;

/** What the primary has for a destination that is behind. */
export interface CatchUpTools {
  readonly source: CommitSource;
  readonly collector: CommitCollector;
  readonly state: LocalState;
  readonly platform: Platform;
  readonly snapshots: SnapshotWriter;
  /** Key for page digests. */
  readonly key: () => Uint8Array;
  /** Resolves when all that is committed is in files, whether they can be uploaded or not. */
  readonly cut: (signal: AbortSignal) => Promise<void>;
  /** The other replicas that go as far as a TXID. */
  readonly others: (replica: Replica, txid: bigint) => readonly Replica[];
  /** Makes the next file come after `txid`: the replica holds that much from a life that was lost here. */
  readonly leap: (txid: bigint) => void;
}

/** What a {@linkcode CatchUp} begins with. */
export interface CatchUpOptions {
  readonly tools: CatchUpTools;
  readonly writer: ReplicaWriter;
  /** Folder in local state that no other destination uses. */
  readonly folder: string;
  /** How far the replica went when it was seen last; `undefined` where nothing is known of it. */
  readonly replicated: bigint | undefined;
  /** Whether what it held then is of this database's own history. */
  readonly isOurs: boolean;
  /** Brings every configured level up to the replica's newest L0 file. */
  readonly bringUp: (signal: AbortSignal) => Promise<void>;
  /** Why the destination cannot be reached, where that is so. */
  readonly error: PagestreamError | undefined;
  /** Files that are kept for it. */
  readonly arrived: readonly StagedFile[];
  /** An attempt failed beyond the retry policy; another follows after a pause. */
  readonly stalled: (error: PagestreamError) => void;
  /** The store answers again. */
  readonly recovered: () => void;
  /** Staged files of these names are not kept for it any more. */
  readonly released: (names: readonly string[]) => void;
  /** Another writer uses the replica; no attempt follows. */
  readonly conflict: (error: ConflictError) => void;
  /** It has everything up to a state again. */
  readonly done: (reached: Reached) => void;
}

/** How far a destination has come that was behind. */
export interface Reached {
  readonly txid: bigint;
  /** Sequence of the last commit it holds; -1 where that is not known. */
  readonly sequence: number;
  /** How many doubts about continuity end there. */
  readonly doubts: number;
  /** What brought it there; `undefined` where nothing but files was missing that were still to be had. */
  readonly bridge: HalfBridge | undefined;
}

/** One destination's way back. */
export class CatchUp {
  /** Monotonic time of the oldest commit that the destination lacks, as far as it is known. */
  readonly since: number;
  readonly #options: CatchUpOptions;
  #arrived: StagedFile[];
  #half: HalfBridge | undefined;
  /** Name of the staged file that its bridge ends with. */
  #kept: string | undefined;
  #failures: number;
  #error: PagestreamError | undefined;
  #wantsCut = false;
  /** Whether files cut now are of use: not while those before them are given up and no bridge is under way. */
  #collects = true;
  #ended = false;
  #aborter: Aborter | undefined;
  #pausing: Aborter | undefined;
  #running: Promise<void> | undefined;

  constructor(options: CatchUpOptions) {
    this.#options = options;
    this.#arrived = [...options.arrived];
    this.since = this.#arrived[0]?.since ?? options.tools.platform.clock.monotonic();
    this.#error = options.error;
    this.#failures = options.error === undefined ? 0 : 1;
  }

  /** Files cut meanwhile, oldest first. */
  get arrived(): readonly StagedFile[] {
    return this.#arrived;
  }

  /** Whether the last attempt failed. */
  get isFailing(): boolean {
    return this.#failures > 0;
  }

  /** Whether it waits for a file to be cut, however many are kept. */
  get wantsCut(): boolean {
    return this.#wantsCut;
  }

  /** Why the last attempt failed. */
  get error(): PagestreamError | undefined {
    return this.#error;
  }

  /** Whether a staged file is kept for it. */
  needs(name: string): boolean {
    return this.#kept === name || this.#arrived.some((file) => file.name === name);
  }

  /** Keeps files that have been cut. */
  take(files: readonly StagedFile[]): void {
    if (this.#collects) this.#arrived.push(...files);
  }

  /** Gives up the files that are kept; they are too many. A bridge that is half built is finished. */
  drop(): readonly StagedFile[] {
    this.#collects = false;
    return this.#arrived.splice(0);
  }

  /** Begins, or goes on where it waited for the database to hold anything. */
  start(): void {
    if (this.#ended) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Tries again now instead of after the pause. */
  wake(): void {
    this.#pausing?.abort("wake");
    this.start();
  }

  /** Ends all work. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#ended = true;
    this.#aborter?.abort("stop");
    this.#pausing?.abort("stop");
    await this.#running;
  }

  async #run(): Promise<void> {
    const { writer, replicated, stalled, conflict, tools } = this.#options;
    // Whoever starts a replication says everything that is known first.
    await Promise.resolve();
    let looks = 0;
    while (!this.#ended) {
      if (this.#failures > 0) await this.#pause();
      // An empty database has nothing to bring: its first commit brings every page. What a store holds that was never
      // seen is found out all the same, since somebody may wait for it.
      if (this.#ended || (tools.source.commit === 0 && replicated !== undefined)) return;
      this.#aborter = tools.platform.newAborter();
      try {
        await this.#attempt(this.#aborter.signal);
        return;
      } catch (error) {
        if (this.#ended) return;
        // Files went, here or in the replica that it is compared with, since they were listed.
        if (isPagestreamError(error, "NOT_FOUND") && ++looks < LOOKS) continue;
        this.#failures++;
        this.#error = asPagestreamError(error, writer.replica.description);
        if (error instanceof ConflictError) {
          this.#ended = true;
          conflict(error);
          return;
        }
        stalled(this.#error);
      } finally {
        this.#wantsCut = false;
        if (this.#half === undefined) this.#release();
      }
    }
  }

  /** The file that a bridge would have ended with is not needed any more: the next one ends with another. */
  #release(): void {
    const name = this.#kept;
    this.#kept = undefined;
    if (name !== undefined) this.#options.released([name]);
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { writer, tools } = this.#options;
    if (this.#half === undefined) {
      const levels = await writer.replica.levels({ signal });
      const standing = standingOf(levels);
      this.#answers();
      this.#leap(standing.maxTxid);
      if (tools.source.commit === 0) {
        if (standing.maxTxid === 0n) this.#end(this.#reached(0n));
        return;
      }
      if (await this.#isFilled(standing, signal)) {
        this.#end(this.#reached(standing.maxTxid));
        return;
      }
      // What it holds under the newest TXID may be of another history: all that is written now comes after it.
      if (standing.maxTxid === tools.collector.last?.txid) tools.collector.touch();
      this.#half = await tools.snapshots.inTurn(signal, (turn) => this.#bridge(levels, turn));
      this.#wantsCut = false;
    }
    await writer.create(stagedObject(tools.state, this.#half.l0), { signal });
    this.#answers();
    const { l0, sequence, doubts } = this.#half;
    this.#end({ txid: l0.header.maxTxid, sequence, doubts, bridge: this.#half });
  }

  /** A replica that has a TXID, of our history: with all commits, where there are none after it. */
  #reached(txid: bigint): Reached {
    const { collector, source } = this.#options.tools;
    const isNewest = collector.isEmpty && collector.last?.txid === txid;
    const [sequence, doubts] = isNewest ? [source.sequence, collector.doubts] : [-1, 0];
    return { txid, sequence, doubts, bridge: undefined };
  }

  #bridge(levels: readonly (readonly LtxFileInfo[])[], signal: AbortSignal): Promise<HalfBridge> {
    const { writer, folder, bringUp, tools } = this.#options;
    this.#wantsCut = true;
    this.#collects = true;
    return beginBridge(
      {
        ...tools,
        writer,
        folder,
        key: tools.key(),
        bringUp,
        keep: (name) => {
          this.#kept = name;
        },
        arrived: () => this.#arrived,
      },
      levels,
      signal,
    );
  }

  /** A replica that goes further than what was cut here is of another writer, unless nobody could know it. */
  #leap(maxTxid: bigint): void {
    const { tools, replicated, writer } = this.#options;
    const last = tools.collector.last?.txid ?? 0n;
    if (maxTxid <= last) return;
    if (replicated === undefined) {
      tools.leap(maxTxid);
      return;
    }
    throw new ConflictError({
      operation: "upload",
      object: writer.replica.description,
      what: `another writer has created files up to txid ${formatTxid(maxTxid)}, here the last is ${formatTxid(last)}`,
      next: "Stop one of the two writers, then call takeOver() to continue after the other's last file",
    });
  }

  /** Whether the replica is as we left it, and lacks nothing any more, or nothing but what is still to be had. */
  async #isFilled(standing: Standing, signal: AbortSignal): Promise<boolean> {
    const { writer, folder, replicated, isOurs, tools } = this.#options;
    const { maxTxid, newestL0, gap } = standing;
    if (maxTxid === 0n || (replicated !== undefined && maxTxid !== replicated)) return false;
    const next = this.#arrived.find(({ level }) => level === 0)?.header.maxTxid;
    const follows =
      next === undefined ? tools.collector.last?.txid === maxTxid : next === maxTxid + 1n;
    if (!follows) return false;
    if (replicated === undefined) return await this.#isSameHistory(standing, signal);
    const others = (txid: bigint): readonly Replica[] => tools.others(writer.replica, txid);
    const options = { ...tools, writer, folder, key: tools.key(), others, signal };
    if (gap === undefined && newestL0 < maxTxid) return await finishBridge(maxTxid, options);
    return isOurs && (gap === undefined || (await fillGap(standing, options)));
  }

  /** Whether a replica that was not seen before ends with a file that another has, the very same. */
  async #isSameHistory(standing: Standing, signal: AbortSignal): Promise<boolean> {
    const { writer, tools } = this.#options;
    const { maxTxid: txid } = standing;
    if (!isSound(standing)) return false;
    for (const other of tools.others(writer.replica, txid)) {
      if (await shareL0(writer.replica, other, { txid, signal })) return true;
    }
    return false;
  }

  #answers(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#error = undefined;
    this.#options.recovered();
  }

  #end(reached: Reached): void {
    this.#ended = true;
    this.#options.done(reached);
  }

  async #pause(): Promise<void> {
    const { tools, writer } = this.#options;
    const { platform } = tools;
    const delay = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
    this.#pausing = platform.newAborter();
    const { signal } = this.#pausing;
    const object = writer.replica.description;
    await sleep(delay, { platform, operation: "bring up", object, signal }).catch(() => {});
    this.#pausing = undefined;
  }
}

function asPagestreamError(error: unknown, object: string): PagestreamError {
  if (isPagestreamError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new PagestreamError("STORE", { operation: "bring up", object, what, cause: error });
}
