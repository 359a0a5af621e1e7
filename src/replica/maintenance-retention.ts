/**
 * Removes what a writer's own replica need not keep, when its time has come.
 *
 * @module
 */
import { isPagestreamError, type PagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { isRetryable } from "../core/retry.ts";
import { readAdopted } from "./adopted.ts";
import { ConflictError } from "./errors.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import { boundaryAfter, type LevelSettings } from "./levels.ts";
import type { KnownFiles } from "./maintenance-files.ts";
import type { LtxFileInfo } from "./replica.ts";
import { planL0, planRetention, planSnapshots, type RetentionRules } from "./retention.ts";
import { RetentionClock } from "./retention-clock.ts";
import type { ReplicaWriter } from "./writer.ts";

/** Least time before a store that let nothing be removed is asked again: permission to do so comes by a person. */
const DENIED_MS = 3_600_000;

/** Who is told what a {@linkcode MaintenanceRetention} does. */
export interface RetentionEvents {
  /** Files were removed. */
  retained(files: readonly LtxFileInfo[]): void;
  /** Nothing was removed although something may be old enough, since the time is in doubt. */
  skipped(reason: string): void;
  /**
   * Files cannot be removed; everything else goes on. It is tried again with what is due for later commits, at most once an
   * hour. Told once until it succeeds.
   */
  denied(error: PagestreamError): void;
}

/** What a {@linkcode MaintenanceRetention} works with. */
export interface MaintenanceRetentionOptions {
  readonly writer: ReplicaWriter;
  readonly platform: Platform;
  readonly settings: LevelSettings;
  readonly events: RetentionEvents;
}

/** Retention of one replica. Its passes return when the next one is due, in wall-clock milliseconds. */
export class MaintenanceRetention {
  readonly #options: MaintenanceRetentionOptions;
  readonly #clock: RetentionClock;
  /** Until when nothing is removed, since the store did not allow it. */
  #deniedUntilMs: number | undefined;
  /** What was adopted, as of the last pass that had a snapshot to remove. */
  #adopted: readonly bigint[] | undefined;

  constructor(options: MaintenanceRetentionOptions) {
    this.#options = options;
    this.#clock = new RetentionClock(options.platform.clock, options.writer.replica.store);
  }

  /** Whether L0 files are going to be removed, and so must be known. */
  get removesL0(): boolean {
    const { retentionEnabled, l0RetentionMs, intervals } = this.#options.settings;
    const isOn = retentionEnabled && l0RetentionMs > 0 && intervals.length > 0;
    return isOn && !this.#isDenied;
  }

  get #isDenied(): boolean {
    return this.#deniedUntilMs !== undefined && this.#now < this.#deniedUntilMs;
  }

  /** When level 0 has a file that may go; `undefined` while none is going to. */
  l0DueMs(known: KnownFiles): number | undefined {
    // It was not remembered while nothing could be removed: the pass lists it.
    const isUnknown = this.removesL0 && !known.keepsL0;
    const { decisions, nextAtMs } = planL0(known.level(0), known.above, this.#rules(this.#now));
    const isDue = isUnknown || decisions.some(({ remove }) => remove);
    return this.#dueMs(isDue, nextAtMs, this.#options.settings.l0RetentionCheckMs);
  }

  /**
   * The same for snapshots. They go at the boundaries of snapshots, right before the next one is made: so one is always
   * there that is as old as they are kept, and every point since then can be restored.
   */
  snapshotsDueMs(known: KnownFiles): number | undefined {
    const snapshots = known.level(SNAPSHOT_LEVEL);
    const { decisions, nextAtMs } = planSnapshots(snapshots, this.#rules(this.#now));
    const isDue = decisions.some(({ remove }) => remove);
    return this.#dueMs(isDue, nextAtMs, this.#options.settings.snapshotIntervalMs);
  }

  /** Removes what is old enough of level 0. Asks nothing but that. */
  async removeL0(known: KnownFiles, signal: AbortSignal): Promise<number | undefined> {
    const { l0RetentionCheckMs } = this.#options.settings;
    const nowMs = this.#read();
    if (nowMs === undefined) return boundaryAfter(this.#now, l0RetentionCheckMs);
    const { decisions } = planL0(known.level(0), known.above, this.#rules(nowMs));
    const files = decisions.filter(({ remove }) => remove).map(({ file }) => file);
    await this.#remove(known, files, signal);
    return this.l0DueMs(known);
  }

  /** Removes old snapshots, and what they were kept for; lists the replica where there is one. */
  async removeSnapshots(known: KnownFiles, signal: AbortSignal): Promise<number | undefined> {
    const { writer, settings } = this.#options;
    const nowMs = this.#read();
    if (nowMs === undefined) return boundaryAfter(this.#now, settings.snapshotIntervalMs);
    const old = planSnapshots(known.level(SNAPSHOT_LEVEL), this.#rules(nowMs)).decisions;
    if (old.some(({ remove }) => remove)) {
      // The times that are known: those that a listing without times tells are never earlier.
      const times = new Map<string, LtxFileInfo>();
      for (const level of [0, SNAPSHOT_LEVEL]) {
        for (const file of known.level(level)) times.set(file.key, file);
      }
      this.#adopted = await readAdopted(writer.replica, signal);
      const listed = await writer.replica.levels({ signal });
      const levels = listed.map((files) => files.map((file) => times.get(file.key) ?? file));
      const { remove } = planRetention(levels, this.#rules(nowMs));
      // Snapshots last: as long as they are there, the next pass finds the same floor.
      const others = remove.filter(({ level }) => level !== SNAPSHOT_LEVEL);
      const snapshots = remove.filter(({ level }) => level === SNAPSHOT_LEVEL);
      if (await this.#remove(known, others, signal)) await this.#remove(known, snapshots, signal);
    }
    return this.snapshotsDueMs(known);
  }

  get #now(): number {
    return this.#options.platform.clock.now();
  }

  #rules(nowMs: number): RetentionRules {
    return { ...this.#options.settings, nowMs, adopted: this.#adopted };
  }

  #dueMs(isDue: boolean, nextAtMs: number | undefined, intervalMs: number): number | undefined {
    const atMs = isDue ? this.#now : nextAtMs;
    // An idle database would ask for ever: the next commit's work brings it up again.
    if (atMs === undefined || this.#isDenied) return undefined;
    return boundaryAfter(Math.max(atMs, this.#now), intervalMs);
  }

  /** The time that ages count to, or a word on why there is none. */
  #read(): number | undefined {
    const time = this.#clock.read();
    if ("nowMs" in time) return time.nowMs;
    this.#options.events.skipped(time.distrust);
    return undefined;
  }

  /** Removes files; false where the store does not let this writer. */
  async #remove(
    known: KnownFiles,
    files: readonly LtxFileInfo[],
    signal: AbortSignal,
  ): Promise<boolean> {
    if (files.length === 0) return true;
    const { writer, events } = this.#options;
    try {
      await writer.remove(files, { signal });
    } catch (error) {
      const isRefusal = isPagestreamError(error) && !isRetryable(error) && !signal.aborted;
      if (!isRefusal || error instanceof ConflictError) throw error;
      if (this.#deniedUntilMs === undefined) events.denied(error);
      this.#deniedUntilMs = this.#now + DENIED_MS;
      return false;
    }
    this.#deniedUntilMs = undefined;
    known.remove(files);
    events.retained(files);
    return true;
  }
}
