/**
 * Pages of states that a test makes up: a source without a store behind it.
 *
 * @module
 */
import { decodeDatabaseHeader } from "../core/database-header.ts";
import type { PageSource, PageView } from "../core/page-source.ts";
import { FAKE_START } from "./fake-clock.ts";

/** A state of a {@linkcode MemoryPageSource}. */
export interface MemoryView extends PageView {
  /** The whole database. */
  readonly bytes: Uint8Array;
}

/** A source that forgets what nobody keeps, counts what it is asked, and fails where it is told to. */
export class MemoryPageSource implements PageSource<MemoryView> {
  readonly name = "replica in memory";
  /** Every state, the newest last. */
  readonly views: MemoryView[] = [];
  /** What fetching a page throws, by page number. */
  readonly faults: Map<number, Error> = new Map();
  /** Pages that come with each that is fetched. */
  readAhead = 0;
  /** Called before each fetch, which waits for it. */
  onFetch: (() => void | Promise<void>) | undefined;
  /** Calls of `fetch` and `fetchSync`. */
  fetches = 0;
  /** Pins that were not released. */
  pins = 0;
  readonly fetchSync?: (view: MemoryView, pgnos: readonly number[]) => void;
  #keeping = 0;
  readonly #resident = new Map<string, Uint8Array>();

  /** @param blocks whether the source has `fetchSync`. */
  constructor(blocks = false) {
    if (blocks) this.fetchSync = (view, pgnos) => this.#bring(view, pgnos);
  }

  get latest(): MemoryView {
    return this.views.at(-1) as MemoryView;
  }

  /** Makes a state the newest; the bytes are kept. */
  publish(bytes: Uint8Array): MemoryView {
    const sequence = this.views.length + 1;
    const time = new Date(FAKE_START + sequence * 1000);
    const { pageSize } =
      bytes.length === 0 ? { pageSize: 4096 } : decodeDatabaseHeader(bytes.subarray(0, 100));
    const commit = bytes.length / pageSize;
    const view = { txid: BigInt(sequence), time, pageSize, commit, sequence, bytes };
    this.views.push(view);
    return view;
  }

  peek(view: MemoryView, pgno: number): Uint8Array | undefined {
    return this.#resident.get(`${view.sequence} ${pgno}`);
  }

  async fetch(
    view: MemoryView,
    pgnos: readonly number[],
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    await this.onFetch?.();
    if (options.signal?.aborted === true) throw options.signal.reason;
    this.#bring(view, pgnos);
  }

  pin(_view: MemoryView, options: { readonly keepPages?: boolean | undefined } = {}): () => void {
    const keeps = options.keepPages === true ? 1 : 0;
    this.pins++;
    this.#keeping += keeps;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.pins--;
      this.#keeping -= keeps;
    };
  }

  #bring(view: MemoryView, pgnos: readonly number[]): void {
    this.fetches++;
    if (this.#keeping === 0) this.#resident.clear();
    for (const first of pgnos) {
      const fault = this.faults.get(first);
      if (fault !== undefined) throw fault;
      for (let pgno = first; pgno <= Math.min(first + this.readAhead, view.commit); pgno++) {
        const start = (pgno - 1) * view.pageSize;
        const page = view.bytes.subarray(start, start + view.pageSize);
        this.#resident.set(`${view.sequence} ${pgno}`, page);
      }
    }
  }
}
