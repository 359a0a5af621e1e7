/**
 * What the local database holds, as digests: what continuity is proven with.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import type { Clock } from "../core/platform.ts";
import { freeListLeaves } from "./free-list.ts";
import type { PageDigest } from "./page-digest.ts";
import { PageTable } from "./page-table.ts";
import { readImage } from "./read-image.ts";

/** What of a state is compared. */
export interface ComparedState {
  /** Page size in bytes. */
  readonly pageSize: number;
  /** The digest of every page; its size is the database's. */
  readonly table: PageTable;
}

/** The digests of a database as of one commit boundary. */
export class LocalPages implements ComparedState {
  readonly table: PageTable;
  /** Page size in bytes; 0 when the database is empty. */
  readonly pageSize: number;
  /** The last commit it includes. */
  readonly sequence: number;
  readonly #source: CommitSource;
  #leaves: Promise<ReadonlySet<number>> | undefined;

  constructor(source: CommitSource, read: ComparedState & { readonly sequence: number }) {
    this.#source = source;
    this.table = read.table;
    this.pageSize = read.pageSize;
    this.sequence = read.sequence;
  }

  /** Whether every page is that of a state. */
  isSame(state: ComparedState): boolean {
    return this.#isAlike(state) && this.table.firstUnlike(state.table, 1) === 0;
  }

  /** Whether every page but those of the free list is that of a state. */
  async equals(state: ComparedState): Promise<boolean> {
    return this.#isAlike(state) && (await this.firstUsedUnlike(state)) === 0;
  }

  /** The first page that a state has not, or has with other content that means something; 0 where there is none. */
  async firstUsedUnlike(state: ComparedState): Promise<number> {
    let pgno = this.table.firstUnlike(state.table, 1);
    // The first page is never free, and most often it is the one that differs: then the free list need not be read.
    while (pgno > 1) {
      this.#leaves ??= this.#readLeaves();
      if (!(await this.#leaves).has(pgno)) break;
      pgno = this.table.firstUnlike(state.table, pgno + 1);
    }
    return pgno;
  }

  #isAlike(state: ComparedState): boolean {
    return state.pageSize === this.pageSize && state.table.size === this.table.size;
  }

  async #readLeaves(): Promise<ReadonlySet<number>> {
    const read = async (pgno: number): Promise<Uint8Array> => {
      const image = await this.#source.image({ pages: Uint32Array.of(pgno) });
      const [page] = [...image.runsAtOnce()].flat();
      // After another commit this is another free list.
      if (image.sequence !== this.sequence || page === undefined) return new Uint8Array(512);
      return page.data.slice();
    };
    return await freeListLeaves(read, this.table.size);
  }
}

/** Reads the whole database once. */
export function readLocalPages(
  source: CommitSource,
  digest: PageDigest,
  options: { readonly clock: Clock; readonly signal: AbortSignal | undefined },
): Promise<LocalPages> {
  const { clock, signal } = options;
  return readImage(clock, async (read) => {
    const image = await source.image({ signal });
    const { pageSize, sequence } = image;
    const table = new PageTable(image.commit);
    await read(image, (pgno, data) => {
      digest.update(pgno, data);
      table.set(pgno, digest.hi, digest.lo);
    });
    return new LocalPages(source, { table, pageSize, sequence });
  });
}
