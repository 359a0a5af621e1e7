/**
 * Walks b-trees of a state from above: leaves are named by their parents, so that only interior pages are read, and of all
 * pages no more than a bound.
 *
 * @module
 */
import { childPages } from "../core/btree-page.ts";
import type { PageSource, PageView } from "../core/page-source.ts";

/** Pages that are read for one change. */
const MAX_READ = 2000;
/** Pages that are fetched at a time. */
const BATCH = 64;

const NONE = new Uint32Array(0);

/** Reads pages of one state. */
export class TreeWalk<V extends PageView> {
  /** The state. */
  readonly view: V;
  readonly #source: PageSource<V>;
  readonly #signal: AbortSignal | undefined;
  #reads = 0;
  #isCut = false;

  constructor(source: PageSource<V>, view: V, signal: AbortSignal | undefined) {
    this.#source = source;
    this.view = view;
    this.#signal = signal;
  }

  /** Whether a page could not be read, or was not what its place in a tree says: what was found is not all. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Copies of pages; undefined for those past the bound. */
  async read(pgnos: readonly number[]): Promise<(Uint8Array | undefined)[]> {
    const found: (Uint8Array | undefined)[] = [];
    for (let at = 0; at < pgnos.length; at += BATCH) {
      const batch = pgnos.slice(at, at + BATCH);
      const may = batch.slice(0, Math.max(0, MAX_READ - this.#reads));
      this.#reads += may.length;
      if (may.length > 0) await this.#source.fetch(this.view, may, { signal: this.#signal });
      // A page is the source's own until the next call.
      for (const [i, pgno] of batch.entries()) {
        const page = i < may.length ? this.#source.peek(this.view, pgno)?.slice() : undefined;
        if (page === undefined) this.#isCut = true;
        found.push(page);
      }
    }
    return found;
  }

  /** Those of the pages that are not in `seen`, where they are from then on. A page of a tree has one parent only. */
  notSeen(seen: Set<number>, pgnos: Uint32Array = NONE): number[] {
    const found = [...pgnos].filter((pgno) => !seen.has(pgno) && seen.add(pgno));
    if (found.length < pgnos.length) this.#isCut = true;
    return found;
  }

  /** Levels of trees by their roots; fewer where not all of them could be read. */
  async depths(roots: readonly number[]): Promise<ReadonlyMap<number, number>> {
    const depths = new Map<number, number>();
    const seen = new Set(roots);
    let leftmost = roots.map((root) => ({ root, pgno: root }));
    for (let depth = 1; leftmost.length > 0; depth++) {
      const pages = await this.read(leftmost.map(({ pgno }) => pgno));
      leftmost = leftmost.flatMap(({ root, pgno }, i) => {
        depths.set(root, depth);
        const page = pages[i];
        const children = page && childPages(page, pgno, this.view.commit);
        return this.notSeen(seen, children?.subarray(0, 1)).map((child) => ({ root, pgno: child }));
      });
    }
    return depths;
  }

  /** The pages below a root, some at a time, level by level; the leaves are all on the last of `depth` levels. */
  async *below(
    root: number,
    depth: number,
  ): AsyncGenerator<{ readonly pgnos: readonly number[]; readonly areLeaves: boolean }> {
    const seen = new Set([root]);
    let level = [root];
    for (let i = 1; i < depth; i++) {
      const next: number[] = [];
      for (let at = 0; at < level.length; at += BATCH) {
        const batch = level.slice(at, at + BATCH);
        const pgnos = (await this.read(batch)).flatMap((page, j) => {
          const children = page && childPages(page, batch[j] as number, this.view.commit);
          if (children === undefined) this.#isCut = true;
          return this.notSeen(seen, children);
        });
        yield { pgnos, areLeaves: i === depth - 1 };
        for (const pgno of pgnos) next.push(pgno);
      }
      level = next;
    }
  }
}
