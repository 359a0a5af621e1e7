/**
 * Which files of the 0.3 layout a restore reads, and whether it reads that layout at all.
 *
 * The newest usable snapshot of any generation comes first, then the WAL segments of its generation from the snapshot's
 * index on. A WAL is complete from its first segment, at offset 0, and the next index follows without a gap.
 *
 * Where both layouts are there, the one with the newest file not after the wanted time is restored. In this one point a
 * wanted time is treated otherwise than by Litestream, which compares snapshots alone, and so gives the old layout's last
 * state for every time before the first level 9 file, even where level 0 holds newer ones.
 *
 * @module
 */
import { formatTimestamp } from "../transports/timestamp.ts";
import { GapError, TimestampNotAvailableError, TxidNotAvailableError } from "./errors.ts";
import { type LegacyFile, byTime, follows } from "./legacy-layout.ts";
import { type RestorePlan, type RestoreTarget, planRestore } from "./plan.ts";
import type { LtxFileInfo } from "./replica.ts";

/** A file of a plan and why it is there. */
export interface PlannedLegacyFile extends LegacyFile {
  /** Why this file and no other, in words for a person; not stable. */
  readonly reason: string;
}

/** What a restore from the 0.3 layout reads and where that leads. */
export interface LegacyPlan {
  readonly snapshot: PlannedLegacyFile;
  /** In order; the first, if any, begins the WAL of the snapshot's index. */
  readonly segments: readonly PlannedLegacyFile[];
  /** When the state came to be. */
  readonly time: Date;
  /** Whether newer files lie in the replica, of either layout. */
  readonly isNewest: boolean;
  /** Largest TXID of the LTX files beside it; 0 without any. */
  readonly newestTxid: bigint;
  /** Bytes of all files together. */
  readonly totalBytes: number;
}

/** The files of a replica in both layouts. */
export interface ReplicaFiles {
  /** The LTX files of every level. */
  readonly levels: readonly (readonly LtxFileInfo[])[];
  readonly legacy: readonly LegacyFile[];
}

/**
 * Plans a restore from whichever layout holds the wanted state. Pure; `object` names the replica in errors.
 *
 * Throws what `planRestore` throws, and `GapError` where files of the 0.3 layout are missing.
 */
export function planAnyRestore(
  files: ReplicaFiles,
  target: RestoreTarget,
  object: string,
): RestorePlan | LegacyPlan {
  const { levels, legacy } = files;
  if (legacy.length === 0) return planRestore(levels, target, { operation: "restore", object });
  const all = levels.flat();
  const { txid, timestamp } = target;
  if (txid !== undefined) {
    if (all.length === 0) throw noTxids(txid, object);
    return planRestore(levels, target, { operation: "restore", object });
  }
  const limit = timestamp?.getTime() ?? Number.POSITIVE_INFINITY;
  const eligible = legacy.filter((f) => f.time.getTime() <= limit);
  const newestLtx = newest(all.filter((f) => f.time.getTime() <= limit));
  const newestLegacy = newest(eligible);
  if (newestLegacy > newestLtx) {
    const chain = planChain(eligible, object);
    if (chain !== undefined) {
      const isNewest = newestLegacy >= newest(legacy) && newestLegacy >= newest(all);
      const newestTxid = all.reduce((max, f) => (f.maxTxid > max ? f.maxTxid : max), 0n);
      return { ...chain, isNewest, newestTxid };
    }
  }
  if (newestLtx === Number.NEGATIVE_INFINITY) throw tooEarly(files, timestamp, object);
  return planRestore(levels, target, { operation: "restore", object });
}

/** Whether a plan reads the 0.3 layout. */
export function isLegacyPlan(plan: RestorePlan | LegacyPlan): plan is LegacyPlan {
  return "snapshot" in plan;
}

function planChain(
  files: readonly LegacyFile[],
  object: string,
): Omit<LegacyPlan, "isNewest" | "newestTxid"> | undefined {
  const snapshots = files.filter((f) => f.offset === undefined).sort(byTime);
  const snapshot = snapshots.at(-1);
  if (snapshot === undefined) return undefined;
  const { generation, index } = snapshot;
  const segments = files
    .filter((f) => f.offset !== undefined && f.generation === generation && f.index >= index)
    .sort((a, b) => a.index - b.index || (a.offset as number) - (b.offset as number));
  let last = snapshot;
  for (const segment of segments) {
    if (!follows(segment, last)) throw legacyGap(segment, last, object);
    last = segment;
  }
  const all = [snapshot, ...segments];
  return {
    snapshot: { ...snapshot, reason: "the newest snapshot not after what is wanted" },
    segments: segments.map((f) => ({ ...f, reason: "the WAL goes on here" })),
    time: new Date(newest(all)),
    totalBytes: all.reduce((sum, f) => sum + f.size, 0),
  };
}

/** A segment that does not go on where the file before it ends. */
export function legacyGap(segment: LegacyFile, last: LegacyFile, object: string): GapError {
  return new GapError(
    {
      operation: "restore",
      object,
      what: `WAL segments are missing between ${last.key} and ${segment.key}`,
      next: `Restore the state of ${formatTimestamp(last.time.getTime())} or of an earlier time`,
    },
    { reached: 0n, nextFile: segment.key },
  );
}

function noTxids(txid: bigint, object: string): TxidNotAvailableError {
  return new TxidNotAvailableError(
    {
      operation: "restore",
      object,
      what: "it is a replica of Litestream 0.3, which has no TXIDs",
      next: "Restore the newest state, or that of a time",
    },
    { txid, earlier: undefined, later: undefined },
  );
}

/** Neither layout has a base for what is wanted. */
function tooEarly(files: ReplicaFiles, timestamp: Date | undefined, object: string): Error {
  const bases = [
    ...files.levels.flat().filter((f) => f.minTxid === 1n),
    ...files.legacy.filter((f) => f.offset === undefined),
  ];
  if (timestamp === undefined || bases.length === 0) {
    const nextFile = (files.legacy[0] as LegacyFile).key;
    const what = "it holds WAL segments of Litestream 0.3 but no snapshot that they begin at";
    return new GapError({ operation: "restore", object, what }, { reached: 0n, nextFile });
  }
  const oldest = new Date(bases.reduce((min, f) => Math.min(min, f.time.getTime()), Infinity));
  return new TimestampNotAvailableError(
    {
      operation: "restore",
      object,
      what: `nothing from ${formatTimestamp(timestamp.getTime())} or before can be restored`,
      next: `The oldest restorable state is of ${formatTimestamp(oldest.getTime())}`,
    },
    { timestamp, oldest },
  );
}

/** Time of the newest file in milliseconds, `-Infinity` for none. */
function newest(files: readonly { readonly time: Date }[]): number {
  return files.reduce((max, f) => Math.max(max, f.time.getTime()), Number.NEGATIVE_INFINITY);
}
