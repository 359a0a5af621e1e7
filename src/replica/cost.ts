/**
 * What a replica costs in a month, from how the database is written: requests, bytes and money.
 *
 * The counts are those of the engine: `cost.test.ts` runs it by a fake clock and compares. Of a file only the size is a
 * guess, from how well pages compress.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { type LevelSettings, type LevelsOptions, resolveLevels } from "./levels.ts";

/** How a database is written, and how it is replicated. */
export interface CostProfile extends LevelsOptions {
  /** Commits per second, while it is written. */
  readonly writesPerSecond: number;
  /** Size of the database in bytes. */
  readonly databaseBytes: number;
  /** Part of the time in which it is written, from 0 to 1. @default 1 */
  readonly activeShare?: number | undefined;
  /** Pages that a commit changes. @default 3 */
  readonly pagesPerWrite?: number | undefined;
  /** Pages that are changed again and again, at random: the fewer, the more a compaction saves. @default all pages */
  readonly hotPages?: number | undefined;
  /** Page size in bytes. @default 4096 */
  readonly pageSize?: number | undefined;
  /** What compression leaves of a page, from 0 to 1. @default 0.4 */
  readonly compression?: number | undefined;
  /** Shortest time in milliseconds between two uploads. @default 1000 */
  readonly groupMs?: number | undefined;
  /** Whether a lease is held. @default true */
  readonly lease?: boolean | undefined;
  /** Whether the pointer object is kept. @default false */
  readonly pointer?: boolean | undefined;
  /** Copies that follow. @default 0 */
  readonly followers?: number | undefined;
  /** Milliseconds between two questions of a follower while commits come; ten times that when none does. @default 1000 */
  readonly followMs?: number | undefined;
  /** Databases of this kind. @default 1 */
  readonly databases?: number | undefined;
}

/** What a store charges. */
export interface CostPrices {
  /** What all prices are in, as ISO 4217 has it. */
  readonly currency: string;
  /** A million uploads, parts of large ones included. */
  readonly millionPuts: number;
  /** A million requests that read an object, or learn that there is none. */
  readonly millionGets: number;
  /** A million pages of listings. */
  readonly millionLists: number;
  /** A million requests that delete, up to a thousand objects each. @default 0 */
  readonly millionDeletes?: number | undefined;
  /** A GB (10^9 bytes) stored for a month. */
  readonly storedGb: number;
  /** A GB (10^9 bytes) that leaves the store's network. @default 0, as for readers beside it */
  readonly readGb?: number | undefined;
  /** What a month has for nothing. */
  readonly free?: CostAllowance | undefined;
}

/** Amounts of a month that cost nothing; each is 0 unless given. */
export interface CostAllowance {
  /** Uploads and listings together. */
  readonly puts?: number | undefined;
  /** Requests that read. */
  readonly gets?: number | undefined;
  /** GB (10^9 bytes) stored. */
  readonly storedGb?: number | undefined;
  /** GB (10^9 bytes) read. */
  readonly readGb?: number | undefined;
}

/** Requests by kind. */
export interface RequestCounts {
  /** Uploads, parts of large ones included. */
  readonly puts: number;
  /** Requests that read an object, or learn that there is none. */
  readonly gets: number;
  /** Pages of listings. */
  readonly lists: number;
  /** Requests that delete. */
  readonly deletes: number;
}

/** A month of 30 days. */
export interface CostEstimate {
  /** All requests. */
  readonly requests: RequestCounts;
  /** What they are made for. */
  readonly purposes: {
    /** L0 files, and the listings before uploads that come after a pause. */
    readonly uploads: RequestCounts;
    readonly lease: RequestCounts;
    readonly pointer: RequestCounts;
    /** Files of levels 1 to 8, and the reading of what they are made of. */
    readonly compaction: RequestCounts;
    readonly snapshots: RequestCounts;
    readonly retention: RequestCounts;
    readonly followers: RequestCounts;
  };
  /** Bytes sent to the store and read from it in the month, and bytes that lie there. */
  readonly bytes: { readonly sent: number; readonly read: number; readonly stored: number };
  /** In the currency of the prices. */
  readonly money: {
    readonly currency: string;
    readonly requests: number;
    readonly storage: number;
    readonly traffic: number;
    readonly total: number;
  };
}

const MONTH_SECONDS = 30 * 24 * 3_600;
const GB = 1e9;
/** Header, index and trailer of a file; what a page has beside its bytes. */
const FILE_BYTES = 140;
const FRAME_BYTES = 14;
/** Of large uploads, and of large reads. */
const PART_BYTES = 6 << 20;
const WINDOW_BYTES = 8 << 20;
/** The lease is prolonged, and the pointer rewritten, by an upload that comes this long after the last time. */
const LEASE_SECONDS = 10;
const POINTER_SECONDS = 10;
/** Keys in one deletion, and on a page of a listing. */
const BATCH = 1_000;
/** Files after which a follower looks for a shorter way. */
const FILES_IN_A_ROW = 30;
/** Bytes of files that are kept for the compaction that reads them next, and the largest part of them for one file. */
const RECENT_BYTES = 32 << 20;
const RECENT_SHARE = 1 / 8;
const NONE: RequestCounts = { puts: 0, gets: 0, lists: 0, deletes: 0 };

/** Files of one kind: how many come in a second of writing, and their size in bytes. */
interface Flow {
  readonly perSecond: number;
  readonly bytes: number;
}

/**
 * Estimates a month of steady writing: commits are spread evenly over the time in which the database is written. Starts,
 * restores and retries come on top. An idle database costs what it occupies, and what its followers ask.
 *
 * Throws `InvalidArgumentError` where a number is negative or not finite, or a share above 1.
 *
 * @example
 * ```ts
 * import { COST_PRICES, estimateCost } from "pagestream";
 *
 * const profile = { writesPerSecond: 1, databaseBytes: 1e9, groupMs: 10_000 };
 * const { money } = estimateCost(profile, COST_PRICES.s3);
 * console.log(money.total.toFixed(2), money.currency);
 * ```
 */
export function estimateCost(profile: CostProfile, prices: CostPrices): CostEstimate {
  check(profile);
  const settings = resolveLevels(profile);
  const { activeShare = 1, databases = 1 } = profile;
  const active = MONTH_SECONDS * activeShare;
  const flows = flowsOf(profile, settings);
  const snapshots = snapshotsOf(profile, settings);
  const per = (rate: RequestCounts): RequestCounts => times(rate, active * databases);
  const stored = storedOf(flows, snapshots, settings);
  const pages = Math.max(1, Math.ceil(stored.files / BATCH));
  const paged = (rate: RequestCounts): RequestCounts => ({ ...rate, lists: rate.lists * pages });
  const uploads = per(paged(uploadRequests(flows, settings)));
  const [{ perSecond: rate }] = flows;
  const lease = per({ ...NONE, puts: profile.lease === false ? 0 : atMost(rate, LEASE_SECONDS) });
  const pointer = per({ ...NONE, puts: profile.pointer ? atMost(rate, POINTER_SECONDS) : 0 });
  const isAtHand = areKept(flows, settings, databases);
  const compaction = per(compactionRequests(flows, isAtHand));
  const retention = per(paged(retentionRequests(flows, snapshots, settings)));
  // One more looks whether it is there.
  const taken = { ...NONE, puts: snapshots.perSecond * parts(snapshots.bytes) };
  const whole = per({ ...taken, gets: snapshots.perSecond });
  const followers = times(paged(followRequests(profile, settings, rate)), databases);
  const purposes = {
    uploads,
    lease,
    pointer,
    compaction,
    snapshots: whole,
    retention,
    followers,
  };
  const requests = sum(Object.values(purposes));

  const sent = [...flows, snapshots].reduce((total, flow) => total + volume(flow), 0);
  const read = isAtHand ? [] : flows.slice(1, -1);
  const merged = read.reduce((total, flow) => total + volume(flow), 0);
  const followed = (profile.followers ?? 0) * volume(flows[0]);
  const bytes = {
    sent: sent * active * databases,
    read: (merged + followed) * active * databases,
    stored: stored.bytes * databases,
  };
  return { requests, purposes, bytes, money: moneyOf(requests, bytes, prices) };
}

/** L0 and each compaction level, the lowest first. */
function flowsOf(profile: CostProfile, settings: LevelSettings): [Flow, ...Flow[]] {
  const { writesPerSecond, groupMs = 1_000 } = profile;
  const flow = (perSecond: number): Flow => ({
    perSecond,
    bytes: perSecond === 0 ? 0 : fileBytes(profile, writesPerSecond / perSecond),
  });
  const flows: [Flow, ...Flow[]] = [flow(Math.min(writesPerSecond, 1_000 / groupMs))];
  for (const intervalMs of settings.intervals) {
    flows.push(flow(Math.min((flows.at(-1) as Flow).perSecond, 1_000 / intervalMs)));
  }
  return flows;
}

function snapshotsOf(profile: CostProfile, settings: LevelSettings): Flow {
  const { writesPerSecond } = profile;
  const perSecond = Math.min(writesPerSecond, 1_000 / settings.snapshotIntervalMs);
  return { perSecond, bytes: fileBytes(profile, Number.POSITIVE_INFINITY) };
}

/** Size of a file that holds so many commits; every page when they are infinitely many. */
function fileBytes(profile: CostProfile, commits: number): number {
  const { databaseBytes, pageSize = 4096, pagesPerWrite = 3, compression = 0.4 } = profile;
  const pages = Math.max(1, databaseBytes / pageSize);
  const hot = Math.min(pages, profile.hotPages ?? pages);
  // Of pages drawn at random so many are different ones.
  const drawn = commits * pagesPerWrite;
  const different = hot <= 1 ? hot : hot * (1 - (1 - 1 / hot) ** drawn);
  const held = commits === Number.POSITIVE_INFINITY ? pages : Math.min(drawn, different);
  return FILE_BYTES + held * (pageSize * compression + FRAME_BYTES);
}

function uploadRequests([l0]: readonly [Flow, ...Flow[]], settings: LevelSettings): RequestCounts {
  const { perSecond, bytes } = l0;
  if (perSecond === 0) return NONE;
  const pauseMs = 1_000 / perSecond;
  const { l0RetentionMs } = settings;
  // Before an upload whose proof has aged, and again for what follows it when that is old too.
  const proofMs = (l0RetentionMs > 0 ? l0RetentionMs : 600_000) / 2;
  const later = settings.intervals.length > 1 && pauseMs > 2 * proofMs ? 1 : 0;
  const lists = pauseMs > proofMs ? perSecond * (1 + later) : 0;
  return { ...NONE, puts: perSecond * parts(bytes), lists };
}

function compactionRequests(flows: readonly [Flow, ...Flow[]], isAtHand: boolean): RequestCounts {
  const [, ...levels] = flows;
  const puts = levels.reduce((total, { perSecond, bytes }) => total + perSecond * parts(bytes), 0);
  const gets = isAtHand
    ? 0
    : levels
        .slice(0, -1)
        .reduce((total, { perSecond, bytes }) => total + perSecond * windows(bytes), 0);
  return { ...NONE, puts, gets };
}

/** Whether the files of all databases of a process still lie in memory when they are compacted. */
function areKept(flows: readonly Flow[], settings: LevelSettings, databases: number): boolean {
  let waiting = 0;
  for (const [i, intervalMs] of settings.intervals.entries()) {
    const flow = flows[i] as Flow;
    if (flow.bytes > RECENT_BYTES * RECENT_SHARE) return false;
    waiting += (volume(flow) * intervalMs) / 1_000;
  }
  return waiting * databases <= RECENT_BYTES;
}

function retentionRequests(
  flows: readonly [Flow, ...Flow[]],
  snapshots: Flow,
  settings: LevelSettings,
): RequestCounts {
  const [l0, ...levels] = flows;
  const { retentionEnabled, l0RetentionMs, l0RetentionCheckMs } = settings;
  if (!retentionEnabled) return NONE;
  const compacts = levels.length > 0 && l0RetentionMs > 0;
  const ofL0 = compacts ? atMost(l0.perSecond, l0RetentionCheckMs / 1_000) : 0;
  if (snapshots.perSecond === 0) return { ...NONE, deletes: ofL0 };
  const going = levels.reduce((total, { perSecond }) => total + perSecond, 0);
  const batches = 1 + Math.ceil(going / snapshots.perSecond / BATCH);
  const { perSecond } = snapshots;
  // Before a snapshot goes: whether an adoption keeps it, and what else there is.
  return { ...NONE, deletes: ofL0 + perSecond * batches, gets: perSecond, lists: perSecond };
}

/** Requests of all followers in a month: a hit for each file, and the questions that find nothing. */
function followRequests(
  profile: CostProfile,
  settings: LevelSettings,
  uploads: number,
): RequestCounts {
  const { followers = 0, followMs = 1_000, activeShare = 1 } = profile;
  const intervalS = followMs / 1_000;
  const listS = (settings.l0RetentionMs > 0 ? settings.l0RetentionMs : 300_000) / 4_000;
  const active = MONTH_SECONDS * activeShare * followers;
  const idle = MONTH_SECONDS * (1 - activeShare) * followers;
  const quiet = { gets: 1 / (10 * intervalS), lists: 1 / listS };
  if (uploads === 0) {
    const all = active + idle;
    return { ...NONE, gets: quiet.gets * all, lists: quiet.lists * all };
  }
  const pauseS = 1 / uploads;
  const misses = questions(Math.max(pauseS, intervalS), intervalS) / Math.max(pauseS, intervalS);
  const lists = pauseS > listS ? Math.floor(pauseS / listS) / pauseS : uploads / FILES_IN_A_ROW;
  return {
    ...NONE,
    // A listing takes the place of a question.
    gets: (uploads + misses - lists) * active + quiet.gets * idle,
    lists: lists * active + quiet.lists * idle,
  };
}

/** Questions in a pause: a tenth of the time since the last find apart, within once and ten times the interval. */
function questions(pauseS: number, intervalS: number): number {
  const steady = 10 * intervalS;
  const slowest = 100 * intervalS;
  const growth = (until: number): number => Math.log(until / steady) / Math.log(1.1);
  if (pauseS <= steady) return pauseS / intervalS;
  if (pauseS <= slowest) return 10 + growth(pauseS);
  return 10 + growth(slowest) + (pauseS - slowest) / steady;
}

/** What lies in the store in steady writing. */
function storedOf(
  [l0, ...levels]: readonly [Flow, ...Flow[]],
  snapshots: Flow,
  settings: LevelSettings,
): { readonly bytes: number; readonly files: number } {
  const { l0RetentionMs, intervals, snapshotIntervalMs, snapshotRetentionMs } = settings;
  // One snapshot more than their retention says, and what leads on from the one before that.
  const kept = (snapshotRetentionMs + 1.5 * snapshotIntervalMs) / 1_000;
  const keepsL0 = l0RetentionMs === 0 || intervals.length === 0;
  const l0Seconds = keepsL0 ? kept : (l0RetentionMs + (intervals[0] ?? 0)) / 1_000;
  // The newest always stays.
  const older = snapshots.perSecond === 0 ? 0 : Math.ceil(snapshotRetentionMs / snapshotIntervalMs);
  const whole = 1 + older;
  const sums = { bytes: volume(l0) * l0Seconds + snapshots.bytes * whole, files: whole };
  sums.files += l0.perSecond * l0Seconds;
  for (const flow of levels) {
    sums.bytes += volume(flow) * kept;
    sums.files += flow.perSecond * kept;
  }
  return sums;
}

function moneyOf(
  requests: RequestCounts,
  bytes: CostEstimate["bytes"],
  prices: CostPrices,
): CostEstimate["money"] {
  const { currency, free = {}, millionDeletes = 0, readGb = 0 } = prices;
  const beyond = (amount: number, allowance: number | undefined): number =>
    Math.max(0, amount - (allowance ?? 0));
  // The allowance is used up by whichever come; they are priced alike where there is one.
  const writes = requests.puts + requests.lists;
  const charged = writes === 0 ? 0 : beyond(writes, free.puts) / writes;
  const million =
    charged * (requests.puts * prices.millionPuts + requests.lists * prices.millionLists) +
    beyond(requests.gets, free.gets) * prices.millionGets +
    requests.deletes * millionDeletes;
  const storage = beyond(bytes.stored / GB, free.storedGb) * prices.storedGb;
  const traffic = beyond(bytes.read / GB, free.readGb) * readGb;
  const money = { requests: million / 1e6, storage, traffic };
  return { currency, ...money, total: money.requests + storage + traffic };
}

function check(profile: CostProfile): void {
  for (const [name, value] of Object.entries(profile) as [string, unknown][]) {
    if (typeof value !== "number") continue;
    const isShare = name === "activeShare" || name === "compression";
    const isDivisor = name === "groupMs" || name === "followMs" || name === "pageSize";
    const isInRange = value >= (isDivisor ? 1 : 0) && !(isShare && value > 1);
    if (Number.isFinite(value) && isInRange) continue;
    const what = `${name} is ${value}`;
    throw new InvalidArgumentError({ operation: "estimate", object: "the cost", what });
  }
}

/** At most one in so many seconds. */
function atMost(perSecond: number, seconds: number): number {
  return Math.min(perSecond, 1 / seconds);
}

/** Uploads that a file takes: its parts, the first request and the last. */
function parts(bytes: number): number {
  return bytes <= PART_BYTES ? 1 : Math.ceil(bytes / PART_BYTES) + 2;
}

/** Requests that read a file. */
function windows(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / WINDOW_BYTES));
}

function volume({ perSecond, bytes }: Flow): number {
  return perSecond * bytes;
}

function times(rate: RequestCounts, factor: number): RequestCounts {
  const { puts, gets, lists, deletes } = rate;
  return {
    puts: puts * factor,
    gets: gets * factor,
    lists: lists * factor,
    deletes: deletes * factor,
  };
}

function sum(all: readonly RequestCounts[]): RequestCounts {
  return all.reduce(
    (total, { puts, gets, lists, deletes }) => ({
      puts: total.puts + puts,
      gets: total.gets + gets,
      lists: total.lists + lists,
      deletes: total.deletes + deletes,
    }),
    NONE,
  );
}
