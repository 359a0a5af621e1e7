/**
 * One file of a replica, read to its end and checked for all that can be checked in it.
 *
 * @module
 */
import { lockPage } from "../core/lock-page.ts";
import { LtxDecoder } from "../ltx/decoder.ts";
import { LtxFormatError } from "../ltx/errors.ts";
import { formatFileName } from "../ltx/file-name.ts";
import { isSnapshot, type LtxHeader } from "../ltx/header.ts";
import { DamagedFileError } from "./errors.ts";
import { readRange } from "./range-reader.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";

/** What a sound file holds. */
export interface VerifiedFile {
  readonly header: LtxHeader;
  /** Number of its pages. */
  readonly pages: number;
  /** Whether these are all pages of the database. */
  readonly isWhole: boolean;
}

/**
 * Reads a file in memory that does not depend on its size: structure, index, checksums, order and range of its pages, and
 * that its header says what its name does. Throws the decoder's errors, `DamagedFileError` and those of the store.
 */
export async function verifyFile(
  replica: Replica,
  file: LtxFileInfo,
  signal: AbortSignal | undefined,
): Promise<VerifiedFile> {
  const decoder = new LtxDecoder({ name: file.key });
  const pages = new PageChecks(decoder, file.key);
  const onChunk = (chunk: Uint8Array): void => {
    decoder.push(chunk);
    pages.check();
  };
  await readRange(replica, file, { offset: 0, length: file.size, signal, onChunk });
  decoder.end();
  pages.check();
  const { header } = decoder;
  const { minTxid, maxTxid } = header;
  if (minTxid !== file.minTxid || maxTxid !== file.maxTxid) {
    throw new DamagedFileError(
      {
        operation: "verify",
        object: file.key,
        what: `its header says ${formatFileName(minTxid, maxTxid)}`,
        next: "Find out where it comes from; the file that belongs here is lost",
      },
      { file: file.key },
    );
  }
  return { header, ...pages.end() };
}

/** The rules of pages that the decoder leaves to whoever uses them. */
export class PageChecks {
  readonly #decoder: LtxDecoder;
  readonly #name: string;
  readonly #previousCommit: number;
  #count = 0;
  #grown = 0;
  #last = 0;
  #lock = 0;

  /**
   * Checks the pages that a decoder comes to; `name` is the file's, for errors. `previousCommit` is the size of the database in
   * pages before it, where that is known: no page that it has grown by may be missing.
   */
  constructor(decoder: LtxDecoder, name: string, previousCommit: number = Infinity) {
    this.#decoder = decoder;
    this.#name = name;
    this.#previousCommit = previousCommit;
  }

  /** Checks the pages that are there. */
  check(): void {
    while (this.#decoder.next() === "page") {
      const { pgno, header } = this.#decoder;
      if (this.#lock === 0) this.#lock = lockPage(header.pageSize);
      if (pgno === this.#lock) this.#fail(`it stores the lock page, ${pgno}`);
      if (pgno > header.commit) this.#fail(`page ${pgno} is past the size of ${header.commit}`);
      if (pgno <= this.#last) this.#fail(`page ${pgno} comes after page ${this.#last}`);
      if (isSnapshot(header) && pgno !== this.#next())
        this.#fail(`page ${this.#next()} is missing`);
      this.#last = pgno;
      this.#count++;
      if (pgno > this.#previousCommit) this.#grown++;
    }
  }

  /** Checks that no page is missing at the end. */
  end(): { readonly pages: number; readonly isWhole: boolean } {
    const { header } = this.#decoder;
    const { commit, pageSize } = header;
    const lock = lockPage(pageSize);
    const all = commit >= lock ? commit - 1 : commit;
    const isWhole = this.#count === all;
    if (isSnapshot(header) && !isWhole) this.#fail(`page ${this.#next()} is missing`);
    const before = this.#previousCommit;
    const growth = commit - before - (before < lock && lock <= commit ? 1 : 0);
    if (this.#grown < growth) this.#fail("a page that the database has grown by is missing");
    return { pages: this.#count, isWhole };
  }

  #next(): number {
    return this.#last + 1 === this.#lock ? this.#last + 2 : this.#last + 1;
  }

  #fail(what: string): never {
    const offset = this.#decoder.frameOffset;
    throw new LtxFormatError({ name: this.#name, field: "pgno", offset, what });
  }
}
