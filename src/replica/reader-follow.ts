/**
 * Learns of newer states: the one follower of a reader, whoever uses that.
 *
 * It asks as a follower of a whole copy does: for the next file of level 0 by its name, which is one cheap request where there is
 * none. All levels are listed only after an error, after many files in a row, and after a quarter of the level 0 retention
 * without a new file; then whatever leads on from the newest view is taken, of any level, or else the newest state as a whole.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { sleep } from "../core/retry.ts";
import { formatFileName, formatTxid } from "../ltx/file-name.ts";
import { askFile } from "./ask-file.ts";
import { GapError, ReplicaBehindError } from "./errors.ts";
import { FollowTimer } from "./follow-timer.ts";
import { levelsPrefix, parseAnyFileKey } from "./layout.ts";
import { continueFrom, planRestore } from "./plan.ts";
import { PointerReader } from "./pointer.ts";
import type { ReaderFollowing } from "./reader-options.ts";
import { isGone } from "./reader-files.ts";
import type { ViewMaker } from "./reader-views.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import type { View } from "./view.ts";

/** Files of level 0 in a row after which a listing may show a shorter way. */
const MANY_IN_A_ROW = 30;

/** Files of a view past which others are looked for that hold the same. */
const MANY_FILES = 64;

/** Pause after which a watch that ended is tried again. */
const WATCH_PAUSE_MS = 5000;

/** Tries of a step whose files a retention removes meanwhile. */
const TRIES = 3;

/** What {@linkcode ViewFollower} works with. */
export interface ViewFollowerOptions {
  readonly replica: Replica;
  readonly views: ViewMaker;
  readonly following: ReaderFollowing;
  readonly pointer: boolean;
  readonly platform: Platform;
  /** Ends all requests. */
  readonly signal: AbortSignal;
  /** Takes a newer view. */
  readonly advance: (view: View) => void;
  /** The newest view. */
  readonly latest: () => View;
  /** A look has ended; `error` says what it failed with. */
  readonly looked: (error?: unknown) => void;
}

/** Brings the newest view of a reader forward. */
export class ViewFollower {
  readonly #options: ViewFollowerOptions;
  readonly #timer: FollowTimer;
  readonly #pointer: PointerReader | undefined;
  /** Whether the next look at the replica is a listing. */
  #mustList = true;
  #inARow = 0;
  #isWatching = false;
  #manyFiles = MANY_FILES;
  #running: Promise<unknown> | undefined;
  #rounds: Promise<unknown> = Promise.resolve();

  /** Asks nothing before it is told to. */
  constructor(options: ViewFollowerOptions) {
    this.#options = options;
    this.#timer = new FollowTimer(options.platform.clock, options.following);
    if (options.pointer) this.#pointer = new PointerReader(options.replica);
  }

  /** The replica has just been listed for the newest view. */
  listed(): void {
    this.#mustList = false;
    this.#inARow = 0;
    this.#timer.listed();
  }

  /** Begins to ask again and again; once is enough. */
  start(): void {
    if (this.#running !== undefined) return;
    const { watch, capabilities } = this.#options.replica.store;
    const watching = watch !== undefined && capabilities.watch ? this.#watch() : undefined;
    this.#running = Promise.all([this.#run(), watching]);
  }

  /** Looks now. Never rejects. */
  async refresh(): Promise<void> {
    const { latest } = this.#options;
    const before = latest();
    await this.#again();
    // What has been idle is not any more: the pause under way is too long now.
    if (latest() !== before) this.#timer.wake();
  }

  /** Looks once, after a look that is under way; whether it succeeded. */
  #again(): Promise<boolean> {
    const round = this.#rounds.then(() => this.#look());
    this.#rounds = round;
    return round;
  }

  /** Resolves when nothing runs any more; the signal has to be aborted before. */
  async close(): Promise<void> {
    this.#timer.close();
    await this.#running;
    await this.#rounds;
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    let failed = false;
    while (!signal.aborted) {
      await this.#timer.pause(failed);
      if (signal.aborted) return;
      failed = !(await this.#again());
    }
  }

  async #look(): Promise<boolean> {
    const { signal, looked } = this.#options;
    if (signal.aborted) return false;
    try {
      await this.#advanceAgain();
      looked();
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      this.#mustList = true;
      looked(error);
      return false;
    }
  }

  async #advanceAgain(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        while (await this.#advance());
        return;
      } catch (error) {
        if (!isGone(error) || tries === TRIES) throw error;
        this.#mustList = true;
      }
    }
  }

  /** One step. False where there is nothing newer. */
  async #advance(): Promise<boolean> {
    const latest = this.#options.latest();
    if (this.#mustList || this.#timer.isListingDue) return await this.#catchUp(latest);
    const txid = latest.txid + 1n;
    const asked = await this.#ask({ level: 0, minTxid: txid, maxTxid: txid });
    if (asked === undefined) return false;
    const view = await this.#options.views.after(latest, [asked.info], asked);
    // A file of another page size needs the snapshot that came before it.
    if (view === undefined) this.#mustList = true;
    else this.#take(view);
    if (++this.#inARow === MANY_IN_A_ROW) this.#mustList = true;
    return true;
  }

  /** Lists all levels and takes what leads on. False where the view is as new as the replica. */
  async #catchUp(latest: View): Promise<boolean> {
    const { replica, views, signal } = this.#options;
    if (await this.#skipAhead(latest)) return true;
    const levels = await replica.levels({ signal });
    const all = levels.flat();
    const newest = all.reduce((max, { maxTxid }) => (maxTxid > max ? maxTxid : max), 0n);
    if (newest < latest.txid) {
      throw new ReplicaBehindError(`the view of ${replica.description}`, {
        txid: latest.txid,
        newestTxid: newest,
      });
    }
    if (newest === latest.txid) {
      this.listed();
      await this.#tidy(latest, levels);
      return false;
    }
    const files = continueFrom(levels, latest.txid);
    if ((files.at(-1)?.maxTxid ?? 0n) > latest.txid) {
      const view = await views.after(latest, files);
      if (view !== undefined) {
        this.#take(view);
        this.listed();
        return true;
      }
    }
    const plan = planRestore(levels, {}, replica.description);
    if (plan.txid <= latest.txid) throw gap(replica.description, latest.txid, all);
    this.#take(await views.ofPlan(plan));
    this.listed();
    return true;
  }

  /** Finds the pages of the newest view in fewer files, or in ones that are still there. */
  async #tidy(latest: View, levels: readonly (readonly LtxFileInfo[])[]): Promise<void> {
    const keys = new Set(levels.flat().map(({ key }) => key));
    const { files } = latest.map;
    const isUntidy =
      files.length > this.#manyFiles || files.some(({ info }) => !keys.has(info.key));
    if (!isUntidy) return;
    try {
      await this.#options.views.relocate(latest, undefined, levels);
      // Where nobody compacts there are no fewer: it is not tried again before there are many more.
      this.#manyFiles = Math.max(MANY_FILES, 2 * latest.fileCount);
    } catch (error) {
      // A state between two files of higher levels has no other place; what can be read of it still can.
      if (!isPagestreamError(error, "TXID_NOT_AVAILABLE") && !isGone(error)) throw error;
    }
  }

  /** Takes a file that the pointer names. Whatever is wrong with the pointer or that file, a listing comes after it. */
  async #skipAhead(latest: View): Promise<boolean> {
    if (this.#pointer === undefined) return false;
    try {
      const span = (await this.#pointer.read(this.#options.signal))?.fileAfter(latest.txid);
      const asked = span === undefined ? undefined : await this.#ask(span);
      if (asked === undefined) return false;
      const view = await this.#options.views.after(latest, [asked.info], asked);
      if (view === undefined) return false;
      this.#take(view);
      this.listed();
      return true;
    } catch {
      return false;
    }
  }

  #ask(span: Parameters<typeof askFile>[1]): ReturnType<typeof askFile> {
    return askFile(this.#options.replica, span, this.#options.signal);
  }

  #take(view: View): void {
    this.#timer.found();
    this.#options.advance(view);
  }

  /** Looks when the store says that something is new; where it cannot any more, polls until it can again. */
  async #watch(): Promise<void> {
    const { replica, platform, signal, latest } = this.#options;
    const { store, layout, description: object } = replica;
    const ready = (): void => {
      this.#mustList = true;
      this.#isWatching = true;
      this.#timer.watch(true);
    };
    for (;;) {
      try {
        const prefix = levelsPrefix(layout);
        for await (const { key } of store.watch?.({ prefix, ready, signal }) ?? []) {
          const file = parseAnyFileKey(layout, key);
          const { txid } = latest();
          if (file === undefined || file.maxTxid <= txid) continue;
          // What bridges a gap has another name than the one that is asked for.
          if (file.level > 0 || file.minTxid > txid + 1n) this.#mustList = true;
          this.#timer.wake();
        }
      } catch {
        // The questions go on, and say what is wrong where it lasts.
      }
      if (signal.aborted) return;
      if (this.#isWatching) this.#timer.watch(false);
      this.#isWatching = false;
      const pause = { platform, operation: "follow", object, signal };
      await sleep(WATCH_PAUSE_MS, pause).catch(() => undefined);
    }
  }
}

function gap(object: string, reached: bigint, all: readonly LtxFileInfo[]): GapError {
  const next = all.find(({ minTxid }) => minTxid > reached + 1n);
  return new GapError(
    {
      operation: "follow",
      object,
      what: `no file goes on from ${formatTxid(reached)}, and no snapshot with what follows it leads past that`,
      next: "Look for the missing files, or let the writer upload a new snapshot; the reader goes on by itself then",
    },
    { reached, nextFile: next === undefined ? "" : formatFileName(next.minTxid, next.maxTxid) },
  );
}
