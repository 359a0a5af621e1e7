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
import { askFile } from "./ask-file.ts";
import { ReplicaBehindError } from "./errors.ts";
import { FollowTimer } from "./follow-timer.ts";
import { noWayOn } from "./gap.ts";
import { continueFrom, planRestore } from "./plan.ts";
import { PointerReader } from "./pointer.ts";
import type { ReaderFollowing } from "./reader-options.ts";
import { isGone } from "./reader-files.ts";
import type { ViewMaker } from "./reader-views.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import type { View } from "./view.ts";
import { watchFiles } from "./watch-files.ts";

/** Files of level 0 in a row after which a listing may show a shorter way. */
const MANY_IN_A_ROW = 30;

/** Files of a view past which others are looked for that hold the same. */
const MANY_FILES = 64;

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
  /** The replica ended before the newest view: it was begun anew, and nothing of it goes on from there. */
  #isOther = false;
  #inARow = 0;
  #manyFiles = MANY_FILES;
  #running: Promise<unknown> | undefined;
  #rounds: Promise<unknown> = Promise.resolve();
  /** A look that waits for its turn. */
  #waiting: Promise<boolean> | undefined;

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
    const { replica, latest, signal } = this.#options;
    const watching = watchFiles(replica, {
      name: replica.description,
      timer: this.#timer,
      position: () => latest().txid,
      mustList: () => void (this.#mustList = true),
      signal,
    });
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

  /** Looks once, after a look that is under way, for all who ask until then; whether it succeeded. */
  #again(): Promise<boolean> {
    if (this.#waiting === undefined) {
      this.#waiting = this.#rounds.then(() => {
        this.#waiting = undefined;
        return this.#look();
      });
      this.#rounds = this.#waiting;
    }
    return this.#waiting;
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
      this.#isOther = true;
      throw new ReplicaBehindError(`the view of ${replica.description}`, {
        txid: latest.txid,
        newestTxid: newest,
      });
    }
    if (newest === latest.txid && !this.#isOther) {
      this.listed();
      await this.#tidy(latest, levels);
      return false;
    }
    const files = this.#isOther ? [] : continueFrom(levels, latest.txid);
    if ((files.at(-1)?.maxTxid ?? 0n) > latest.txid) {
      const view = await views.after(latest, files);
      if (view !== undefined) {
        this.#take(view);
        this.listed();
        return true;
      }
    }
    const plan = planRestore(levels, {}, { operation: "read", object: replica.description });
    const least = this.#isOther ? latest.txid : latest.txid + 1n;
    if (plan.txid < least) throw noWayOn(replica.description, latest.txid, levels);
    this.#take(await views.ofPlan(plan));
    this.#isOther = false;
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
    if (this.#pointer === undefined || this.#isOther) return false;
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
}
