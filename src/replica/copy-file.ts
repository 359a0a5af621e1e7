/**
 * L0 files that one replica has and another lacks.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { formatFileName } from "../ltx/file-name.ts";
import { decodeHeader, LTX_HEADER_SIZE, type LtxHeader } from "../ltx/header.ts";
import { LTX_TRAILER_SIZE } from "../ltx/trailer.ts";
import { isWhole } from "./gap.ts";
import type { LocalState } from "./local-state.ts";
import { PageDigest } from "./page-digest.ts";
import { readRange } from "./range-reader.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { coversAll, readStaged, stagedName, type StagedFile } from "./staged-file.ts";

/** What a copied file is staged with. */
export interface CopyOptions {
  readonly state: LocalState;
  readonly platform: Platform;
  /** Key of its page digests. */
  readonly key: Uint8Array;
  /** Sequence of the last commit it covers; -1 where that is not known. */
  readonly sequence: number;
  /** Folder in local state for copies: nobody else's, since one may remove what another has staged under the same name. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** The L0 file of a TXID that is staged here, whole; `undefined` where there is none. */
export function stagedL0(
  txid: bigint,
  options: Omit<CopyOptions, "folder" | "signal">,
): StagedFile | undefined {
  const name = stagedName(0, txid, txid);
  const { state, platform, key, sequence } = options;
  if (state.stagedSize(name) === 0) return undefined;
  try {
    const now = platform.clock.monotonic();
    return readStaged(state, name, { digest: new PageDigest(key), sequence, now });
  } catch {
    return undefined;
  }
}

/** Stages the L0 file of a TXID as the first of the replicas has it that has it whole; `undefined` where none does. */
export async function copyL0(
  replicas: readonly Replica[],
  txid: bigint,
  options: CopyOptions,
): Promise<StagedFile | undefined> {
  for (const replica of replicas) {
    try {
      const span = { level: 0, minTxid: txid, maxTxid: txid };
      const file = await replica.find(span, { signal: options.signal });
      if (file !== undefined) return await stageCopy(replica, file, options);
    } catch (error) {
      // Another replica may have it, and whoever asks can do without.
      if (options.signal.aborted || !isPagestreamError(error)) throw error;
    }
  }
  return undefined;
}

/** An L0 file and the replica that has it. */
export interface PlacedFile {
  readonly replica: Replica;
  readonly file: LtxFileInfo;
}

/** Whether two replicas hold the same L0 file of a TXID: then what comes before it is the same history too. */
export async function shareL0(
  one: Replica,
  other: Replica,
  wanted: { readonly txid: bigint; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  const { txid, signal } = wanted;
  const [a, b] = await Promise.all(
    [one, other].map(async (replica): Promise<PlacedFile | undefined> => {
      const file = await replica.find({ level: 0, minTxid: txid, maxTxid: txid }, { signal });
      return file && isWhole(file) ? { replica, file } : undefined;
    }),
  );
  if (a === undefined || b === undefined) return false;
  try {
    return await isSameL0(a, b, signal);
  } catch (error) {
    // Retention removed one of them since it was found.
    if (!isPagestreamError(error, "NOT_FOUND")) throw error;
    return false;
  }
}

/**
 * Whether two L0 files of a TXID lead to the same state of the same history: the very same file, or one of the same time with
 * every page, as a bridge ends with.
 */
export async function isSameL0(
  one: PlacedFile,
  other: PlacedFile,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const both = [one, other] as const;
  if (one.file.size === other.file.size) {
    const [a, b] = await Promise.all(both.map((each) => fileEnd(each, signal)));
    return equalBytes(a as Uint8Array, b as Uint8Array);
  }
  const headers = both.map(async ({ replica, file }) =>
    decodeHeader(await replica.read(file, { length: LTX_HEADER_SIZE, signal }), file.key),
  );
  const [a, b] = (await Promise.all(headers)) as [LtxHeader, LtxHeader];
  if (a.timestamp !== b.timestamp || a.commit !== b.commit || a.pageSize !== b.pageSize) {
    return false;
  }
  const { replica, file } = one.file.size > other.file.size ? one : other;
  const { pgnos } = await replica.pageIndex(file, { signal });
  return coversAll(pgnos, a);
}

/** The last bytes of a file, both of its checksums among them. */
function fileEnd(
  { replica, file }: PlacedFile,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const length = LTX_TRAILER_SIZE;
  return replica.read(file, { offset: file.size - length, length, signal });
}

async function stageCopy(
  replica: Replica,
  file: LtxFileInfo,
  options: CopyOptions,
): Promise<StagedFile> {
  const { state, platform, key, sequence, folder, signal } = options;
  const name = `${folder}/${formatFileName(file.minTxid, file.maxTxid)}`;
  const writer = state.stage(name);
  try {
    await readRange(replica, file, {
      offset: 0,
      length: file.size,
      signal,
      onChunk: (chunk) => writer.write(chunk),
    });
    writer.finish();
  } catch (error) {
    writer.abort();
    throw error;
  }
  try {
    const now = platform.clock.monotonic();
    return readStaged(state, name, { digest: new PageDigest(key), sequence, now, level: 0 });
  } catch (error) {
    state.removeStaged(name);
    throw error;
  }
}
