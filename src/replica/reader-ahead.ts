/**
 * What is likely to be wanted after a page.
 *
 * A scan of a table or an index goes through the children of interior pages one after the other: once two neighbours were
 * wanted, those that follow are read with the next, more and more of them. Pages that no known interior page leads to, as in a
 * chain of overflow pages, are taken in the order of their numbers. A look-up by key has neighbours of neither kind, and
 * costs nothing more. Where less than half of what was read ahead was used, it begins anew.
 *
 * A query by key goes from a root to a leaf, one round trip a page. In a database of some megabytes few pages lie between them:
 * those are offered before they are wanted.
 *
 * The leaves of an index that did not grow in the order of its keys lie all over the file. Once a scan has gone on for a while
 * over such, all that it will come to is offered, so that neighbours in the file can be read together.
 *
 * @module
 */
import { childPages } from "../core/btree-page.ts";
import type { PageCache } from "./reader-cache.ts";
import type { IndexedFile } from "./view-file.ts";
import type { View } from "./view.ts";

/** Bytes that are first read ahead. */
const FIRST_WINDOW = 64 * 1024;

/** Bytes read ahead from which on a scan counts as one that goes on. */
const LONG_WINDOW = 2 * FIRST_WINDOW;

/** Children of a page that are read before any of them is wanted, and of all such pages. */
const FEW_CHILDREN = 8;
const FEW_PAGES = 24;

/** Interior pages that are read ahead of a long scan. */
const SIBLINGS = 64;

/** Children that are remembered, over all interior pages. */
const MAX_CHILDREN = 1 << 20;

/** Neighbours may lie so far apart: those between were in memory. */
const SKIP = 2;

/** Something with an order that a scan may follow: the children of an interior page, or the numbers of pages. */
interface Run {
  /** Position of the last that was wanted. */
  last: number;
  /** Position after the last that was wanted or read ahead, going forward. */
  next: number;
  /** Position before the first, going backward. */
  previous: number;
  /** Bytes that were read ahead last; 0 where nothing follows an order. */
  window: number;
  /** What was read ahead last. */
  ahead: readonly number[];
}

/** What a scan comes to after a page. */
export interface Ahead {
  /** What to read now. */
  readonly next: readonly number[];
  /** All that is known to follow and not in memory, in the order of the scan. */
  readonly rest: () => number[];
}

interface Interior extends Run {
  readonly file: IndexedFile;
  readonly position: number;
  readonly children: Uint32Array;
}

/** Reads ahead of the scans of all connections. */
export class ReadAhead {
  readonly #cache: PageCache;
  readonly #max: number;
  /** By page number, the one learned last; oldest first. */
  readonly #interiors: Map<number, Interior> = new Map();
  #childCount = 0;
  #recent: Interior | undefined;
  /** What page numbers followed each other, where no interior page is known. */
  readonly #plain: Run = newRun();
  /** Window and direction of the last scan, which goes on with the next interior page. */
  #scan: { readonly window: number; readonly step: 1 | -1 } | undefined;

  /** @param max most bytes that are read ahead at once; 0 for none. */
  constructor(cache: PageCache, max: number) {
    this.#cache = cache;
    this.#max = max;
  }

  /** A page has come into memory. */
  learn(file: IndexedFile, position: number, page: Uint8Array): void {
    if (this.#max === 0) return;
    const children = childPages(page, file.pgno(position), file.state.commit);
    if (children === undefined) return;
    const pgno = file.pgno(position);
    this.#forget(pgno);
    this.#interiors.set(pgno, { ...newRun(), file, position, children });
    this.#childCount += children.length;
    for (const oldest of this.#interiors.keys()) {
      if (this.#childCount <= MAX_CHILDREN) break;
      this.#forget(oldest);
    }
  }

  /** Pages below those in memory, where they are so few that nearly every query needs one of them. */
  first(view: View): number[] {
    const pgnos: number[] = [];
    for (const interior of this.#interiors.values()) {
      const { children } = interior;
      if (children.length > FEW_CHILDREN || !isIn(view, interior)) continue;
      for (const child of children) if (this.#isMissing(view, child)) pgnos.push(child);
    }
    return pgnos.slice(0, FEW_PAGES);
  }

  /** Pages to read with one that is wanted and not in memory: the next of its scan, none of which is in memory. */
  after(view: View, pgno: number): Ahead {
    if (this.#max === 0) return NOTHING;
    const found = this.#find(view, pgno);
    if (found === undefined) {
      const range = { at: (i: number) => i, length: view.commit + 1, index: pgno };
      return { next: this.#follow(view, this.#plain, range), rest: nothing };
    }
    const { interior, index } = found;
    this.#recent = interior;
    const { children } = interior;
    const range = { at: (i: number) => children[i]!, length: children.length, index };
    const next = this.#follow(view, interior, range);
    const step = this.#scan?.step;
    if (next.length === 0 || step === undefined) return { next, rest: nothing };
    // A scan that comes to the last child goes on below the next interior page.
    const isLong = interior.window >= LONG_WINDOW;
    const isLast = interior.next >= children.length || interior.previous < 0;
    const siblings = isLong || isLast ? this.#siblings(view, interior, step) : [];
    const missing = siblings.filter((sibling) => this.#isMissing(view, sibling));
    const first = isLast ? missing.slice(0, 1) : [];
    if (!isLong) return { next: [...next, ...first], rest: nothing };
    const rest = (): number[] => {
      const pgnos = missing.slice();
      const add = (of: Uint32Array, from: number): void => {
        for (let i = from; i >= 0 && i < of.length; i += step) {
          if (this.#isMissing(view, of[i]!)) pgnos.push(of[i]!);
        }
      };
      add(children, index + step);
      for (const sibling of siblings) {
        const known = this.#interiors.get(sibling);
        if (known === undefined || !isIn(view, known)) break;
        add(known.children, step === 1 ? 0 : known.children.length - 1);
      }
      return pgnos;
    };
    return { next: [...next, ...first], rest };
  }

  /** The interior pages that a scan comes to after one, as far as one parent has them. */
  #siblings(view: View, { file, position }: Interior, step: 1 | -1): number[] {
    const parent = this.#find(view, file.pgno(position));
    if (parent === undefined) return [];
    const { interior, index } = parent;
    const siblings: number[] = [];
    for (let i = index + step; siblings.length < SIBLINGS; i += step) {
      const sibling = interior.children[i];
      if (sibling === undefined) break;
      siblings.push(sibling);
    }
    return siblings;
  }

  #follow(
    view: View,
    run: Run,
    range: { readonly at: (i: number) => number; readonly length: number; readonly index: number },
  ): number[] {
    const { at, length, index } = range;
    const isFirst = run.last < 0;
    const scan = this.#scan;
    let step: 1 | -1 | undefined;
    if (!isFirst && index > run.last && index < run.next + SKIP) step = 1;
    else if (!isFirst && index < run.last && index > run.previous - SKIP) step = -1;
    else if (isFirst && scan?.step === 1 && index === 0) step = 1;
    else if (isFirst && scan?.step === -1 && index === length - 1) step = -1;
    run.last = index;
    run.next = index + 1;
    run.previous = index - 1;
    const before = isFirst && step !== undefined ? (scan?.window ?? 0) : run.window;
    const wasWorth = this.#wasWorth(view, run.ahead);
    run.ahead = [];
    run.window = 0;
    if (step === undefined) return [];
    run.window = wasWorth ? Math.min(this.#max, Math.max(FIRST_WINDOW, 2 * before)) : 0;
    this.#scan = run.window === 0 ? undefined : { window: run.window, step };
    const ahead: number[] = [];
    let bytes = 0;
    let i = index + step;
    for (; i >= 0 && i < length && bytes < run.window; i += step) {
      const pgno = at(i);
      if (!this.#isMissing(view, pgno)) continue;
      ahead.push(pgno);
      bytes += view.map.file(pgno)?.size(view.map.position(pgno)) ?? 0;
    }
    if (step === 1) run.next = Math.max(run.next, i);
    else run.previous = Math.min(run.previous, i);
    run.ahead = ahead.slice();
    return ahead;
  }

  /** Whether at least half of the pages that were read ahead have been used. Those gone again count as used. */
  #wasWorth(view: View, ahead: readonly number[]): boolean {
    let unused = 0;
    for (const pgno of ahead) {
      const slot = view.map.slot(pgno);
      if (slot !== 0 && !this.#cache.wasRead(slot)) unused++;
    }
    return 2 * unused <= ahead.length;
  }

  #forget(pgno: number): void {
    const known = this.#interiors.get(pgno);
    if (known === undefined) return;
    this.#interiors.delete(pgno);
    this.#childCount -= known.children.length;
  }

  #isMissing(view: View, pgno: number): boolean {
    return view.map.file(pgno) !== undefined && view.map.slot(pgno) === 0;
  }

  /** The interior page of this view that leads to a page. */
  #find(
    view: View,
    pgno: number,
  ): { readonly interior: Interior; readonly index: number } | undefined {
    const recent = this.#recent;
    if (recent !== undefined && isIn(view, recent)) {
      const index = recent.children.indexOf(pgno);
      if (index >= 0) return { interior: recent, index };
    }
    for (const interior of this.#interiors.values()) {
      const index = interior.children.indexOf(pgno);
      if (index >= 0 && isIn(view, interior)) return { interior, index };
    }
    return undefined;
  }
}

const nothing = (): number[] => [];

const NOTHING: Ahead = { next: [], rest: nothing };

function isIn(view: View, { file, position }: Interior): boolean {
  const pgno = file.pgno(position);
  return view.map.file(pgno) === file && view.map.position(pgno) === position;
}

function newRun(): Run {
  return { last: -1, next: -1, previous: -1, window: 0, ahead: [] };
}
