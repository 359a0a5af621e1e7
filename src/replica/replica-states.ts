/**
 * The states of a replica as digests: one pass over its files, oldest first, of which every file makes the next state.
 *
 * @module
 */
import { lockPage } from "../core/lock-page.ts";
import { LtxDecoder } from "../ltx/decoder.ts";
import type { LtxInput } from "../ltx/merge.ts";
import { DamagedFileError } from "./errors.ts";
import type { PageDigest } from "./page-digest.ts";
import { PageTable } from "./page-table.ts";
import { ReadPool } from "./ranged-input.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { restorablePoints } from "./restore-points.ts";

/** How many of the newest states are looked at one by one. */
export const STATES = 64;
/** Files read side by side: they share the memory for reading ahead. */
const AT_ONCE = 16;

/** A state of a replica. */
export interface ReplicaState {
  /** 0 before the first file. */
  readonly txid: bigint;
  /** Page size in bytes; 0 before the first file. */
  readonly pageSize: number;
  /** The digest of every page; its size is the database's. */
  readonly table: PageTable;
}

/**
 * The files that lead from state `from` (0: from nothing) to state `to`, the newest, in order; `undefined` where one is
 * missing. As few as possible up to the last {@linkcode STATES} states that can be restored, from there on each of them.
 */
export function stepsBetween(
  files: readonly LtxFileInfo[],
  from: bigint,
  to: bigint,
): LtxFileInfo[] | undefined {
  const points = restorablePoints(files);
  const near = points.at(-STATES - 1)?.txid ?? 0n;
  // A file that reaches back is larger than those that only go on.
  const increments = files.filter((file) => file.minTxid > from);
  return steps(increments, { from, near, to }) ?? steps(files, { from, near, to });
}

function steps(
  files: readonly LtxFileInfo[],
  range: { readonly from: bigint; readonly near: bigint; readonly to: bigint },
): LtxFileInfo[] | undefined {
  const { near, to } = range;
  const found: LtxFileInfo[] = [];
  let reached = range.from;
  const far = files
    .filter((file) => file.maxTxid <= near)
    .sort((a, b) => sign(a.minTxid - b.minTxid));
  let best: LtxFileInfo | undefined;
  for (let i = 0; reached < near;) {
    for (; i < far.length && (far[i] as LtxFileInfo).minTxid <= reached + 1n; i++) {
      const file = far[i] as LtxFileInfo;
      const more = best === undefined ? 1n : file.maxTxid - best.maxTxid;
      if (more > 0n || (more === 0n && file.size < (best as LtxFileInfo).size)) best = file;
    }
    if (best === undefined || best.maxTxid <= reached) return undefined;
    found.push(best);
    reached = best.maxTxid;
  }
  // By their ends: a file that cannot follow when its turn comes is behind what was reached ever after.
  const rest = files
    .filter((file) => file.maxTxid > near)
    .sort((a, b) => sign(a.maxTxid - b.maxTxid) || a.size - b.size);
  for (const file of rest) {
    if (file.maxTxid <= reached || file.minTxid > reached + 1n) continue;
    found.push(file);
    reached = file.maxTxid;
  }
  return reached === to ? found : undefined;
}

function sign(difference: bigint): number {
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** What {@linkcode replayStates} begins with and reports to. */
export interface ReplayOptions {
  /** The state that the first file continues; its table is changed. Without it the first file holds every page. */
  readonly from?: ReplicaState | undefined;
  readonly digest: PageDigest;
  /** Called with each state before the last one, the first included; the table is valid during the call. */
  readonly passed?: ((state: ReplicaState) => void | Promise<void>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the files and returns the state they lead to. Downloads each of them once and keeps one digest per page.
 * Throws `DamagedFileError` and the decoder's errors.
 */
export async function replayStates(
  replica: Replica,
  steps: readonly LtxFileInfo[],
  options: ReplayOptions,
): Promise<ReplicaState> {
  const { digest, passed, signal } = options;
  let state = options.from ?? { txid: 0n, pageSize: 0, table: new PageTable() };
  for (let at = 0; at < steps.length; at += AT_ONCE) {
    const batch = steps.slice(at, at + AT_ONCE);
    const pool = new ReadPool(replica, batch, { signal });
    try {
      for (const [i, input] of pool.inputs.entries()) {
        if (state.pageSize > 0) await passed?.(state);
        const pageSize = await applyFile(input, state, digest);
        state = { ...state, txid: (batch[i] as LtxFileInfo).maxTxid, pageSize };
      }
    } finally {
      pool.close();
    }
  }
  return state;
}

/** Brings a table forward by one file; returns the page size. */
async function applyFile(
  input: LtxInput,
  state: ReplicaState,
  digest: PageDigest,
): Promise<number> {
  const { table } = state;
  const decoder = new LtxDecoder({ name: input.name });
  const more = async (): Promise<void> => {
    const chunk = await input.read();
    if (chunk === undefined) decoder.end();
    else decoder.push(chunk);
  };
  while (!decoder.readHeader()) await more();
  const { pageSize, commit } = decoder.header;
  // After a change of the page size nothing of the old pages is left: the file must bring all.
  if (pageSize !== state.pageSize) table.resize(0);
  if (commit < table.size) table.resize(commit);
  for (let step = decoder.next(); step !== "done"; step = decoder.next()) {
    if (step === "more") {
      await more();
      continue;
    }
    const { pgno } = decoder;
    // The table grows page by page: what a header announces may be anything.
    if (pgno > table.size) {
      if (pgno > commit || pgno !== nextPage(table, pageSize)) throw hole(input.name);
      table.resize(pgno);
    }
    digest.update(pgno, decoder.data);
    table.set(pgno, digest.hi, digest.lo);
  }
  if (table.size < commit) {
    if (nextPage(table, pageSize) <= commit) throw hole(input.name);
    table.resize(commit);
  }
  return pageSize;
}

/** The first page that a table has no room for yet; the lock page is never stored. */
function nextPage(table: PageTable, pageSize: number): number {
  const next = table.size + 1;
  return next === lockPage(pageSize) ? next + 1 : next;
}

function hole(name: string): DamagedFileError {
  const what = "it lacks pages that no file before it has";
  return new DamagedFileError(
    { operation: "read", object: name, what, next: "The next file will hold every page" },
    { file: name },
  );
}
