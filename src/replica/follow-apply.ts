/**
 * One step of a followed copy: a chain of files, verified while they are handed to it.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import { lockPage } from "../core/lock-page.ts";
import type { LtxFormatError } from "../ltx/errors.ts";
import { formatFileName } from "../ltx/file-name.ts";
import type { LtxHeader } from "../ltx/header.ts";
import { type LtxInput, LtxMerge } from "../ltx/merge.ts";
import { ChainInputs } from "./chain-inputs.ts";
import { DamagedFileError } from "./errors.ts";
import type { FollowStep, FollowTarget } from "./follow-target.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";

/** Pages between two looks at the signal. */
const ABORT_PAGES = 1024;

/** The files of a step. */
export interface FollowChain {
  /** Oldest first, never empty. */
  readonly files: readonly LtxFileInfo[];
  /** Whether they bring every page. */
  readonly isWhole: boolean;
  /** All bytes of the only file, where they are there already. */
  readonly bytes?: Uint8Array | undefined;
}

/** Who applies what to which copy. */
export interface ApplyContext {
  readonly replica: Replica;
  readonly target: FollowTarget;
  readonly signal: AbortSignal;
}

/** What a step came to. */
export interface AppliedChain {
  readonly txid: bigint;
  /** Pages handed to the copy. */
  readonly pages: number;
  /** When the state came to be. */
  readonly time: Date;
}

/**
 * Brings a copy forward by a chain of files; `undefined`, with nothing done, where they are of another page size than the
 * copy and do not bring every page. On any failure the copy stays as it was.
 *
 * Throws the errors of `LtxMerge`, of the store and of the target, and `DamagedFileError`.
 */
export async function applyChain(
  context: ApplyContext,
  chain: FollowChain,
): Promise<AppliedChain | undefined> {
  const { replica, signal } = context;
  const { files, bytes } = chain;
  if (bytes !== undefined) {
    const chunks = [bytes].values();
    const name = (files[0] as LtxFileInfo).key;
    return await applyInputs(context, chain, [{ name, read: () => chunks.next().value }]);
  }
  const inputs = new ChainInputs(replica, { signal });
  try {
    return await applyInputs(context, chain, await inputs.open(files));
  } catch (error) {
    // Where the page size changes in the chain.
    const { field } = error as Partial<LtxFormatError>;
    if (field === "pageSize" && files.length > 1) return undefined;
    throw error;
  } finally {
    inputs.close();
  }
}

async function applyInputs(
  context: ApplyContext,
  chain: FollowChain,
  inputs: readonly LtxInput[],
): Promise<AppliedChain | undefined> {
  const { target } = context;
  const merge = new LtxMerge(inputs);
  try {
    const header = await openChain(merge, chain);
    const { pageSize, commit, maxTxid: txid } = header;
    const { isWhole } = chain;
    if (!isWhole && pageSize !== target.state?.pageSize) return undefined;
    const size = isWhole ? commit : (target.state?.commit ?? 0);
    const step = await target.begin({ txid, pageSize, commit, isWhole });
    try {
      const { pages, added } = await copyPages(context, { merge, step, size });
      const grown = pagesBetween(size, commit, lockPage(pageSize));
      if (added < grown)
        throw damaged(chain, `the database grows by ${grown - added} pages that it lacks`);
      await step.commit();
      return { txid, pages, time: new Date(Number(header.timestamp)) };
    } catch (error) {
      await step.abort();
      throw error;
    }
  } finally {
    await merge.close();
  }
}

/** Hands every page on; the merge ends only when every file has been verified. */
async function copyPages(
  { signal, target }: ApplyContext,
  copy: { readonly merge: LtxMerge; readonly step: FollowStep; readonly size: number },
): Promise<{ readonly pages: number; readonly added: number }> {
  const { merge, step, size } = copy;
  let pages = 0;
  let added = 0;
  for (;;) {
    let more = merge.next();
    if (typeof more !== "boolean") more = await more;
    if (!more) return { pages, added };
    if (merge.pgno > size) added++;
    const written = step.write(merge.pgno, merge.data);
    if (written !== undefined) await written;
    if (++pages % ABORT_PAGES === 0) throwIfAborted(signal, "follow into", target.name);
  }
}

/** Pages that a database has more than before, without the lock page, which no file stores. */
function pagesBetween(before: number, after: number, lock: number): number {
  return Math.max(0, after - before) - (lock > before && lock <= after ? 1 : 0);
}

/** Opens a chain and checks that it is what its names say. */
async function openChain(merge: LtxMerge, chain: FollowChain): Promise<LtxHeader> {
  const { files } = chain;
  const header = await merge.open();
  const first = files[0] as LtxFileInfo;
  const last = files.at(-1) as LtxFileInfo;
  if (header.minTxid === first.minTxid && header.maxTxid === last.maxTxid) return header;
  throw damaged(chain, `its header says ${formatFileName(header.minTxid, header.maxTxid)}`);
}

function damaged(chain: FollowChain, what: string): DamagedFileError {
  const { key } = chain.files.at(-1) as LtxFileInfo;
  const next = "Let the writer upload a new snapshot, or find another copy of the file";
  return new DamagedFileError({ operation: "apply", object: key, what, next }, { file: key });
}
