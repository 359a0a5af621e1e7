/**
 * The look at all destinations before a replication starts: which one goes furthest, and what the others lack.
 *
 * @module
 */
import { AbortedError, isPagestreamError, type PagestreamError } from "../core/errors.ts";
import { type Instant, instantOf } from "../core/instant.ts";
import type { Platform } from "../core/platform.ts";
import { equalBytes } from "../core/bytes.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import type { Continuity } from "./continuity.ts";
import { fileEnd, stagedL0 } from "./copy-file.ts";
import type { Destination } from "./destination.ts";
import { isSound, isWhole, type Standing, standingOf } from "./gap.ts";
import type { LocalState } from "./local-state.ts";
import { readMarker } from "./marker.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { parseStagedName, type StagedFile, withSnapshots } from "./staged-file.ts";

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

/** Lists all destinations; a single one is not asked. Throws where none answers. */
export async function surveyAll(
  destinations: readonly Destination[],
  signal: AbortSignal | undefined,
): Promise<Survey> {
  const others = new Map<Destination, Seen>();
  const silent = new Map<Destination, PagestreamError>();
  let lead = destinations[0] as Destination;
  if (destinations.length === 1) return { lead, others, silent };
  await Promise.all(
    destinations.map(async (destination) => {
      try {
        const { replica } = destination;
        await replica.prepareToWrite({ signal });
        const listedAt = instantOf(replica.platform.clock);
        const levels = await replica.levels({ signal });
        others.set(destination, { standing: standingOf(levels), levels, listedAt });
      } catch (error) {
        if (error instanceof AbortedError || !isPagestreamError(error)) throw error;
        silent.set(destination, error);
      }
    }),
  );
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
  if (here === undefined || there === undefined || here.size !== there.size) return false;
  const ends = [fileEnd(replica, here, signal), fileEnd(lead, there, signal)];
  const [a, b] = (await Promise.all(ends)) as [Uint8Array, Uint8Array];
  return equalBytes(a, b);
}
