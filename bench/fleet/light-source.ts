/**
 * A database that weighs nothing: its pages are made when they are read.
 *
 * @module
 */
import type {
  CommitListener,
  CommitSource,
  DatabaseImage,
  ImageOptions,
  PageImage,
} from "../../src/core/commit-source.ts";

const PAGE_SIZE = 4096;

/** A source of `commit` pages; a commit writes page 1. */
export class LightSource implements CommitSource {
  readonly name: string;
  readonly pageSize = PAGE_SIZE;
  readonly commit: number;
  sequence = 0;
  #listener: CommitListener | undefined;

  constructor(name: string, commit: number) {
    this.name = name;
    this.commit = commit;
  }

  listen(listener: CommitListener): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = undefined;
    };
  }

  /** Commits a change of page 1. */
  write(): void {
    this.sequence++;
    const { sequence, commit } = this;
    this.#listener?.commit({
      sequence,
      pageSize: PAGE_SIZE,
      commit,
      previousCommit: commit,
      full: false,
      pages: {
        pgnos: Uint32Array.of(1),
        read: () => this.#page(1),
        page: (pgno) => this.#page(pgno),
      },
    });
  }

  image({ pages }: ImageOptions = {}): Promise<DatabaseImage> {
    const { sequence, commit } = this;
    const pgnos = [...(pages ?? Array.from({ length: commit }, (_, i) => i + 1))];
    const run = pgnos.map((pgno): PageImage => ({ pgno, data: this.#page(pgno) }));
    return Promise.resolve({
      sequence,
      pageSize: PAGE_SIZE,
      commit,
      runsAtOnce: () => [run],
      runs: (async function* () {
        yield await Promise.resolve(run);
      })(),
    });
  }

  #page(pgno: number): Uint8Array {
    const page = new Uint8Array(PAGE_SIZE);
    new DataView(page.buffer).setUint32(64, pgno === 1 ? this.sequence : pgno);
    return page;
  }
}
