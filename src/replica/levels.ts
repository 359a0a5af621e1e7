/**
 * Compaction levels, snapshots and retention: the settings, which are Litestream's, and the boundaries they give.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";

/** One compaction level. */
export interface LevelOptions {
  /** Time in milliseconds that a file of the level covers: it is written at wall-clock multiples of it. */
  readonly intervalMs: number;
  /** Number of the level, where the caller wants it checked: they follow each other from 1. */
  readonly level?: number | undefined;
}

/** When the whole database is written again, and how long that is kept. */
export interface SnapshotOptions {
  /** Milliseconds between two snapshots. @default 86400000 (24 h) */
  readonly intervalMs?: number | undefined;
  /** Milliseconds a snapshot is kept, and what leads on from it. @default 86400000 (24 h) */
  readonly retentionMs?: number | undefined;
}

/** Whether anything is removed from the replica. */
export interface RetentionOptions {
  /** False: nothing is ever removed; a lifecycle rule of the store may be. @default true */
  readonly enabled?: boolean | undefined;
}

/** What a writer does for its replica beside uploading. */
export interface LevelsOptions {
  /** The compaction levels from level 1 upwards, 8 at most; none: no compaction. @default 30 s, 5 min, 1 h */
  readonly levels?: readonly LevelOptions[] | undefined;
  /** Snapshots, the files of level 9. */
  readonly snapshot?: SnapshotOptions | undefined;
  /** Milliseconds a level 0 file is kept once level 1 holds it too; 0 keeps all of them. @default 300000 (5 min) */
  readonly l0RetentionMs?: number | undefined;
  /** Shortest time in milliseconds between two removals of level 0 files. @default 15000 */
  readonly l0RetentionCheckMs?: number | undefined;
  /** What may be removed. */
  readonly retention?: RetentionOptions | undefined;
}

/** {@linkcode LevelsOptions} with all that was left out filled in; all times in milliseconds. */
export interface LevelSettings {
  /** Intervals of the compaction levels: the first is that of level 1. */
  readonly intervals: readonly number[];
  readonly snapshotIntervalMs: number;
  readonly snapshotRetentionMs: number;
  /** 0 keeps all level 0 files. */
  readonly l0RetentionMs: number;
  readonly l0RetentionCheckMs: number;
  readonly retentionEnabled: boolean;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Litestream's defaults. */
export const DEFAULT_LEVELS: LevelSettings = {
  intervals: [30 * SECOND, 5 * MINUTE, HOUR],
  snapshotIntervalMs: 24 * HOUR,
  snapshotRetentionMs: 24 * HOUR,
  l0RetentionMs: 5 * MINUTE,
  l0RetentionCheckMs: 15 * SECOND,
  retentionEnabled: true,
};

/** Milliseconds from Go's zero time, 1 January of the year 1, to 1970: Litestream's boundaries count from there. */
const YEAR_ONE_MS = 62_135_596_800_000;

/** Checks settings as Litestream does and fills in what was left out; throws `InvalidArgumentError`. */
export function resolveLevels(options: LevelsOptions = {}): LevelSettings {
  const { levels, snapshot = {}, l0RetentionMs, l0RetentionCheckMs, retention } = options;
  const set = [levels, options.snapshot, l0RetentionMs, l0RetentionCheckMs, retention];
  // One object for the thousands of databases of a fleet.
  if (set.every((option) => option === undefined)) return DEFAULT_LEVELS;
  if (levels !== undefined && levels.length >= SNAPSHOT_LEVEL) {
    throw invalid(
      "levels",
      `there are ${levels.length} of them, and no more than 8 below the snapshots`,
    );
  }
  const intervals = levels?.map(({ level, intervalMs }, i) => {
    if (level !== undefined && level !== i + 1) {
      throw invalid("levels", `level ${level} stands where level ${i + 1} belongs`);
    }
    return positive(`the interval of level ${i + 1}`, intervalMs);
  });
  const or = DEFAULT_LEVELS;
  return {
    intervals: intervals ?? or.intervals,
    snapshotIntervalMs: positive(
      "snapshot.intervalMs",
      snapshot.intervalMs ?? or.snapshotIntervalMs,
    ),
    snapshotRetentionMs: positive(
      "snapshot.retentionMs",
      snapshot.retentionMs ?? or.snapshotRetentionMs,
    ),
    l0RetentionMs: finite("l0RetentionMs", l0RetentionMs ?? or.l0RetentionMs),
    l0RetentionCheckMs: positive("l0RetentionCheckMs", l0RetentionCheckMs ?? or.l0RetentionCheckMs),
    retentionEnabled: retention?.enabled ?? or.retentionEnabled,
  };
}

/** The last wall-clock multiple of an interval that is not after a time; all in milliseconds. */
export function boundaryBefore(timeMs: number, intervalMs: number): number {
  const since = timeMs + YEAR_ONE_MS;
  return since - (since % intervalMs) - YEAR_ONE_MS;
}

/** The first multiple after a time. */
export function boundaryAfter(timeMs: number, intervalMs: number): number {
  return boundaryBefore(timeMs, intervalMs) + intervalMs;
}

function positive(name: string, ms: number): number {
  if (!Number.isFinite(ms) || ms < 1) throw invalid(name, `${ms} ms is less than a millisecond`);
  return ms;
}

function finite(name: string, ms: number): number {
  if (!Number.isFinite(ms) || ms < 0)
    throw invalid(name, `${ms} ms is negative, or no time at all`);
  return ms;
}

function invalid(object: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError({ operation: "use", object, what });
}
