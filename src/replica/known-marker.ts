/**
 * What is known of the local database before it is compared: the marker on disk, or what a restore told.
 *
 * @module
 */
import { fromHex } from "../core/bytes.ts";
import type { CommitSource } from "../core/commit-source.ts";
import type { Platform } from "../core/platform.ts";
import { formatFileName, formatTxid } from "../ltx/file-name.ts";
import { decodeTrailer, LTX_TRAILER_SIZE } from "../ltx/trailer.ts";
import { type LocalPages, readLocalPages } from "./local-pages.ts";
import type { LocalState } from "./local-state.ts";
import { type Marker, readMarker } from "./marker.ts";
import { DIGEST_KEY_LENGTH, PageDigest } from "./page-digest.ts";
import { type PositionToken, tableDigest } from "./position-token.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import type { ReplicaState } from "./replica-states.ts";

/** A state that the database was in at a commit boundary, as its source tells without reading a page. */
export interface ProvenState {
  /** What the source called that state. */
  readonly mark: string;
  /** The boundary. */
  readonly sequence: number;
}

/** Asks a source, in the turn in which it was first listened to, whether it knows the state of the marker. */
export function proveState(source: CommitSource, state: LocalState): ProvenState | undefined {
  if (source.proves === undefined) return undefined;
  const mark = readMarker(state.readMarker())?.state.mark;
  if (mark === undefined) return undefined;
  const sequence = source.proves(mark);
  return sequence === undefined ? undefined : { mark, sequence };
}

/** What is known before the database is compared. */
export interface KnownMarker {
  /** The state the database was last known to equal; the replica still has the file that made it. */
  readonly marker: Marker | undefined;
  /** Why a marker that is there is not believed. */
  readonly contradiction: string | undefined;
  /** Whether that state was chosen by a restore. */
  readonly chosen: boolean;
  /** Key of the marker's digests, or of a new marker's. */
  readonly key: Uint8Array;
  /** The database's digests under `key`, where they are known already. */
  readonly local: LocalPages | undefined;
}

/** Where {@linkcode findMarker} looks. */
export interface FindMarkerOptions {
  readonly source: CommitSource;
  readonly replica: Replica;
  /** What all destinations call themselves: what was confirmed by any of them counts. */
  readonly names: readonly string[];
  readonly state: LocalState;
  readonly platform: Platform;
  readonly position?: PositionToken | undefined;
  /** The L0 files of the replica, and its largest TXID. */
  readonly l0: readonly LtxFileInfo[];
  readonly maxTxid: bigint;
  readonly signal?: AbortSignal | undefined;
}

/** What a restore told, if it is true of the database, else the marker on disk. */
export async function findMarker(options: FindMarkerOptions): Promise<KnownMarker> {
  const { names, state, platform, maxTxid } = options;
  const told = await markerFromToken(options);
  if (told !== undefined) return told;
  const nothing = { marker: undefined, contradiction: undefined, chosen: false, local: undefined };
  const marker = readMarker(state.readMarker());
  if (marker === undefined || !names.includes(marker.replica)) {
    return { ...nothing, key: platform.randomBytes(DIGEST_KEY_LENGTH) };
  }
  const { key, chosen = false } = marker;
  const { txid, fileName, fileChecksum } = marker.state;
  if (txid > maxTxid) return { ...nothing, key, contradiction: "the replica has lost files" };
  if ((await l0Checksum(fileName, options)) === fileChecksum)
    return { ...nothing, key, marker, chosen };
  // A restore chose this state; that its file has been compacted since contradicts nothing.
  if (chosen) return { ...nothing, key, chosen };
  const contradiction = `the replica no longer holds what was written as ${formatTxid(txid)}`;
  return { ...nothing, key, contradiction };
}

/** The marker of a state that was read from the replica; keeps the table. */
export async function markerOf(
  read: ReplicaState,
  key: Uint8Array,
  where: Pick<FindMarkerOptions, "replica" | "l0" | "signal">,
): Promise<Marker> {
  const { txid, pageSize, table } = read;
  const fileName = formatFileName(txid, txid);
  // Without its L0 (retention or a lifecycle rule took it) the next start will not believe this marker.
  const fileChecksum = (await l0Checksum(fileName, where)) ?? 0n;
  const state = { txid, pageSize, commit: table.size, fileName, fileChecksum };
  return { replica: where.replica.description, key, table, state };
}

/** A marker made from a position token, when the database still has the digest that the restore computed. */
async function markerFromToken(options: FindMarkerOptions): Promise<KnownMarker | undefined> {
  const { source, names, position: token, maxTxid, signal, platform } = options;
  if (token === undefined || !names.includes(token.replica)) return undefined;
  const txid = BigInt(`0x${token.txid}`);
  if (txid > maxTxid || source.commit !== token.commit) return undefined;
  const key = fromHex(token.key);
  const local = await readLocalPages(source, new PageDigest(key), {
    clock: platform.clock,
    signal,
  });
  const { pageSize, table } = local;
  if (pageSize !== token.pageSize || tableDigest(table, key) !== token.digest) return undefined;
  const marker = await markerOf({ txid, pageSize, table: table.copy() }, key, options);
  return { marker, key, local, contradiction: undefined, chosen: token.chosen };
}

/** The checksum of an L0 file of the replica; `undefined` where there is no such file. */
export async function l0Checksum(
  fileName: string,
  where: Pick<FindMarkerOptions, "replica" | "l0" | "signal">,
): Promise<bigint | undefined> {
  const { replica, l0, signal } = where;
  const file = l0.find((f) => formatFileName(f.minTxid, f.maxTxid) === fileName);
  if (file === undefined || file.size < LTX_TRAILER_SIZE) return undefined;
  const offset = file.size - LTX_TRAILER_SIZE;
  const tail = await replica.read(file, { offset, length: LTX_TRAILER_SIZE, signal });
  return decodeTrailer(tail).fileChecksum;
}
