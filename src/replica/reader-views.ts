/**
 * Makes views: from a plan, from the view before, from other files that hold the same state.
 *
 * @module
 */
import { TxidNotAvailableError } from "./errors.ts";
import type { AskedFile } from "./ask-file.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { isPagestreamError, UnsupportedError } from "../core/errors.ts";
import { legacyFiles } from "./legacy-layout.ts";
import { planRestore, type RestorePlan, type RestoreTarget } from "./plan.ts";
import {
  indexWhole,
  inOrder,
  isGone,
  type LoadedFile,
  loadFile,
  wholeUpTo,
} from "./reader-files.ts";
import { isSameFile } from "./reader-index.ts";
import type { PageFetcher } from "./reader-pages.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import type { IndexedFile } from "./view-file.ts";
import { type PageMap, PageMapBuilder } from "./view-map.ts";
import { View } from "./view.ts";

/** Tries of a plan whose files move up and away while they are listed and read. */
const TRIES = 3;

/** Views whose indexes are looked in for files that are known already. */
const RECENT_VIEWS = 4;

/** What {@linkcode ViewMaker} works with. */
export interface ViewMakerOptions {
  readonly replica: Replica;
  /** Takes the pages that come with an index. */
  readonly pages: PageFetcher;
  readonly signal: AbortSignal;
}

/** The files of every level. */
type Levels = readonly (readonly LtxFileInfo[])[];

/** Makes the views of one reader. */
export class ViewMaker {
  readonly #options: ViewMakerOptions;
  /** The newest view, whose files are known too. */
  latest: View | undefined;
  readonly #recent: View[] = [];
  #saved: Map<string, IndexedFile> = new Map();
  readonly #relocations: Map<View, Promise<void>> = new Map();
  #sequence = 0;
  #loads = 0;

  /** Asks nothing yet. */
  constructor(options: ViewMakerOptions) {
    this.#options = options;
  }

  /** How many files were read so far. */
  get loads(): number {
    return this.#loads;
  }

  /** Files whose indexes need not be read, as they were when they were saved. */
  remember(files: readonly IndexedFile[]): void {
    this.#saved = new Map(files.map((file) => [file.info.key, file]));
  }

  /** Forgets what was saved: it has served to open. */
  forget(): void {
    this.#saved.clear();
  }

  /** Goes on from the newest view of a reader before this one. */
  resume(latest: View): void {
    this.latest = latest;
    this.#sequence = latest.sequence;
  }

  /** Lists the replica and makes the view of a state. Throws the errors of `planRestore`. */
  async at(target: RestoreTarget, signal: AbortSignal): Promise<View> {
    for (let tries = 1; ; tries++) {
      try {
        const plan = await this.#plan(target, signal);
        const recent = this.#recent.find(({ txid }) => txid === plan.txid);
        return recent ?? (await this.ofPlan(plan));
      } catch (error) {
        if (!mayHaveMoved(error) || tries === TRIES) throw error;
      }
    }
  }

  /** The view that the files of a plan lead to. */
  async ofPlan({ files, txid, time }: RestorePlan): Promise<View> {
    const { map, newest } = await this.#merge(files);
    const view = this.#view(txid, stateTime(newest, time), map);
    this.#recent.push(view);
    if (this.#recent.length > RECENT_VIEWS) this.#recent.shift();
    return view;
  }

  /** The view after some files that follow `before`, oldest first; undefined where they are of another page size. */
  async after(
    before: View,
    files: readonly LtxFileInfo[],
    asked?: AskedFile,
  ): Promise<View | undefined> {
    let { map, time } = before;
    for await (const { file, parts } of this.#load(files, new Map(), asked)) {
      if (file.state.pageSize !== before.pageSize) return undefined;
      map = map.apply(file);
      time = stateTime(file, file.info.time);
      for (const part of parts) this.#options.pages.absorbPart(map, file, part);
    }
    return this.#view((files.at(-1) as LtxFileInfo).maxTxid, time, map);
  }

  /**
   * Finds the state of a view in the files that there are now, for one whose files are gone. Throws
   * `TxidNotAvailableError` where none lead to it.
   *
   * @param levels the files that there are; listed where they are left out.
   */
  relocate(view: View, cause?: unknown, levels?: Levels): Promise<void> {
    let relocation = this.#relocations.get(view);
    if (relocation === undefined) {
      relocation = this.#relocate(view, cause, levels).finally(() =>
        this.#relocations.delete(view),
      );
      this.#relocations.set(view, relocation);
    }
    return relocation;
  }

  async #relocate(view: View, cause: unknown, levels: Levels | undefined): Promise<void> {
    const { replica, signal } = this.#options;
    const target = { txid: view.txid };
    const asked = { operation: "read", object: replica.description };
    let plan: RestorePlan;
    try {
      plan =
        levels === undefined
          ? await this.#plan(target, signal)
          : planRestore(levels, target, asked);
    } catch (error) {
      if (!isPagestreamError(error, "TXID_NOT_AVAILABLE") && !isPagestreamError(error, "GAP"))
        throw error;
      const { earlier, later } = error as TxidNotAvailableError;
      throw new TxidNotAvailableError(
        {
          operation: "read",
          object: replica.description,
          what: `files of the state ${formatTxid(view.txid)} were removed, and those that are left do not lead to it`,
          next: "Read the newest state, or keep files longer",
          cause: cause ?? error,
        },
        { txid: view.txid, earlier, later },
      );
    }
    const before = view.map;
    const { map } = await this.#merge(plan.files);
    const isSameState = map.commit === before.commit && map.pageSize === before.pageSize;
    if (!isSameState || !areOfOneHistory(before, map)) {
      if (cause === undefined) return;
      throw cause;
    }
    for (let pgno = 1; pgno <= map.commit; pgno++) this.#options.pages.carryOver(pgno, before, map);
    view.relocate(map);
  }

  async #plan(target: RestoreTarget, signal: AbortSignal): Promise<RestorePlan> {
    const { replica } = this.#options;
    const exactTimes = target.timestamp !== undefined;
    const levels = await replica.levels({ exactTimes, signal });
    try {
      return planRestore(levels, target, { operation: "read", object: replica.description });
    } catch (error) {
      if (!isPagestreamError(error, "NO_BACKUP")) throw error;
      if ((await legacyFiles(replica, signal)).length === 0) throw error;
      throw new UnsupportedError({
        operation: "read pages of",
        object: replica.description,
        what: "Litestream 0.3 wrote it, whose files have no index of pages",
        next: "Restore it as a whole, with restore() or the command of that name",
      });
    }
  }

  async #merge(files: readonly LtxFileInfo[]): Promise<{ map: PageMap; newest: IndexedFile }> {
    let builder: PageMapBuilder | undefined;
    let newest: IndexedFile | undefined;
    for await (const { file, parts } of this.#load(files.toReversed(), this.#known())) {
      newest ??= file;
      if (builder === undefined) builder = new PageMapBuilder(file);
      else builder.add(file);
      for (const part of parts) this.#options.pages.absorbPart(builder.map, file, part);
    }
    if (builder === undefined || newest === undefined) throw new RangeError("a plan without files");
    return { map: builder.finish(), newest };
  }

  #load(
    files: readonly LtxFileInfo[],
    known: ReadonlyMap<string, IndexedFile>,
    asked?: AskedFile,
  ): AsyncIterable<LoadedFile> {
    const { replica, signal } = this.#options;
    const whole = wholeUpTo(replica, files.length);
    return inOrder(files, async (info) => {
      const file = known.get(info.key);
      if (file !== undefined && isSameFile(file.info, info)) return { file, parts: [] };
      this.#loads++;
      if (asked?.bytes !== undefined) return await indexWhole(info, asked.bytes);
      return await loadFile(replica, info, { whole, signal });
    });
  }

  #known(): Map<string, IndexedFile> {
    const known = new Map(this.#saved);
    for (const view of [...this.#recent, this.latest]) {
      for (const file of view?.map.files ?? []) known.set(file.info.key, file);
    }
    return known;
  }

  #view(txid: bigint, time: Date, map: PageMap): View {
    return new View({ txid, time, sequence: ++this.#sequence }, map);
  }
}

/** Whether no file has the name of another one: a replica that was begun anew would show another database. */
function areOfOneHistory(a: PageMap, b: PageMap): boolean {
  const known = new Map(a.files.map((file) => [file.info.key, file]));
  return b.files.every((file) => {
    const { info, state } = known.get(file.info.key) ?? file;
    return file.info.size === info.size && file.state.timestamp === state.timestamp;
  });
}

/** A listing may only know when a file was uploaded; the header knows when it was made, which is never later. */
function stateTime(newest: IndexedFile, listed: Date): Date {
  const { timestamp } = newest.state;
  return timestamp < listed.getTime() ? new Date(timestamp) : listed;
}

/** Whether a file that was planned may be at another place now. */
function mayHaveMoved(error: unknown): boolean {
  return isGone(error) || isPagestreamError(error, "GAP");
}
