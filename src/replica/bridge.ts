/**
 * The bridge: brings a replica that lacks files to the newest state, so that it can be restored after every step, by
 * Litestream too.
 *
 * A replica that has nothing, or nothing that can be built on, gets a snapshot `1..N`. One that is merely behind keeps its
 * history: level 1 goes as far as its own files reach, M, and then gets `(M+1)..N` with all pages. Right after that the L0
 * file N follows, since no level may rest above the newest L0 file: Litestream would number from there, and restores would
 * ignore its files. It holds every page too: the names before it stay free, and whatever arrives there late, or from another
 * writer, must not become what it continues. Only then come the files after N.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import type { Platform } from "../core/platform.ts";
import { formatFileName } from "../ltx/file-name.ts";
import { decodeHeader, LTX_HEADER_SIZE, replicaHeader } from "../ltx/header.ts";
import { boundaryImage } from "./snapshot.ts";
import type { CommitCollector } from "./commit-collector.ts";
import { isDamage } from "./behind.ts";
import { compactLevel } from "./compactor.ts";
import { stagedL0 } from "./copy-file.ts";
import { isWhole, type Standing, standingOf } from "./gap.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import type { LocalState } from "./local-state.ts";
import { PageDigest } from "./page-digest.ts";
import { readImage } from "./read-image.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { deriveFile, type StagedFile, StagedFileWriter } from "./staged-file.ts";
import { stagedObject } from "./upload-staged.ts";
import type { ReplicaWriter } from "./writer.ts";

/** Files of level 1 that are made before a bridge at most; each is of many L0 files. */
const MOST_COMPACTIONS = 1_000;

/** What a bridge is built with. */
export interface BridgeOptions {
  readonly source: CommitSource;
  readonly collector: CommitCollector;
  readonly writer: ReplicaWriter;
  readonly state: LocalState;
  readonly platform: Platform;
  /** Key for the digests of every page. */
  readonly key: Uint8Array;
  /** Begin of the names in local state of what is made or copied here. */
  readonly folder: string;
  /** Brings every configured level up to the replica's newest L0 file. */
  readonly bringUp: (signal: AbortSignal) => Promise<void>;
  /** Resolves when all that is committed is in files, whether they can be uploaded or not. */
  readonly cut: (signal: AbortSignal) => Promise<void>;
  /** The staged file of this name is needed from now on, whoever else has done with it. */
  readonly keep: (name: string) => void;
  /** The files cut since the bridge was begun, in order. */
  readonly arrived: () => readonly StagedFile[];
}

/** A bridge whose first part is in the replica. The L0 file has to follow at once. */
export interface HalfBridge {
  /** The file that brought every page. */
  readonly base: StagedFile;
  /** The L0 file of the same TXID, staged. */
  readonly l0: StagedFile;
  /** Sequence of the last commit they hold. */
  readonly sequence: number;
  /** How many doubts about continuity end with them. */
  readonly doubts: number;
}

/** Where the file with all pages goes: its level, and the first TXID that the replica lacks. */
export interface BridgePlan {
  readonly level: number;
  readonly minTxid: bigint;
  /**
   * First TXID of a file of level 1 with every page too, where files of level 0 that nothing leads on from would end every
   * later compaction.
   */
  readonly also: bigint | undefined;
}

/** Decides what a bridge begins with. `resized`: the page size is not that of the replica's files. */
export function planBridge(standing: Standing, resized: boolean): BridgePlan {
  const { maxTxid, newestL0, compacted, snapshot, reach } = standing;
  const isBroken = reach === 0n || reach < compacted;
  // No file leads from one page size to another, and on files that cannot be restored nothing can be built.
  if (maxTxid === 0n || resized || (isBroken && compacted > 0n)) {
    const also = newestL0 > compacted ? compacted + 1n : undefined;
    return { level: SNAPSHOT_LEVEL, minTxid: 1n, also };
  }
  if (isBroken) return { level: 1, minTxid: 1n, also: undefined };
  return { level: 1, minTxid: (compacted > 0n ? compacted : snapshot) + 1n, also: undefined };
}

/** Uploads the file with all pages, and stages the L0 file that has to follow it. */
export async function beginBridge(
  options: BridgeOptions,
  levels: readonly (readonly LtxFileInfo[])[],
  signal: AbortSignal,
): Promise<HalfBridge> {
  const { writer, state, source } = options;
  // Of the newest file itself: a snapshot of another size may have come without its L0 file.
  const pageSize = await pageSizeOf(writer.replica, levels, signal);
  const resized = pageSize !== undefined && pageSize !== source.pageSize;
  const found = standingOf(levels);
  // Litestream merges whatever a level has not taken yet, and fails on files of two sizes.
  if (resized) await options.bringUp(signal);
  const standing = found.reach > found.compacted ? await compactFirst(writer, signal) : found;
  // The page size may change until the database is read.
  const planFor = (size: number): BridgePlan =>
    planBridge(standing, pageSize !== undefined && pageSize !== size);
  const { base, plan, sequence, doubts } = await encodeBase(options, planFor, signal);
  let l0: StagedFile | undefined;
  try {
    l0 = stageL0(options, base);
    await writer.create(stagedObject(state, base), { signal });
    if (plan.also !== undefined) await createAlso(options, base, plan.also, signal);
    return { base, l0, sequence, doubts };
  } catch (error) {
    if (l0?.name.startsWith(`${options.folder}/`)) state.removeStaged(l0.name);
    throw error;
  } finally {
    state.removeStaged(base.name);
  }
}

/** Uploads the same pages as a file of level 1. */
async function createAlso(
  { writer, state, folder }: BridgeOptions,
  base: StagedFile,
  minTxid: bigint,
  signal: AbortSignal,
): Promise<void> {
  const name = `${folder}-level/${formatFileName(minTxid, base.header.maxTxid)}`;
  const file = deriveFile(state, base, { level: 1, minTxid, name });
  try {
    await writer.create(stagedObject(state, file), { signal });
  } finally {
    state.removeStaged(file.name);
  }
}

/** Brings level 1 as far as the replica's own files reach, so that their states stay restorable. */
async function compactFirst(writer: ReplicaWriter, signal: AbortSignal): Promise<Standing> {
  for (let turn = 1; ; turn++) {
    const levels = await writer.replica.levels({ signal });
    const [sources = [], target = []] = levels;
    const snapshots = levels[SNAPSHOT_LEVEL] ?? [];
    const files = { target, sources: sources.filter(isWhole), snapshots };
    const outcome = await compactLevel(1, { writer, files, signal }).catch((error: unknown) => {
      // What cannot be merged is led over with the rest.
      if (!isDamage(error)) throw error;
      return { type: "damaged" } as const;
    });
    if (outcome.type !== "compacted") return standingOf(levels);
    if (outcome.more && turn < MOST_COMPACTIONS) continue;
    return standingOf(levels.map((level, i) => (i === 1 ? [...level, outcome.file] : level)));
  }
}

/** Page size of the newest file; `undefined` where there is none. */
async function pageSizeOf(
  replica: Replica,
  levels: readonly (readonly LtxFileInfo[])[],
  signal: AbortSignal,
): Promise<number | undefined> {
  let newest: LtxFileInfo | undefined;
  for (const file of levels.flat().filter(isWhole)) {
    if (newest === undefined || file.maxTxid > newest.maxTxid) newest = file;
  }
  if (newest === undefined) return undefined;
  const head = await replica.read(newest, { offset: 0, length: LTX_HEADER_SIZE, signal });
  return decodeHeader(head, newest.key).pageSize;
}

interface EncodedBase {
  readonly base: StagedFile;
  readonly plan: BridgePlan;
  readonly sequence: number;
  readonly doubts: number;
}

async function encodeBase(
  options: BridgeOptions,
  planFor: (pageSize: number) => BridgePlan,
  signal: AbortSignal,
): Promise<EncodedBase> {
  const { source, collector, state, platform, key } = options;
  await options.cut(signal);
  return await readImage(platform.clock, async (read) => {
    const between = (): Promise<void> => options.cut(signal);
    const { image, cut } = await boundaryImage(source, collector, { between, signal });
    const { doubts } = collector;
    const { pageSize, commit, sequence } = image;
    const plan = planFor(pageSize);
    const { level, minTxid } = plan;
    const { txid: maxTxid, time: timestamp } = cut;
    const writer = new StagedFileWriter(
      state,
      {
        level,
        // Another destination may still wait for the snapshot of the same name that a change of the page size brought.
        name: `${options.folder}-base/${formatFileName(minTxid, maxTxid)}`,
        header: replicaHeader({ pageSize, commit, minTxid, maxTxid, timestamp }),
        full: true,
        sequence,
        since: platform.clock.monotonic(),
      },
      new PageDigest(key),
    );
    try {
      await read(image, (pgno, data) => writer.page(pgno, data));
      return { base: writer.finish(), plan, sequence, doubts };
    } catch (error) {
      writer.abort();
      throw error;
    }
  });
}

/** The L0 file of the base's TXID, with every page: as it was cut, which another destination may still wait for, or made anew. */
function stageL0(options: BridgeOptions, base: StagedFile): StagedFile {
  const { state, platform, key, folder, keep, arrived } = options;
  const { sequence } = base;
  const txid = base.header.maxTxid;
  const isIt = ({ level, header }: StagedFile): boolean => level === 0 && header.maxTxid === txid;
  const staged = arrived().find(isIt) ?? stagedL0(txid, { state, platform, key, sequence });
  if (staged?.full === true) {
    keep(staged.name);
    return staged;
  }
  const name = `${folder}/${formatFileName(txid, txid)}`;
  const derived = deriveFile(state, base, { level: 0, minTxid: txid, name });
  return { ...derived, digests: base.digests };
}
