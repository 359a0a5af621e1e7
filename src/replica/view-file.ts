/**
 * A file of a replica as views see it: where each of its pages lies, and which of them are in memory.
 *
 * @module
 */
import { lockPage } from "../core/lock-page.ts";
import type { PageIndex } from "../ltx/page-index.ts";
import type { LtxFileInfo } from "./replica.ts";

/** What the header of a file says beyond its name. */
export interface FileState {
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Database size in pages after the file. */
  readonly commit: number;
  /** Time of the header in milliseconds since the Unix epoch. */
  readonly timestamp: number;
}

/**
 * The index of a file, shared by all views that read from it. Pages are known by their position: the number of their frame
 * in the file, from 0. Takes 12 bytes a page, and 4 more where the file does not hold every page in order.
 */
export class IndexedFile {
  /** The file as it was listed. */
  readonly info: LtxFileInfo;
  /** What its header says. */
  readonly state: FileState;
  /** Number of pages. */
  readonly count: number;
  /** Where the frame of each position begins; one more entry says where the last ends. */
  readonly offsets: Float64Array;
  /** By position the place of the page in the cache; 0 where it is not in memory. Written by the cache alone. */
  readonly slots: Uint32Array;
  /** By position the page number; undefined where the file holds all pages from 1 on in order. */
  readonly #pgnos: Uint32Array | undefined;
  readonly #lock: number;

  /** Takes over the arrays of an index whose frames fill the file without a gap. */
  constructor(info: LtxFileInfo, state: FileState, index: PageIndex) {
    this.info = info;
    this.state = state;
    this.#lock = lockPage(state.pageSize);
    const { pgnos, offsets, sizes } = byOffset(index);
    this.count = pgnos.length;
    this.offsets = new Float64Array(this.count + 1);
    this.offsets.set(offsets);
    if (this.count > 0)
      this.offsets[this.count] = offsets[this.count - 1]! + sizes[this.count - 1]!;
    this.slots = new Uint32Array(this.count);
    if (!pgnos.every((pgno, i) => pgno === this.#inOrder(i))) this.#pgnos = pgnos;
  }

  /** Page number at a position. */
  pgno(position: number): number {
    return this.#pgnos === undefined ? this.#inOrder(position) : this.#pgnos[position]!;
  }

  /** Bytes of the frame at a position. */
  size(position: number): number {
    return this.offsets[position + 1]! - this.offsets[position]!;
  }

  /** The index as it was. */
  pageIndex(): PageIndex {
    const { count } = this;
    return {
      pgnos: Uint32Array.from({ length: count }, (_, i) => this.pgno(i)),
      offsets: this.offsets.slice(0, count),
      sizes: Uint32Array.from({ length: count }, (_, i) => this.size(i)),
    };
  }

  #inOrder(position: number): number {
    return position + 1 < this.#lock ? position + 1 : position + 2;
  }
}

/** The entries in order of their frames, which is that of their page numbers in all but very old files. */
function byOffset(index: PageIndex): PageIndex {
  const { pgnos, offsets, sizes } = index;
  if (offsets.every((offset, i) => i === 0 || offset > offsets[i - 1]!)) return index;
  const order = pgnos.map((_, i) => i).sort((a, b) => offsets[a]! - offsets[b]!);
  return {
    pgnos: order.map((i) => pgnos[i]!),
    offsets: Float64Array.from(order, (i) => offsets[i]!),
    sizes: order.map((i) => sizes[i]!),
  };
}
