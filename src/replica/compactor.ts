/**
 * One file of a compaction level, made of the files of the level below.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import {
  type CompactionFiles,
  type LevelGap,
  planCompaction,
  planRepair,
} from "./compactor-plan.ts";
import { MergedBody, type MergedBodyOptions } from "./compactor-merge.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import { boundaryAfter, boundaryBefore } from "./levels.ts";
import type { LtxFileInfo } from "./replica.ts";
import type { ReplicaWriter } from "./writer.ts";

/** What a compaction came to. */
export type CompactionOutcome =
  | {
      readonly type: "compacted";
      readonly level: number;
      /** The file, which is in the store now. */
      readonly file: LtxFileInfo;
      /** Its bytes, where they were kept. */
      readonly bytes: Uint8Array<ArrayBuffer> | undefined;
      /** How many files it was made of. */
      readonly sources: number;
      /** Whether there is more to compact at once. */
      readonly more: boolean;
      /** Where files were missing before or behind it. */
      readonly gap: LevelGap | undefined;
    }
  /** The level has a file of this interval: the next is due at `untilMs`, wall-clock milliseconds. */
  | { readonly type: "too-early"; readonly level: number; readonly untilMs: number }
  | { readonly type: "nothing-new"; readonly level: number }
  /** Files are missing below, and no snapshot leads over them: nothing can be compacted before they are back. */
  | { readonly type: "gap"; readonly level: number; readonly gap: LevelGap };

/** A file of a level that was made. */
export type Compacted = Extract<CompactionOutcome, { type: "compacted" }>;

/** What a merge reads from and writes with. */
export interface MergeOptions extends Pick<MergedBodyOptions, "local" | "keeps" | "signal"> {
  readonly writer: ReplicaWriter;
}

/** What {@linkcode compactLevel} works with. */
export interface CompactLevelOptions extends MergeOptions {
  /** The files it chooses from. */
  readonly files: CompactionFiles;
  /** Files merged at once. @default 256 */
  readonly maxInputs?: number | undefined;
}

/**
 * Writes the next file of `level`. `PreconditionFailedError` and `NotFoundError` say that the files are not those that
 * were listed: list them again.
 */
export async function compactLevel(
  level: number,
  options: CompactLevelOptions,
): Promise<CompactionOutcome> {
  const { writer, files, local, keeps, maxInputs, signal } = options;
  const plan = planCompaction(level, files, { maxInputs });
  const { gap } = plan;
  if (plan.files.length === 0) {
    return gap === undefined ? { type: "nothing-new", level } : { type: "gap", level, gap };
  }
  const { minTxid } = plan;
  const how = { minTxid, local, keeps, signal };
  const merged = await MergedBody.open(writer.replica, plan.files, how);
  try {
    const file = await upload(level, merged, options);
    const { bytes } = merged;
    const more = plan.more || merged.files.length < plan.files.length;
    return { type: "compacted", level, file, bytes, sources: merged.files.length, more, gap };
  } finally {
    await merged.close();
  }
}

/**
 * Writes the file that a level lacks between two others, out of what lies below it. `undefined` where that is not to be
 * had; the same errors as of {@linkcode compactLevel}.
 */
export async function repairLevel(
  gap: LevelGap,
  options: MergeOptions & { readonly levels: readonly (readonly LtxFileInfo[])[] },
): Promise<Compacted | undefined> {
  const { writer, levels, local, signal } = options;
  const { level, reached } = gap;
  const files = planRepair(gap, levels.slice(0, level).flat());
  if (files.length === 0) return undefined;
  const how = { minTxid: reached + 1n, local, signal };
  const merged = await MergedBody.open(writer.replica, files, how);
  try {
    // Behind a change of the page size lies what a file of the level cannot hold with what comes before.
    if (merged.files.length < files.length) return undefined;
    const file = await upload(level, merged, options);
    const sources = files.length;
    return {
      type: "compacted",
      level,
      file,
      bytes: undefined,
      sources,
      more: true,
      gap: undefined,
    };
  } finally {
    await merged.close();
  }
}

/** Makes a file of a level out of what `merged` holds. */
async function upload(
  level: number,
  merged: MergedBody,
  { writer, signal }: MergeOptions,
): Promise<LtxFileInfo> {
  const { minTxid, maxTxid, timestamp, commit, pageSize } = merged.header;
  const where = { level, minTxid, maxTxid, timestamp };
  const { sizeBound } = merged;
  const body = (): AsyncIterable<Uint8Array> => merged.body();
  const outcome = await writer.createMerged(
    { where, commit, pageSize, body, sizeBound },
    { signal },
  );
  if (outcome === "existing") {
    const there = await writer.replica.find(where, { signal });
    if (there !== undefined) return there;
  }
  const key = writer.replica.key(where);
  const time = new Date(Number(timestamp));
  return { level, minTxid, maxTxid, size: merged.size, time, key, etag: "" };
}

/**
 * Makes the snapshot `1..N` out of an L0 file `N` that holds every page: its compressed pages under another header, with
 * nothing read from the database.
 */
export async function promoteFullFile(
  full: LtxFileInfo,
  options: MergeOptions,
): Promise<LtxFileInfo> {
  const { writer, local, signal } = options;
  const merged = await MergedBody.open(writer.replica, [full], { minTxid: 1n, local, signal });
  try {
    return await upload(SNAPSHOT_LEVEL, merged, options);
  } finally {
    await merged.close();
  }
}

/**
 * When a level may be compacted again: at the boundary after its newest file, so that a restart does not make files
 * smaller than the interval. `undefined`: it is due. All times in wall-clock milliseconds.
 */
export function tooEarlyUntil(
  newest: LtxFileInfo | undefined,
  intervalMs: number,
  nowMs: number,
): number | undefined {
  const time = newest?.time.getTime();
  // A time ahead of the clock says nothing: the writer's clock may have run fast for a while.
  if (time === undefined || time > nowMs || time <= boundaryBefore(nowMs, intervalMs)) {
    return undefined;
  }
  return boundaryAfter(nowMs, intervalMs);
}

/** Whether an error says that the files are not those that were listed. */
export function isOutdated(error: unknown): boolean {
  return isPagestreamError(error, "PRECONDITION_FAILED") || isPagestreamError(error, "NOT_FOUND");
}
