/**
 * Whether a database that differs from the replica's newest state is merely behind: equal to an earlier one.
 *
 * Page numbers prove nothing, since appends rewrite the same pages again and again; only content does. Two passes keep it
 * affordable for the usual case, a database that was ahead when its process died:
 *
 * 1. One page that differs from the newest state is looked up in the files, newest first, until each of the last
 *    64 states is known to have another image of it. Costs one request for a small file and three for a large one. With
 *    a rollback journal every commit writes page 1, so that is mostly all.
 * 2. States that have the same image of that page are compared whole: the files up to the newest of them are downloaded
 *    once, as a restore would, with one digest per page in memory.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import { decodeLtx } from "../ltx/decode-ltx.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import { decodeFrame } from "../ltx/page-frame.ts";
import type { LocalPages } from "./local-pages.ts";
import type { PageDigest } from "./page-digest.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { replayStates, STATES } from "./replica-states.ts";

/** A file up to this size is fetched in one piece, instead of its index and one frame. */
const SMALL_FILE = 64 * 1024;
/** Files looked at side by side. */
const CONCURRENCY = 8;

/** What {@linkcode findEarlierState} compares. */
export interface BehindOptions {
  readonly replica: Replica;
  /** The files from nothing to the newest state, in order; each but the last ends with an earlier state. */
  readonly steps: readonly LtxFileInfo[];
  readonly local: LocalPages;
  /** A page of which the newest state has another image, or none. */
  readonly pgno: number;
  /** Only states before this TXID count. */
  readonly before: bigint;
  /** Computes digests under the key of `local`. */
  readonly digest: PageDigest;
  readonly signal?: AbortSignal | undefined;
}

/** TXID of the newest of the earlier states that the database equals; `undefined` where there is none. */
export async function findEarlierState(options: BehindOptions): Promise<bigint | undefined> {
  const { replica, local, digest, before, signal } = options;
  const steps = options.steps.filter((step) => step.maxTxid < before);
  const likely = await likelyStates(steps, options);
  const last = likely[0];
  if (last === undefined) return undefined;
  const end = steps.findIndex((step) => step.maxTxid === last) + 1;
  let found: bigint | undefined;
  const state = await replayStates(replica, steps.slice(0, end), {
    digest,
    signal,
    async passed(state) {
      if (likely.includes(state.txid) && (await local.equals(state))) found = state.txid;
    },
  });
  return (await local.equals(state)) ? state.txid : found;
}

/** Those of the newest states, newest first, that have the local image of page `pgno`. */
async function likelyStates(
  steps: readonly LtxFileInfo[],
  options: BehindOptions,
): Promise<bigint[]> {
  const likely: bigint[] = [];
  /** States whose image of the page lies in an older file. */
  let open: bigint[] = [];
  for (let seen = 0; seen < steps.length && (seen < STATES || open.length > 0);) {
    const end = steps.length - seen;
    const batch = steps.slice(Math.max(0, end - CONCURRENCY), end).reverse();
    const looks = await Promise.all(batch.map((file) => look(file, options)));
    for (const [i, { sameSize, image }] of looks.entries()) {
      seen++;
      if (sameSize && seen <= STATES) open.push((batch[i] as LtxFileInfo).maxTxid);
      if (image === undefined) continue;
      if (image === "same") likely.push(...open);
      open = [];
    }
  }
  return likely;
}

interface Look {
  /** Whether the state after the file has the size of the local database. */
  readonly sameSize: boolean;
  /** What the file holds of the page: the local image, another, or none. */
  readonly image: "same" | "other" | undefined;
}

async function look(file: LtxFileInfo, options: BehindOptions): Promise<Look> {
  const { replica, local, pgno, digest, signal } = options;
  const compare = (data: Uint8Array): "same" | "other" => {
    digest.update(pgno, data);
    return local.table.matches(pgno, digest) ? "same" : "other";
  };
  try {
    if (file.size <= SMALL_FILE) {
      const { header, pages } = decodeLtx(await replica.read(file, { signal }), { name: file.key });
      const page = pages.find((p) => p.pgno === pgno);
      return { sameSize: isLocalSize(header), image: page && compare(page.data) };
    }
    const head = await replica.read(file, { length: LTX_HEADER_SIZE, signal });
    const header = decodeHeader(head, file.key);
    const sameSize = isLocalSize(header);
    const { pgnos, offsets, sizes } = await replica.pageIndex(file, { signal });
    const i = pgnos.indexOf(pgno);
    if (i < 0) return { sameSize, image: undefined };
    const [offset, length] = [offsets[i], sizes[i]] as [number, number];
    const frame = await replica.read(file, { offset, length, signal });
    return { sameSize, image: compare(decodeFrame(frame, header.pageSize, file.key).data) };
  } catch (error) {
    // Nothing later can be built on a damaged file, so no state that needs it can be proven equal.
    if (isDamage(error)) return { sameSize: false, image: "other" };
    throw error;
  }

  function isLocalSize(header: { readonly pageSize: number; readonly commit: number }): boolean {
    return header.pageSize === local.pageSize && header.commit === local.table.size;
  }
}

/** Whether an error says that the bytes of a file are wrong, or that files are missing; not that they were not to be had. */
export function isDamage(error: unknown): boolean {
  return (["DAMAGED_FILE", "INVALID_LTX", "LTX_CHECKSUM", "LTX_UNSUPPORTED"] as const).some(
    (code) => isPagestreamError(error, code),
  );
}
