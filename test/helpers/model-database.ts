/**
 * A database as the engine sees one, without SQLite: pages, commits, images. Lets a test decide every byte.
 *
 * @module
 */
import type {
  CommitListener,
  CommitSource,
  CommittedTransaction,
  DatabaseImage,
  ImageOptions,
  PageImage,
} from "../../src/core/commit-source.ts";
import { seededRandom, type SeededRandom } from "../../src/testing/seeded-random.ts";

/** A {@linkcode CommitSource} whose pages a test writes. */
export class ModelDatabase implements CommitSource {
  readonly name = "model.db";
  pageSize: number;
  sequence = 0;
  /** Images handed out so far. */
  images = 0;
  /** Called before an image's boundary is fixed. */
  beforeImage: (() => void | Promise<void>) | undefined;
  #pages: Uint8Array[] = [];
  #listener: CommitListener | undefined;
  readonly #random: SeededRandom;

  constructor(pageSize = 512, seed = 1) {
    this.pageSize = pageSize;
    this.#random = seededRandom(seed);
  }

  get commit(): number {
    return this.#pages.length;
  }

  /** The file's bytes. */
  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#pages.length * this.pageSize);
    this.#pages.forEach((page, i) => bytes.set(page, i * this.pageSize));
    return bytes;
  }

  listen(listener: CommitListener): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = undefined;
    };
  }

  /** Commits random images of the given pages; the size follows the largest, or is set. */
  write(pgnos: readonly number[], size?: number): void {
    const previousCommit = this.#pages.length;
    const commit = size ?? Math.max(previousCommit, ...pgnos);
    const written = new Set(pgnos.filter((pgno) => pgno <= commit));
    for (let pgno = previousCommit + 1; pgno <= commit; pgno++) written.add(pgno);
    this.#pages.length = commit;
    for (const pgno of written) this.#pages[pgno - 1] = this.#random.bytes(this.pageSize);
    this.#deliver({ previousCommit, pgnos: [...written], full: false });
  }

  /** Changes the page size and writes `size` new pages, as VACUUM does. */
  resize(pageSize: number, size: number): void {
    const previousCommit = this.#pages.length;
    this.pageSize = pageSize;
    this.#pages = Array.from({ length: size }, () => this.#random.bytes(pageSize));
    this.#deliver({ previousCommit, pgnos: this.#pages.map((_, i) => i + 1), full: true });
  }

  /** Changes a page behind everybody's back. */
  tamper(pgno: number): void {
    this.#pages[pgno - 1] = this.#random.bytes(this.pageSize);
  }

  needsFull(reason: string): void {
    this.#listener?.needsFull(reason);
  }

  async image(options: ImageOptions = {}): Promise<DatabaseImage> {
    await this.beforeImage?.();
    this.images++;
    const all = this.#pages.map((data, i): PageImage => ({ pgno: i + 1, data: data.slice() }));
    const wanted = options.pages && new Set(options.pages);
    const pages = wanted ? all.filter(({ pgno }) => wanted.has(pgno)) : all;
    return {
      sequence: this.sequence,
      pageSize: this.#pages.length === 0 ? 0 : this.pageSize,
      commit: this.#pages.length,
      runsAtOnce: () => [pages],
      runs: (async function* () {
        for (const page of pages) {
          await Promise.resolve();
          yield [page];
        }
      })(),
    };
  }

  #deliver(change: { previousCommit: number; pgnos: number[]; full: boolean }): void {
    const { previousCommit, full } = change;
    const pgnos = Uint32Array.from(change.pgnos).sort();
    const transaction: CommittedTransaction = {
      sequence: ++this.sequence,
      pageSize: this.pageSize,
      commit: this.#pages.length,
      previousCommit,
      full,
      pages: {
        pgnos,
        read: (index) => this.#pages[(pgnos[index] as number) - 1] as Uint8Array,
        page: (pgno) => this.#pages[pgno - 1] as Uint8Array,
      },
    };
    try {
      this.#listener?.commit(transaction);
    } catch (error) {
      this.#listener?.needsFull(String(error));
    }
  }
}
