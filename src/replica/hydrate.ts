/**
 * Makes a full local copy of a replica while it is read from, and keeps it up to date.
 *
 * The copy is made of the same pages that reading page by page gives, and the reader looks into it first: a page is either
 * here, and is the page of the state that is read, or it is had from the store as before. So there is no moment at which
 * readers go over from one to the other, and no transaction sees two states.
 *
 * A newer state is brought in when no transaction is left on the states before it, page by page and in place. What changes
 * meanwhile is read from the store, and is brought in with the next pass.
 *
 * @module
 */
import {
  AbortedError,
  ClosedError,
  InvalidArgumentError,
  IoError,
  type PagestreamError,
  UnsupportedError,
  isPagestreamError,
} from "../core/errors.ts";
import { EventStream } from "../core/event-stream.ts";
import type { Aborter } from "../core/platform.ts";
import { LtxFormatError } from "../ltx/errors.ts";
import { decodeFrame } from "../ltx/page-frame.ts";
import { LocalCopy, type PageOrigin } from "./hydrate-copy.ts";
import { type FramePlace, type FrameRange, frameRanges } from "./hydrate-ranges.ts";
import type {
  Hydrated,
  HydrateOptions,
  HydrationEvent,
  HydrationProgress,
} from "./hydrate-options.ts";
import type { HydrationTarget } from "./hydrate-target.ts";
import type { ReaderInside } from "./reader-inside.ts";
import type { ReaderEvent, ReaderWait, ReplicaReader, ReplicaView } from "./reader-options.ts";
import { asDamage, isGone } from "./reader-files.ts";
import type { IndexedFile } from "./view-file.ts";
import type { View } from "./view.ts";

const DEFAULT_CONCURRENCY = 2;
/** Pages that are looked at before others have their turn. */
const SLICE = 2048;
/** Times that a pass is tried whose files are gone. */
const TRIES = 4;
/** After what failed, where no newer state comes before. */
const RETRY_MS = 30_000;

export type {
  Hydrated,
  HydrateOptions,
  HydrationEvent,
  HydrationProgress,
} from "./hydrate-options.ts";

/**
 * Opens the target and begins to fill it; resolves before that is done. `reader` is one of `openReader`, and has one
 * hydration at a time.
 *
 * Throws `DatabaseLockedError` where somebody else has the target, `TargetExistsError` where something else is in its place,
 * and `UnsupportedError` for a reader that has a copy already.
 *
 * @example
 * ```ts
 * import { bytesHydrationTarget, hydrate, openReplica, openReplicaReader } from "pagestream";
 * import { buildLtx } from "pagestream/testing";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const store = memoryStore();
 * const { name, bytes } = buildLtx({ pages: { 1: 1, 2: 2 } });
 * await store.put(`ltx/9/${name}`, bytes);
 *
 * await using reader = await openReplicaReader(store);
 * const copy = bytesHydrationTarget();
 * await using hydration = await hydrate(reader, copy);
 * console.log(await hydration.complete(), copy.bytes.length);
 * ```
 */
export async function hydrate(
  reader: ReplicaReader,
  target: HydrationTarget,
  options: HydrateOptions = {},
): Promise<Hydrated> {
  const inside = reader as ReplicaReader & Partial<ReaderInside>;
  if (inside.useCopy === undefined || inside.hasCopy === true) {
    throw new UnsupportedError({
      operation: "hydrate",
      object: reader.name,
      what: inside.hasCopy === true ? "its reader has a copy already" : "its reader is not ours",
      next: "Hydrate once for each reader, and share the reader",
    });
  }
  const { concurrency = DEFAULT_CONCURRENCY } = options;
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    const what = `concurrency is ${concurrency}, not a whole number of at least 1`;
    throw new InvalidArgumentError({ operation: "hydrate", object: reader.name, what });
  }
  const files = await target.open();
  try {
    const { randomBytes } = reader.replica.platform;
    const { pageSize } = reader.latest;
    const copy = LocalCopy.open(files, { name: target.name, pageSize, randomBytes });
    return new Hydration(inside as ReplicaReader & ReaderInside, copy, { ...options, target });
  } catch (error) {
    files.close();
    throw error;
  }
}

class Hydration implements Hydrated {
  readonly target: HydrationTarget;
  readonly events: EventStream<HydrationEvent> = new EventStream();
  readonly #reader: ReplicaReader & ReaderInside;
  readonly #copy: LocalCopy;
  readonly #options: HydrateOptions;
  readonly #aborter: Aborter;
  readonly #readerEvents: AsyncIterator<ReaderEvent, undefined>;
  readonly #work: Promise<void>;
  readonly #waiting = new Set<{
    resolve: (txid: bigint) => void;
    reject: (error: unknown) => void;
  }>();
  #progress = { pages: 0, totalPages: 0, recalledPages: 0, requests: 0, bytes: 0 };
  #wake = (): void => {};
  #view: ReplicaView | undefined;
  #error: PagestreamError | undefined;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  constructor(
    reader: ReplicaReader & ReaderInside,
    copy: LocalCopy,
    options: HydrateOptions & { readonly target: HydrationTarget },
  ) {
    this.#reader = reader;
    this.#copy = copy;
    this.#options = options;
    this.target = options.target;
    this.#aborter = reader.replica.platform.newAborter();
    this.#readerEvents = reader.events[Symbol.asyncIterator]();
    reader.useCopy(copy);
    const { signal } = options;
    const onAbort = (): void => this.#closeUnasked();
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    this.#work = this.#run().finally(() => signal?.removeEventListener("abort", onAbort));
    void this.#watch();
  }

  get txid(): bigint | undefined {
    return this.#view?.txid;
  }

  get progress(): HydrationProgress {
    return { ...this.#progress };
  }

  get error(): PagestreamError | undefined {
    return this.#error;
  }

  async complete({ signal }: ReaderWait = {}): Promise<bigint> {
    if (this.#isClosed) throw this.#closedError();
    if (this.#view === this.#reader.latest) return this.#view.txid;
    if (this.#error !== undefined) throw this.#error;
    return await new Promise<bigint>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        leave();
        reject(this.#aborted(signal?.reason));
      };
      const waiter = {
        resolve: (txid: bigint) => (leave(), resolve(txid)),
        reject: (error: unknown) => (leave(), reject(error)),
      };
      this.#waiting.add(waiter);
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener("abort", onAbort);
    });
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    this.#reader.useCopy(undefined);
    this.#aborter.abort(this.#closedError());
    void this.#readerEvents.return?.();
    this.#wake();
    await this.#work;
    for (const { reject } of this.#waiting) reject(this.#closedError());
    try {
      this.#copy.close();
    } catch (error) {
      throw this.#notKept(error);
    } finally {
      this.events.emit({ type: "closed" });
      this.events.close();
    }
  }

  /** Whoever closes it too is told how that ended. */
  #closeUnasked(): void {
    this.close().catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      const view = this.#reader.latest as View;
      await this.#attempt(view);
      if (this.#isClosed) return;
      if (this.#reader.latest !== view) continue;
      if (this.#options.follow === false && this.#view === view) return;
      await this.#nextTry();
    }
  }

  async #attempt(view: View): Promise<void> {
    try {
      await this.#bring(view);
      this.#error = undefined;
      this.#view = view;
      if (view !== this.#reader.latest) return;
      const { txid } = view;
      this.events.announce({ type: "complete", txid });
      for (const { resolve } of this.#waiting) resolve(txid);
    } catch (error) {
      if (this.#isClosed) return;
      const known = isPagestreamError(error) ? error : this.#notKept(error);
      this.#error = known;
      this.events.announce({ type: "error", error: known });
      for (const { reject } of this.#waiting) reject(known);
    }
  }

  /** Resolves when there is a newer state, or it is time to try again, or this ends. */
  #nextTry(): Promise<void> {
    const { clock } = this.#reader.replica.platform;
    return new Promise((resolve) => {
      const cancel = this.#error && clock.schedule(resolve, RETRY_MS, true);
      this.#wake = () => {
        cancel?.();
        resolve();
      };
    });
  }

  /** Always listens: what waits to be heard would be views, and the end of the reader would be noticed late. */
  async #watch(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#readerEvents.next();
      if (done === true || value.type === "closed") return this.#closeUnasked();
      if (value.type === "view") this.#wake();
    }
  }

  async #bring(view: View): Promise<void> {
    const reader = this.#reader;
    const { signal } = this.#aborter;
    if (view.pageSize !== this.#copy.pageSize) throw this.#otherPageSize(view);
    const unpin = reader.pin(view);
    try {
      // What a transaction may still read stays here until it has ended, whatever becomes of the store.
      const { txid } = this;
      if (txid !== undefined) await reader.whenReleased(txid, view.txid, signal);
      for (let tries = 1; ; tries++) {
        let lost = 0;
        const onLost = (pgno: number): void => void (lost ||= pgno);
        try {
          await this.#fetch(view, await this.#missing(view), onLost);
          break;
        } catch (error) {
          if (!isGone(error) || tries === TRIES) throw error;
          // The reader finds out where the pages are now.
          await reader.fetch(view, [lost], { signal });
        }
      }
      this.#copy.finish(Number(view.txid), view.commit);
    } finally {
      unpin();
    }
  }

  /** Takes what is in memory, and lists what is not: for each file positions in it. */
  async #missing(view: View): Promise<Map<IndexedFile, number[]>> {
    const copy = this.#copy;
    const to = Number(view.txid);
    const missing = new Map<IndexedFile, number[]>();
    this.#progress.pages = 0;
    this.#progress.totalPages = view.commit;
    for (let pgno = 1; pgno <= view.commit; pgno++) {
      if (pgno % SLICE === 0) await this.#giveWay();
      const file = view.map.file(pgno);
      const from = Number(file?.info.maxTxid);
      const isHere = file === undefined || copy.has(pgno, from, to);
      if (!isHere && copy.recall(pgno, originOf(file), to)) this.#progress.recalledPages++;
      else if (!isHere && !this.#takeCached(view, pgno)) {
        const positions = missing.get(file);
        if (positions === undefined) missing.set(file, [view.map.position(pgno)]);
        else positions.push(view.map.position(pgno));
        continue;
      }
      this.#progress.pages++;
    }
    copy.flush();
    return missing;
  }

  #takeCached(view: View, pgno: number): boolean {
    const file = view.map.file(pgno);
    const page = view.map.slot(pgno) === 0 ? undefined : this.#reader.peek(view, pgno);
    if (page === undefined || file === undefined) return false;
    this.#copy.begin();
    this.#copy.write(pgno, page, { origin: originOf(file), to: Number(view.txid) });
    return true;
  }

  async #fetch(
    view: View,
    missing: ReadonlyMap<IndexedFile, number[]>,
    onLost: (pgno: number) => void,
  ): Promise<void> {
    if (missing.size > 0) this.#copy.begin();
    const work = rangesOf(missing);
    const worker = async (): Promise<void> => {
      // Who fails ends the generator, and with it the others once their request is done.
      for (const { file, range } of work) {
        try {
          await this.#load(view, file, range);
        } catch (error) {
          onLost((range.frames[0] as FramePlace).pgno);
          throw error;
        }
      }
    };
    const { concurrency = DEFAULT_CONCURRENCY } = this.#options;
    const results = await Promise.allSettled(Array.from({ length: concurrency }, worker));
    for (const result of results) if (result.status === "rejected") throw result.reason;
    this.#report();
  }

  async #load(view: View, file: IndexedFile, range: FrameRange): Promise<void> {
    const { offset, length, frames } = range;
    const { signal } = this.#aborter;
    const bytes = await this.#reader.replica.read(file.info, { offset, length, signal });
    if (this.#isClosed) throw this.#closedError();
    this.#progress.requests++;
    this.#progress.bytes += length;
    const place = { origin: originOf(file), to: Number(view.txid) };
    for (const frame of frames) {
      const at = frame.offset - offset;
      const page = decode(bytes.subarray(at, at + frame.size), frame.pgno, file);
      this.#copy.write(frame.pgno, page, place);
    }
    this.#copy.flush();
    this.#progress.pages += frames.length;
    this.#report();
  }

  #report(): void {
    const { progress } = this;
    this.#options.onProgress?.(progress);
    if (this.events.hasReaders) this.events.emit({ type: "progress", progress });
  }

  #giveWay(): Promise<void> {
    const { clock } = this.#reader.replica.platform;
    return new Promise((resolve) => void clock.schedule(resolve, 0));
  }

  #closedError(): ClosedError {
    return new ClosedError({ ...this.#task, what: "the hydration was closed" });
  }

  #aborted(cause: unknown): AbortedError {
    return new AbortedError({ ...this.#task, what: "the wait was aborted", cause });
  }

  #notKept(cause: unknown): IoError {
    const what = cause instanceof Error ? cause.message : String(cause);
    return new IoError({ ...this.#task, what, next: "Pages are read from the store", cause });
  }

  #otherPageSize({ pageSize }: View): UnsupportedError {
    const what = `the database has pages of ${pageSize} bytes now`;
    return new UnsupportedError({ ...this.#task, what, next: "Close it, and hydrate anew" });
  }

  get #task(): { readonly operation: string; readonly object: string } {
    return { operation: "hydrate into", object: this.target.name };
  }
}

function originOf({ info }: IndexedFile): PageOrigin {
  const { key, size, etag, time } = info;
  const version = etag === "" ? time.getTime() : etag;
  return { from: Number(info.maxTxid), object: `${key} ${size} ${version}` };
}

function* rangesOf(
  missing: ReadonlyMap<IndexedFile, number[]>,
): Generator<{ readonly file: IndexedFile; readonly range: FrameRange }, void> {
  for (const [file, positions] of missing) {
    for (const range of frameRanges(placesOf(file, positions))) yield { file, range };
  }
}

function* placesOf(file: IndexedFile, positions: readonly number[]): Generator<FramePlace, void> {
  for (const position of Uint32Array.from(positions).sort()) {
    const offset = file.offsets[position] as number;
    yield { pgno: file.pgno(position), offset, size: file.size(position) };
  }
}

function decode(frame: Uint8Array, pgno: number, file: IndexedFile): Uint8Array {
  const { key } = file.info;
  try {
    const decoded = decodeFrame(frame, file.state.pageSize, key);
    if (decoded.pgno === pgno) return decoded.data;
    const what = `the frame of page ${pgno} holds page ${decoded.pgno}`;
    throw new LtxFormatError({ name: key, field: "pgno", offset: 0, what });
  } catch (error) {
    throw asDamage(error, key);
  }
}
