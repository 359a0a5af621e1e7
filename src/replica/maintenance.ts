/**
 * What a replica needs beside uploads: compaction, snapshots and retention, each at its boundary.
 *
 * Everything begins with an uploaded file: it makes level 1 due at the next boundary, a compaction makes the next level
 * due, and what was written makes due what may go. When all of that is done nothing is scheduled. What the replica
 * holds is known from the listing of the start and from what was written since; it is listed again only after an error,
 * and before snapshots are removed.
 *
 * @module
 */
import { isPagestreamError, PagestreamError } from "../core/errors.ts";
import type { Aborter, Platform } from "../core/platform.ts";
import {
  type Compacted,
  type CompactionOutcome,
  compactLevel,
  isOutdated,
  promoteFullFile,
  repairLevel,
  tooEarlyUntil,
} from "./compactor.ts";
import {
  findLevelFaults,
  type LevelFault,
  type LevelGap,
  mayBeRepaired,
} from "./compactor-plan.ts";
import { ConflictError } from "./errors.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import { boundaryAfter, boundaryBefore, type LevelSettings } from "./levels.ts";
import type { LocalState } from "./local-state.ts";
import type { RecentFiles } from "./maintenance-cache.ts";
import { KnownFiles } from "./maintenance-files.ts";
import { MaintenanceRetention, type RetentionEvents } from "./maintenance-retention.ts";
import type { LtxFileInfo } from "./replica.ts";
import type { SnapshotResult, WaitOptions } from "./replication.ts";
import type { Scheduler } from "./scheduler.ts";
import type { StagedFile } from "./staged-file.ts";
import type { ReplicaWriter } from "./writer.ts";

/** First pause after a failure; it doubles up to an hour. */
const RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 3_600_000;
const DONE: Promise<void> = Promise.resolve();

/** What may be due, in the order in which it is done: levels from 1 upwards in between. */
const REMOVE_L0 = 0;
const REMOVE_SNAPSHOTS = SNAPSHOT_LEVEL + 1;

/** Who is told what {@linkcode Maintenance} does. */
export interface MaintenanceEvents extends RetentionEvents {
  /** A level has a new file. */
  compacted(outcome: Compacted): void;
  /** A snapshot was made of a full L0 file. */
  promoted(file: LtxFileInfo): void;
  /** Files are missing between two that are there. Told once until something changes. */
  gap(gap: LevelGap): void;
  /** The files of a level do not follow each other. */
  fault(fault: LevelFault): void;
  /** Something failed, and is tried again later. */
  failed(error: PagestreamError): void;
  /** Another writer owns the replica; nothing more is done. */
  conflict(error: ConflictError): void;
}

/** What all replicas of a database have in common; scheduler and cache may serve many databases. */
export interface MaintenanceTools {
  readonly platform: Platform;
  readonly settings: LevelSettings;
  readonly scheduler: Scheduler;
  readonly recent: RecentFiles;
  /** Where an uploaded file is still staged. */
  readonly state: LocalState;
}

/** The replica that is kept. */
export interface MaintenanceTarget {
  readonly writer: ReplicaWriter;
  /** Whether the database is empty: then there is nothing to write a snapshot of. */
  readonly isEmpty: boolean;
  /** Writes the whole database as a file of level 9, of which {@linkcode Maintenance.uploaded} is told. */
  snapshot(options: WaitOptions): Promise<SnapshotResult>;
}

/** Levels, snapshots and retention of one replica. */
export class Maintenance {
  readonly #tools: MaintenanceTools;
  readonly #target: MaintenanceTarget;
  readonly #events: MaintenanceEvents;
  readonly #retention: MaintenanceRetention;
  /** When what is due, in wall-clock milliseconds; none while nothing is. */
  #due: Map<number, number> | undefined;
  /** Failures in a row of each. */
  #failures: Map<number, number> | undefined;
  /** None while nothing is due: the next proof that nobody else writes brings a listing, or one is asked for. */
  #known: KnownFiles | undefined;
  /** TXID of the newest L0 file that holds every page. */
  #full = 0n;
  #told = "";
  #aborter: Aborter | undefined;
  #turn: Promise<unknown> = DONE;
  #state: "new" | "open" | "paused" | "closed" = "new";

  constructor(tools: MaintenanceTools, target: MaintenanceTarget, events: MaintenanceEvents) {
    this.#tools = tools;
    this.#target = target;
    this.#events = events;
    const { platform, settings } = tools;
    this.#retention = new MaintenanceRetention({
      writer: target.writer,
      platform,
      settings,
      events,
    });
  }

  /** Whether nothing is due, now or later, and nothing is being done. */
  get isIdle(): boolean {
    return this.#due === undefined && this.#aborter === undefined;
  }

  /** Takes the files of the replica, level by level; what missed its boundary is done at once. Ends a pause. */
  begin(levels: readonly (readonly LtxFileInfo[])[]): void {
    this.#state = "open";
    this.#due = undefined;
    this.#learn(levels);
    const { settings, platform } = this.#tools;
    const now = platform.clock.now();
    const known = this.#known as KnownFiles;
    settings.intervals.forEach((intervalMs, i) => {
      const since = known.waitsSince(i + 1);
      if (since !== undefined) this.#mark(i + 1, missed(since, intervalMs, now));
    });
    const snapshot = known.newest(SNAPSHOT_LEVEL);
    if (snapshot === undefined) this.#markSnapshot();
    else if (this.#snapshotIsOld(known)) {
      this.#mark(SNAPSHOT_LEVEL, missed(snapshot.time.getTime(), settings.snapshotIntervalMs, now));
    }
    this.#mark(REMOVE_SNAPSHOTS, this.#retention.snapshotsDueMs(known));
    this.#mark(REMOVE_L0, this.#retention.l0DueMs(known));
    this.#arm();
  }

  /** A file has been confirmed, and is still staged. */
  uploaded(file: StagedFile): void {
    if (this.#state === "new" || this.#state === "closed") return;
    const { recent, state, platform, settings } = this.#tools;
    const { writer } = this.#target;
    const { level, size, header, full } = file;
    const { minTxid, maxTxid, timestamp } = header;
    const key = writer.replica.key({ level, minTxid, maxTxid });
    const time = new Date(Number(timestamp));
    this.#known?.add({ level, minTxid, maxTxid, size, time, key, etag: "" });
    if (level > 0) return;
    if (full) this.#full = maxTxid;
    const [first] = settings.intervals;
    if (first !== undefined) {
      if (recent.takes(size)) recent.add(writer.replica, key, state.readStaged(file.name, 0, size));
      this.#mark(1, boundaryAfter(platform.clock.now(), first));
    }
    this.#markSnapshot();
    this.#arm();
  }

  /** Takes a listing of all levels that was made while no L0 file was on its way. */
  listed(levels: readonly (readonly LtxFileInfo[])[]): void {
    if (this.#known === undefined && this.#state !== "closed") this.#learn(levels);
  }

  /** Files may have changed by other hands: they are listed before the next pass. */
  relist(): void {
    this.#known = undefined;
    this.#told = "";
    const { platform, settings } = this.#tools;
    const [first] = settings.intervals;
    if (first !== undefined) this.#mark(1, boundaryAfter(platform.clock.now(), first));
    this.#arm();
  }

  /** Brings every level up to the newest L0 file, whatever its boundary: before the page size changes. */
  async bringUp(signal: AbortSignal | undefined): Promise<void> {
    // What runs may be a snapshot that waits for the very upload that waits here; it is done again afterwards.
    this.#aborter?.abort("bring up");
    await this.#alone(async () => {
      for (let level = 1; level <= this.#tools.settings.intervals.length; level++) {
        while ((await this.#compact(level, signal)) === "more");
      }
    });
  }

  /** Does nothing until {@linkcode resume}; what is under way ends. */
  pause(): void {
    if (this.#state !== "open") return;
    this.#state = "paused";
    this.#aborter?.abort("pause");
    void this.#tools.scheduler.cancel(this);
  }

  /** Goes on, with what became due meanwhile. */
  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "open";
    this.#arm();
  }

  /** Ends all work; resolves when nothing runs any more. {@linkcode begin} starts anew. */
  async close(): Promise<void> {
    this.#state = "closed";
    this.#aborter?.abort("close");
    this.#known = undefined;
    await this.#tools.scheduler.cancel(this);
    await this.#turn;
    this.#tools.recent.clear(this.#target.writer.replica);
  }

  // What is due.

  /** Makes something due, not later than it is; never where there is no time. */
  #mark(what: number, atMs: number | undefined): void {
    if (atMs === undefined) return;
    this.#due ??= new Map();
    this.#due.set(what, Math.min(this.#due.get(what) ?? Infinity, atMs));
  }

  #arm(): void {
    const { scheduler } = this.#tools;
    if (this.#state !== "open") return;
    if (this.#due === undefined) {
      this.#known = undefined;
      return void scheduler.cancel(this);
    }
    scheduler.schedule(this, Math.min(...this.#due.values()), () => this.#alone(() => this.#run()));
  }

  #markSnapshot(): void {
    const { platform, settings } = this.#tools;
    this.#mark(SNAPSHOT_LEVEL, boundaryAfter(platform.clock.now(), settings.snapshotIntervalMs));
  }

  /** Whether something was written since the newest snapshot. */
  #snapshotIsOld(known: KnownFiles): boolean {
    const txid = known.newest(0)?.maxTxid ?? 0n;
    return txid > (known.newest(SNAPSHOT_LEVEL)?.maxTxid ?? 0n);
  }

  // Doing it.

  /** One thing at a time for one replica. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #run(): Promise<void> {
    const { platform, settings } = this.#tools;
    this.#aborter = platform.newAborter();
    const { signal } = this.#aborter;
    const order = [
      ...settings.intervals.map((_, i) => i + 1),
      REMOVE_SNAPSHOTS,
      SNAPSHOT_LEVEL,
      REMOVE_L0,
    ];
    for (const what of order) {
      const atMs = this.#due?.get(what);
      if (atMs === undefined || atMs > platform.clock.now() || this.#state !== "open") continue;
      this.#due?.delete(what);
      try {
        await this.#do(what, signal);
        this.#failures?.delete(what);
      } catch (error) {
        if (signal.aborted) this.#mark(what, atMs);
        else this.#failed(what, error);
      }
    }
    this.#aborter = undefined;
    if (this.#due?.size === 0) this.#due = undefined;
    if (this.#failures?.size === 0) this.#failures = undefined;
    this.#arm();
  }

  async #do(what: number, signal: AbortSignal): Promise<void> {
    if (what === REMOVE_L0) {
      this.#mark(what, await this.#retention.removeL0(await this.#filesToRemove(signal), signal));
      // What may not be removed would only be remembered.
      if (!this.#retention.removesL0) this.#known = undefined;
    } else if (what === REMOVE_SNAPSHOTS) {
      const known = await this.#files(signal);
      this.#mark(what, await this.#retention.removeSnapshots(known, signal));
      this.#mark(REMOVE_L0, this.#retention.l0DueMs(known));
    } else if (what === SNAPSHOT_LEVEL) await this.#takeSnapshot(signal);
    else await this.#level(what, signal);
  }

  #failed(what: number, error: unknown): void {
    if (error instanceof ConflictError) {
      this.#state = "closed";
      this.#events.conflict(error);
      return;
    }
    // Whatever was under way may have come to pass.
    this.#known = undefined;
    this.#failures ??= new Map();
    const failures = (this.#failures.get(what) ?? 0) + 1;
    this.#failures.set(what, failures);
    const pauseMs = Math.min(RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS);
    this.#mark(what, this.#tools.platform.clock.now() + pauseMs);
    this.#events.failed(asPagestreamError(error, this.#target.writer.replica.description));
  }

  async #files(signal: AbortSignal | undefined): Promise<KnownFiles> {
    if (this.#known === undefined) {
      // The exact times may cost a request a file; those of the store are later, if anything, and so on the safe side.
      this.#learn(await this.#target.writer.replica.levels({ signal }));
    }
    return this.#known as KnownFiles;
  }

  /** The files with all of level 0, which is forgotten while nothing may be removed. */
  async #filesToRemove(signal: AbortSignal): Promise<KnownFiles> {
    if (this.#known?.keepsL0 === false) this.#known = undefined;
    return await this.#files(signal);
  }

  #learn(levels: readonly (readonly LtxFileInfo[])[]): void {
    const { settings } = this.#tools;
    for (const files of levels.slice(1, SNAPSHOT_LEVEL)) this.#check(files);
    const top = settings.intervals.length;
    this.#known = new KnownFiles(levels, { top, keepsL0: this.#retention.removesL0 });
  }

  async #level(level: number, signal: AbortSignal): Promise<void> {
    const { settings, platform } = this.#tools;
    const intervalMs = settings.intervals[level - 1] as number;
    const known = await this.#files(signal);
    // What a first snapshot holds need not go through every level.
    const mayTake = !this.#target.isEmpty && this.#failures?.has(SNAPSHOT_LEVEL) !== true;
    if (level === 1 && isUntouched(known) && mayTake) {
      this.#mark(SNAPSHOT_LEVEL, platform.clock.now());
      return this.#mark(level, boundaryAfter(platform.clock.now(), intervalMs));
    }
    const untilMs = tooEarlyUntil(known.newest(level), intervalMs, platform.clock.now());
    if (untilMs !== undefined) return this.#mark(level, untilMs);
    while ((await this.#compact(level, signal)) === "more");
  }

  /** Writes one file of a level; says whether there is more to write at once. */
  async #compact(level: number, signal: AbortSignal | undefined): Promise<"more" | "done"> {
    const { recent, platform, settings } = this.#tools;
    const { writer } = this.#target;
    const { replica } = writer;
    const local = ({ key }: LtxFileInfo): Uint8Array | undefined => recent.get(replica, key);
    const next = settings.intervals[level];
    const keeps = (size: number): boolean => next !== undefined && recent.takes(size);
    const attempt = async (): Promise<CompactionOutcome> => {
      const files = (await this.#files(signal)).sourcesOf(level);
      return await compactLevel(level, { writer, files, local, keeps, signal });
    };
    let outcome: CompactionOutcome;
    try {
      outcome = await attempt();
    } catch (error) {
      if (!isOutdated(error)) throw error;
      this.#known = undefined;
      outcome = await attempt();
    }
    if (outcome.type === "gap") {
      const isRepaired = this.#tellGap(outcome.gap) && (await this.#repair(outcome.gap, signal));
      return isRepaired ? "more" : "done";
    }
    if (outcome.type !== "compacted") return "done";
    const known = await this.#files(signal);
    const previous = known.newest(level);
    for (const source of known.level(level - 1)) {
      if (source.maxTxid <= outcome.file.maxTxid) recent.delete(replica, source.key);
    }
    known.add(outcome.file);
    this.#events.compacted(outcome);
    const { gap } = outcome;
    const isRepairable = mayBeRepaired(gap);
    if (gap !== undefined && !isRepairable) this.#tellGap(gap);
    if (previous !== undefined) this.#check([previous, outcome.file]);
    if (outcome.bytes !== undefined) recent.add(replica, outcome.file.key, outcome.bytes);
    if (next !== undefined) this.#mark(level + 1, boundaryAfter(platform.clock.now() - 1, next));
    if (level === 1) this.#mark(REMOVE_L0, this.#retention.l0DueMs(known));
    this.#told = "";
    // The next turn begins at the gap.
    return outcome.more || isRepairable ? "more" : "done";
  }

  #check(files: readonly LtxFileInfo[]): void {
    for (const fault of findLevelFaults(files)) this.#events.fault(fault);
  }

  /** Says whether that is news. */
  #tellGap(gap: LevelGap): boolean {
    const text = `${gap.level} ${gap.reached} ${gap.next.minTxid}`;
    if (this.#told === text) return false;
    this.#told = text;
    this.#events.gap(gap);
    return true;
  }

  /** Closes a gap above level 0 by what lies below it. */
  async #repair(gap: LevelGap, signal: AbortSignal | undefined): Promise<boolean> {
    if (!mayBeRepaired(gap)) return false;
    const { writer } = this.#target;
    try {
      // Not all files of lower levels are remembered.
      const levels = await writer.replica.levels({ signal });
      const repaired = await repairLevel(gap, { writer, levels, signal });
      if (repaired === undefined) return false;
      this.#known?.add(repaired.file);
      this.#events.compacted(repaired);
      return true;
    } catch (error) {
      this.#told = "";
      throw error;
    }
  }

  async #takeSnapshot(signal: AbortSignal): Promise<void> {
    const { recent, settings, platform } = this.#tools;
    const { writer } = this.#target;
    const known = await this.#files(signal);
    // The first commit makes it due again.
    if (!this.#snapshotIsOld(known) || this.#target.isEmpty) return;
    const newest = known.newest(SNAPSHOT_LEVEL);
    const untilMs = tooEarlyUntil(newest, settings.snapshotIntervalMs, platform.clock.now());
    if (untilMs !== undefined) return this.#mark(SNAPSHOT_LEVEL, untilMs);
    const { replica } = writer;
    const l0 = known.newest(0) as LtxFileInfo;
    const bytes = recent.get(replica, l0.key);
    if (l0.maxTxid === this.#full && (bytes !== undefined || replica.store.local === true)) {
      const file = await promoteFullFile(l0, { writer, local: () => bytes, signal });
      known.add(file);
      this.#events.promoted(file);
    } else {
      const { txid } = await this.#target.snapshot({ signal });
      // It was there already, by other hands.
      if ((known.newest(SNAPSHOT_LEVEL)?.maxTxid ?? 0n) < txid) this.#known = undefined;
    }
    this.#mark(REMOVE_SNAPSHOTS, this.#retention.snapshotsDueMs(known));
  }
}

/** Whether neither level 1 nor a snapshot holds anything. */
function isUntouched(known: KnownFiles): boolean {
  return known.newest(1) === undefined && known.newest(SNAPSHOT_LEVEL) === undefined;
}

/** When something is due that has waited since a time: at once where that was before a boundary. */
function missed(sinceMs: number, intervalMs: number, nowMs: number): number {
  return sinceMs < boundaryBefore(nowMs, intervalMs) ? nowMs : boundaryAfter(nowMs, intervalMs);
}

function asPagestreamError(error: unknown, object: string): PagestreamError {
  if (isPagestreamError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new PagestreamError("IO", { operation: "maintain", object, what, cause: error });
}
