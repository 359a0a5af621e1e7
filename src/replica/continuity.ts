/**
 * What is known at the start: which state of the replica the database is in, proven page by page.
 *
 * The replica is listed, the marker or a restore's token read, what an earlier process staged is settled, and the whole
 * database is compared; see `comparison.ts`.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { isPagestreamError } from "../core/errors.ts";
import { type Instant, instantOf } from "../core/instant.ts";
import type { Platform } from "../core/platform.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import { Comparison, type Findings, NOTHING_FOUND } from "./comparison.ts";
import { ConflictError } from "./errors.ts";
import { isWhole, type Standing, standingOf } from "./gap.ts";
import { findMarker, type ProvenState } from "./known-marker.ts";
import { readLocalPages } from "./local-pages.ts";
import type { LocalState } from "./local-state.ts";
import { DIGEST_KEY_LENGTH, PageDigest } from "./page-digest.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import type { ReplicateOptions } from "./replication.ts";
import { type SettledFiles, settleStaged } from "./settle-staged.ts";

/** Listings of a start beside which another writer's retention removes files. */
const TRIES = 4;

/** What replication starts from. */
export interface Continuity extends Findings {
  /** Largest TXID of the replica over all levels; 0 when it is empty. */
  readonly maxTxid: bigint;
  /** Page size and database size of the replica's newest file; 0 when it is empty. */
  readonly pageSize: number;
  readonly commit: number;
  /** Largest creation time of any file, in milliseconds. */
  readonly lastTime: bigint;
  /** Staged files that nothing needs once the marker is written. */
  readonly settled: readonly string[];
  /** Key for digests from now on. */
  readonly key: Uint8Array;
  /** What is missing in the replica. */
  readonly standing: Standing;
  /** Its files, level by level. */
  readonly levels: readonly (readonly LtxFileInfo[])[];
  /** When all that was listed. */
  readonly listedAt: Instant;
}

/** What {@linkcode establishContinuity} looks at. */
export interface ContinuityOptions extends Pick<
  ReplicateOptions,
  "position" | "onBehind" | "signal"
> {
  readonly source: CommitSource;
  /** The replica that goes furthest. */
  readonly replica: Replica;
  /** What all destinations call themselves. */
  readonly names: readonly string[];
  readonly state: LocalState;
  readonly platform: Platform;
  /**
   * Whether staged files hold commits that were acknowledged: a database that has lost them is behind. Else it is the
   * replica that is ahead, of a commit that nobody was promised. @default false
   */
  readonly acknowledged?: boolean | undefined;
  /** What is known since nobody looked away: then nothing is compared. */
  readonly rested?: RestedState | undefined;
  /** What the source proves of its own. If it is the replica's newest state, nothing is compared. */
  readonly proven?: ProvenState | undefined;
}

/** Where a replication was put to rest, its source being listened to ever since. */
export interface RestedState {
  /** The state that the replica and the database were in. */
  readonly txid: bigint;
  /** The commit that led to it. */
  readonly sequence: number;
}

/**
 * Establishes where replication stands. Reads the replica and the whole database, writes neither.
 *
 * Throws `DatabaseBehindError` where the database is behind and may not go on as it is.
 */
export async function establishContinuity(options: ContinuityOptions): Promise<Continuity> {
  for (let tries = 1; ; tries++) {
    try {
      return await establish(options);
    } catch (error) {
      // A compaction or retention removed a file meanwhile; what replaced it is in a new listing.
      if (!isPagestreamError(error, "NOT_FOUND") || tries === TRIES) throw error;
    }
  }
}

/** Establishes where a file with every page goes, behind all that the replica holds. Nothing is compared. */
export async function continueAnyway(
  options: ContinuityOptions,
  needsFull: string,
): Promise<Continuity> {
  const { files: _files, time: _time, ...listed } = await listReplica(options);
  const key = options.platform.randomBytes(DIGEST_KEY_LENGTH);
  return { ...NOTHING_FOUND, ...listed, key, settled: [], needsFull };
}

async function establish(options: ContinuityOptions): Promise<Continuity> {
  const { source, replica, state, platform, position, onBehind, acknowledged, signal } = options;
  const { files, time, ...listed } = await listReplica(options);
  const { levels, maxTxid, pageSize } = listed;
  const l0 = levels[0] ?? [];
  const known = await findMarker({
    source,
    replica,
    names: options.names,
    state,
    platform,
    position,
    l0,
    maxTxid,
    signal,
  });
  const { marker, key } = known;
  const digest = new PageDigest(key);
  const now = platform.clock.monotonic();
  const settled = await settleStaged({
    replica,
    state,
    files,
    maxTxid,
    marker,
    key,
    digest,
    now,
    acknowledged,
    signal,
  });
  const { rested } = options;
  if (rested !== undefined && maxTxid > rested.txid) throw takenMeanwhile(options, maxTxid);
  const sequence = knownSequence(options, settled, maxTxid);
  let found: Findings;
  if (sequence !== undefined) {
    found = { ...NOTHING_FOUND, marker: settled.marker, sequence };
  } else if (source.commit > 0 && maxTxid === 0n && settled.waiting.length === 0) {
    // There is nothing to compare with.
    const needsFull = known.contradiction ?? "the replica is empty";
    found = { ...NOTHING_FOUND, needsFull };
  } else if (source.commit > 0) {
    const local =
      known.local ?? (await readLocalPages(source, digest, { clock: platform.clock, signal }));
    const comparison = new Comparison({
      source,
      replica,
      state,
      files,
      l0,
      maxTxid,
      pageSize,
      time,
      known,
      settled,
      digest,
      local,
      onBehind,
      signal,
    });
    found = await comparison.run();
  } else if (maxTxid > 0n) {
    found = { ...NOTHING_FOUND, needsFull: "the database is empty" };
  } else {
    // Nothing anywhere: the first commit brings every page by itself.
    found = { ...NOTHING_FOUND, sequence: source.sequence };
  }
  const needed = new Set(found.promoted.map((file) => file.name));
  const unneeded = state.staged().filter((name) => !needed.has(name));
  return { ...found, ...listed, key, settled: unneeded };
}

/** The commit boundary at which the database is known to equal the replica's newest state, where no page need be read. */
function knownSequence(
  { rested, proven }: ContinuityOptions,
  { marker, waiting, repair }: SettledFiles,
  maxTxid: bigint,
): number | undefined {
  if (marker?.state.txid !== maxTxid) return undefined;
  if (rested?.txid === maxTxid) return rested.sequence;
  // Staged files may yet land in the store: then their bytes must be those that are uploaded again.
  if (waiting.length > 0 || repair !== undefined) return undefined;
  return marker.state.mark === proven?.mark ? proven?.sequence : undefined;
}

/** Only one writer may be there, and this one has written nothing. */
function takenMeanwhile({ replica }: ContinuityOptions, maxTxid: bigint): ConflictError {
  return new ConflictError({
    operation: "replicate to",
    object: replica.description,
    what: `another writer has created txid ${formatTxid(maxTxid)} while this one was idle`,
    next: "Stop one of the two writers, then call takeOver() to continue after the other's last file",
  });
}

interface Listing {
  readonly files: readonly LtxFileInfo[];
  readonly levels: readonly (readonly LtxFileInfo[])[];
  readonly maxTxid: bigint;
  readonly pageSize: number;
  readonly commit: number;
  /** Header time of the newest file, and the largest time of any. */
  readonly time: bigint;
  readonly lastTime: bigint;
  readonly standing: Standing;
  readonly listedAt: Instant;
}

async function listReplica({ replica, platform, signal }: ContinuityOptions): Promise<Listing> {
  const listedAt = instantOf(platform.clock);
  const levels = await replica.levels({ exactTimes: true, signal });
  const files = levels.flat();
  const standing = standingOf(levels);
  let newest: LtxFileInfo | undefined;
  for (const file of files.filter(isWhole)) {
    if (newest === undefined || file.maxTxid > newest.maxTxid) newest = file;
  }
  // A TXID is taken by its name alone, whatever is left of the file.
  const { maxTxid } = standing;
  const seen = { files, levels, standing, listedAt, maxTxid };
  const latest = BigInt(files.reduce((last, f) => Math.max(last, f.time.getTime()), 0));
  if (newest === undefined) return { ...seen, pageSize: 0, commit: 0, time: 0n, lastTime: latest };
  const head = await replica.read(newest, { offset: 0, length: LTX_HEADER_SIZE, signal });
  const { pageSize, commit, timestamp: time } = decodeHeader(head, newest.key);
  const lastTime = latest > time ? latest : time;
  return { ...seen, pageSize, commit, time, lastTime };
}
