/**
 * Where a replica stands, from one listing: how far it goes, how far it can be restored, and what is missing in it.
 *
 * The maximum alone proves nothing. A file missing below it makes states unrestorable, and one missing between the level 0
 * files that are not compacted yet ends Litestream's compaction for good.
 *
 * @module
 */
import { formatFileName, formatTxid } from "../ltx/file-name.ts";
import { LTX_SIZE_MIN } from "../ltx/page-index.ts";
import { GapError } from "./errors.ts";
import type { LtxFileInfo } from "./replica.ts";
import { restorablePoints } from "./restore-points.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";

/** What is missing in a replica. */
export interface Gap {
  /** Last TXID before the gap; 0 where nothing comes before it. */
  readonly after: bigint;
  /** First TXID of the file behind it. */
  readonly before: bigint;
}

/** What a listing of all levels says. */
export interface Standing {
  /** Largest TXID of any level; 0 for an empty replica. */
  readonly maxTxid: bigint;
  /** Largest TXID of level 0; 0 where it is empty. */
  readonly newestL0: bigint;
  /** Largest TXID of levels 1 to 8, where the next compaction goes on; 0 where they are empty. */
  readonly compacted: bigint;
  /** Largest TXID of the snapshots; 0 where there is none. */
  readonly snapshot: bigint;
  /** Newest TXID that a restore reaches. */
  readonly reach: bigint;
  /** The first gap that keeps a restore from the maximum, or Litestream's compaction from the newest L0 file. */
  readonly gap: Gap | undefined;
}

/** Looks at the files of all levels, from level 0 upwards, each in order. */
export function standingOf(levels: readonly (readonly LtxFileInfo[])[]): Standing {
  const l0 = levels[0] ?? [];
  const newestL0 = maxOf(l0);
  const compacted = maxOf(levels.slice(1, SNAPSHOT_LEVEL).flat());
  const files = levels.flat();
  const maxTxid = maxOf(files);
  // An object that is too short to be a file is a name and nothing else.
  const whole = files.filter(isWhole);
  const reach = restorablePoints(whole).at(-1)?.txid ?? 0n;
  return {
    maxTxid,
    newestL0,
    compacted,
    snapshot: maxOf(levels[SNAPSHOT_LEVEL] ?? []),
    reach,
    gap: reach < maxTxid ? gapAfter(reach, whole) : gapInLevel0(l0.filter(isWhole), compacted),
  };
}

/** Whether a replica needs nothing: no gap, and no level above the newest L0 file, from which Litestream numbers. */
export function isSound({ gap, maxTxid, newestL0 }: Standing): boolean {
  return gap === undefined && newestL0 === maxTxid;
}

/** Whether an object can be a file at all. */
export function isWhole({ size }: LtxFileInfo): boolean {
  return size >= LTX_SIZE_MIN;
}

/** Why a follower stands still: nothing leads on from where it is, and no snapshot past that. */
export function noWayOn(
  object: string,
  reached: bigint,
  levels: readonly (readonly LtxFileInfo[])[],
): GapError {
  const next = levels.flat().find(({ minTxid }) => minTxid > reached + 1n);
  return new GapError(
    {
      operation: "follow",
      object,
      what: `no file goes on from ${formatTxid(reached)}, and no snapshot with what follows it leads past that`,
      next: "Look for the missing files, or let the writer upload a new snapshot; who follows goes on by itself then",
    },
    { reached, nextFile: next === undefined ? "" : formatFileName(next.minTxid, next.maxTxid) },
  );
}

function gapAfter(after: bigint, files: readonly LtxFileInfo[]): Gap {
  let before: bigint | undefined;
  for (const { minTxid, maxTxid } of files) {
    if (maxTxid > after && (before === undefined || minTxid < before)) before = minTxid;
  }
  return { after, before: before ?? after + 1n };
}

/**
 * What is missing between the files of level 0 that are not compacted yet. That the first of them begins later than
 * levels above end stops nobody, as long as a snapshot leads there.
 */
function gapInLevel0(l0: readonly LtxFileInfo[], compacted: bigint): Gap | undefined {
  let reached: bigint | undefined;
  for (const { minTxid, maxTxid } of l0) {
    if (maxTxid <= (reached ?? compacted)) continue;
    if (reached !== undefined && minTxid > reached + 1n) {
      return { after: reached, before: minTxid };
    }
    reached = maxTxid;
  }
  return undefined;
}

function maxOf(files: readonly LtxFileInfo[]): bigint {
  return files.reduce((max, { maxTxid }) => (maxTxid > max ? maxTxid : max), 0n);
}
