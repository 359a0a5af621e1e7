/**
 * Pages of a commit that is happening, read back through the parent.
 *
 * @module
 */
import type { CommittedPages } from "../core/commit-source.ts";
import { VfsError } from "./errors.ts";

/** Reads the image of a page as of the commit; a view, valid until the next read. */
export type ReadPage = (pgno: number) => Uint8Array;

/** Pages of a transaction and how to read them. */
export interface Changes {
  readonly pageSize: number;
  /** Size in pages after the transaction. */
  readonly commit: number;
  /** Whether they are all pages of the database. */
  readonly full: boolean;
  readonly pgnos: Uint32Array;
  readonly read: ReadPage;
}

/** What a listener may read while its call runs. */
export class LivePages implements CommittedPages {
  readonly pgnos: Uint32Array;
  readonly #read: ReadPage;
  #live = true;

  constructor(pgnos: Uint32Array, read: ReadPage) {
    this.pgnos = pgnos;
    this.#read = read;
  }

  read(index: number): Uint8Array {
    const pgno = this.pgnos[index];
    if (pgno === undefined) {
      throw new VfsError({
        operation: "read",
        object: `page ${index} of a commit`,
        what: `it has ${this.pgnos.length} pages`,
      });
    }
    return this.page(pgno);
  }

  page(pgno: number): Uint8Array {
    if (this.#live) return this.#read(pgno);
    throw new VfsError({
      operation: "read",
      object: `page ${pgno} of a commit`,
      what: "the commit's call has returned",
    });
  }

  /** Ends the time in which pages can be read. */
  end(): void {
    this.#live = false;
  }
}
