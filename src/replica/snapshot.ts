/**
 * Level 9: files `1..N` that hold the whole database, read from it at a boundary at which L0 file N was cut.
 *
 * A snapshot waits for its L0 file, since no level may rest above the newest one, and goes to the store beside the L0
 * files, which do not wait for it.
 *
 * @module
 */
import type { CommitSource, DatabaseImage } from "../core/commit-source.ts";
import { ImageOverrunError, type PagestreamError, UnsupportedError } from "../core/errors.ts";
import type { Aborter, Platform } from "../core/platform.ts";
import { replicaHeader } from "../ltx/header.ts";
import type { CommitCollector } from "./commit-collector.ts";
import type { CutState } from "./l0-cutter.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import type { LocalState } from "./local-state.ts";
import { type ImageReader, readImage } from "./read-image.ts";
import type { SnapshotResult, WaitOptions } from "./replication.ts";
import { type StagedFile, StagedFileWriter } from "./staged-file.ts";
import { stagedObject } from "./upload-staged.ts";
import type { ReplicaWriter } from "./writer.ts";

/** Tries to find a boundary at which a file is cut and no commit slips in. */
const BOUNDARY_ATTEMPTS = 8;

/** What a {@linkcode SnapshotWriter} works with. */
export interface SnapshotWriterOptions {
  readonly source: CommitSource;
  readonly state: LocalState;
  readonly platform: Platform;
  readonly collector: CommitCollector;
  /** Why replication has stopped. */
  readonly stopped: () => PagestreamError | undefined;
}

/** Where a snapshot goes. */
export interface SnapshotTarget {
  readonly writer: ReplicaWriter;
  /** Uploads what is committed. */
  flush(options: WaitOptions): Promise<void>;
  /** Resolves when an L0 file is confirmed. */
  waitFor(txid: bigint, options: WaitOptions): Promise<void>;
  /** A snapshot is in the store; it is still staged. */
  snapshotUploaded(file: StagedFile): void;
}

/** The snapshots of one replication, one at a time: all that reads the whole database takes turns here. */
export class SnapshotWriter {
  readonly #options: SnapshotWriterOptions;
  readonly #running = new Set<Aborter>();
  #last: Promise<unknown> = Promise.resolve();
  /** Written, but not uploaded: it serves the next call if nothing is committed until then. */
  #kept: StagedFile | undefined;

  constructor(options: SnapshotWriterOptions) {
    this.#options = options;
  }

  /** Writes and uploads a snapshot of what is committed now, after those asked for before. */
  write(target: SnapshotTarget, options: WaitOptions): Promise<SnapshotResult> {
    return this.inTurn(options.signal, (signal) => this.#write(target, signal));
  }

  /** Does other work that reads the whole database into local state; `end` aborts it like a snapshot. */
  inTurn<T>(
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const aborter = this.#options.platform.newAborter();
    const onAbort = (): void => aborter.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#running.add(aborter);
    const result = this.#last
      .then(() => work(aborter.signal))
      .catch((error: unknown) => {
        throw signal?.aborted ? error : (this.#options.stopped() ?? error);
      })
      .finally(() => {
        this.#running.delete(aborter);
        signal?.removeEventListener("abort", onAbort);
      });
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Whether anything is under way. */
  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /** Ends what is under way; resolves when nothing runs any more. */
  async end(): Promise<void> {
    for (const aborter of this.#running) aborter.abort("end");
    await this.#last;
  }

  async #write(target: SnapshotTarget, signal: AbortSignal): Promise<SnapshotResult> {
    const { source, state, platform, collector } = this.#options;
    const { writer } = target;
    await target.flush({ signal });
    if (source.commit === 0) {
      throw new UnsupportedError({
        operation: "take a snapshot of",
        object: source.name,
        what: "the database is empty",
        next: "Take one after the first commit",
      });
    }
    const { txid } = collector.last as CutState;
    const idle = collector.localTxid === txid;
    if (idle) {
      const span = { level: SNAPSHOT_LEVEL, minTxid: 1n, maxTxid: txid };
      const there = await writer.replica.find(span, { signal });
      if (there !== undefined) return { txid, size: there.size };
    }
    const kept = this.#kept;
    if (kept !== undefined) {
      const serves = idle && kept.header.maxTxid === txid && state.staged().includes(kept.name);
      if (!serves) {
        state.removeStaged(kept.name);
        this.#kept = undefined;
      }
    }
    this.#kept ??= await readImage(platform.clock, (read) => this.#encode(target, read, signal));
    const file = this.#kept;
    await writer.create(stagedObject(state, file), { signal });
    this.#kept = undefined;
    target.snapshotUploaded(file);
    return { txid: file.header.maxTxid, size: file.size };
  }

  async #encode(
    target: SnapshotTarget,
    read: ImageReader,
    signal: AbortSignal,
  ): Promise<StagedFile> {
    const { source, collector, state, platform } = this.#options;
    const { image, cut } = await boundaryImage(source, collector, {
      between: () => target.flush({ signal }),
      signal,
    });
    const { pageSize, commit, sequence } = image;
    const { txid: maxTxid, time: timestamp } = cut;
    const writer = new StagedFileWriter(state, {
      level: SNAPSHOT_LEVEL,
      header: replicaHeader({ pageSize, commit, minTxid: 1n, maxTxid, timestamp }),
      full: true,
      sequence,
      since: platform.clock.monotonic(),
    });
    try {
      await read(image, (pgno, data) => writer.page(pgno, data));
      // A start after a crash uploads what is finished: not before its L0 file.
      await target.waitFor(maxTxid, { signal });
      if (collector.landed === maxTxid) {
        const what = "the TXID of its boundary went to a file that had been given up";
        throw new ImageOverrunError({ operation: "read", object: source.name, what });
      }
      return writer.finish();
    } catch (error) {
      writer.abort();
      throw error;
    }
  }
}

/** The whole database at a boundary at which an L0 file was cut, and that file's state. */
export async function boundaryImage(
  source: CommitSource,
  collector: CommitCollector,
  options: {
    /** Has what is committed cut, before the next try. */
    readonly between: () => Promise<void>;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly image: DatabaseImage; readonly cut: CutState }> {
  for (let attempt = 1; attempt <= BOUNDARY_ATTEMPTS; attempt++) {
    const found = await collector.imageAtCut(options.signal);
    if (found !== undefined) return found;
    await options.between();
  }
  throw new UnsupportedError({
    operation: "take a snapshot of",
    object: source.name,
    what: `at none of ${BOUNDARY_ATTEMPTS} tries a file could be cut right after the commit that ended an open transaction`,
    next: "Try again when no transaction stays open while other work is done",
  });
}
