/**
 * What the parts of a reader ask of it that its users do not.
 *
 * @module
 */
import type { ReadAhead } from "./reader-ahead.ts";
import type { PageCache } from "./reader-cache.ts";
import type { View } from "./view.ts";

/** Pages of states of the replica that are here, outside of the reader's memory. */
export interface LocalPages {
  /**
   * A page, given the last TXID of the file it lies in and that of the state; undefined where it is not here. The bytes are
   * good until the next call.
   */
  read(pgno: number, from: number, to: number): Uint8Array | undefined;
}

/** What a reader that has ended leaves to the next one of the same replica: plain memory, nothing that is under way. */
export interface ReaderMemory {
  /** Its pages. */
  readonly cache: PageCache;
  /** What it learned of the order of scans from them. */
  readonly ahead: ReadAhead;
  /** The newest state that it knew of, with the places of the pages in its files and in the cache. */
  readonly latest: View;
}

/** The inner side of a reader. */
export interface ReaderInside {
  /** Resolves when the pages that were asked for at the opening, before anybody wanted them, are there or cannot be had. */
  readonly readingAhead: Promise<void>;
  /** Whether there is a copy to look into. */
  readonly hasCopy: boolean;
  /** Looks into a copy before the store is asked, or no more into any. */
  useCopy(copy: LocalPages | undefined): void;
  /** Resolves when no state from one TXID on and before another is pinned; rejects when `signal` is aborted. */
  whenReleased(from: bigint, before: bigint, signal: AbortSignal): Promise<void>;
  /** Closes the reader and leaves its memory to one other. Nobody may read any more. */
  leave(): Promise<ReaderMemory>;
}
