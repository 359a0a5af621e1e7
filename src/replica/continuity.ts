/**
 * What is known at the start: whether the database is what the replica's newest state says, proven page by page.
 *
 * First the files that an earlier process staged are confirmed, promoted or discarded; then the whole database is
 * compared with the marker's table. Equal, and the marker's state is the newest of the replica: replication goes on
 * with increments. Anything else: the next file, one past the newest of all levels, holds every page.
 *
 * @module
 */
import { fromHex } from "../core/bytes.ts";
import type { CommitSource, DatabaseImage } from "../core/commit-source.ts";
import type { Platform } from "../core/platform.ts";
import { formatFileName } from "../ltx/file-name.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import { decodeTrailer, LTX_TRAILER_SIZE } from "../ltx/trailer.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import type { LocalState } from "./local-state.ts";
import { type Marker, readMarker } from "./marker.ts";
import { DIGEST_KEY_LENGTH, PageDigest } from "./page-digest.ts";
import { PageTable } from "./page-table.ts";
import { type PositionToken, tableDigest } from "./position-token.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { deriveSnapshot, readStaged, type StagedFile } from "./staged-file.ts";
import { sameObject } from "./upload-staged.ts";

/** What replication starts from. */
export interface Continuity {
  /** Largest TXID of the replica over all levels; 0 when it is empty. */
  readonly maxTxid: bigint;
  /** Page size and database size of the replica's newest file; 0 when it is empty. */
  readonly pageSize: number;
  readonly commit: number;
  /** Largest creation time of any file, in milliseconds. */
  readonly lastTime: bigint;
  /** The marker, when it is the replica's newest state. Its table does not yet hold `promoted`. */
  readonly marker: Marker | undefined;
  /** Files staged by an earlier process that still have to be uploaded, in order. */
  readonly promoted: readonly StagedFile[];
  /** Why the next file must hold every page; `undefined` when the database is proven equal. */
  readonly needsFull: string | undefined;
  /** Sequence of the commit boundary at which the proof was made. */
  readonly sequence: number;
  /** Key for digests from now on. */
  readonly key: Uint8Array;
}

/** What {@linkcode establishContinuity} looks at. */
export interface ContinuityOptions {
  readonly source: CommitSource;
  readonly replica: Replica;
  readonly state: LocalState;
  readonly platform: Platform;
  readonly position?: PositionToken | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Establishes where replication stands. Reads the replica's listing and the whole database, writes neither. */
export async function establishContinuity(options: ContinuityOptions): Promise<Continuity> {
  const { source, replica, state, platform, signal } = options;
  const levels = await replica.levels({ exactTimes: true, signal });
  const files = levels.flat();
  const newest = newestFile(files);
  const maxTxid = newest?.maxTxid ?? 0n;
  const header =
    newest &&
    decodeHeader(
      await replica.read(newest, { offset: 0, length: LTX_HEADER_SIZE, signal }),
      newest.key,
    );
  const known = await knownMarker(options, levels[0] ?? [], maxTxid);
  const key = known?.key ?? platform.randomBytes(DIGEST_KEY_LENGTH);
  const digest = new PageDigest(key);

  const staged = readAllStaged(state, digest, source.sequence, platform.clock.monotonic());
  const { marker, promoted } = await settleStaged({ options, key, known, staged, files, maxTxid });
  const needs = await compare({ options, marker, promoted, maxTxid, digest });
  if (needs.reason !== undefined) for (const file of promoted) state.removeStaged(file.name);
  return {
    maxTxid,
    pageSize: header?.pageSize ?? 0,
    commit: header?.commit ?? 0,
    lastTime: files.reduce(
      (last, f) => (BigInt(f.time.getTime()) > last ? BigInt(f.time.getTime()) : last),
      header?.timestamp ?? 0n,
    ),
    marker: needs.reason === undefined ? marker : undefined,
    // They lead to the state just proven, whatever the source had counted when they were read.
    promoted:
      needs.reason === undefined
        ? promoted.map((file) => ({ ...file, sequence: needs.sequence }))
        : [],
    needsFull: needs.reason,
    sequence: needs.sequence,
    key,
  };
}

/** The file with the largest TXID; of those, the one of the lowest level, which is the smallest. */
function newestFile(files: readonly LtxFileInfo[]): LtxFileInfo | undefined {
  let newest: LtxFileInfo | undefined;
  for (const file of files) {
    if (newest === undefined || file.maxTxid > newest.maxTxid) newest = file;
  }
  return newest;
}

/** The marker on disk, else what a restore told; its L0 file must still be the object we know. */
async function knownMarker(
  options: ContinuityOptions,
  l0: readonly LtxFileInfo[],
  maxTxid: bigint,
): Promise<Marker | undefined> {
  const { replica, state, position, signal } = options;
  if (position !== undefined) return markerFromToken(options, l0, maxTxid);
  const marker = readMarker(state.readMarker());
  if (marker === undefined || marker.replica !== replica.description) return undefined;
  const checksum = await fileChecksum(replica, l0, marker.state.fileName, signal);
  return checksum === marker.state.fileChecksum ? marker : undefined;
}

/** The checksum of an L0 file of the replica; `undefined` where there is no such file. */
async function fileChecksum(
  replica: Replica,
  l0: readonly LtxFileInfo[],
  name: string,
  signal: AbortSignal | undefined,
): Promise<bigint | undefined> {
  const file = l0.find((f) => formatFileName(f.minTxid, f.maxTxid) === name);
  if (file === undefined || file.size < LTX_TRAILER_SIZE) return undefined;
  const offset = file.size - LTX_TRAILER_SIZE;
  const tail = await replica.read(file, { offset, length: LTX_TRAILER_SIZE, signal });
  return decodeTrailer(tail).fileChecksum;
}

/** A marker made from a position token, when the database still has the digest the restore computed. */
async function markerFromToken(
  options: ContinuityOptions,
  l0: readonly LtxFileInfo[],
  maxTxid: bigint,
): Promise<Marker | undefined> {
  const { source, replica, signal } = options;
  const token = options.position as PositionToken;
  const txid = BigInt(`0x${token.txid}`);
  if (token.replica !== replica.description || txid !== maxTxid) return undefined;
  const image = await source.image({ signal });
  const key = fromHex(token.key);
  const table = new PageTable(image.commit);
  const digest = new PageDigest(key);
  for await (const run of image.runs) {
    for (const { pgno, data } of run) {
      digest.update(pgno, data);
      table.set(pgno, digest.hi, digest.lo);
    }
  }
  if (image.pageSize !== token.pageSize || image.commit !== token.commit) return undefined;
  if (tableDigest(table, key) !== token.digest) return undefined;
  const fileName = formatFileName(txid, txid);
  // Without its L0 (retention or a lifecycle rule took it) the next start will not believe this marker.
  const checksum = (await fileChecksum(replica, l0, fileName, signal)) ?? 0n;
  const { pageSize, commit } = token;
  const state = { txid, pageSize, commit, fileName, fileChecksum: checksum };
  return { replica: token.replica, key, table, state };
}

/** Files of an earlier process, oldest first, a snapshot before the L0 it shares its TXID with; torn ones are removed. */
function readAllStaged(
  state: LocalState,
  digest: PageDigest,
  sequence: number,
  now: number,
): StagedFile[] {
  const files: StagedFile[] = [];
  for (const name of state.staged()) {
    try {
      files.push(readStaged(state, name, { digest, sequence, now }));
    } catch {
      state.removeStaged(name);
    }
  }
  return files.sort((a, b) =>
    a.header.maxTxid === b.header.maxTxid
      ? b.level - a.level
      : a.header.maxTxid < b.header.maxTxid
        ? -1
        : 1,
  );
}

/** Drops staged files that are in the replica already, moving the marker over them, and keeps those that continue it. */
async function settleStaged(found: {
  readonly options: ContinuityOptions;
  /** Key of the staged files' digests. */
  readonly key: Uint8Array;
  readonly known: Marker | undefined;
  readonly staged: readonly StagedFile[];
  readonly files: readonly LtxFileInfo[];
  readonly maxTxid: bigint;
}): Promise<{ readonly marker: Marker | undefined; readonly promoted: StagedFile[] }> {
  const { replica, state, signal } = found.options;
  let marker = found.known;
  const promoted: StagedFile[] = [];
  let next = found.maxTxid + 1n;
  for (const file of found.staged) {
    const { minTxid, maxTxid } = file.header;
    const there = found.files.find(
      (f) => f.level === file.level && f.minTxid === minTxid && f.maxTxid === maxTxid,
    );
    if (there !== undefined) {
      const ours = await sameObject(replica, there, { file, state, signal });
      if (file.level === 0)
        marker = ours ? moveMarker(replica, marker, file, found.key) : undefined;
      state.removeStaged(file.name);
    } else if (maxTxid === next || (await isBelowOwnSnapshot(file, found))) {
      promoted.push(file);
      if (file.level === 0) next = maxTxid + 1n;
    } else {
      state.removeStaged(file.name);
    }
  }
  return { marker, promoted };
}

/**
 * Whether a staged L0 file lacks only itself: the snapshot of the same state, which goes first when the page size changes,
 * is the newest file of the replica, and is ours. No level may rest above the newest L0, since Litestream would number
 * from there.
 */
async function isBelowOwnSnapshot(
  file: StagedFile,
  found: {
    readonly options: ContinuityOptions;
    readonly files: readonly LtxFileInfo[];
    readonly maxTxid: bigint;
  },
): Promise<boolean> {
  const { replica, state, signal } = found.options;
  const { maxTxid } = file.header;
  if (file.level !== 0 || !file.full || maxTxid !== found.maxTxid) return false;
  const there = found.files.find((f) => f.level === SNAPSHOT_LEVEL && f.maxTxid === maxTxid);
  if (there === undefined) return false;
  const derived = deriveSnapshot(state, file);
  try {
    return await sameObject(replica, there, { file: derived, state, signal });
  } finally {
    state.removeStaged(derived.name);
  }
}

/** The marker one confirmed file on; a full file makes a marker where there was none. */
function moveMarker(
  replica: Replica,
  marker: Marker | undefined,
  file: StagedFile,
  key: Uint8Array,
): Marker | undefined {
  const { maxTxid, pageSize, commit } = file.header;
  const follows = marker !== undefined && marker.state.txid + 1n === maxTxid;
  if (!follows && !file.full) return marker?.state.txid === maxTxid ? marker : undefined;
  const table = marker?.table ?? new PageTable();
  const fileName = formatFileName(maxTxid, maxTxid);
  const state = { txid: maxTxid, pageSize, commit, fileName, fileChecksum: file.fileChecksum };
  table.resize(commit);
  table.apply(file.digests);
  return { replica: replica.description, key, state, table };
}

/** Compares the whole database with the marker's table and the promoted files on top of it. */
async function compare(found: {
  readonly options: ContinuityOptions;
  readonly marker: Marker | undefined;
  readonly promoted: readonly StagedFile[];
  readonly maxTxid: bigint;
  readonly digest: PageDigest;
}): Promise<{ readonly reason: string | undefined; readonly sequence: number }> {
  const { options, marker, promoted, maxTxid, digest } = found;
  const { source, signal } = options;
  // Nothing anywhere: the first commit brings every page by itself.
  if (source.commit === 0 && maxTxid === 0n)
    return { reason: undefined, sequence: source.sequence };
  // A full file says by itself what the state is, be it only staged; an increment continues the marker's.
  const isWhole = promoted.find((file) => file.level === 0)?.full === true;
  if (!isWhole) {
    if (marker === undefined)
      return { reason: "no marker of the replica's newest state", sequence: -1 };
    if (marker.state.txid !== maxTxid) return { reason: "the replica has moved on", sequence: -1 };
  }
  const table = marker?.table.copy() ?? new PageTable();
  let { pageSize, commit } = marker?.state ?? { pageSize: 0, commit: 0 };
  for (const { level, header, digests } of promoted) {
    if (level !== 0) continue;
    ({ pageSize, commit } = header);
    table.resize(commit);
    table.apply(digests);
  }
  const image = await source.image({ signal });
  const equal =
    image.pageSize === pageSize &&
    image.commit === commit &&
    (await equalPages(image, table, digest));
  return equal
    ? { reason: undefined, sequence: image.sequence }
    : { reason: "the database differs from the replica's newest state", sequence: -1 };
}

async function equalPages(
  image: DatabaseImage,
  table: PageTable,
  digest: PageDigest,
): Promise<boolean> {
  for await (const run of image.runs) {
    for (const { pgno, data } of run) {
      digest.update(pgno, data);
      // Leaving the loop early releases the image.
      if (!table.matches(pgno, digest)) return false;
    }
  }
  return true;
}
