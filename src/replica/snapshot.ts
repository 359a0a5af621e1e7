/**
 * Level 9: files `1..N` that hold the whole database, read from it at a boundary at which L0 file N was cut.
 *
 * A snapshot waits for its L0 file, since no level may rest above the newest one, and goes to the store beside the L0
 * files, which do not wait for it.
 *
 * @module
 */
import type { CommitSource, DatabaseImage } from "../core/commit-source.ts";
import { type PagestreamError, UnsupportedError } from "../core/errors.ts";
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
  readonly writer: ReplicaWriter;
  readonly state: LocalState;
  readonly platform: Platform;
  readonly collector: CommitCollector;
  /** Uploads what is committed. */
  readonly flush: (options: WaitOptions) => Promise<void>;
  /** Resolves when an L0 file is confirmed. */
  readonly waitFor: (txid: bigint, options: WaitOptions) => Promise<void>;
  /** A snapshot is in the store; it is still staged. */
  readonly uploaded: (file: StagedFile) => void;
  /** Why replication has stopped. */
  readonly stopped: () => PagestreamError | undefined;
}

/** The snapshots of one replication, one at a time. */
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
  write({ signal }: WaitOptions): Promise<SnapshotResult> {
    const aborter = this.#options.platform.newAborter();
    const onAbort = (): void => aborter.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#running.add(aborter);
    const result = this.#last
      .then(() => this.#write(aborter.signal))
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

  /** Ends what is under way; resolves when nothing runs any more. */
  async end(): Promise<void> {
    for (const aborter of this.#running) aborter.abort("end");
    await this.#last;
  }

  async #write(signal: AbortSignal): Promise<SnapshotResult> {
    const { source, writer, state, platform, collector, flush, uploaded } = this.#options;
    await flush({ signal });
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
    if (this.#kept !== undefined && !(idle && this.#kept.header.maxTxid === txid)) {
      state.removeStaged(this.#kept.name);
      this.#kept = undefined;
    }
    this.#kept ??= await readImage(platform.clock, (read) => this.#encode(read, signal));
    const file = this.#kept;
    await writer.create(stagedObject(state, file), { signal });
    this.#kept = undefined;
    uploaded(file);
    return { txid: file.header.maxTxid, size: file.size };
  }

  async #encode(read: ImageReader, signal: AbortSignal): Promise<StagedFile> {
    const { state, platform, waitFor } = this.#options;
    const { image, cut } = await this.#boundary(signal);
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
      await waitFor(maxTxid, { signal });
      return writer.finish();
    } catch (error) {
      writer.abort();
      throw error;
    }
  }

  async #boundary(
    signal: AbortSignal,
  ): Promise<{ readonly image: DatabaseImage; readonly cut: CutState }> {
    const { source, collector, flush } = this.#options;
    for (let attempt = 1; attempt <= BOUNDARY_ATTEMPTS; attempt++) {
      const found = await collector.imageAtCut(signal);
      if (found !== undefined) return found;
      await flush({ signal });
    }
    throw new UnsupportedError({
      operation: "take a snapshot of",
      object: source.name,
      what: `at none of ${BOUNDARY_ATTEMPTS} tries a file could be cut right after the commit that ended an open transaction`,
      next: "Try again when no transaction stays open while other work is done",
    });
  }
}
