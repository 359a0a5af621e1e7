/**
 * Reads a replica page by page, without restoring it.
 *
 * A reader knows where the pages of a state lie: the merged page indexes of the files that a restore of it would read. Pages
 * are fetched when they are wanted, by ranged reads, each frame checked, and shared in memory by all states and all who
 * read. A state never changes; a newer one is another view.
 *
 * @module
 */
import {
  abortedError,
  InvalidArgumentError,
  isPagestreamError,
  type PagestreamError,
  throwIfAborted,
} from "../core/errors.ts";
import { EventStream } from "../core/event-stream.ts";
import { lockPage } from "../core/lock-page.ts";
import type { BlockingReads, PinOptions } from "../core/page-source.ts";
import type { Aborter } from "../core/platform.ts";
import { type RetryPolicy, sleep } from "../core/retry.ts";
import { abortable } from "../core/abortable.ts";
import type { LocalReads, ObjectStore } from "../transports/object-store.ts";
import type { RestoreTarget } from "./plan.ts";
import { ReadAhead } from "./reader-ahead.ts";
import { PageCache } from "./reader-cache.ts";
import { changedPages } from "./reader-changes.ts";
import { ViewFollower } from "./reader-follow.ts";
import { isGone } from "./reader-files.ts";
import type { LocalPages, ReaderInside, ReaderMemory } from "./reader-inside.ts";
import { decodeIndexes, encodeIndexes } from "./reader-index.ts";
import { MeteredStore, meteredReads } from "./reader-meter.ts";
import type {
  ReaderEvent,
  ReaderOptions,
  ReaderStats,
  ReaderWait,
  ReplicaReader,
  ReplicaView,
  ViewOptions,
} from "./reader-options.ts";
import { PageFetcher } from "./reader-pages.ts";
import { asTyped, closed, notThere, refuseFuture, sizeOf } from "./reader-refusals.ts";
import { ViewMaker } from "./reader-views.ts";
import { type Replica, openReplica } from "./replica.ts";
import { resolveTarget, type StateRequest } from "./restore-options.ts";
import { View } from "./view.ts";
import { Waiters } from "./waiters.ts";

export type {
  IndexStore,
  ReaderEvent,
  ReaderFollowing,
  ReaderOptions,
  ReaderRequest,
  ReaderStats,
  ReaderWait,
  ReplicaReader,
  ReplicaView,
  ViewOptions,
} from "./reader-options.ts";

/** Somebody waits for each answer: minutes of trying are too long. */
const READ_RETRY: RetryPolicy = { attempts: 6, baseMs: 100, capMs: 2000, budgetMs: 15_000 };

const CACHE_BYTES = 32 * 1024 * 1024;
const READ_AHEAD = 1024 * 1024;
/** The same of local files: what a system call costs besides is soon made up for, and pages stay in the processor's cache. */
const LOCAL_READ_AHEAD = 64 * 1024;

/** Milliseconds of a round trip from which on pages are read before they are wanted. */
const SLOW_MS = 5;

/** Pause between two looks for a replica that is not there yet. */
const WAIT_MS = 250;

/** Looks that fail in a row before the newest view counts as out of date. */
const STALE_AFTER = 3;

/**
 * Opens a replica to be read page by page. Resolves when the pages of the newest state, or of the target, can be read.
 *
 * Throws `NoBackupError` where there are no files, unless they are waited for; the other errors of `planRestore`;
 * `DamagedFileError` for a file that is not what its name says; `UnsupportedError` for what Litestream 0.3 left; and the errors
 * of the store.
 */
export async function openReader(
  replica: ObjectStore | Replica,
  options: ReaderOptions,
  memory?: ReaderMemory,
): Promise<ReplicaReader> {
  const opened = openReplica(replica, { retry: READ_RETRY, ...options });
  const local = await opened.store.localReads?.();
  const reader = new Reader(opened, { ...options, local }, memory);
  try {
    if (memory === undefined) await reader.open();
    else reader.resume(memory.latest);
  } catch (error) {
    await reader.close();
    throw error;
  }
  return reader;
}

class Reader implements ReplicaReader, ReaderInside {
  readonly replica: Replica;
  readonly events: EventStream<ReaderEvent> = new EventStream();
  readonly fetchSync?: (view: ReplicaView, pgnos: readonly number[]) => void;
  readonly isLocal: boolean;
  readonly #options: ReaderOptions;
  readonly #meter = { requests: 0, bytes: 0, pages: 0, hits: 0 };
  readonly #local: LocalReads | undefined;
  readonly #store: MeteredStore;
  readonly #cache: PageCache;
  readonly #ahead: ReadAhead;
  readonly #pages: PageFetcher;
  readonly #views: ViewMaker;
  readonly #follower: ViewFollower;
  readonly #aborter: Aborter;
  readonly #waiters: Waiters = new Waiters();
  readonly #unpinned: Waiters = new Waiters();
  /** Views that somebody reads from, and how many do. */
  readonly #pins: Map<View, number> = new Map();
  #latest: View | undefined;
  #error: PagestreamError | undefined;
  #lastLookAt: Date | undefined;
  #failures = 0;
  #savedLoads = 0;
  #zeros: Uint8Array | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    replica: Replica,
    options: ReaderOptions & { readonly local: LocalReads | undefined },
    memory?: ReaderMemory,
  ) {
    this.replica = replica;
    this.#options = options;
    const { platform } = replica;
    this.#aborter = platform.newAborter();
    const { signal } = this.#aborter;
    const cacheBytes = sizeOf(options.cacheBytes, CACHE_BYTES, "cacheBytes");
    // What is read ahead must not push out what is in use.
    const usual = options.local === undefined ? READ_AHEAD : LOCAL_READ_AHEAD;
    const readAhead = Math.min(sizeOf(options.readAhead, usual, "readAhead"), cacheBytes / 4);
    this.#cache = memory?.cache ?? new PageCache(cacheBytes);
    this.#ahead = memory?.ahead ?? new ReadAhead(this.#cache, readAhead);
    this.#local = options.local;
    const local = this.#local && meteredReads(this.#local, this.#meter);
    this.#store = new MeteredStore(replica.store, this.#meter, platform.clock);
    const metered = replica.through({ store: this.#store, reads: local });
    this.#pages = new PageFetcher({
      replica: metered,
      cache: this.#cache,
      ahead: this.#ahead,
      scanAhead: cacheBytes / 2,
      signal,
      stats: this.#meter,
      relocate: (view, cause) => this.#views.relocate(view, cause),
    });
    this.#views = new ViewMaker({ replica: metered, pages: this.#pages, signal });
    this.#follower = new ViewFollower({
      replica: metered,
      views: this.#views,
      following: options.follow === false ? {} : (options.follow ?? {}),
      pointer: options.pointer === true,
      platform,
      signal,
      advance: (view) => this.#advance(view),
      latest: () => this.#latest as View,
      looked: (error) => this.#looked(error),
    });
    const { blockingReads } = options;
    const reads = blockingReads === undefined ? local : meteredReads(blockingReads, this.#meter);
    if (reads !== undefined) this.fetchSync = (view, pgnos) => this.#fetchSync(view, pgnos, reads);
    this.isLocal = blockingReads === undefined && local !== undefined;
  }

  get name(): string {
    return this.replica.description;
  }

  get latest(): View {
    return this.#latest as View;
  }

  get error(): PagestreamError | undefined {
    return this.#error;
  }

  get lastLookAt(): Date | undefined {
    return this.#lastLookAt;
  }

  get stats(): ReaderStats {
    return this.#meter;
  }

  async open(): Promise<void> {
    const { signal, allowFuture, follow } = this.#options;
    const target = this.#resolve(this.#options.target ?? {});
    throwIfAborted(signal, "read", this.name);
    await this.#loadIndexes();
    const isNewest = target.txid === undefined && target.timestamp === undefined;
    const opening = this.#first(target, allowFuture === true);
    // Whoever gives up closes, which ends the requests.
    await abortable(opening, { operation: "read", object: this.name, signal });
    // Who reads one state, or asks once, may need none of it.
    if (isNewest && follow !== false) this.readingAhead = this.#readAhead();
    this.#views.forget();
    this.#lastLookAt = new Date(this.replica.platform.clock.now());
    if (isNewest) this.#follower.listed();
    if (isNewest && follow !== false) this.#follower.start();
    void this.#saveIndexes();
  }

  /** Goes on from what another reader has left: asks nothing before it is told to. */
  resume(latest: View): void {
    this.#latest = latest;
    this.#views.resume(latest);
  }

  peek(view: ReplicaView, pgno: number): Uint8Array | undefined {
    const own = view as View;
    const slot = own.map.slot(pgno);
    if (slot === 0) return this.#pages.peekLocal(own, pgno) ?? this.#emptyPage(own, pgno);
    this.#meter.hits++;
    if (own.holds.size > 0) this.#cache.keep(slot, own.holds);
    return this.#cache.read(slot);
  }

  async fetch(
    view: ReplicaView,
    pgnos: readonly number[],
    options: ReaderWait = {},
  ): Promise<void> {
    const own = this.#own(view, pgnos);
    try {
      await this.#pages.fetch(own, pgnos, options.signal);
    } catch (error) {
      this.#refuseClosed();
      throw error;
    }
  }

  pin(view: ReplicaView, options: PinOptions = {}): () => void {
    const own = this.#own(view);
    const hold = options.keepPages === true ? this.#cache.hold() : undefined;
    if (hold !== undefined) own.holds.add(hold);
    this.#pins.set(own, (this.#pins.get(own) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      if (hold !== undefined) {
        own.holds.delete(hold);
        this.#cache.release(hold);
      }
      const left = (this.#pins.get(own) ?? 1) - 1;
      if (left > 0) this.#pins.set(own, left);
      else this.#pins.delete(own);
      this.#unpinned.settle();
    };
  }

  readingAhead: Promise<void> = Promise.resolve();

  get hasCopy(): boolean {
    return this.#pages.local !== undefined;
  }

  useCopy(copy: LocalPages | undefined): void {
    this.#pages.local = copy;
  }

  whenReleased(from: bigint, before: bigint, signal: AbortSignal): Promise<void> {
    const reached = (): boolean =>
      ![...this.#pins.keys()].some(({ txid }) => txid >= from && txid < before);
    if (reached()) return Promise.resolve();
    const wait = { reached, stuck: () => false };
    return this.#unpinned.add(wait, signal, () =>
      abortedError({ operation: "wait for", object: this.name, signal }),
    );
  }

  async refresh(options: ReaderWait = {}): Promise<ReplicaView> {
    this.#refuseClosed();
    const { signal } = options;
    await abortable(this.#follower.refresh(), { operation: "read", object: this.name, signal });
    this.#refuseClosed();
    if (this.#options.follow !== false) this.#follower.start();
    if (this.#error !== undefined) throw this.#error;
    return this.latest;
  }

  async waitFor(txid: bigint, options: ReaderWait = {}): Promise<ReplicaView> {
    if (this.latest.txid >= txid) return this.latest;
    this.#refuseClosed();
    if (this.#options.follow === false) {
      const { txid: reached } = await this.refresh(options);
      if (reached < txid) throw notThere(this.name, txid, reached);
    } else {
      this.#follower.start();
      const wait = { reached: () => this.latest.txid >= txid, stuck: () => false };
      await this.#waiters.add(wait, options.signal, () =>
        abortedError({ operation: "wait for", object: this.name, signal: options.signal }),
      );
    }
    return this.latest;
  }

  async viewAt(request: StateRequest, options: ViewOptions = {}): Promise<ReplicaView> {
    this.#refuseClosed();
    const target = this.#resolve(request);
    if (target.txid === undefined && target.timestamp === undefined)
      return await this.refresh(options);
    if (target.txid === this.latest.txid) return this.latest;
    refuseFuture(this.replica, target, options.allowFuture === true);
    const { signal } = options;
    const finding = this.#views.at(target, this.#aborter.signal);
    try {
      return await abortable(finding, { operation: "read", object: this.name, signal });
    } catch (error) {
      this.#refuseClosed();
      throw error;
    }
  }

  changedPages(from: ReplicaView, to: ReplicaView): Uint32Array {
    return changedPages(this.#own(from), this.#own(to));
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close().then(() => this.#cache.clear()));
  }

  async leave(): Promise<ReaderMemory> {
    await (this.#closing ??= this.#close());
    return { cache: this.#cache, ahead: this.#ahead, latest: this.latest };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#aborter.abort();
    this.#pages.close();
    await this.#follower.close();
    await this.#saveIndexes();
    this.#local?.close();
    this.#waiters.reject(closed(this.name));
    this.#unpinned.reject(closed(this.name));
    this.events.announce({ type: "closed" });
    this.events.close();
  }

  #resolve(request: StateRequest): RestoreTarget {
    return resolveTarget(request, this.replica.platform.clock.now());
  }

  /** The view to begin with. A replica without files may be waited for. */
  async #first(target: RestoreTarget, allowFuture: boolean): Promise<void> {
    const { platform } = this.replica;
    const { waitForReplica } = this.#options;
    const { signal } = this.#aborter;
    refuseFuture(this.replica, target, allowFuture);
    const until =
      platform.clock.monotonic() + (waitForReplica === false ? 0 : (waitForReplica ?? 0));
    for (;;) {
      try {
        this.#setLatest(await this.#views.at(target, signal));
        return;
      } catch (error) {
        const left = until - platform.clock.monotonic();
        if (!isPagestreamError(error, "NO_BACKUP") || left <= 0) throw error;
        await sleep(Math.min(WAIT_MS, left), {
          platform,
          operation: "wait for",
          object: this.name,
          signal,
        });
      }
    }
  }

  /** One round trip now for one less in most queries to come; from a store that answers at once there is nothing to gain. */
  async #readAhead(): Promise<void> {
    if (this.#store.latencyMs >= SLOW_MS) await this.#pages.readAhead(this.latest);
  }

  #setLatest(view: View): void {
    this.#latest = view;
    this.#views.latest = view;
  }

  #advance(view: View): void {
    this.#setLatest(view);
    this.events.emit({ type: "view", view });
    this.#waiters.settle();
  }

  #looked(error?: unknown): void {
    if (error === undefined) {
      this.#lastLookAt = new Date(this.replica.platform.clock.now());
      this.#failures = 0;
      if (this.#error === undefined) return;
      this.#error = undefined;
      this.events.announce({ type: "recovered" });
      return;
    }
    const typed = asTyped(this.name, error);
    const isNews = this.#error?.message !== typed.message;
    this.#error = typed;
    if (isNews) this.events.announce({ type: "error", error: typed });
    if (++this.#failures === STALE_AFTER) this.events.announce({ type: "stale", error: typed });
  }

  /** The lock page has no place in any file. */
  #emptyPage(view: View, pgno: number): Uint8Array | undefined {
    if (pgno !== lockPage(view.pageSize) || pgno > view.commit) return undefined;
    if (this.#zeros?.length !== view.pageSize) this.#zeros = new Uint8Array(view.pageSize);
    return this.#zeros;
  }

  #fetchSync(view: ReplicaView, pgnos: readonly number[], reads: BlockingReads): void {
    const own = this.#own(view, pgnos);
    try {
      this.#pages.fetchSync(own, pgnos, reads);
    } catch (error) {
      // Its pages may be in a file of a higher level by now. That takes a listing, which `fetch` waits for.
      if (!isGone(error)) throw error;
    }
  }

  /** A view of this reader, and pages that it has. */
  #own(view: ReplicaView, pgnos: readonly number[] = []): View {
    this.#refuseClosed();
    const fail = (what: string): never => {
      throw new InvalidArgumentError({ operation: "read", object: this.name, what });
    };
    if (!(view instanceof View)) return fail("the view is of another reader");
    for (const pgno of pgnos) {
      if (pgno >= 1 && pgno <= view.commit && Number.isInteger(pgno)) continue;
      fail(`there is no page ${pgno} in a database of ${view.commit} pages`);
    }
    return view;
  }

  #refuseClosed(): void {
    if (this.#closing === undefined) return;
    throw closed(this.name);
  }

  async #loadIndexes(): Promise<void> {
    const { indexStore } = this.#options;
    if (indexStore === undefined) return;
    try {
      const bytes = await indexStore.load();
      if (bytes !== undefined) this.#views.remember(decodeIndexes(this.name, bytes));
    } catch (error) {
      this.events.announce({ type: "error", error: asTyped(this.name, error) });
    }
  }

  async #saveIndexes(): Promise<void> {
    const { indexStore } = this.#options;
    const view = this.#latest;
    const { loads } = this.#views;
    if (indexStore === undefined || view === undefined || loads === this.#savedLoads) return;
    this.#savedLoads = loads;
    try {
      await indexStore.save(encodeIndexes(this.name, view.map.files));
    } catch (error) {
      this.events.announce({ type: "error", error: asTyped(this.name, error) });
    }
  }
}
