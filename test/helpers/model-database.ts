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
  ListenOptions,
  PageImage,
  PrepareMode,
} from "../../src/core/commit-source.ts";
import { ImageOverrunError } from "../../src/core/errors.ts";
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
  /** What happens to a transaction once it is prepared: it fails to commit, or the process dies before it does. */
  afterPrepare: "commit" | "roll back" | "die" = "commit";
  /** What the file would be, had the last transaction that failed in `prepare` committed. */
  refused: Uint8Array | undefined;
  /** What the file was before the last transaction that was kept back. */
  saved: SavedDatabase = { pageSize: 0, pages: [] };
  /** How often somebody looked for commits made beside the source. */
  checks = 0;
  /** Called between two runs of an image. */
  betweenRuns: (() => void) | undefined;
  /** How many images are overrun after their first run. */
  overruns = 0;
  #pages: Uint8Array[] = [];
  #listener: CommitListener | undefined;
  #prepare: PrepareMode | undefined;
  /** Ends with the transaction that is kept back. */
  #holding: Promise<void> | undefined;
  /** What the file was before the transaction that is open. */
  #before: SavedDatabase | undefined;
  readonly #random: SeededRandom;

  constructor(pageSize = 512, seed = 1) {
    this.pageSize = pageSize;
    this.#random = seededRandom(seed);
  }

  get commit(): number {
    return (this.#before?.pages ?? this.#pages).length;
  }

  /** The file's bytes. */
  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#pages.length * this.pageSize);
    this.#pages.forEach((page, i) => bytes.set(page, i * this.pageSize));
    return bytes;
  }

  listen(listener: CommitListener, options: ListenOptions = {}): () => void {
    this.#listener = listener;
    this.#prepare = options.prepare;
    return () => {
      if (this.#listener === listener) this.#listener = undefined;
    };
  }

  check(): void {
    this.checks++;
  }

  /** Ends delivery, as an observed file that went away. */
  lose(error: Error): void {
    this.#listener?.lost?.(error);
    this.#listener = undefined;
  }

  /** What the file is now, to go back to. */
  save(): SavedDatabase {
    return { pageSize: this.pageSize, pages: this.#pages.slice() };
  }

  /** Makes the file what it was, as a crash may, or another one's hand. */
  revert(to: SavedDatabase): void {
    this.#holding = undefined;
    this.#before = undefined;
    this.pageSize = to.pageSize;
    this.#pages = to.pages.slice();
  }

  /** Commits random images of the given pages; the size follows the largest, or is set. Throws what COMMIT would. */
  write(pgnos: readonly number[], size?: number): void {
    const before = this.save();
    const change = this.#change(pgnos, size);
    const transaction = this.#transaction(change);
    if (this.#prepare !== undefined) {
      this.#before = before;
      try {
        if (this.#listener?.prepare?.(transaction) !== undefined) {
          throw new Error("a transaction that is not held was kept back");
        }
      } catch (error) {
        this.refused = this.bytes;
        this.revert(before);
        throw error;
      }
      if (this.#endsEarly(before)) return;
    }
    this.#commit(transaction);
  }

  /** Like `write`, for a source whose listener may keep the transaction back; rejects with what COMMIT would throw. */
  async writeHeld(pgnos: readonly number[], size?: number): Promise<void> {
    const before = this.save();
    await this.#holdOpen(before, this.#transaction(this.#change(pgnos, size)));
  }

  /** Like `resize`, kept back as `writeHeld` is. */
  async resizeHeld(pageSize: number, size: number): Promise<void> {
    const before = this.save();
    await this.#holdOpen(before, this.#transaction(this.#resize(pageSize, size)));
  }

  /** Commits without asking first, as a change of nothing but the journal mode does. */
  commitUnprepared(pgnos: readonly number[]): void {
    this.#commit(this.#transaction(this.#change(pgnos)));
  }

  async #holdOpen(before: SavedDatabase, transaction: CommittedTransaction): Promise<void> {
    const ended = this.#hold(before, transaction);
    const holding = ended
      .catch(() => {})
      .then(() => {
        this.#holding = undefined;
      });
    this.#holding = holding;
    await ended;
  }

  async #hold(before: SavedDatabase, transaction: CommittedTransaction): Promise<void> {
    this.saved = before;
    this.#before = before;
    let readable = true;
    const read = (view: Uint8Array): Uint8Array => {
      if (!readable) throw new Error("a page was read after prepare had returned");
      return view;
    };
    const { pages } = transaction;
    const guarded = {
      pgnos: pages.pgnos,
      read: (index: number) => read(pages.read(index)),
      page: (pgno: number) => read(pages.page(pgno)),
    };
    try {
      const held = this.#listener?.prepare?.({ ...transaction, pages: guarded });
      readable = false;
      await held;
    } catch (error) {
      this.refused = this.bytes;
      this.revert(before);
      this.#listener?.rolledBack?.();
      throw error;
    }
    if (!this.#endsEarly(before)) this.#commit(transaction);
  }

  /** Whether a prepared transaction does not commit. */
  #endsEarly(before: SavedDatabase): boolean {
    if (this.afterPrepare === "commit") return false;
    this.revert(before);
    if (this.afterPrepare === "roll back") this.#listener?.rolledBack?.();
    return true;
  }

  #change(pgnos: readonly number[], size?: number): Change {
    const previousCommit = this.#pages.length;
    const commit = size ?? Math.max(previousCommit, ...pgnos);
    const written = new Set(pgnos.filter((pgno) => pgno <= commit));
    for (let pgno = previousCommit + 1; pgno <= commit; pgno++) written.add(pgno);
    this.#pages.length = commit;
    for (const pgno of written) this.#pages[pgno - 1] = this.#random.bytes(this.pageSize);
    return { previousCommit, pgnos: [...written], full: false };
  }

  /** Changes the page size and writes `size` new pages, as VACUUM does. */
  resize(pageSize: number, size: number): void {
    const transaction = this.#transaction(this.#resize(pageSize, size));
    if (this.#prepare === "sync") this.#listener?.prepare?.(transaction);
    this.#commit(transaction);
  }

  /** Replaces the whole file behind everybody's back. */
  load(bytes: Uint8Array): void {
    this.#pages = Array.from({ length: bytes.length / this.pageSize }, (_, i) =>
      bytes.slice(i * this.pageSize, (i + 1) * this.pageSize),
    );
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
    // A boundary is where no transaction is open.
    while (this.#holding !== undefined) await this.#holding;
    this.images++;
    const all = this.#pages.map((data, i): PageImage => ({ pgno: i + 1, data: data.slice() }));
    const wanted = options.pages && new Set(options.pages);
    const pages = wanted ? all.filter(({ pgno }) => wanted.has(pgno)) : all;
    const betweenRuns = (): void => {
      this.betweenRuns?.();
      if (this.overruns-- > 0) {
        throw new ImageOverrunError({ operation: "read", object: this.name, what: "overwritten" });
      }
    };
    return {
      sequence: this.sequence,
      pageSize: this.#pages.length === 0 ? 0 : this.pageSize,
      commit: this.#pages.length,
      runsAtOnce: () => [pages],
      runs: (async function* () {
        for (const page of pages) {
          await Promise.resolve();
          yield [page];
          betweenRuns();
        }
      })(),
    };
  }

  #resize(pageSize: number, size: number): Change {
    const previousCommit = this.#pages.length;
    this.pageSize = pageSize;
    this.#pages = Array.from({ length: size }, () => this.#random.bytes(pageSize));
    return { previousCommit, pgnos: this.#pages.map((_, i) => i + 1), full: true };
  }

  #transaction(change: Change): CommittedTransaction {
    const { previousCommit, full } = change;
    const pgnos = Uint32Array.from(change.pgnos).sort();
    return {
      sequence: this.sequence + 1,
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
  }

  #commit(transaction: CommittedTransaction): void {
    this.sequence = transaction.sequence;
    this.#before = undefined;
    try {
      this.#listener?.commit(transaction);
    } catch (error) {
      this.#listener?.needsFull(String(error));
    }
  }
}

/** What a file was at one moment. */
export interface SavedDatabase {
  readonly pageSize: number;
  readonly pages: readonly Uint8Array[];
}

/** What a transaction changed. */
interface Change {
  readonly previousCommit: number;
  readonly pgnos: readonly number[];
  readonly full: boolean;
}
