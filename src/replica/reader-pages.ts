/**
 * Brings pages into memory: the ranges of a plan are read side by side, each page once however many ask for it.
 *
 * @module
 */
import { isPagestreamError, throwIfAborted } from "../core/errors.ts";
import type { BlockingReads } from "../core/page-source.ts";
import { LtxFormatError } from "../ltx/errors.ts";
import { decodeFrameInto } from "../ltx/page-frame.ts";
import { abortable } from "../core/abortable.ts";
import { CacheFullError } from "./errors.ts";
import type { ReadAhead } from "./reader-ahead.ts";
import type { Hold, PageCache } from "./reader-cache.ts";
import { asDamage, type FilePart, isGone } from "./reader-files.ts";
import { bytesOf, type FrameRange, planRanges } from "./reader-ranges.ts";
import type { LocalPages } from "./reader-inside.ts";
import { readNow } from "./range-reader.ts";
import type { Replica } from "./replica.ts";
import type { IndexedFile } from "./view-file.ts";
import type { PageMap } from "./view-map.ts";
import type { View } from "./view.ts";

/** Requests that only read ahead and run side by side. */
const CONCURRENCY = 8;

/** Rounds of one fetch: what others were reading may be of another state, and files may have moved. */
const ROUNDS = 4;

/** What {@linkcode PageFetcher} works with. */
export interface PageFetcherOptions {
  readonly replica: Replica;
  readonly cache: PageCache;
  /** Says what to read ahead, of the same cache. */
  readonly ahead: ReadAhead;
  /** Most bytes of pages that are read ahead of one scan. */
  readonly scanAhead: number;
  /** Ends all requests. */
  readonly signal: AbortSignal;
  readonly stats: { pages: number };
  /** Finds the files of a view anew after one of them was gone; throws where no others lead to the same state. */
  readonly relocate: (view: View, error: unknown) => Promise<void>;
  readonly blockingReads?: BlockingReads | undefined;
}

/** The bytes of a range, and what keeps the pages in it that are waited for. */
interface Content {
  readonly bytes: Uint8Array;
  /** Of the fetch, then of those who keep all that they read of the view; none where nobody waits. */
  readonly holds: readonly Hold[];
}

/** A request that runs, or waits for its turn. */
class Flight {
  readonly range: FrameRange;
  /** Never rejects. */
  readonly ended: Promise<void>;
  readonly #read: () => Promise<void>;
  #end: (() => void) | undefined;
  #reading: Promise<void> | undefined;

  constructor(range: FrameRange, read: () => Promise<void>) {
    this.range = range;
    this.#read = read;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get hasStarted(): boolean {
    return this.#reading !== undefined;
  }

  /** Sends the request, once. */
  start(): Promise<void> {
    if (this.#reading === undefined) {
      this.#reading = this.#read();
      this.#reading.then(this.#end, this.#end);
    }
    return this.#reading;
  }
}

/** Reads pages of views. */
export class PageFetcher {
  readonly #options: PageFetcherOptions;
  readonly #cache: PageCache;
  readonly #ahead: ReadAhead;
  readonly #flights: Set<Flight> = new Set();
  /** Flights that only read ahead and have not started. */
  readonly #queue: Set<Flight> = new Set();
  /** What the fetches keep that ended since the last one began: their pages have not been looked at yet. */
  #ended: Hold[] = [];
  #running = 0;
  /** What was read last while the thread was blocked. */
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** The page that was decoded last. */
  #page = new Uint8Array(0);
  /** Pages that need no request. */
  local: LocalPages | undefined;

  /** Reads nothing yet. */
  constructor(options: PageFetcherOptions) {
    this.#options = options;
    this.#cache = options.cache;
    this.#ahead = options.ahead;
  }

  /** Reads pages that are not in memory. */
  async fetch(
    view: View,
    pgnos: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const hold = this.#cache.hold();
    const holds = [hold, ...view.holds];
    const ended = this.#ended.splice(0);
    try {
      let hasMoved = false;
      for (let round = 1; ; round++) {
        throwIfAborted(signal, "read", this.#options.replica.description);
        const missing = this.#missing(view, pgnos, holds);
        if (missing.length === 0) return;
        const { own, others } = this.#split(view, missing);
        try {
          const reads = Promise.all([...this.#start(view, own, holds), ...others]);
          await abortable(reads, {
            operation: "read",
            object: this.#options.replica.description,
            signal,
          });
          if (own.length > 0 && round >= ROUNDS) return;
        } catch (error) {
          if (!isGone(error) || hasMoved) throw error;
          hasMoved = true;
          await this.#options.relocate(view, error);
        }
      }
    } finally {
      for (const each of ended) this.#cache.release(each);
      // Whoever asked has to have its turn before these pages go.
      this.#ended.push(hold);
      if (this.#options.signal.aborted) this.close();
    }
  }

  /** Keeps nothing any more; the signal has to be aborted before. */
  close(): void {
    for (const hold of this.#ended.splice(0)) this.#cache.release(hold);
  }

  /** Reads what queries are likely to begin with. Never rejects: what failed is asked for again when it is wanted. */
  async readAhead(view: View): Promise<void> {
    const next = this.#ahead.first(view);
    const ranges = planRanges(view, [], { next, rest: () => [] }, this.#options.scanAhead);
    const flights = this.#fly(view, ranges, []);
    this.#pump();
    await Promise.all(flights.map(({ ended }) => ended));
  }

  /** As `fetch`, while the thread blocks. */
  fetchSync(view: View, pgnos: readonly number[], reads: BlockingReads): void {
    const hold = this.#cache.hold();
    const holds = [hold, ...view.holds];
    try {
      const missing = this.#missing(view, pgnos, holds);
      for (const range of this.#plan(view, missing)) {
        const part = bytesOf(range);
        if (this.#buffer.length < part.length) this.#buffer = new Uint8Array(part.length);
        const into = this.#buffer.subarray(0, part.length);
        const bytes = readNow(reads, range.file.info, { ...part, into });
        this.#absorb(view.map, range, { bytes, holds });
      }
    } finally {
      this.#cache.release(hold);
    }
  }

  /** The page as the local copy has it; undefined where it does not. The bytes are good until the next call. */
  peekLocal(view: View, pgno: number): Uint8Array | undefined {
    const file = this.local === undefined ? undefined : view.map.file(pgno);
    if (file === undefined) return undefined;
    return this.local?.read(pgno, Number(file.info.maxTxid), Number(view.txid));
  }

  /** Takes what came with an index: the pages of a state that lie whole in a part of a file. Nobody waits for them. */
  absorbPart(map: PageMap, file: IndexedFile, { offset, bytes }: FilePart): void {
    const end = offset + bytes.length;
    let last = -1;
    let first = 0;
    while (first < file.count && file.offsets[first]! < offset) first++;
    for (let i = first; i < file.count && file.offsets[i + 1]! <= end; i++) last = i;
    if (last < 0) return;
    const from = file.offsets[first]! - offset;
    const range = { file, first, last, wanted: NONE, ahead: undefined };
    const part = bytes.subarray(from, from + bytesOf(range).length);
    this.#absorb(map, range, { bytes: part, holds: [] });
  }

  /** Gives the pages in memory of one set of places to another that holds the same state. */
  carryOver(pgno: number, from: PageMap, to: PageMap): void {
    const slot = from.slot(pgno);
    const file = to.file(pgno);
    if (slot === 0 || file === undefined || to.slot(pgno) !== 0) return;
    const position = to.position(pgno);
    const page = this.#cache.read(slot);
    this.#cache.share(slot, file, position);
    this.#ahead.learn(file, position, page);
  }

  #missing(view: View, pgnos: readonly number[], holds: readonly Hold[]): number[] {
    const missing = new Set<number>();
    for (const pgno of pgnos) {
      const slot = view.map.slot(pgno);
      if (slot !== 0) this.#cache.keep(slot, holds);
      else if (view.map.file(pgno) === undefined) continue;
      else if (this.peekLocal(view, pgno) === undefined) missing.add(pgno);
    }
    return [...missing];
  }

  /** Those of the pages that nobody is reading, and the ends of the requests that bring the others. */
  #split(view: View, pgnos: readonly number[]): { own: number[]; others: Set<Promise<unknown>> } {
    const others = new Set<Promise<unknown>>();
    const own = pgnos.filter((pgno) => {
      const flight = this.#flightOf(view, pgno);
      if (flight === undefined) return true;
      void flight.start().catch(() => undefined);
      others.add(flight.ended);
      return false;
    });
    return { own, others };
  }

  #flightOf(view: View, pgno: number): Flight | undefined {
    const file = view.map.file(pgno);
    const position = view.map.position(pgno);
    for (const flight of this.#flights) {
      const { range } = flight;
      if (range.file === file && position >= range.first && position <= range.last) return flight;
    }
    return undefined;
  }

  #plan(view: View, pgnos: readonly number[]): FrameRange[] {
    const last = pgnos.at(-1);
    if (last === undefined) return [];
    const { next, rest } = this.#ahead.after(view, last);
    const isNew = (pgno: number): boolean => this.#flightOf(view, pgno) === undefined;
    const ahead = { next: next.filter(isNew), rest: () => rest().filter(isNew) };
    return planRanges(view, pgnos, ahead, this.#options.scanAhead);
  }

  #start(view: View, pgnos: readonly number[], holds: readonly Hold[]): Promise<void>[] {
    const flights = this.#fly(view, this.#plan(view, pgnos), holds);
    const waited = flights.filter(({ range }) => range.wanted.size > 0);
    const reads = waited.map((flight) => flight.start());
    this.#pump();
    return reads;
  }

  #fly(view: View, ranges: readonly FrameRange[], holds: readonly Hold[]): Flight[] {
    return ranges.map((range) => {
      const flight = new Flight(range, () => this.#read(view, range, holds));
      this.#flights.add(flight);
      void flight.ended.then(() => this.#flights.delete(flight));
      if (range.wanted.size === 0) this.#queue.add(flight);
      return flight;
    });
  }

  #pump(): void {
    for (const flight of this.#queue) {
      if (this.#running >= CONCURRENCY) return;
      this.#queue.delete(flight);
      if (flight.hasStarted) continue;
      this.#running++;
      const ended = (): void => {
        this.#running--;
        this.#pump();
      };
      // What is read ahead and fails is asked for again when it is wanted.
      flight.start().then(ended, ended);
    }
  }

  async #read(view: View, range: FrameRange, holds: readonly Hold[]): Promise<void> {
    const { replica, signal } = this.#options;
    const bytes = await replica.read(range.file.info, { ...bytesOf(range), signal });
    this.#absorb(view.map, range, { bytes, holds });
  }

  /** Decodes the frames of a range that are pages of the state. Damage counts where somebody waits for the page. */
  #absorb(map: PageMap, range: FrameRange, content: Content): void {
    const { file, first, last, wanted, ahead } = range;
    if (content.bytes.length !== bytesOf(range).length) {
      const { key } = file.info;
      const what = `${content.bytes.length} bytes came instead of ${bytesOf(range).length}`;
      const offset = file.offsets[first]!;
      throw asDamage(new LtxFormatError({ name: key, field: "size", offset, what }), key);
    }
    // Those that are waited for come first: what else there is must not take their room.
    for (const position of wanted) this.#decodeWanted(range, position, content);
    for (let position = first; position <= last; position++) {
      const pgno = file.pgno(position);
      const isOfState = map.file(pgno) === file && map.position(pgno) === position;
      if (!isOfState || file.slots[position] !== 0 || ahead?.has(position) === false) continue;
      try {
        if (!this.#decode(range, position, { ...content, holds: [] })) return;
      } catch (error) {
        if (!isPagestreamError(error, "DAMAGED_FILE")) throw error;
      }
    }
  }

  #decodeWanted(range: FrameRange, position: number, content: Content): void {
    const { slots } = range.file;
    if (slots[position] === 0 && !this.#decode(range, position, content)) {
      throw new CacheFullError(this.#options.replica.description);
    }
    this.#cache.keep(slots[position]!, content.holds);
  }

  /** False where there is no room. What is waited for is taken past the bound, unless all of the view is kept. */
  #decode({ file, first }: FrameRange, position: number, { bytes, holds }: Content): boolean {
    const from = file.offsets[position]! - file.offsets[first]!;
    const { pageSize } = file.state;
    if (this.#page.length !== pageSize) this.#page = new Uint8Array(pageSize);
    const data = this.#page;
    decodePage(file, position, { frame: bytes.subarray(from, from + file.size(position)), data });
    this.#options.stats.pages++;
    const isIn = this.#cache.insert(file, position, data, holds.length === 1);
    if (isIn) this.#ahead.learn(file, position, data);
    return isIn;
  }
}

const NONE: ReadonlySet<number> = new Set();

/** Decodes a frame that was fetched alone into `data`. Throws `DamagedFileError`. */
function decodePage(
  file: IndexedFile,
  position: number,
  { frame, data }: { readonly frame: Uint8Array; readonly data: Uint8Array },
): void {
  const { key } = file.info;
  const wanted = file.pgno(position);
  try {
    const pgno = decodeFrameInto(frame, data, key);
    if (pgno === wanted) return;
    const what = `the frame of page ${wanted} says that it is page ${pgno}`;
    throw new LtxFormatError({ name: key, field: "pgno", offset: file.offsets[position]!, what });
  } catch (error) {
    throw asDamage(error, key);
  }
}
