/**
 * Every state that a replica can still give back.
 *
 * @module
 */
import { SNAPSHOT_LEVEL } from "./layout.ts";
import type { LegacyPosition } from "./legacy-layout.ts";
import type { LtxFileInfo } from "./replica.ts";

/** A state that can be restored exactly. */
export interface RestorePoint {
  /** What to give `restore` as its `txid`; 0 in the 0.3 layout, whose states are restored by `time`. */
  readonly txid: bigint;
  /** When the state came to be: the earliest creation time of a usable file that ends with it. */
  readonly time: Date;
  /** Level of the file that a restore of this point ends with. */
  readonly level: number;
  /** Size in bytes of that file. */
  readonly size: number;
  /** Where in the history of Litestream 0.3 the state is; undefined where it is made of LTX files. */
  readonly legacy?: LegacyPosition | undefined;
}

/**
 * The points that a set of files can restore exactly, oldest first. Takes one sort and one pass:
 *
 * A file can be used if it begins at TXID 1, or right after (or inside) a state that files with smaller maxima
 * reach. The furthest such state decides, since it joins whatever any earlier one joins; so going up through the
 * maxima and remembering only the last reachable one finds all.
 */
export function restorablePoints(files: Iterable<LtxFileInfo>): RestorePoint[] {
  const sorted = [...files].sort((a, b) => compare(a.maxTxid, b.maxTxid));
  const points: RestorePoint[] = [];
  let reached = 0n;
  for (let i = 0; i < sorted.length;) {
    const txid = (sorted[i] as LtxFileInfo).maxTxid;
    let last: LtxFileInfo | undefined;
    let time = Number.POSITIVE_INFINITY;
    for (; i < sorted.length && (sorted[i] as LtxFileInfo).maxTxid === txid; i++) {
      const file = sorted[i] as LtxFileInfo;
      if (!canFollow(file, reached)) continue;
      time = Math.min(time, file.time.getTime());
      if (last === undefined || endsBetter(file, last)) last = file;
    }
    if (last === undefined) continue;
    points.push({ txid, time: new Date(time), level: last.level, size: last.size });
    reached = txid;
  }
  return points;
}

/** Whether a restore that has come to `reached` can go on with this file. Snapshots only ever begin a chain. */
function canFollow(file: LtxFileInfo, reached: bigint): boolean {
  if (file.minTxid === 1n) return true;
  return file.level !== SNAPSHOT_LEVEL && file.minTxid <= reached + 1n;
}

/** Of two files with the same end, the one a plan would take: a snapshot, else the longer, else the higher level. */
function endsBetter(a: LtxFileInfo, b: LtxFileInfo): boolean {
  if (a.level === SNAPSHOT_LEVEL || b.level === SNAPSHOT_LEVEL) return a.level > b.level;
  return a.minTxid < b.minTxid || (a.minTxid === b.minTxid && a.level > b.level);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
