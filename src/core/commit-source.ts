/**
 * What the engine needs of whoever sees a database's commits: a capture VFS or a WAL follower.
 *
 * @module
 */

/** One page image. `pgno` counts from 1; `data` has the length of the page size. */
export interface PageImage {
  /** Page number in SQLite's counting: the first page is 1. */
  readonly pgno: number;
  /** The bytes, one page size long. Whoever hands out the image says how long they stay valid. */
  readonly data: Uint8Array;
}

/** The pages of one committed transaction, read on demand so that a large one is never held twice in memory. */
export interface CommittedPages {
  /** Page numbers in ascending order, each at most `commit`, never the lock page. */
  readonly pgnos: Uint32Array;
  /**
   * The image of page `pgnos[index]` as of this commit. Returns a view that is valid until the next call and only
   * while {@linkcode CommitListener.commit} runs: copy or encode what is to be kept.
   */
  read(index: number): Uint8Array;
  /**
   * The image of any page of the database as of this commit, changed or not; zeros where the file has a hole. The view
   * is valid as long as that of {@linkcode read}.
   */
  page(pgno: number): Uint8Array;
}

/** One committed transaction, handed over synchronously at the commit itself. */
export interface CommittedTransaction {
  /** Counts the commits of this source from 1; gives {@linkcode DatabaseImage.sequence} its meaning. */
  readonly sequence: number;
  /** Page size in bytes after the transaction. */
  readonly pageSize: number;
  /** Database size in pages after the transaction; 0 for an empty file. */
  readonly commit: number;
  /** Database size in pages before it, in pages of the old size. */
  readonly previousCommit: number;
  /** True when `pages` holds every page of the database: its page size changed. */
  readonly full: boolean;
  /** Every page the transaction wrote, and every page in (previousCommit, commit]. */
  readonly pages: CommittedPages;
}

/** Who receives the commits of a {@linkcode CommitSource}. */
export interface CommitListener {
  /** Called at each commit. Must not wait; what it throws turns into `needsFull`, never into a failed COMMIT. */
  commit(transaction: CommittedTransaction): void;
  /** Continuity is in doubt: the next file must hold every page. */
  needsFull(reason: string): void;
  /**
   * Called before the point at which the transaction commits, with what {@linkcode commit} will be called with, if a
   * mode was asked for in {@linkcode ListenOptions}. What it throws makes COMMIT fail, and SQLite rolls back. A promise
   * keeps the transaction uncommitted until it ends; when it rejects, the transaction is rolled back. The transaction's
   * pages can be read until this call returns, not while its promise is pending. Not called for a change of nothing but
   * the journal mode.
   */
  prepare?(transaction: CommittedTransaction): void | Promise<void>;
  /** The transaction that was prepared last did not commit. */
  rolledBack?(): void;
  /** The database can no longer be observed; commits from here on are not delivered. */
  lost?(error: Error): void;
}

/**
 * How a source keeps a transaction back while {@linkcode CommitListener.prepare} works.
 *
 * - `sync`: not at all, `prepare` must not return a promise: it is done, or blocks the thread, when it returns.
 * - `retry`: COMMIT fails with SQLITE_BUSY and is repeated by the source's own wrapper, never by the application.
 * - `suspend`: the wasm stack is suspended, for COMMITs that came through the source's own wrapper.
 */
export type PrepareMode = "sync" | "retry" | "suspend";

/** Options of {@linkcode CommitSource.listen}. */
export interface ListenOptions {
  /** Calls {@linkcode CommitListener.prepare}. @default never */
  readonly prepare?: PrepareMode | undefined;
}

/** Options of {@linkcode CommitSource.image}. */
export interface ImageOptions {
  /** Page numbers in ascending order; all pages of the database when left out. Numbers past the size are skipped. */
  readonly pages?: Uint32Array | undefined;
  /** Ends the wait for a commit boundary, and the reading between two runs, with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** Pages of a database as of one commit boundary. */
export interface DatabaseImage {
  /** The last commit this image includes; commits with a larger sequence come after it. */
  readonly sequence: number;
  /** Page size in bytes; 0 when the database file is empty. */
  readonly pageSize: number;
  /** Database size in pages at the boundary. */
  readonly commit: number;
  /**
   * The pages in ascending order, in runs of at least 1 MiB except the last, without the lock page. A run's arrays
   * are valid until the next run is asked for. Commits go on between two runs; when they overwrite more than is kept
   * of the pages not read yet, the next run is refused with `ImageOverrunError`: begin again at a later boundary.
   */
  readonly runs: AsyncIterable<readonly PageImage[]>;
  /**
   * The same pages without giving anyone else a turn: nothing can be overwritten meanwhile, so nothing is refused.
   * Only as long as `runs` was not begun.
   */
  runsAtOnce(): Iterable<readonly PageImage[]>;
}

/** A source of commits: what `replicate` reads from. */
export interface CommitSource {
  /** What to call the database in errors and events: its path. */
  readonly name: string;
  /** Page size at the last commit; 0 while the database is empty. */
  readonly pageSize: number;
  /** Size in pages at the last commit. */
  readonly commit: number;
  /** The last commit's sequence; 0 before the first. */
  readonly sequence: number;
  /**
   * Starts delivery to the one listener a source can have, beginning with the first commit after the call.
   * Returns the function that ends it. Throws `UnsupportedError` where the database's set-up cannot prepare in the way
   * asked for; until the end, whatever would make it unsafe is refused.
   */
  listen(listener: CommitListener, options?: ListenOptions): () => void;
  /**
   * Looks for commits that were made beside the source since the last one it saw, and delivers them or calls
   * `needsFull`. Costs a read of the header.
   */
  check?(): void;
  /**
   * Delivers what was committed by now as far as that can be told at once, because a file is about to be cut; never throws. Of
   * use where commits are delivered some time after they were made.
   */
  catchUp?(): void;
  /**
   * Text in ASCII by which a later source of the same database recognises its state as of commit `sequence`; `undefined`
   * where it has none. Answers for the last commit alone, which within `CommitListener.commit` is the one delivered.
   */
  mark?(sequence: number): string | undefined;
  /**
   * The sequence at which the database still was in the state of a mark, told without reading a page; `undefined` where
   * that cannot be told. Called in the turn of {@linkcode listen}: whatever was committed after that state is then
   * delivered under later sequences, as several commits or as one.
   */
  proves?(mark: string): number | undefined;
  /** The given pages, or all of them, as of one commit boundary, while commits go on. */
  image(options?: ImageOptions): Promise<DatabaseImage>;
}
