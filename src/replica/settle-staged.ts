/**
 * What becomes of the files that an earlier process staged: in the replica already, missing below our own snapshot, or
 * waiting for a decision.
 *
 * @module
 */
import { formatFileName } from "../ltx/file-name.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import type { ComparedState, LocalPages } from "./local-pages.ts";
import type { LocalState } from "./local-state.ts";
import type { Marker } from "./marker.ts";
import type { PageDigest } from "./page-digest.ts";
import { PageTable } from "./page-table.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { deriveSnapshot, isForUpload, readStaged, type StagedFile } from "./staged-file.ts";
import { sameObject } from "./upload-staged.ts";

/** What staged files are compared with. */
export interface SettleOptions {
  readonly replica: Replica;
  readonly state: LocalState;
  /** All files of the replica. */
  readonly files: readonly LtxFileInfo[];
  /** Largest TXID of the replica. */
  readonly maxTxid: bigint;
  /** The marker, where its L0 file is the one we know. */
  readonly marker: Marker | undefined;
  /** Key of the marker's digests, or of a new marker's. */
  readonly key: Uint8Array;
  readonly digest: PageDigest;
  /** Monotonic time. */
  readonly now: number;
  /** Whether the files hold acknowledged commits, which the database may not go back on. */
  readonly acknowledged: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What became of the staged files. */
export interface SettledFiles {
  /** The marker, moved over the files that are in the replica. */
  readonly marker: Marker | undefined;
  /** The L0 file that has to follow our own snapshot of the same TXID, whatever the database holds now. */
  readonly repair: StagedFile | undefined;
  /** Files that continue the replica without a gap, a snapshot before the L0 file it shares its TXID with. */
  readonly waiting: readonly StagedFile[];
  /** The newest files of the replica, from this TXID on, were staged here, and the database may have gone back on them. */
  readonly ownFrom: bigint;
}

/** Looks for every staged file in the replica. Removes none, except torn ones. */
export async function settleStaged(options: SettleOptions): Promise<SettledFiles> {
  const { replica, state, files, maxTxid, key, signal } = options;
  let { marker } = options;
  let repair: StagedFile | undefined;
  const waiting: StagedFile[] = [];
  const own = new Set<bigint>();
  let next = maxTxid + 1n;
  for (const file of readAllStaged(options)) {
    const { minTxid, maxTxid: txid } = file.header;
    const there = files.find(
      (f) => f.level === file.level && f.minTxid === minTxid && f.maxTxid === txid,
    );
    if (there !== undefined) {
      if (file.level !== 0 || !(await sameObject(replica, there, { file, state, signal })))
        continue;
      own.add(txid);
      marker = moveMarker(replica, marker, file, key);
    } else if (txid === next) {
      waiting.push(file);
      if (file.level === 0) next++;
    } else if (await isBelowOwnSnapshot(file, options)) {
      repair = file;
      own.add(txid);
      marker = moveMarker(replica, marker, file, key);
    }
  }
  let ownFrom = maxTxid + 1n;
  while (options.acknowledged !== true && own.has(ownFrom - 1n)) ownFrom--;
  return { marker, repair, waiting, ownFrom };
}

/**
 * The part of the waiting files that leads from the replica's newest state to what the database holds: their transactions
 * survived. `undefined` where none leads there. A full file needs no state before it. Where that state is not known to be
 * `own`, another writer may have made it: no file may then lead to anything but what the database holds.
 */
export function survivors(
  waiting: readonly StagedFile[],
  newest: (ComparedState & { readonly own: boolean }) | undefined,
  local: LocalPages,
): readonly StagedFile[] | undefined {
  let state = newest && { pageSize: newest.pageSize, table: newest.table.copy() };
  let own = newest?.own === true;
  let found: readonly StagedFile[] | undefined;
  for (const [i, file] of waiting.entries()) {
    if (file.level !== 0) continue;
    const { pageSize, commit } = file.header;
    if (file.full) state = { pageSize, table: new PageTable() };
    if (state === undefined || state.pageSize !== pageSize) break;
    state.table.resize(commit);
    state.table.apply(file.digests);
    const isLocal = local.isSame(state);
    own ||= file.full || isLocal;
    if (!own) break;
    if (isLocal) found = waiting.slice(0, i + 1);
  }
  return found;
}

/** The staged files, oldest first; torn ones are removed. */
function readAllStaged(options: SettleOptions): StagedFile[] {
  const { state, digest, now } = options;
  const files: StagedFile[] = [];
  for (const name of state.staged().filter(isForUpload)) {
    try {
      files.push(readStaged(state, name, { digest, sequence: -1, now }));
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

/**
 * Whether a staged L0 file lacks only itself: the snapshot of the same state, which goes first when the page size changes,
 * is the newest file of the replica, and is ours. No level may rest above the newest L0, since Litestream would number
 * from there.
 */
async function isBelowOwnSnapshot(file: StagedFile, options: SettleOptions): Promise<boolean> {
  const { replica, state, files, signal } = options;
  const { maxTxid } = file.header;
  if (file.level !== 0 || !file.full || maxTxid !== options.maxTxid) return false;
  const there = files.find((f) => f.level === SNAPSHOT_LEVEL && f.maxTxid === maxTxid);
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
  if (marker !== undefined && marker.state.txid >= maxTxid) return marker;
  const follows = marker !== undefined && marker.state.txid + 1n === maxTxid;
  // A marker that lags further is brought forward by reading the replica.
  if (!follows && !file.full) return marker;
  const table = file.full ? new PageTable() : (marker as Marker).table;
  const fileName = formatFileName(maxTxid, maxTxid);
  const state = { txid: maxTxid, pageSize, commit, fileName, fileChecksum: file.fileChecksum };
  table.resize(commit);
  table.apply(file.digests);
  return { replica: replica.description, key, state, table };
}
