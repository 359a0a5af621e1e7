/**
 * From a replica back to a database: one pass from ranged reads through a merge into the sink.
 *
 * The files of the plan are merged by page number, each page is decoded once and copied once, into a run that the sink
 * writes while the next is filled. The sink makes nothing visible before every input was read to its end and its
 * checksum was right. Memory is bounded by the read pool and two runs, whatever the size of the database.
 *
 * @module
 */
import { type PagestreamError, isPagestreamError, throwIfAborted } from "../core/errors.ts";
import { lockPage } from "../core/lock-page.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { LTX_HEADER_SIZE, type LtxHeader, decodeHeader } from "../ltx/header.ts";
import { LtxMerge } from "../ltx/merge.ts";
import { decodeTrailer, LTX_TRAILER_SIZE } from "../ltx/trailer.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { ChainInputs } from "./chain-inputs.ts";
import { DamagedFileError } from "./errors.ts";
import { legacyFiles } from "./legacy-layout.ts";
import { type LegacyPlan, isLegacyPlan, planAnyRestore } from "./legacy-plan.ts";
import { explainLegacy, type LegacyRestoreContext, restoreLegacy } from "./legacy-restore.ts";
import type { RestorePlan, RestoreTarget } from "./plan.ts";
import { type Replica, openReplica } from "./replica.ts";
import {
  type RestoreReplicaOptions,
  type RestoreResult,
  resolveCheck,
  resolveTarget,
} from "./restore-options.ts";
import { RestoreOutput } from "./restore-output.ts";
import { PositionRecorder } from "./restore-position.ts";
import type { RestoreSink } from "./restore-sink.ts";

export type { RestoreReplicaOptions, RestoreResult } from "./restore-options.ts";

/** Least time between two progress reports in milliseconds. */
const PROGRESS_MS = 100;

/** Pages between two looks at the clock. */
const PROGRESS_PAGES = 256;

/**
 * Restores a state of a replica into a sink. On any failure the sink is told to abort, and nothing becomes visible.
 *
 * Throws the errors of `planRestore`; `DamagedFileError` for a file that is not what its name says, with the decoder's
 * error as cause; `IntegrityError` when SQLite's check finds fault; `AbortedError`; and the errors of store and sink.
 */
export async function restoreReplica(
  replica: ObjectStore | Replica,
  sink: RestoreSink,
  options: RestoreReplicaOptions,
): Promise<RestoreResult> {
  const opened = openReplica(replica, options);
  if (options.explain === true) return await new Restore(opened, sink, options).explain();
  const store = await sink.keeping?.(opened.store);
  const restore = new Restore(store ? opened.through({ store }) : opened, sink, options);
  try {
    return await restore.run();
  } catch (error) {
    await restore.abort(error);
    throw error;
  }
}

/** One restore on its way. */
class Restore {
  readonly #replica: Replica;
  readonly #sink: RestoreSink;
  readonly #options: RestoreReplicaOptions;
  readonly #journalHeader: RestoreSink["journalHeader"];
  readonly #recorder: PositionRecorder | undefined;
  #output: RestoreOutput | undefined;
  /** Header of the state, once the sink has been started. */
  #state: LtxHeader | undefined;
  /** Number of the next page the sink has not been given. */
  #next = 1;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(replica: Replica, sink: RestoreSink, options: RestoreReplicaOptions) {
    this.#replica = replica;
    this.#sink = sink;
    this.#options = options;
    this.#journalHeader = options.journalHeader ?? sink.journalHeader;
    const mayChoose =
      sink.chosen !== undefined && (options.txid !== undefined || options.timestamp !== undefined);
    this.#recorder =
      options.position === false && !mayChoose ? undefined : new PositionRecorder(replica.platform);
  }

  /** Plans, and reads the size of the result from the header of the last file. */
  async explain(): Promise<RestoreResult> {
    const plan = await this.#plan(this.#target());
    if (isLegacyPlan(plan)) return await explainLegacy(this.#legacy(), plan);
    const last = plan.files.at(-1) as RestorePlan["files"][number];
    const bytes = await this.#replica.read(last, {
      length: LTX_HEADER_SIZE,
      signal: this.#options.signal,
    });
    try {
      return this.#result(plan, decodeHeader(bytes, last.key));
    } catch (error) {
      throw asDamage(error, plan);
    }
  }

  async run(): Promise<RestoreResult> {
    const check = resolveCheck(this.#options, this.#sink);
    const target = this.#target();
    const planned = await this.#plan(target);
    if (isLegacyPlan(planned)) return await restoreLegacy(this.#legacy(check), planned);
    let plan = planned;
    try {
      await this.#readFiles(plan);
    } catch (error) {
      const isUnread = this.#state === undefined && isReplaced(error);
      if (!isPagestreamError(error, "NOT_FOUND") && !isUnread) throw error;
      // A compaction or retention removed a file of the plan; what replaced it is in a new listing. What the sink has
      // been given belongs to one state, so from then on only that very state will do.
      const again = await this.#plan(this.#state === undefined ? target : { txid: plan.txid });
      if (isLegacyPlan(again)) throw error;
      plan = again;
      await this.#readFiles(plan);
    }
    const header = this.#state as LtxHeader;
    await this.#sink.truncate(header.commit * header.pageSize);
    await check?.();
    throwIfAborted(this.#options.signal, "restore", this.#sink.name);
    await this.#rememberChoice(plan, header);
    await this.#sink.finish();
    return this.#result(plan, header);
  }

  /** Tells the sink to give up. Its own trouble with that must not hide why. */
  async abort(reason: unknown): Promise<void> {
    await this.#output?.settle();
    try {
      await this.#sink.abort(reason);
    } catch {
      // The error that ended the restore is the one to report.
    }
  }

  #target(): RestoreTarget {
    return resolveTarget(this.#options, this.#replica.platform.clock.now());
  }

  #legacy(check?: () => Promise<void>): LegacyRestoreContext {
    return { replica: this.#replica, sink: this.#sink, options: this.#options, check };
  }

  async #plan(target: RestoreTarget): Promise<RestorePlan | LegacyPlan> {
    try {
      return await this.#planOnce(target);
    } catch (error) {
      // Levels are not listed at one moment: a file that was compacted and removed in between is missed at both of
      // its places. A second listing that shows the same gap is believed.
      if (!isPagestreamError(error, "GAP")) throw error;
      return await this.#planOnce(target);
    }
  }

  async #planOnce(target: RestoreTarget): Promise<RestorePlan | LegacyPlan> {
    const { signal } = this.#options;
    const replica = this.#replica;
    throwIfAborted(signal, "restore", this.#sink.name);
    const exactTimes = target.timestamp !== undefined;
    const levels = await replica.levels({ exactTimes, signal });
    // States of the 0.3 layout have no TXIDs; it is looked at only to tell a replica of it from no replica at all.
    const isPossible = target.txid === undefined || levels.every((files) => files.length === 0);
    const legacy = isPossible ? await legacyFiles(replica, signal) : [];
    return planAnyRestore({ levels, legacy }, target, replica.description);
  }

  /** Merges the files of the plan into the sink, from the page on that it has not had yet. */
  async #readFiles(plan: RestorePlan): Promise<void> {
    const chain = new ChainInputs(this.#replica, { signal: this.#options.signal });
    let merge: LtxMerge | undefined;
    try {
      merge = new LtxMerge(await chain.open(plan.files));
      await this.#start(plan, await merge.open());
      await this.#copyPages(plan, merge, () => this.#report(plan, chain));
      await this.#output?.end();
      this.#report(plan, chain, true);
    } catch (error) {
      throw asDamage(error, plan);
    } finally {
      chain.close();
      await merge?.close();
    }
  }

  async #start(plan: RestorePlan, header: LtxHeader): Promise<void> {
    const before = this.#state;
    if (before !== undefined) {
      if (before.commit === header.commit && before.pageSize === header.pageSize) return;
      throw damage(plan, "it holds another state than the file of the same TXID that was removed");
    }
    const size = header.commit * header.pageSize;
    if (!Number.isSafeInteger(size)) throw damage(plan, `it announces ${header.commit} pages`);
    this.#state = header;
    await this.#sink.start({ pageSize: header.pageSize, size });
    if (size > 0)
      this.#output = new RestoreOutput(this.#sink, { size, journalHeader: this.#journalHeader });
  }

  /**
   * The hot loop: no promise and no allocation per page. The merge leaves out no page but the lock page, refuses
   * holes, and ends only when every input has been verified.
   */
  async #copyPages(plan: RestorePlan, merge: LtxMerge, report: () => void): Promise<void> {
    const { signal, onPage } = this.#options;
    const { commit } = this.#state as LtxHeader;
    const recorder = this.#recorder;
    const output = this.#output as RestoreOutput;
    let lookAt = this.#next + PROGRESS_PAGES;
    report();
    for (;;) {
      let more = merge.next();
      if (typeof more !== "boolean") more = await more;
      if (!more) break;
      const { pgno } = merge;
      if (pgno < this.#next) continue;
      if (this.#next < pgno) await this.#fillLockPage(plan, pgno);
      const { data } = merge;
      recorder?.add(pgno, data);
      onPage?.(pgno, data);
      const full = output.append(data);
      this.#next = pgno + 1;
      if (full !== undefined) await full;
      if (this.#next >= lookAt) {
        lookAt = this.#next + PROGRESS_PAGES;
        throwIfAborted(signal, "restore", this.#sink.name);
        report();
      }
    }
    if (this.#next <= commit) await this.#fillLockPage(plan, commit + 1);
  }

  /** Zeros for the lock page, which no file stores; before `pgno` no other page may be missing. */
  async #fillLockPage(plan: RestorePlan, pgno: number): Promise<void> {
    const { pageSize } = this.#state as LtxHeader;
    if (this.#next !== lockPage(pageSize) || this.#next + 1 !== pgno) {
      throw damage(plan, `page ${this.#next} is in no file of the chain that ends here`);
    }
    this.#next = pgno;
    await this.#output?.append(new Uint8Array(pageSize));
  }

  /** Lets the sink keep that an earlier state than the newest was asked for. */
  async #rememberChoice(plan: RestorePlan, header: LtxHeader): Promise<void> {
    const sink = this.#sink;
    const { txid, newestTxid, newestL0 } = plan;
    if (txid === newestTxid || this.#recorder === undefined || sink.chosen === undefined) return;
    const { pageSize, commit } = header;
    let fileChecksum = 0n;
    if (newestL0 !== undefined && newestL0.size >= LTX_TRAILER_SIZE) {
      const offset = newestL0.size - LTX_TRAILER_SIZE;
      const range = { offset, length: LTX_TRAILER_SIZE, signal: this.#options.signal };
      ({ fileChecksum } = decodeTrailer(await this.#replica.read(newestL0, range)));
    }
    const state = { replica: this.#replica.description, pageSize, commit };
    await sink.chosen(this.#recorder.chosenMarker(state, { txid, fileChecksum }));
  }

  #report(plan: RestorePlan, chain: ChainInputs, last = false): void {
    const { onProgress } = this.#options;
    if (onProgress === undefined) return;
    const now = this.#replica.platform.clock.monotonic();
    if (!last && now - this.#reportedAt < PROGRESS_MS) return;
    this.#reportedAt = now;
    onProgress({
      bytes: chain.consumedBytes,
      totalBytes: plan.totalBytes,
      pages: this.#next - 1,
      totalPages: (this.#state as LtxHeader).commit,
      file: chain.current,
      files: plan.files.length,
    });
  }

  #result(plan: RestorePlan, header: LtxHeader): RestoreResult {
    const { pageSize, commit } = header;
    const { txid, files, newestTxid } = plan;
    return {
      txid,
      time: stateTime(plan, header),
      pageSize,
      commit,
      size: commit * pageSize,
      files,
      legacy: undefined,
      newestTxid,
      position:
        this.#state === undefined || this.#options.position === false
          ? undefined
          : this.#recorder?.finish({
              replica: this.#replica.description,
              txid: formatTxid(txid),
              pageSize,
              commit,
              journalHeader: this.#journalHeader,
              chosen: txid < newestTxid,
            }),
    };
  }
}

/**
 * Whether a file is another version than the one that was listed: Litestream names a file in a directory before it dates it.
 * Where pages of it have been used it may be another writer's.
 */
function isReplaced(error: unknown): boolean {
  return (
    isPagestreamError(error, "DAMAGED_FILE") &&
    isPagestreamError(error.cause, "PRECONDITION_FAILED")
  );
}

/** A listing may only know when a file was uploaded; the header knows when it was made, which is never later. */
function stateTime(plan: RestorePlan, header: LtxHeader): Date {
  const made = new Date(Number(header.timestamp));
  return made.getTime() < plan.time.getTime() ? made : plan.time;
}

/** What a decoder says of a file's bytes, said of the file. Other errors pass through. */
function asDamage(error: unknown, plan: RestorePlan): unknown {
  if (!isDecodingError(error)) return error;
  const file = plan.files.find((f) => f.key === error.object)?.key;
  return damage(plan, "its content cannot be used", { file, cause: error });
}

function damage(
  plan: RestorePlan,
  what: string,
  details: { readonly file?: string | undefined; readonly cause?: PagestreamError } = {},
): DamagedFileError {
  const file = details.file ?? (plan.files.at(-1) as RestorePlan["files"][number]).key;
  const { cause } = details;
  return new DamagedFileError(
    {
      operation: "restore",
      object: file,
      what: cause === undefined ? what : `${what}: ${cause.message}`,
      next: "Restore an earlier TXID that needs no such file, or find another copy of it",
      cause,
    },
    { file },
  );
}

/** Tells whether an error says that the bytes of an LTX file are wrong. */
function isDecodingError(error: unknown): error is PagestreamError {
  return (
    isPagestreamError(error, "INVALID_LTX") ||
    isPagestreamError(error, "LTX_CHECKSUM") ||
    isPagestreamError(error, "LTX_UNSUPPORTED")
  );
}
