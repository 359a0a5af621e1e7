/**
 * Puts files back that a replica has lost, as long as their bytes are still to be had: staged here, or in another replica
 * of the same database.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { copyL0, shareL0, stagedL0 } from "./copy-file.ts";
import { type Gap, isSound, type Standing, standingOf } from "./gap.ts";
import type { LocalState } from "./local-state.ts";
import type { Replica } from "./replica.ts";
import { stagedObject } from "./upload-staged.ts";
import type { ReplicaWriter } from "./writer.ts";

/** A gap of more files is rather bridged. */
const MOST_FILES = 256n;
/** Gaps closed one after the other before the rest is bridged. */
const MOST_GAPS = 16;

/** Where {@linkcode fillGap} looks. */
export interface FillGapOptions {
  readonly writer: ReplicaWriter;
  readonly state: LocalState;
  readonly platform: Platform;
  /** Key for page digests. */
  readonly key: Uint8Array;
  /** Folder in local state for copies. */
  readonly folder: string;
  /** Other replicas that may have the L0 file of a TXID. */
  readonly others: (txid: bigint) => readonly Replica[];
  readonly signal: AbortSignal;
}

/** Uploads the L0 files that are missing. Returns whether the replica lacks nothing now. */
export async function fillGap(found: Standing, options: FillGapOptions): Promise<boolean> {
  const { writer, signal } = options;
  let standing = found;
  for (let turn = 0; turn < MOST_GAPS; turn++) {
    const { gap } = standing;
    if (gap === undefined) return isSound(standing);
    if (!(await fillOne(gap, options))) return false;
    standing = standingOf(await writer.replica.levels({ signal }));
  }
  return false;
}

/**
 * Uploads the L0 file of the TXID that a level above ends with, as a crash between the two left it. Returns whether that is
 * done: only where both are of the same time, and so of the same history, and the file holds every page, as that of a bridge.
 */
export async function finishBridge(txid: bigint, options: FillGapOptions): Promise<boolean> {
  const { writer, state, signal } = options;
  const levels = await writer.replica.levels({ exactTimes: true, signal });
  const top = levels.flat().find(({ maxTxid }) => maxTxid === txid);
  const where = { ...options, sequence: -1 };
  const staged = stagedL0(txid, where);
  const file = staged ?? (await copyL0(options.others(txid), txid, where));
  const isSame = file?.full === true && BigInt(top?.time.getTime() ?? -1) === file.header.timestamp;
  if (isSame) await writer.create(stagedObject(state, file), { signal });
  if (staged === undefined && file !== undefined) state.removeStaged(file.name);
  return isSame;
}

async function fillOne({ after, before }: Gap, options: FillGapOptions): Promise<boolean> {
  const { writer, state, signal } = options;
  if (before <= after + 1n || before - after > MOST_FILES) return false;
  let sources: readonly Replica[] | undefined;
  for (let txid = after + 1n; txid < before; txid++) {
    const span = { level: 0, minTxid: txid, maxTxid: txid };
    // What is left of a file there keeps its name, and is led over.
    if ((await writer.replica.find(span, { signal })) !== undefined) return false;
    const where = { ...options, sequence: -1 };
    const staged = stagedL0(txid, where);
    sources ??= await ofSameHistory(before, options);
    const file = staged ?? (await copyL0(sources, txid, where));
    if (file === undefined) return false;
    await writer.create(stagedObject(state, file), { signal });
    if (staged === undefined) state.removeStaged(file.name);
  }
  return true;
}

/** The other replicas that have the file behind the gap, the very same. */
async function ofSameHistory(txid: bigint, options: FillGapOptions): Promise<Replica[]> {
  const { writer, others, signal } = options;
  const same: Replica[] = [];
  for (const other of others(txid)) {
    const shares = shareL0(writer.replica, other, { txid, signal });
    // One that does not answer has nothing to give.
    if (await shares.catch(() => false)) same.push(other);
  }
  return same;
}
