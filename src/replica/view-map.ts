/**
 * Where the pages of one state lie: for each page number a file and a position in it.
 *
 * A map never changes. It is a table of chunks; the map of a newer state shares every chunk in which nothing changed, so that a
 * step costs memory for what it changes, and a look-up is one access to an array. 8 bytes a page.
 *
 * @module
 */
import { lockPage } from "../core/lock-page.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { DamagedFileError } from "./errors.ts";
import type { IndexedFile } from "./view-file.ts";

const CHUNK_BITS = 9;
const CHUNK_PAGES = 1 << CHUNK_BITS;
const CHUNK_MASK = CHUNK_PAGES - 1;

/** A chunk without pages. A header may announce any number of pages: memory is for those that files hold. */
const EMPTY = new Uint32Array(2 * CHUNK_PAGES);

/** Pages of one state. */
export class PageMap {
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Size of the database in pages. */
  readonly commit: number;
  /** By number, from 1: the files that pages are read from, and some that no page is read from any more. */
  readonly #files: readonly (IndexedFile | undefined)[];
  /** For each page the number of a file, 0 for none, then a position. */
  readonly #chunks: readonly Uint32Array[];
  /** By number of a file: how many pages are read from it. */
  readonly #live: readonly number[];

  /** Made by a {@linkcode PageMapBuilder}. */
  constructor(
    state: { readonly pageSize: number; readonly commit: number },
    files: readonly (IndexedFile | undefined)[],
    content: { readonly chunks: readonly Uint32Array[]; readonly live: readonly number[] },
  ) {
    this.pageSize = state.pageSize;
    this.commit = state.commit;
    this.#files = files;
    this.#chunks = content.chunks;
    this.#live = content.live;
  }

  /** The files that pages are read from. */
  get files(): IndexedFile[] {
    return this.#files.filter((file, i): file is IndexedFile => (this.#live[i] ?? 0) > 0 && !!file);
  }

  /** The file that holds a page; undefined for the lock page and past the end. */
  file(pgno: number): IndexedFile | undefined {
    const chunk = this.#chunks[pgno >>> CHUNK_BITS];
    return chunk === undefined ? undefined : this.#files[chunk[(pgno & CHUNK_MASK) << 1]!];
  }

  /** Position of a page in its file; means nothing where there is none. */
  position(pgno: number): number {
    return this.#chunks[pgno >>> CHUNK_BITS]?.[((pgno & CHUNK_MASK) << 1) | 1] ?? 0;
  }

  /** Place of a page in the cache; 0 where it is not in memory. */
  slot(pgno: number): number {
    const chunk = this.#chunks[pgno >>> CHUNK_BITS];
    if (chunk === undefined) return 0;
    const at = (pgno & CHUNK_MASK) << 1;
    const file = this.#files[chunk[at]!];
    return file === undefined ? 0 : file.slots[chunk[at | 1]!]!;
  }

  /**
   * The last page from `pgno` on up to which two maps share the table, so that no page differs: a number stands for one file
   * as long as any page is read from that. `pgno - 1` where they do not share it there.
   */
  sharedUpTo(pgno: number, other: PageMap): number {
    const part = pgno >>> CHUNK_BITS;
    return this.#chunks[part] === other.#chunks[part] ? pgno | CHUNK_MASK : pgno - 1;
  }

  /** The map after one more file; the file may be of this page size only. */
  apply(file: IndexedFile): PageMap {
    const { commit } = file.state;
    const chunks = this.#chunks.slice(0, chunkCount(commit));
    const live = [...this.#live];
    const files = [...this.#files];
    let number = live.findIndex((count, i) => i > 0 && count === 0);
    if (number < 0) number = files.length;
    files[number] = file;
    live[number] = file.count;
    const own = new Set<number>();
    const writable = (part: number): Uint32Array => {
      if (own.has(part)) return chunks[part]!;
      own.add(part);
      return (chunks[part] = chunks[part]!.slice());
    };
    for (let pgno = this.commit; pgno > commit; pgno--) {
      const old = this.#chunks[pgno >>> CHUNK_BITS]?.[(pgno & CHUNK_MASK) << 1] ?? 0;
      if (old > 0) live[old]!--;
      if (pgno >>> CHUNK_BITS < chunks.length) {
        writable(pgno >>> CHUNK_BITS).fill(
          0,
          (pgno & CHUNK_MASK) << 1,
          ((pgno & CHUNK_MASK) << 1) + 2,
        );
      }
    }
    while (chunks.length < chunkCount(commit)) chunks.push(EMPTY);
    for (let i = 0; i < file.count; i++) {
      const pgno = file.pgno(i);
      if (pgno > commit) throw pastEnd(file, pgno);
      const chunk = writable(pgno >>> CHUNK_BITS);
      const at = (pgno & CHUNK_MASK) << 1;
      const old = chunk[at]!;
      if (old > 0) live[old]!--;
      chunk[at] = number;
      chunk[at + 1] = i;
    }
    const map = new PageMap({ pageSize: this.pageSize, commit }, files, { chunks, live });
    map.refuseHoles(this.commit + 1, file);
    return map;
  }

  /** Throws `DamagedFileError` where a page from `from` on is in no file. `last` is the file that leads to this state. */
  refuseHoles(from: number, last: IndexedFile): void {
    const lock = lockPage(this.pageSize);
    for (let pgno = from; pgno <= this.commit; pgno++) {
      if (this.file(pgno) !== undefined || pgno === lock) continue;
      throw damaged(last, `page ${pgno} is in no file of the chain that ends here`);
    }
  }
}

/** Makes a map of files, newest first. */
export class PageMapBuilder {
  /** The map, with the pages of the files that were added so far. */
  readonly map: PageMap;
  readonly #newest: IndexedFile;
  readonly #files: (IndexedFile | undefined)[] = [undefined];
  readonly #live: number[] = [0];
  readonly #chunks: Uint32Array[];
  /** Pages beyond the end of a newer state are not pages of this one, even if it has grown since. */
  #limit: number;

  /** Begins with the newest file. */
  constructor(newest: IndexedFile) {
    this.#newest = newest;
    this.#limit = newest.state.commit;
    this.#chunks = Array.from({ length: chunkCount(this.#limit) }, () => EMPTY);
    const content = { chunks: this.#chunks, live: this.#live };
    this.map = new PageMap(newest.state, this.#files, content);
    this.add(newest);
  }

  /** Adds what an older file holds and no newer one does. Throws `DamagedFileError` for one that does not fit. */
  add(file: IndexedFile): void {
    const { pageSize, commit } = file.state;
    const newest = this.#newest.state;
    if (pageSize !== newest.pageSize) {
      const sizes = `${pageSize} bytes, those of later files ${newest.pageSize}`;
      throw damaged(file, `its pages have ${sizes}`);
    }
    this.#limit = Math.min(this.#limit, commit);
    const number = this.#files.length;
    let live = 0;
    for (let i = 0; i < file.count; i++) {
      const pgno = file.pgno(i);
      if (pgno > commit) throw pastEnd(file, pgno);
      if (pgno > this.#limit) continue;
      const part = pgno >>> CHUNK_BITS;
      let chunk = this.#chunks[part]!;
      const at = (pgno & CHUNK_MASK) << 1;
      if (chunk[at] !== 0) continue;
      if (chunk === EMPTY) chunk = this.#chunks[part] = EMPTY.slice();
      chunk[at] = number;
      chunk[at + 1] = i;
      live++;
    }
    if (live === 0) return;
    this.#files.push(file);
    this.#live.push(live);
  }

  /** The whole map. Throws `DamagedFileError` where a page is in no file. */
  finish(): PageMap {
    this.map.refuseHoles(1, this.#newest);
    return this.map;
  }
}

function chunkCount(commit: number): number {
  return commit === 0 ? 0 : (commit >>> CHUNK_BITS) + 1;
}

function pastEnd(file: IndexedFile, pgno: number): DamagedFileError {
  return damaged(file, `it holds page ${pgno} of a database of ${file.state.commit} pages`);
}

function damaged(file: IndexedFile, what: string): DamagedFileError {
  const { key, maxTxid } = file.info;
  return new DamagedFileError(
    {
      operation: "read",
      object: key,
      what,
      next: `Read a state before ${formatTxid(maxTxid)}, or find another copy of the file`,
    },
    { file: key },
  );
}
