/**
 * Which files a restore reads: Litestream's greedy choice, with its silent answers turned into errors.
 *
 * The newest usable snapshot comes first; then, again and again, the file that joins what is already reached and
 * carries it furthest. Deliberate differences: a wanted time is inclusive and may lie after the newest state; a
 * break in the chain below the wanted time is an error, never quietly older data; an empty store, a damaged replica
 * and a TXID that cannot be reached are three different errors.
 *
 * @module
 */
import type { ErrorDetails } from "../core/errors.ts";
import { formatFileName, formatTxid } from "../ltx/file-name.ts";
import { LTX_HEADER_SIZE } from "../ltx/header.ts";
import { formatTimestamp } from "../transports/timestamp.ts";
import {
  DamagedFileError,
  GapError,
  NoBackupError,
  TimestampNotAvailableError,
  TxidNotAvailableError,
} from "./errors.ts";
import { SNAPSHOT_LEVEL, compareSpans } from "./layout.ts";
import type { LtxFileInfo } from "./replica.ts";
import { type RestorePoint, restorablePoints } from "./restore-points.ts";

/** What to restore: a TXID, the state at a time (inclusive), or with neither the newest state. */
export interface RestoreTarget {
  /** Exactly this state. */
  readonly txid?: bigint | undefined;
  /** The state of this time, inclusive. Excludes `txid`. */
  readonly timestamp?: Date | undefined;
}

/** A file of a plan and why it is there. */
export interface PlannedFile extends LtxFileInfo {
  /** Why this file and no other, in words for a person; not stable. */
  readonly reason: string;
}

/** What was asked for, in the words of an error: "restore", and the description of a replica. */
type Asked = Pick<ErrorDetails, "operation" | "object">;

/** What a restore reads and where that leads. */
export interface RestorePlan {
  /** Oldest first; the first begins at TXID 1, each next joins or overlaps the one before. Never empty. */
  readonly files: readonly PlannedFile[];
  /** The state reached. */
  readonly txid: bigint;
  /** When that state came to be. */
  readonly time: Date;
  /** Largest TXID of the replica, whether wanted or not. */
  readonly newestTxid: bigint;
  /** The level 0 file that ends exactly at `txid`, where it is still kept. */
  readonly newestL0: LtxFileInfo | undefined;
  /** Bytes of all files together. */
  readonly totalBytes: number;
}

/**
 * Plans a restore from the files of every level (`levels[n]` is level n). Pure: reads no store. `asked` is what
 * errors say was asked for, and of which replica.
 *
 * Throws `NoBackupError` (no files), `GapError` (files missing), `TxidNotAvailableError`,
 * `TimestampNotAvailableError`, and `DamagedFileError` for a planned file too short to be one.
 */
export function planRestore(
  levels: readonly (readonly LtxFileInfo[])[],
  target: RestoreTarget = {},
  asked: Asked = { operation: "restore", object: "the replica" },
): RestorePlan {
  const all = levels.flat();
  if (all.length === 0) {
    throw new NoBackupError({ ...asked, what: "it holds no LTX files" });
  }
  const { txid } = target;
  const limit = target.timestamp?.getTime() ?? Number.POSITIVE_INFINITY;
  const eligible = levels.map((files) =>
    files
      .filter((f) => (txid === undefined || f.maxTxid <= txid) && f.time.getTime() <= limit)
      .sort(compareSpans),
  );
  const files = chooseFromBase(eligible);
  const reached = files.at(-1)?.maxTxid ?? 0n;

  if (!all.some((f) => f.minTxid === 1n)) throw noBase(all, asked);
  if (txid !== undefined) {
    if (reached !== txid) throw noSuchTxid(all, txid, asked);
  } else {
    const { timestamp } = target;
    if (files.length === 0) {
      // Without a wanted time every file is eligible: then what begins at TXID 1 is no range at all.
      throw timestamp === undefined ? noBase(all, asked) : tooEarly(all, timestamp, asked);
    }
    refuseGap(eligible, reached, { asked, timestamp: target.timestamp });
  }
  for (const file of files) refuseShort(file, asked);

  // The same rule as for the list of restore points, so that both name one time for one state.
  const point = restorablePoints(eligible.flat()).at(-1) as RestorePoint;
  return {
    files,
    txid: reached,
    time: point.time,
    newestTxid: all.reduce((max, f) => (f.maxTxid > max ? f.maxTxid : max), 0n),
    newestL0: levels[0]?.find((f) => f.maxTxid === reached),
    totalBytes: files.reduce((sum, f) => sum + f.size, 0),
  };
}

/**
 * The files that lead on from a state, oldest first, as far as they go without a break: the first joins `txid` or overlaps
 * it. Snapshots are not among them. Empty where no file goes on from there.
 */
export function continueFrom(
  levels: readonly (readonly LtxFileInfo[])[],
  txid: bigint,
): PlannedFile[] {
  return chooseFiles(levels, txid);
}

function chooseFromBase(levels: readonly (readonly LtxFileInfo[])[]): PlannedFile[] {
  const base = levels[SNAPSHOT_LEVEL]?.findLast((f) => f.minTxid === 1n);
  if (base === undefined) return chooseFiles(levels, 0n);
  const first = { ...base, reason: "the newest snapshot not after what is wanted" };
  return [first, ...chooseFiles(levels, base.maxTxid)];
}

/** The greedy choice over eligible files, each level in order of (min, max). Reads every file once. */
function chooseFiles(levels: readonly (readonly LtxFileInfo[])[], txid: bigint): PlannedFile[] {
  const files: PlannedFile[] = [];
  let reached = txid;
  // Per level: how far its files have been looked at, and the best of those looked at. Looking further never
  // makes a candidate worse, so none is looked at twice.
  const next = new Array<number>(SNAPSHOT_LEVEL).fill(0);
  const best = new Array<LtxFileInfo | undefined>(SNAPSHOT_LEVEL).fill(undefined);
  for (;;) {
    let choice: LtxFileInfo | undefined;
    for (let level = SNAPSHOT_LEVEL - 1; level >= 0; level--) {
      const candidates = levels[level] ?? [];
      let i = next[level] as number;
      for (; i < candidates.length; i++) {
        const file = candidates[i] as LtxFileInfo;
        if (file.minTxid > reached + 1n) break;
        if (isBetter(file, best[level])) best[level] = file;
      }
      next[level] = i;
      const offer = best[level];
      if (offer !== undefined && offer.maxTxid > reached && isBetter(offer, choice)) choice = offer;
    }
    if (choice === undefined) return files;
    const from = formatTxid(reached + 1n);
    files.push({
      ...choice,
      reason: `of the files that hold ${from}, the one that reaches furthest`,
    });
    reached = choice.maxTxid;
  }
}

/** Larger maximum, then smaller minimum, then older; levels are compared from the highest down, so ties stay there. */
function isBetter(file: LtxFileInfo, than: LtxFileInfo | undefined): boolean {
  if (than === undefined) return true;
  if (file.maxTxid !== than.maxTxid) return file.maxTxid > than.maxTxid;
  if (file.minTxid !== than.minTxid) return file.minTxid < than.minTxid;
  return file.level === than.level && file.time.getTime() < than.time.getTime();
}

function refuseGap(
  eligible: readonly (readonly LtxFileInfo[])[],
  reached: bigint,
  context: { readonly asked: Asked; readonly timestamp: Date | undefined },
): void {
  const beyond = first(eligible.flat().filter((f) => f.minTxid > reached + 1n));
  if (beyond === undefined) return;
  const wanted =
    context.timestamp === undefined
      ? "the newest state"
      : `the state of ${formatTimestamp(context.timestamp.getTime())}`;
  throw new GapError(
    {
      ...context.asked,
      what:
        `${wanted} needs ${formatTxid(reached + 1n)}, which no usable file holds: the files reach ` +
        `${formatTxid(reached)} and go on with ${nameOf(beyond)} at level ${beyond.level}`,
      next: `Restore ${formatTxid(reached)} by its TXID, or another of the listed restore points`,
    },
    { reached, nextFile: nameOf(beyond) },
  );
}

function noBase(all: readonly LtxFileInfo[], asked: Asked): GapError {
  const oldest = first(all) as LtxFileInfo;
  return new GapError(
    {
      ...asked,
      what: `no file begins at TXID 1: the first is ${nameOf(oldest)} at level ${oldest.level}, and the snapshot below it is missing`,
      next: "Look for the missing files, or let the writer upload a new snapshot",
    },
    { reached: 0n, nextFile: nameOf(oldest) },
  );
}

function noSuchTxid(
  all: readonly LtxFileInfo[],
  txid: bigint,
  asked: Asked,
): TxidNotAvailableError {
  const points = restorablePoints(all);
  const earlier = points.findLast((p) => p.txid < txid)?.txid;
  const later = points.find((p) => p.txid > txid)?.txid;
  const near = [
    earlier === undefined ? "" : `the nearest earlier is ${formatTxid(earlier)}`,
    later === undefined ? "" : `the nearest later is ${formatTxid(later)}`,
  ].filter((text) => text !== "");
  return new TxidNotAvailableError(
    {
      ...asked,
      what: `no files end exactly at TXID ${formatTxid(txid)}`,
      next: near.length === 0 ? undefined : `Of the restorable TXIDs ${near.join(", ")}`,
    },
    { txid, earlier, later },
  );
}

function tooEarly(
  all: readonly LtxFileInfo[],
  timestamp: Date,
  asked: Asked,
): TimestampNotAvailableError {
  const times = all.filter((f) => f.minTxid === 1n).map((f) => f.time.getTime());
  const oldest = new Date(times.reduce((min, t) => Math.min(min, t)));
  return new TimestampNotAvailableError(
    {
      ...asked,
      what: `nothing from ${formatTimestamp(timestamp.getTime())} or before can be restored`,
      next: `The oldest restorable state is of ${formatTimestamp(oldest.getTime())}`,
    },
    { timestamp, oldest },
  );
}

/** A file that cannot even hold a header was cut off while it was written. */
function refuseShort(file: LtxFileInfo, asked: Asked): void {
  if (file.size >= LTX_HEADER_SIZE) return;
  throw new DamagedFileError(
    {
      ...asked,
      what: `${file.key} has ${file.size} bytes, fewer than its header`,
      next: "Remove the file if another level covers its TXIDs, or restore an earlier TXID",
    },
    { file: file.key },
  );
}

function first(files: readonly LtxFileInfo[]): LtxFileInfo | undefined {
  return files.reduce<LtxFileInfo | undefined>(
    (min, f) => (min === undefined || compareSpans(f, min) < 0 ? f : min),
    undefined,
  );
}

function nameOf(file: LtxFileInfo): string {
  return formatFileName(file.minTxid, file.maxTxid);
}
