/**
 * What a hydration can be told, and what it tells.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";
import type { HydrationTarget } from "./hydrate-target.ts";
import type { ReaderWait } from "./reader-options.ts";

/** How a copy is made. */
export interface HydrateOptions {
  /** Bring newer states in as the reader learns of them. @default true */
  readonly follow?: boolean | undefined;
  /** Requests under way at once, of two mebibytes each. @default 2 */
  readonly concurrency?: number | undefined;
  /** Called with each event that tells of progress. */
  readonly onProgress?: ((progress: HydrationProgress) => void) | undefined;
  /** Closes the hydration when it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** How far a copy has come. */
export interface HydrationProgress {
  /** Pages of the wanted state that the copy has. */
  readonly pages: number;
  /** Pages of the wanted state. */
  readonly totalPages: number;
  /** Pages that an earlier process had left, and that were found to be right. */
  readonly recalledPages: number;
  /** Requests for pages so far. */
  readonly requests: number;
  /** Bytes that were read by them. */
  readonly bytes: number;
}

/** What a hydration reports. */
export type HydrationEvent =
  | { readonly type: "progress"; readonly progress: HydrationProgress }
  /** The copy has every page of a state that was the newest one known. */
  | { readonly type: "complete"; readonly txid: bigint }
  /** Pages could not be had, or not be kept. They are read from the store; the next newer state is another attempt. */
  | { readonly type: "error"; readonly error: PagestreamError }
  | { readonly type: "closed" };

/** A local copy in the making, or one that is kept up to date. */
export interface Hydrated extends AsyncDisposable {
  /** Where the copy is. */
  readonly target: HydrationTarget;
  /** The newest state that the copy has been complete for; undefined before the first. */
  readonly txid: bigint | undefined;
  /** How far it has come. */
  readonly progress: HydrationProgress;
  /** Everything that happens from when it is read on. */
  readonly events: AsyncIterable<HydrationEvent>;
  /** Why the last pass failed; undefined when all is well. */
  readonly error: PagestreamError | undefined;
  /** Resolves when the copy has every page of the newest state known; throws what keeps it from that. */
  complete(options?: ReaderWait): Promise<bigint>;
  /**
   * Ends the work and lets go of the files. The reader goes on from the store alone; what the copy has is found again, and
   * looked at again, when the same target is hydrated the next time. Safe to call again.
   */
  close(): Promise<void>;
}
