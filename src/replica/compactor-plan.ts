/**
 * Which files of a level go into the next file of the level above: pure, from the files that are known.
 *
 * The chain begins right after the last file of the level above. Where that level is still empty it begins after the
 * newest snapshot, since what a snapshot holds need not be written once more per level. Each next file must join what is
 * reached; of several that do, the one that reaches furthest is taken, and one that straddles the end of the level above
 * is cut to what lies behind it, never skipped.
 *
 * @module
 */
import { type FileSpan, compareSpans } from "./layout.ts";
import type { LtxFileInfo } from "./replica.ts";

/** Most files merged at once: each needs memory and a connection. */
const MAX_INPUTS = 256;

/** What a compaction chooses from. */
export interface CompactionFiles {
  /** Files of the level that is written to; only its largest TXID matters. */
  readonly target: readonly FileSpan[];
  /** Files of the level below. */
  readonly sources: readonly LtxFileInfo[];
  /** Files of level 9. */
  readonly snapshots: readonly FileSpan[];
}

/** Files that follow each other no further. */
export interface LevelGap {
  /** Level in which files are missing. */
  readonly level: number;
  /** Last TXID before the gap. */
  readonly reached: bigint;
  /** The first file beyond it. */
  readonly next: FileSpan;
  /** Whether a snapshot leads over the gap, so that every later state can be restored all the same. */
  readonly bridged: boolean;
}

/** The next file of a level. */
export interface CompactionPlan {
  /** Oldest first; none where there is nothing new. */
  readonly files: readonly LtxFileInfo[];
  /** First TXID of the new file. */
  readonly minTxid: bigint;
  /** Where the chain ends although there are files behind, or what it begins after. */
  readonly gap: LevelGap | undefined;
  /** Whether more files wait than one merge takes. */
  readonly more: boolean;
}

/** Plans the next file of `level`, from 1 to 8. */
export function planCompaction(
  level: number,
  known: CompactionFiles,
  options: { readonly maxInputs?: number | undefined } = {},
): CompactionPlan {
  const { maxInputs = MAX_INPUTS } = options;
  const base = maxTxidOf(known.snapshots);
  let reached = known.target.length === 0 ? base : maxTxidOf(known.target);
  const sources = known.sources.filter((f) => f.maxTxid > reached).sort(compareSpans);
  let gap: LevelGap | undefined;
  const first = sources[0];
  if (first !== undefined && first.minTxid > reached + 1n) {
    const bridged = base + 1n >= first.minTxid;
    gap = { level: level - 1, reached, next: first, bridged };
    if (!bridged) return { files: [], minTxid: 0n, gap, more: false };
    reached = first.minTxid - 1n;
  }
  const minTxid = reached + 1n;
  const { files, next } = chainAfter(reached, sources, maxInputs);
  reached = files.at(-1)?.maxTxid ?? reached;
  const isJoined = next !== undefined && next.minTxid <= reached + 1n;
  if (next !== undefined && !isJoined) {
    gap ??= { level: level - 1, reached, next, bridged: base + 1n >= next.minTxid };
  }
  return { files, minTxid, gap, more: isJoined || (gap?.bridged === true && next !== undefined) };
}

/** Whether a gap stops a level that what lies below the gap's own may still hold. */
export function mayBeRepaired(gap: LevelGap | undefined): boolean {
  return gap !== undefined && gap.level > 0 && !gap.bridged;
}

/**
 * The files that make the one file a level lacks: a chain of what lies `below` the level, in any order, that holds the gap
 * to its last TXID and not one more. None where there is no such chain, or it is too long for one merge.
 */
export function planRepair(
  { reached, next }: LevelGap,
  below: readonly LtxFileInfo[],
): readonly LtxFileInfo[] {
  const inside = below.filter((f) => f.maxTxid > reached && f.maxTxid < next.minTxid);
  const { files } = chainAfter(reached, inside.sort(compareSpans), MAX_INPUTS);
  return files.at(-1)?.maxTxid === next.minTxid - 1n ? files : [];
}

/** The fewest files that follow a TXID without a gap, and the first file that is not looked at; `sorted` by span. */
function chainAfter(
  txid: bigint,
  sorted: readonly LtxFileInfo[],
  maxInputs: number,
): { readonly files: readonly LtxFileInfo[]; readonly next: LtxFileInfo | undefined } {
  const files: LtxFileInfo[] = [];
  let reached = txid;
  let at = 0;
  while (files.length < maxInputs) {
    let choice: LtxFileInfo | undefined;
    for (; at < sorted.length; at++) {
      const file = sorted[at] as LtxFileInfo;
      if (file.minTxid > reached + 1n) break;
      if (file.maxTxid > (choice?.maxTxid ?? reached)) choice = file;
    }
    if (choice === undefined) break;
    files.push(choice);
    reached = choice.maxTxid;
  }
  return { files, next: sorted[at] };
}

/** What does not follow in a level. */
export interface LevelFault {
  readonly level: number;
  /** Missing TXIDs between two files, or TXIDs that are in both. */
  readonly type: "gap" | "overlap";
  readonly previous: FileSpan;
  readonly next: FileSpan;
}

/** Checks that each file of a compaction level begins right after the one before it; `files` in any order. */
export function findLevelFaults(files: readonly FileSpan[]): LevelFault[] {
  const faults: LevelFault[] = [];
  const sorted = [...files].sort(compareSpans);
  for (let i = 1; i < sorted.length; i++) {
    const [previous, next] = [sorted[i - 1] as FileSpan, sorted[i] as FileSpan];
    if (next.minTxid === previous.maxTxid + 1n) continue;
    const type = next.minTxid > previous.maxTxid ? "gap" : "overlap";
    faults.push({ level: next.level, type, previous, next });
  }
  return faults;
}

/** The largest TXID of some files; 0 of none. */
export function maxTxidOf(files: readonly FileSpan[]): bigint {
  return files.reduce((max, f) => (f.maxTxid > max ? f.maxTxid : max), 0n);
}
