/**
 * L0 files that one replica has and another lacks.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { formatFileName } from "../ltx/file-name.ts";
import { LTX_TRAILER_SIZE } from "../ltx/trailer.ts";
import { isWhole } from "./gap.ts";
import type { LocalState } from "./local-state.ts";
import { PageDigest } from "./page-digest.ts";
import { readRange } from "./range-reader.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { readStaged, stagedName, type StagedFile } from "./staged-file.ts";

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

/** Whether two replicas hold the very same L0 file of a TXID: then what comes before it is the same history too. */
export async function shareL0(
  one: Replica,
  other: Replica,
  wanted: { readonly txid: bigint; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  const { txid, signal } = wanted;
  const ends = await Promise.all(
    [one, other].map(async (replica) => {
      const file = await replica.find({ level: 0, minTxid: txid, maxTxid: txid }, { signal });
      return file && isWhole(file) ? await fileEnd(replica, file, signal) : undefined;
    }),
  );
  const [a, b] = ends;
  return a !== undefined && b !== undefined && equalBytes(a, b);
}

/** The last bytes of a file, both of its checksums among them. */
export function fileEnd(
  replica: Replica,
  file: LtxFileInfo,
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
