/**
 * The look at all destinations before a replication starts: which one goes furthest, and what the others lack.
 *
 * @module
 */
import { isPagestreamError, type PagestreamError } from "../core/errors.ts";
import { type Instant, instantOf } from "../core/instant.ts";
import type { Platform } from "../core/platform.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import type { Continuity } from "./continuity.ts";
import { isSameL0, stagedL0 } from "./copy-file.ts";
import type { Destination } from "./destination.ts";
import { isSound, isWhole, type Standing, standingOf } from "./gap.ts";
import type { LocalState } from "./local-state.ts";
import { readMarker } from "./marker.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { parseStagedName, type StagedFile, withSnapshots } from "./staged-file.ts";
import { sameObject } from "./upload-staged.ts";

/** What is no trouble of one store, but for the caller to hear. */
const DECIDED: ReadonlySet<string> = new Set(["ABORTED", "CONFLICT", "UNSUPPORTED"]);

/** A destination that answered. */
export interface Seen {
  readonly standing: Standing;
  /** Its files, level by level. */
  readonly levels: readonly (readonly LtxFileInfo[])[];
  /** When it was listed. */
  readonly listedAt: Instant;
}

/** What was seen of all destinations. */
export interface Survey {
  /** The one that goes furthest of those that answer, the first of several. */
  readonly lead: Destination;
  /** The others that answer. */
  readonly others: ReadonlyMap<Destination, Seen>;
  /** Those that do not, and why. */
  readonly silent: ReadonlyMap<Destination, PagestreamError>;
}

/**
 * Lists all destinations, after it has made sure of the lease of each; a single one is not listed. Throws where none answers,
 * and where another writer holds a lease that is not to be taken over.
 */
export async function surveyAll(
  destinations: readonly Destination[],
  options: { readonly takeOver: boolean; readonly signal: AbortSignal | undefined },
): Promise<Survey> {
  const { takeOver, signal } = options;
  const others = new Map<Destination, Seen>();
  const silent = new Map<Destination, PagestreamError>();
  let lead = destinations[0] as Destination;
  const hold = ({ lease }: Destination): Promise<void> | undefined =>
    takeOver ? lease?.takeOver(signal) : lease?.inspect(signal);
  if (destinations.length === 1) {
    await hold(lead);
    return { lead, others, silent };
  }
  const ask = async (destination: Destination, work: () => Promise<void>): Promise<void> => {
    if (silent.has(destination)) return;
    try {
      await work();
    } catch (error) {
      if (!isPagestreamError(error) || DECIDED.has(error.code)) throw error;
      silent.set(destination, error);
    }
  };
  const prepare = (destination: Destination): Promise<void> =>
    ask(destination, async () => {
      await destination.replica.prepareToWrite({ signal });
      await hold(destination);
    });
  // Two who take over at once do so in one order: one of them gets all.
  if (takeOver) for (const each of destinations) await prepare(each);
  else await Promise.all(destinations.map(prepare));
  // What is listed before another writer's lease has ended need not be all that it wrote.
  const list = (destination: Destination): Promise<void> =>
    ask(destination, async () => {
      const { replica } = destination;
      const listedAt = instantOf(replica.platform.clock);
      const levels = await replica.levels({ signal });
      others.set(destination, { standing: standingOf(levels), levels, listedAt });
    });
  await Promise.all(destinations.map(list));
  let furthest = -1n;
  for (const destination of destinations) {
    const seen = others.get(destination);
    if (seen === undefined || seen.standing.maxTxid <= furthest) continue;
    furthest = seen.standing.maxTxid;
    lead = destination;
  }
  if (others.size === 0) throw silent.get(lead) as PagestreamError;
  others.delete(lead);
  return { lead, others, silent };
}

/**
 * The largest TXID that was ever used as far as is known here. Where a destination does not answer, nothing may take a
 * TXID that it could have.
 */
export function lastKnownTxid(state: LocalState): bigint {
  let last = readMarker(state.readMarker())?.state.txid ?? 0n;
  for (const name of state.staged()) {
    const txid = parseStagedName(name)?.maxTxid ?? 0n;
    if (txid > last) last = txid;
  }
  return last;
}

/** Where {@linkcode findJoining} looks. */
export interface JoiningOptions {
  /** What is known of the replica that goes furthest. */
  readonly found: Continuity;
  readonly lead: Replica;
  readonly state: LocalState;
  readonly platform: Platform;
  readonly signal: AbortSignal | undefined;
}

/** How another destination goes on. */
export interface Joining {
  /** Whether its files are of this database's own history. */
  readonly isOurs: boolean;
  /**
   * The staged files that bring it to the newest state of the lead, before those still to be uploaded to both;
   * `undefined` where it cannot follow file by file.
   */
  readonly files: readonly StagedFile[] | undefined;
}

/** Finds out how another destination goes on. */
export async function findJoining(
  replica: Replica,
  seen: Seen,
  options: JoiningOptions,
): Promise<Joining> {
  try {
    return await compare(replica, seen, options);
  } catch (error) {
    // A compaction or retention removed a file since it was listed: whoever brings the destination up lists again.
    if (!isPagestreamError(error, "NOT_FOUND")) throw error;
    return { isOurs: false, files: undefined };
  }
}

async function compare(replica: Replica, seen: Seen, options: JoiningOptions): Promise<Joining> {
  const { found, state, platform, signal } = options;
  const { maxTxid } = seen.standing;
  if (maxTxid === 0n) return { isOurs: true, files: found.maxTxid === 0n ? [] : undefined };
  const isOurs = await isSameHistory(replica, seen, options);
  // A file with every page needs nothing before it.
  const isEqual = isOurs || (maxTxid === found.maxTxid && found.needsFull !== undefined);
  if (!isSound(seen.standing) || !isEqual) return { isOurs, files: undefined };
  if (maxTxid < found.maxTxid && !(await isNewestStaged(options))) {
    return { isOurs, files: undefined };
  }
  const files: StagedFile[] = [];
  for (let txid = maxTxid + 1n; txid <= found.maxTxid; txid++) {
    const file = stagedL0(txid, { state, platform, key: found.key, sequence: -1 });
    if (file === undefined) return { isOurs, files: undefined };
    files.push(file);
  }
  if (files.some(({ full }) => full)) {
    const newest = seen.levels[0]?.at(-1) as LtxFileInfo;
    const head = await replica.read(newest, { length: LTX_HEADER_SIZE, signal });
    return { isOurs, files: withSnapshots(state, files, decodeHeader(head).pageSize) };
  }
  return { isOurs, files };
}

/**
 * Whether the file that is staged under the lead's newest TXID is the one that the lead has, or is about to get: after a hold
 * that was given up it may be another.
 */
export async function isNewestStaged(options: JoiningOptions): Promise<boolean> {
  const { found, lead, state, platform, signal } = options;
  const { maxTxid: txid, key, promoted } = found;
  const file = stagedL0(txid, { state, platform, key, sequence: -1 });
  if (file === undefined) return false;
  const there = found.levels[0]?.find(({ maxTxid }) => maxTxid === txid);
  if (there !== undefined) return await sameObject(lead, there, { file, state, signal });
  return promoted.some(({ name }) => name === file.name);
}

/** Whether the newest L0 file of a replica is the one that the lead has of that TXID. */
async function isSameHistory(
  replica: Replica,
  seen: Seen,
  options: JoiningOptions,
): Promise<boolean> {
  const { found, lead, signal } = options;
  const { maxTxid } = seen.standing;
  const isNewest = (file: LtxFileInfo): boolean =>
    file.minTxid === maxTxid && file.maxTxid === maxTxid && isWhole(file);
  const here = seen.levels[0]?.find(isNewest);
  const there = found.levels[0]?.find(isNewest);
  if (here === undefined || there === undefined) return false;
  return await isSameL0({ replica, file: here }, { replica: lead, file: there }, signal);
}
