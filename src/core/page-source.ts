/**
 * The read side of a replica as a database sees it: states, and the pages of a state.
 *
 * A state never changes; a source learns of newer ones. Pages in memory are had at once, others must be fetched first:
 * whoever cannot wait asks again after the fetch.
 *
 * @module
 */

/** A state of a database: immutable, whatever becomes of the replica. */
export interface PageView {
  /** TXID of the state. */
  readonly txid: bigint;
  /** When the state came to be. */
  readonly time: Date;
  /** Bytes of a page. */
  readonly pageSize: number;
  /** Size of the database in pages. */
  readonly commit: number;
  /** Number of the view among those of its source, from 1. Two views of different states never share one. */
  readonly sequence: number;
}

/** How long a view is held, and what of it. */
export interface PinOptions {
  /**
   * Keep every page of the view that is read or fetched meanwhile in memory, for a reader that starts anew after each
   * fetch. @default false
   */
  readonly keepPages?: boolean | undefined;
}

/** Pages of the states of one replica. `V` is what the source calls a view. */
export interface PageSource<V extends PageView = PageView> {
  /** What to call the replica in errors. */
  readonly name: string;
  /** The newest state that is known. */
  readonly latest: V;
  /**
   * The page if it is in memory; undefined where it must be fetched first. The bytes are the source's own: copy them before
   * the next call, and do not change them. Page numbers are 1 to `view.commit`; the lock page is all zeros.
   */
  peek(view: V, pgno: number): Uint8Array | undefined;
  /**
   * Brings pages into memory, and with them what is likely to be wanted next. After it resolves `peek` has each of `pgnos`
   * at least until the next fetch.
   *
   * Throws `DamagedFileError` for bytes that are not what the index says, and the errors of the store.
   */
  fetch(
    view: V,
    pgnos: readonly number[],
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<void>;
  /**
   * As `fetch`, while the thread blocks. Left out where the source was given no way to read without waiting. Where
   * `peek` does not have a page afterwards, only `fetch` can bring it.
   */
  fetchSync?(view: V, pgnos: readonly number[]): void;
  /** Whether `fetchSync` takes microseconds, as reading local files does, and not the time of a request. @default false */
  readonly isLocal?: boolean | undefined;
  /** Keeps what a view needs until the returned function is called: a source drops views that nobody holds. */
  pin(view: V, options?: PinOptions): () => void;
}

/** Ranged reads that block the thread: made of a helper worker, or of synchronous XMLHttpRequests. */
export interface BlockingReads {
  /**
   * Reads exactly `length` bytes of the object `key` from `offset`. The bytes are the caller's; where it gave `into`, of that
   * length, they may be put there.
   *
   * Throws `NotFoundError` for a missing key, `PreconditionFailedError` where the object is not the version `etag` (empty: any),
   * and the errors of the store.
   */
  read(
    key: string,
    range: { readonly offset: number; readonly length: number; readonly etag: string },
    into?: Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer>;
}
