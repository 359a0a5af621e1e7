/**
 * What an earlier process logged and did not stage any more becomes a staged file, and staged files go to the replica.
 *
 * Of the log all transactions but perhaps the last had committed. The last had, if the database shows it; it had not,
 * if the database shows the state before it. A database that shows neither has lost what it acknowledged: then all of
 * the log is kept, for which it was written.
 *
 * Files of acknowledged commits are uploaded before anything is compared: where the database has lost them it is found
 * behind the replica, and they are not lost.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import type { CommitSource } from "../core/commit-source.ts";
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { decodeHeader, LTX_HEADER_SIZE, replicaHeader } from "../ltx/header.ts";
import { type LoggedCommit, loggedPages, readCommitLog } from "./commit-log.ts";
import { l0Checksum } from "./known-marker.ts";
import type { LocalState } from "./local-state.ts";
import { type Marker, readMarker } from "./marker.ts";
import { DIGEST_KEY_LENGTH, PageDigest } from "./page-digest.ts";
import { PageTable } from "./page-table.ts";
import type { LtxFileInfo } from "./replica.ts";
import {
  deriveSnapshot,
  readStaged,
  type StagedFile,
  StagedFileWriter,
  isForUpload,
} from "./staged-file.ts";
import { sameObject, stagedObject } from "./upload-staged.ts";
import type { ReplicaWriter } from "./writer.ts";

/** What {@linkcode recoverLog} looks at. */
export interface RecoverLogOptions {
  readonly source: CommitSource;
  readonly writer: ReplicaWriter;
  readonly state: LocalState;
  readonly platform: Platform;
  /** Uploads what was staged although there is no log: every file was acknowledged. */
  readonly always: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Brings the log of an earlier process into the replica, and empties it. Returns whether what was staged, now uploaded as
 * far as it continues the replica, had been acknowledged.
 */
export async function recoverLog(options: RecoverLogOptions): Promise<boolean> {
  const { source, state, platform, signal } = options;
  const isLogged = state.readLog(0, 1).length > 0;
  if (!isLogged && !options.always) return false;
  const marker = readMarker(state.readMarker());
  const digest = new PageDigest(marker?.key ?? new Uint8Array(DIGEST_KEY_LENGTH));
  const staged = soundFiles(state, platform, digest);
  const base = stateBefore(marker, staged);
  // What a staged file holds already is cut.
  const newest = staged.at(-1)?.header.maxTxid ?? 0n;
  const open = readCommitLog(state).filter(({ txid }) => txid > newest);
  if (open.length > 0 && open.every(({ continues }) => continues)) {
    const records = await withoutRolledBack(open, { source, state, base, digest, signal });
    if (records.length > 0) staged.push(foldRecords(records, state, platform));
  }
  await uploadAll(staged, options);
  state.truncateLog(0);
  state.syncLog();
  return true;
}

/** The whole staged files, oldest first, a snapshot before the L0 file of its state. */
function soundFiles(state: LocalState, platform: Platform, digest: PageDigest): StagedFile[] {
  const files: StagedFile[] = [];
  for (const name of state.staged().filter(isForUpload)) {
    try {
      files.push(readStaged(state, name, { digest, sequence: 0, now: platform.clock.monotonic() }));
    } catch {
      // Torn: what it held was still in the log, or was never acknowledged.
      state.removeStaged(name);
    }
  }
  return files.sort((a, b) =>
    a.header.maxTxid === b.header.maxTxid
      ? b.level - a.level
      : Number(a.header.maxTxid - b.header.maxTxid),
  );
}

/** A state of the database by its page digests. */
interface KnownState {
  readonly txid: bigint;
  readonly commit: number;
  readonly table: PageTable;
}

/** The state that the log continues, as far as the marker and the staged files on top of it tell. */
function stateBefore(
  marker: Marker | undefined,
  staged: readonly StagedFile[],
): KnownState | undefined {
  let known: KnownState | undefined = marker && { ...marker.state, table: marker.table };
  for (const { level, header, digests, full } of staged) {
    const { maxTxid: txid, commit } = header;
    if (level !== 0 || (known !== undefined && txid <= known.txid)) continue;
    if (!full && known?.txid !== txid - 1n) return undefined;
    const table: PageTable = known?.table ?? new PageTable();
    table.resize(commit);
    table.apply(digests);
    known = { txid, commit, table };
  }
  return known;
}

interface Evidence {
  readonly source: CommitSource;
  readonly state: LocalState;
  readonly base: KnownState | undefined;
  readonly digest: PageDigest;
  readonly signal: AbortSignal | undefined;
}

/** The records without the last one, where that was rolled back. */
async function withoutRolledBack(
  records: readonly LoggedCommit[],
  evidence: Evidence,
): Promise<readonly LoggedCommit[]> {
  const last = records.at(-1) as LoggedCommit;
  if (last.committed || (await shows(records, evidence))) return records;
  const earlier = records.slice(0, -1);
  const isBefore =
    earlier.length > 0 ? await shows(earlier, evidence) : await showsBase(last, evidence);
  return isBefore ? earlier : records;
}

/** Whether the database is as the records left it, as far as their pages go. */
async function shows(records: readonly LoggedCommit[], evidence: Evidence): Promise<boolean> {
  const { source, state, signal } = evidence;
  const { pageSize, commit } = records.at(-1) as LoggedCommit;
  if (source.commit !== commit || source.pageSize !== pageSize) return false;
  const pages = newestPages(records, state);
  return await everyPage(source, { pages: pages.keys(), signal }, (pgno, data) =>
    equalBytes(data, state.readLog(pages.get(pgno) as number, pageSize)),
  );
}

/** Whether the pages of the only record are known to be as they were before it. */
async function showsBase(record: LoggedCommit, evidence: Evidence): Promise<boolean> {
  const { source, state, base, digest, signal } = evidence;
  // Without the marker's newest steps, which only a power cut takes, nobody knows: the record is rather kept.
  if (base?.txid !== record.txid - 1n || source.commit !== base.commit) return false;
  const pages: number[] = [];
  loggedPages(state, record, (pgno) => pages.push(pgno));
  return await everyPage(source, { pages, signal }, (pgno, data) => {
    digest.update(pgno, data);
    return base.table.matches(pgno, digest);
  });
}

async function everyPage(
  source: CommitSource,
  what: { readonly pages: Iterable<number>; readonly signal: AbortSignal | undefined },
  test: (pgno: number, data: Uint8Array) => boolean,
): Promise<boolean> {
  const pages = Uint32Array.from(what.pages).sort();
  const image = await source.image({ pages, signal: what.signal });
  for await (const run of image.runs) {
    for (const { pgno, data } of run) if (!test(pgno, data)) return false;
  }
  return true;
}

/** Where in the log the newest image of each page lies, of the pages the database still has. */
function newestPages(records: readonly LoggedCommit[], state: LocalState): Map<number, number> {
  const pages = new Map<number, number>();
  for (const record of records) {
    if (record.full) pages.clear();
    loggedPages(state, record, (pgno, image) => pages.set(pgno, image));
  }
  const { commit } = records.at(-1) as LoggedCommit;
  for (const pgno of pages.keys()) if (pgno > commit) pages.delete(pgno);
  return pages;
}

/** One L0 file of all records, on stable storage. */
function foldRecords(
  records: readonly LoggedCommit[],
  state: LocalState,
  platform: Platform,
): StagedFile {
  const { pageSize, commit, txid, time } = records.at(-1) as LoggedCommit;
  const now = BigInt(Math.trunc(platform.clock.now()));
  const timestamp = now > time ? now : time + 1n;
  const full = records.some((record) => record.full);
  const writer = new StagedFileWriter(state, {
    level: 0,
    header: replicaHeader({ pageSize, commit, minTxid: txid, maxTxid: txid, timestamp }),
    previousCommit: full ? 0 : (records[0] as LoggedCommit).previousCommit,
    full,
    sequence: 0,
    since: platform.clock.monotonic(),
  });
  try {
    const pages = newestPages(records, state);
    for (const pgno of Uint32Array.from(pages.keys()).sort()) {
      writer.page(pgno, state.readLog(pages.get(pgno) as number, pageSize));
    }
    const file = writer.finish();
    state.syncStaged(file.name);
    return file;
  } catch (error) {
    writer.abort();
    throw error;
  }
}

/**
 * Uploads the files that continue the replica; the rest is left to the comparison that follows. A file with some pages
 * continues it only where its newest file is the one that came before here: another writer may have got as far.
 */
async function uploadAll(files: readonly StagedFile[], options: RecoverLogOptions): Promise<void> {
  const { writer, state, signal } = options;
  if (!files.some(({ level }) => level === 0)) return;
  const { maxTxid, newestL0 } = await writer.replica.position({ signal });
  let next = maxTxid + 1n;
  const first = files.find((file) => file.header.maxTxid === next);
  if (first === undefined) return;
  const follows = newestL0?.maxTxid === maxTxid && (await isOwn(newestL0, files, options));
  if (!first.full && !follows) return;
  let pageSize = newestL0 === undefined ? 0 : await pageSizeOf(newestL0, options);
  for (const file of files) {
    if (file.header.maxTxid !== next) continue;
    try {
      // A log knows of no snapshot, and without one nobody can restore across a change of the page size.
      const resized = pageSize !== 0 && file.header.pageSize !== pageSize;
      if (resized && file.level === 0) {
        await writer.create(stagedObject(state, deriveSnapshot(state, file)), { signal });
      }
      await writer.create(stagedObject(state, file), { signal });
      ({ pageSize } = file.header);
    } catch (error) {
      if (isPagestreamError(error, "CONFLICT")) return;
      throw error;
    }
    if (file.level === 0) next++;
  }
}

async function pageSizeOf(
  there: LtxFileInfo,
  { writer, signal }: RecoverLogOptions,
): Promise<number> {
  const head = await writer.replica.read(there, { offset: 0, length: LTX_HEADER_SIZE, signal });
  return decodeHeader(head, there.key).pageSize;
}

/** Whether an L0 file of the replica is known to be of here: it is still staged, or the marker names it. */
async function isOwn(
  there: LtxFileInfo,
  files: readonly StagedFile[],
  { writer, state, signal }: RecoverLogOptions,
): Promise<boolean> {
  const { maxTxid } = there;
  const staged = files.find((file) => file.level === 0 && file.header.maxTxid === maxTxid);
  if (staged !== undefined) {
    return await sameObject(writer.replica, there, { file: staged, state, signal });
  }
  const marker = readMarker(state.readMarker());
  if (marker === undefined || marker.state.txid !== maxTxid) return false;
  const { fileName, fileChecksum } = marker.state;
  const where = { replica: writer.replica, l0: [there], signal };
  return (await l0Checksum(fileName, where)) === fileChecksum;
}
