/**
 * From the 0.3 layout back to a database: a snapshot that streams, with the newest image of each page that the WALs hold.
 *
 * The result is what Litestream 0.3.13 makes of the same files by letting SQLite checkpoint one WAL after the other. Memory
 * is bounded whatever the size of snapshot and WALs.
 *
 * @module
 */
import { decodeDatabaseHeader } from "../core/database-header.ts";
import { isPagestreamError, throwIfAborted } from "../core/errors.ts";
import { lockPage } from "../core/lock-page.ts";
import { damagedLegacy } from "./legacy-layout.ts";
import { LegacyDecoder } from "./legacy-lz4.ts";
import { LEGACY_WINDOW_BYTES, LegacyPages } from "./legacy-pages.ts";
import type { LegacyPlan } from "./legacy-plan.ts";
import { readFiles } from "./legacy-reader.ts";
import { readLegacyWal } from "./legacy-wal.ts";
import type { Replica } from "./replica.ts";
import type { RestoreReplicaOptions, RestoreResult } from "./restore-options.ts";
import { RestoreOutput } from "./restore-output.ts";
import { PositionRecorder } from "./restore-position.ts";
import type { RestoreSink } from "./restore-sink.ts";

/** Pages between two looks at the signal where none are read. */
const ABORT_PAGES = 4096;

/** What a restore from the 0.3 layout works with. */
export interface LegacyRestoreContext {
  readonly replica: Replica;
  readonly sink: RestoreSink;
  readonly options: RestoreReplicaOptions;
  /** Lets SQLite check what was written. */
  readonly check: (() => Promise<void>) | undefined;
  /** Bytes of pages held at once. @default 64 MiB */
  readonly windowBytes?: number | undefined;
}

/** What is known of the database before its first page is written. */
interface Shape {
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
  /** The first window. */
  readonly pages: LegacyPages;
}

/** Restores a plan into a sink; the caller tells the sink to abort where this throws. */
export async function restoreLegacy(
  context: LegacyRestoreContext,
  plan: LegacyPlan,
): Promise<RestoreResult> {
  const { sink, options, check } = context;
  const shape = await readShape(context, plan);
  const { pageSize, commit } = shape;
  const size = commit * pageSize;
  await sink.start({ pageSize, size });
  const output = new RestoreOutput(sink, {
    size,
    journalHeader: options.journalHeader ?? sink.journalHeader,
  });
  const recorder =
    sink.chosen === undefined || plan.isNewest || plan.newestTxid === 0n
      ? undefined
      : new PositionRecorder(context.replica.platform);
  try {
    await new PageWriter(context, plan, { ...shape, output, recorder }).run();
    await output.end();
  } finally {
    await output.settle();
  }
  await sink.truncate(size);
  await check?.();
  throwIfAborted(options.signal, "restore", sink.name);
  if (recorder !== undefined) {
    // Not to be brought to the LTX files' newest state unasked: no TXID, so no file that could prove it.
    const state = { replica: context.replica.description, pageSize, commit };
    await sink.chosen?.(recorder.chosenMarker(state, { txid: 0n, fileChecksum: 0n }));
  }
  await sink.finish();
  return resultOf(plan, shape);
}

/** What a restore of a plan would give; reads the WALs, or the snapshot where there are none, for its size. */
export async function explainLegacy(
  context: LegacyRestoreContext,
  plan: LegacyPlan,
): Promise<RestoreResult> {
  return resultOf(plan, await readShape(context, plan));
}

function resultOf(plan: LegacyPlan, { pageSize, commit }: Shape): RestoreResult {
  const { snapshot, segments, time, newestTxid } = plan;
  const { generation, index, offset } = segments.at(-1) ?? snapshot;
  return {
    txid: 0n,
    time,
    pageSize,
    commit,
    size: pageSize * commit,
    files: [],
    legacy: { generation, index, offset, files: [snapshot, ...segments] },
    newestTxid,
    position: undefined,
  };
}

/** Reads all segments; where they commit nothing the size is that of the snapshot, which is read for it. */
async function readShape(context: LegacyRestoreContext, plan: LegacyPlan): Promise<Shape> {
  const { replica, options } = context;
  const { signal } = options;
  const pages = new LegacyPages(1, context.windowBytes ?? LEGACY_WINDOW_BYTES);
  const walPageSize = await readLegacyWal(replica, plan, { pages, signal });
  if (walPageSize !== undefined && pages.commit > 0) {
    return { pageSize: walPageSize, commit: pages.commit, pages };
  }
  let pageSize = 0;
  let length = 0;
  for await (const { bytes, pageSize: found } of snapshotRuns(replica, plan, signal)) {
    pageSize = found;
    length += bytes.length;
  }
  return { pageSize, commit: length / pageSize, pages };
}

/** Writes every page in order: of the WALs where they have it, else of the snapshot, else zeros as SQLite leaves them. */
class PageWriter {
  readonly #context: LegacyRestoreContext;
  readonly #plan: LegacyPlan;
  readonly #shape: Shape;
  readonly #output: RestoreOutput;
  readonly #recorder: PositionRecorder | undefined;
  readonly #locked: number;
  readonly #zeros: Uint8Array;
  #pages: LegacyPages;
  #next = 1;

  constructor(
    context: LegacyRestoreContext,
    plan: LegacyPlan,
    job: Shape & {
      readonly output: RestoreOutput;
      readonly recorder: PositionRecorder | undefined;
    },
  ) {
    this.#context = context;
    this.#plan = plan;
    this.#shape = job;
    this.#output = job.output;
    this.#recorder = job.recorder;
    this.#locked = lockPage(job.pageSize);
    this.#zeros = new Uint8Array(job.pageSize);
    this.#pages = job.pages;
  }

  async run(): Promise<void> {
    const { replica, sink, options } = this.#context;
    const { snapshot, totalBytes } = this.#plan;
    const { pageSize, commit } = this.#shape;
    const walBytes = totalBytes - snapshot.size;
    for await (const run of snapshotRuns(replica, this.#plan, options.signal)) {
      if (run.pageSize !== pageSize) {
        throw damagedLegacy(snapshot.key, `its page size is not the ${pageSize} of its WAL`);
      }
      this.#report(walBytes + run.read);
      for (let at = 0; at < run.bytes.length && this.#next <= commit; at += pageSize) {
        await this.#write(run.bytes.subarray(at, at + pageSize));
      }
    }
    while (this.#next <= commit) {
      if (this.#next % ABORT_PAGES === 0) throwIfAborted(options.signal, "restore", sink.name);
      await this.#write(undefined);
    }
    this.#report(totalBytes);
  }

  /** Writes the next page, whose content in the snapshot is `base`. */
  async #write(base: Uint8Array | undefined): Promise<void> {
    const { replica, options, windowBytes } = this.#context;
    const pgno = this.#next++;
    if (pgno > this.#pages.to) {
      this.#pages = new LegacyPages(pgno, windowBytes ?? LEGACY_WINDOW_BYTES);
      const { signal } = options;
      await readLegacyWal(replica, this.#plan, { pages: this.#pages, signal });
    }
    // Beyond the smallest size there was, what the snapshot held was cut off.
    const kept = pgno <= this.#shape.pages.smallest ? base : undefined;
    const page = this.#pages.get(pgno) ?? kept ?? this.#zeros;
    if (pgno !== this.#locked) {
      this.#recorder?.add(pgno, page);
      options.onPage?.(pgno, page);
    }
    await this.#output.append(page);
  }

  #report(bytes: number): void {
    const { totalBytes, segments, snapshot } = this.#plan;
    this.#context.options.onProgress?.({
      bytes,
      totalBytes,
      pages: this.#next - 1,
      totalPages: this.#shape.commit,
      file: snapshot.key,
      files: segments.length + 1,
    });
  }
}

/** Whole pages of the snapshot, as a view that the next step overwrites. */
interface SnapshotRun {
  readonly bytes: Uint8Array;
  readonly pageSize: number;
  /** Bytes of the file read so far. */
  readonly read: number;
}

async function* snapshotRuns(
  replica: Replica,
  { snapshot }: LegacyPlan,
  signal: AbortSignal | undefined,
): AsyncGenerator<SnapshotRun, void, undefined> {
  const decoder = new LegacyDecoder();
  decoder.begin(snapshot.key);
  let pageSize = 0;
  let read = 0;
  for await (const { bytes, isLast } of readFiles(replica, [snapshot], signal)) {
    read += bytes.length;
    for (const block of decoder.decode(bytes)) {
      if (pageSize === 0) pageSize = pageSizeOf(block, snapshot.key);
      // Blocks hold 4 MiB, the last one what is left; nobody wrote any other.
      if (block.length % pageSize !== 0) {
        throw damagedLegacy(
          snapshot.key,
          `a block of ${block.length} bytes is no row of whole pages`,
        );
      }
      yield { bytes: block, pageSize, read };
    }
    if (isLast) decoder.finish();
  }
  if (pageSize === 0) throw damagedLegacy(snapshot.key, "it is empty");
}

function pageSizeOf(block: Uint8Array, key: string): number {
  try {
    return decodeDatabaseHeader(block, key).pageSize;
  } catch (error) {
    if (!isPagestreamError(error, "INVALID_DATABASE")) throw error;
    throw damagedLegacy(key, error.message);
  }
}
