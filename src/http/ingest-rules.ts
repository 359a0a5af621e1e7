/**
 * Which files may join a replica: those that its history leads to, that fill what it lacks, or that merge what it has.
 *
 * A client is trusted with what its database holds, and with nothing else: no file replaces another, none leads over a state
 * that is not there, and none has the name of one that retention has removed.
 *
 * | file | may come when |
 * | --- | --- |
 * | level 0, after the newest TXID | page size and time go on; every page that the database has grown by is in it |
 * | level 0, of the newest TXID | a level above ends there with the same time and size, and it holds every page |
 * | level 0, before | it is in no level above, and follows another file |
 * | level 1 to 8, to a state that is there | it overlaps none of its level, and ends with that state's time and size |
 * | level 1 or 9, beyond the newest TXID | it holds every page, and time goes on |
 *
 * @module
 */
import { formatTxid } from "../ltx/file-name.ts";
import type { LtxHeader } from "../ltx/header.ts";
import { type FileSpan, SNAPSHOT_LEVEL } from "../replica/layout.ts";

/** What a state of the database is told by: the header of a file that ends with it. */
export type StateHeader = Pick<LtxHeader, "pageSize" | "commit" | "timestamp">;

/** A replica, as far as the rules need it. */
export interface KnownReplica<F extends FileSpan = FileSpan> {
  /** The files of each level, in order. */
  readonly levels: readonly (readonly F[])[];
  /** The header of a file; one request at most. */
  readonly header: (file: F) => Promise<StateHeader>;
}

/** What is asked of the pages of a file that may come. */
export interface Admission {
  /** Whether it must hold every page of the database. */
  readonly whole: boolean;
  /** Size of the database in pages before the file: it must hold all that come after. `undefined`: not known. */
  readonly previousCommit: number | undefined;
}

/** Why a file may not come, in words for a person. */
export interface Objection {
  readonly reason: string;
}

/** How far ahead of the server's clock a file may be. */
const AHEAD_MS = 5 * 60_000;

/** Whether a file that is not there yet may come, or why not. */
export async function judgeFile<F extends FileSpan>(
  span: FileSpan,
  header: LtxHeader,
  { known, nowMs }: { readonly known: KnownReplica<F>; readonly nowMs: number },
): Promise<Admission | Objection> {
  const { level, minTxid, maxTxid } = span;
  const problem = nameProblem(span, header);
  if (problem !== undefined) return { reason: problem };
  const files = known.levels.flat();
  const newest = newestOf(files);
  const last = newest && (await known.header(newest));
  if (isFuture(header, last, nowMs)) {
    return { reason: "its time is more than five minutes ahead of the server's clock" };
  }
  if (newest === undefined || last === undefined) return judgeFirst(span);
  if (maxTxid > newest.maxTxid) {
    if (header.timestamp <= last.timestamp) {
      return { reason: `its time is not after that of TXID ${formatTxid(newest.maxTxid)}` };
    }
    return judgeNext(span, header, { files, newest, last });
  }
  const ends = files.filter((file) => file.maxTxid === maxTxid && file.level !== level);
  if (level > 0) {
    const overlap = known.levels[level]?.find(
      (file) => level !== SNAPSHOT_LEVEL && file.minTxid <= maxTxid && file.maxTxid >= minTxid,
    );
    if (overlap !== undefined) return { reason: "its level has some of these transactions" };
    const [end] = ends;
    if (end === undefined) return { reason: "no file ends with the state that it leads to" };
    if (!isSameState(await known.header(end), header)) return { reason: OTHER_STATE };
    const isJoined =
      minTxid === 1n ||
      files.some((file) => file.minTxid === minTxid || file.maxTxid === minTxid - 1n);
    if (!isJoined) return { reason: `nothing leads to TXID ${formatTxid(minTxid - 1n)}` };
    return { whole: false, previousCommit: undefined };
  }
  return await judgeRepair(span, header, { known, ends, last });
}

function nameProblem({ level, minTxid, maxTxid }: FileSpan, header: LtxHeader): string | undefined {
  if (header.minTxid !== minTxid || header.maxTxid !== maxTxid) {
    return "its header says other TXIDs than its name";
  }
  if (level === 0 && minTxid !== maxTxid) return "a file of level 0 is of one TXID";
  if (level === SNAPSHOT_LEVEL && minTxid !== 1n) return "a snapshot begins with TXID 1";
  return undefined;
}

/** A database whose clock was wrong once goes on a millisecond at a time, until the clock has caught up. */
function isFuture(header: LtxHeader, last: StateHeader | undefined, nowMs: number): boolean {
  const latest = BigInt(Math.trunc(nowMs + AHEAD_MS));
  const next = (last?.timestamp ?? latest) + 1n;
  return header.timestamp > (next > latest ? next : latest);
}

function judgeFirst({ level, minTxid }: FileSpan): Admission | Objection {
  const begins = level === SNAPSHOT_LEVEL || (level < 2 && minTxid === 1n);
  if (begins) return { whole: true, previousCommit: undefined };
  return { reason: "the replica is empty, and this is not where a history begins" };
}

function judgeNext(
  { level, minTxid, maxTxid }: FileSpan,
  header: LtxHeader,
  at: {
    readonly files: readonly FileSpan[];
    readonly newest: FileSpan;
    readonly last: StateHeader;
  },
): Admission | Objection {
  const { files, newest, last } = at;
  if (level === SNAPSHOT_LEVEL) return { whole: true, previousCommit: undefined };
  if (level > 1) return { reason: "a merged file holds nothing that is not in the replica" };
  const next = newest.maxTxid + 1n;
  const resized = header.pageSize !== last.pageSize;
  if (resized) return { reason: `the page size is ${last.pageSize}` };
  if (level === 1) {
    // Where a writer's bridge begins, so that no file below is left behind by later compactions.
    const merged = files.filter((file) => file.level > 0 && file.level < SNAPSHOT_LEVEL);
    const snapshots = files.filter((file) => file.level === SNAPSHOT_LEVEL);
    const before = newestOf(merged) ?? newestOf(snapshots);
    const isJoined =
      minTxid === (before?.maxTxid ?? 0n) + 1n || (merged.length === 0 && minTxid === 1n);
    if (isJoined) return { whole: true, previousCommit: undefined };
    return { reason: `a bridge begins with TXID ${formatTxid((before?.maxTxid ?? 0n) + 1n)}` };
  }
  if (maxTxid !== next) return { reason: gapAt(next) };
  return { whole: false, previousCommit: last.commit };
}

/** A file of level 0 that the replica lacks. */
async function judgeRepair<F extends FileSpan>(
  { maxTxid }: FileSpan,
  header: LtxHeader,
  at: { readonly known: KnownReplica<F>; readonly ends: readonly F[]; readonly last: StateHeader },
): Promise<Admission | Objection> {
  const { known, ends, last } = at;
  const { levels } = known;
  const newestL0 = newestOf(levels[0] ?? [])?.maxTxid ?? 0n;
  const [end] = ends;
  if (maxTxid > newestL0 && end !== undefined) {
    if (!isSameState(await known.header(end), header)) return { reason: OTHER_STATE };
    return { whole: true, previousCommit: undefined };
  }
  const isMerged = levels
    .slice(1, SNAPSHOT_LEVEL)
    .some((level) => level.some((file) => file.minTxid <= maxTxid && file.maxTxid >= maxTxid));
  if (isMerged) return { reason: "another file holds this TXID already" };
  const follows = levels
    .slice(0, SNAPSHOT_LEVEL)
    .some((level) => level.some((file) => file.maxTxid === maxTxid - 1n));
  if (!follows) return { reason: `nothing leads to TXID ${formatTxid(maxTxid - 1n)}` };
  if (header.pageSize !== last.pageSize) return { reason: `the page size is ${last.pageSize}` };
  return { whole: false, previousCommit: undefined };
}

const OTHER_STATE = "the replica has another state of this TXID";

function isSameState(a: StateHeader, b: StateHeader): boolean {
  return a.pageSize === b.pageSize && a.commit === b.commit && a.timestamp === b.timestamp;
}

function gapAt(next: bigint): string {
  return `the next TXID is ${formatTxid(next)}`;
}

/** The file with the largest last TXID; the one of the lowest level, where several have it. */
export function newestOf<F extends FileSpan>(files: readonly F[]): F | undefined {
  let newest: F | undefined;
  for (const file of files) {
    if (newest === undefined || file.maxTxid > newest.maxTxid) newest = file;
  }
  return newest;
}
