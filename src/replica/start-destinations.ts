/**
 * How all destinations begin, once it is known how the one that goes furthest continues.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { Continuity } from "./continuity.ts";
import { stagedL0 } from "./copy-file.ts";
import type { Destination } from "./destination.ts";
import { fillGap } from "./fill-gap.ts";
import type { CutState } from "./l0-cutter.ts";
import type { LocalState } from "./local-state.ts";
import type { StagedFile } from "./staged-file.ts";
import { findJoining, isNewestStaged, type Joining, lastKnownTxid, type Survey } from "./survey.ts";

/** What {@linkcode planStart} works with. */
export interface StartOptions {
  readonly state: LocalState;
  readonly platform: Platform;
  readonly signal: AbortSignal | undefined;
}

/** How a replication begins. */
export interface StartPlan {
  /** The state that the next file comes after. */
  readonly last: CutState;
  /** The commit boundary that is proven, and the pages that differed there; `undefined`: the next file holds all. */
  readonly proven: { readonly sequence: number; readonly differing: Uint32Array } | undefined;
  /** Says of every destination how far it goes. Before any file is cut. */
  readonly place: () => void;
  /** Gives every destination what it lacks, or leaves it behind. */
  readonly feed: () => void;
}

/** Finds out how every destination begins; asks them, and fills a gap of the lead, but tells none of them yet. */
export async function planStart(
  survey: Survey,
  found: Continuity,
  options: StartOptions,
): Promise<StartPlan> {
  const { lead, others, silent } = survey;
  const { maxTxid: txid, promoted, sequence, differing } = found;
  const joining = new Map<Destination, Joining>();
  const where = { ...options, found, lead: lead.replica };
  for (const [other, seen] of others) {
    joining.set(other, await findJoining(other.replica, seen, where));
  }
  const staged = silent.size > 0 && (await isNewestStaged(where)) ? stagedUpTo(found, options) : [];
  const isWhole = found.standing.gap === undefined || (await isFilled(survey, found, options));
  const last = lastState(found, silent, options.state);
  // Where a destination that does not answer may have more, nothing is proven to be the newest.
  const isNewest = last.txid === (promoted.at(-1)?.header.maxTxid ?? txid);
  const isProven = found.needsFull === undefined && isNewest;
  // What repairs the lead under its newest TXID is nothing that another lacks.
  const later = promoted.filter(({ header }) => header.maxTxid > txid);
  // While anything of the proven state still has to be uploaded, nothing is durable.
  const isCurrent = isProven && later.length + differing.length === 0;
  const current = isCurrent ? sequence : undefined;
  return {
    last,
    proven: isProven ? { sequence, differing } : undefined,
    place() {
      lead.begin(found, { sequence: promoted.length === 0 ? current : undefined, isOurs: true });
      for (const [other, seen] of others) {
        const isOurs = joining.get(other)?.isOurs === true;
        const isThere = seen.standing.maxTxid === txid ? current : undefined;
        other.begin(seen, { sequence: isThere, isOurs });
      }
    },
    feed() {
      lead.take(promoted);
      if (!isWhole) lead.gapFound();
      for (const [other, { files }] of joining) {
        if (files === undefined) other.leaveBehind("it lacks files that are not kept any more");
        else other.take(isCurrent ? withSequence(files, sequence) : files);
        other.take(later);
      }
      if (silent.size === 0) return;
      const waiting = [...(isCurrent ? withSequence(staged, sequence) : staged), ...later];
      for (const [other, error] of silent) other.beginUnseen(error, waiting);
    },
  };
}

/**
 * The staged files that lead to the lead's newest state without a gap; none of another page size than the one before, since
 * its snapshot may not be staged any more.
 */
function stagedUpTo(found: Continuity, { state, platform }: StartOptions): readonly StagedFile[] {
  const files: StagedFile[] = [];
  for (let txid = found.maxTxid; ; txid--) {
    const file = stagedL0(txid, { state, platform, key: found.key, sequence: -1 });
    if (file === undefined || file.full) return files;
    files.unshift(file);
  }
}

/** The state that the next file comes after; its time is later than that of any file. */
function lastState(
  found: Continuity,
  silent: ReadonlyMap<Destination, PagestreamError>,
  state: LocalState,
): CutState {
  const { maxTxid: txid, pageSize, commit, lastTime: time } = found;
  const newest = found.promoted.at(-1)?.header;
  const last =
    newest === undefined
      ? { txid, pageSize, commit, time }
      : {
          txid: newest.maxTxid,
          pageSize: newest.pageSize,
          commit: newest.commit,
          time: newest.timestamp > time ? newest.timestamp : time,
        };
  const used = silent.size === 0 ? 0n : lastKnownTxid(state);
  return used > last.txid ? { ...last, txid: used } : last;
}

/** Puts back what the lead has lost and is still to be had: among the files that the start removes, or elsewhere. */
async function isFilled(
  { lead, others }: Survey,
  found: Continuity,
  options: StartOptions,
): Promise<boolean> {
  // Files staged here go only between those of a history that is proven to be ours.
  if (found.marker === undefined) return false;
  const { state, platform, signal = platform.newAborter().signal } = options;
  const replicas = [...others.keys()].map(({ replica }) => replica);
  try {
    return await fillGap(found.standing, {
      writer: lead.writer,
      state,
      platform,
      key: found.key,
      folder: "start",
      others: () => replicas,
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    // Then a bridge leads over it.
    return false;
  }
}

/** The last of these files leads to the state of a commit. */
function withSequence(files: readonly StagedFile[], sequence: number): readonly StagedFile[] {
  return files.map((file, i) => (i === files.length - 1 ? { ...file, sequence } : file));
}
