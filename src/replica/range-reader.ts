/**
 * One range of a file, read to its last byte whatever the transport does on the way.
 *
 * @module
 */
import type { BlockingReads } from "../core/page-source.ts";
import { PagestreamError, isPagestreamError, throwIfAborted } from "../core/errors.ts";
import { StoreError } from "../transports/errors.ts";
import type { ObjectInfo, ObjectStore } from "../transports/object-store.ts";
import { type Buffers, chunkReader } from "./chunk-reader.ts";
import { DamagedFileError } from "./errors.ts";

/** A file as a listing told of it. */
type ListedFile = Pick<ObjectInfo, "key" | "size" | "etag">;

/** Where files are read from, and how often it is tried. */
interface RangeSource {
  readonly store: ObjectStore;
  retry<T>(
    what: {
      readonly operation: string;
      readonly object: string;
      readonly signal?: AbortSignal | undefined;
    },
    attempt: () => Promise<T>,
  ): Promise<T>;
}

/** Options of {@linkcode readRange}. */
export interface ReadRangeOptions {
  readonly offset: number;
  /** Must lie inside the file. */
  readonly length: number;
  /** Gets every chunk in order; it belongs to the callee from then on, with `isOurs` its memory too. */
  readonly onChunk: (chunk: Uint8Array, isOurs: boolean) => void;
  /** Memory to read into, where the store's bodies take it. */
  readonly buffers?: Buffers | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a range of a file to its last byte. A transport that fails on the way is resumed at the byte where it
 * stopped, so that no chunk is given twice. A file that is no longer the one listed is a `DamagedFileError`.
 */
export async function readRange(
  source: RangeSource,
  file: ListedFile,
  options: ReadRangeOptions,
): Promise<void> {
  const { signal, length, buffers } = options;
  const what = { operation: "read", object: file.key };
  let done = 0;
  const attempt = async (): Promise<void> => {
    if (done === length) return;
    const result = await source.store.get(file.key, {
      offset: options.offset + done,
      length: length - done,
      ifMatch: file.etag === "" ? undefined : file.etag,
      signal,
    });
    const reader = chunkReader(result.body, buffers);
    const cancel = (): void => void reader.cancel().catch(() => undefined);
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      if (result.size !== file.size) throw replaced(file, `it has ${result.size} bytes`);
      for (;;) {
        const chunk = await reader.read(length - done);
        throwIfAborted(signal, what.operation, what.object);
        if (chunk === undefined) break;
        if (chunk.length === 0) continue;
        if (chunk.length > length - done) {
          throw new StoreError({
            ...what,
            what: `the store sent more than the ${length} bytes asked for`,
          });
        }
        done += chunk.length;
        options.onChunk(chunk, reader.fillsBuffers);
      }
    } catch (error) {
      cancel();
      throw error instanceof PagestreamError || isPagestreamError(error) ? error : cut(file, done);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
    if (done < length) throw cut(file, done);
  };
  try {
    await source.retry({ ...what, signal }, attempt);
  } catch (error) {
    if (isPagestreamError(error, "PRECONDITION_FAILED"))
      throw replaced(file, "its version tag changed", error);
    throw error;
  }
}

/** Reads a range of a file while the thread blocks. A file that is no longer the one listed is a `DamagedFileError`. */
export function readNow(
  reads: BlockingReads,
  file: ListedFile,
  range: {
    readonly offset: number;
    readonly length: number;
    /** Memory that the bytes may be put into. */
    readonly into?: Uint8Array<ArrayBuffer>;
  },
): Uint8Array<ArrayBuffer> {
  const { offset, length, into } = range;
  try {
    return reads.read(file.key, { offset, length, etag: file.etag }, into);
  } catch (error) {
    if (isPagestreamError(error, "PRECONDITION_FAILED"))
      throw replaced(file, "its version tag changed", error);
    throw error;
  }
}

/** A connection that broke. Its own error is left out: it may carry a signed URL. */
function cut(file: ListedFile, done: number): StoreError {
  return new StoreError(
    { operation: "read", object: file.key, what: `the transfer broke off after ${done} bytes` },
    { retryable: true },
  );
}

function replaced(file: ListedFile, what: string, cause?: unknown): DamagedFileError {
  return new DamagedFileError(
    {
      operation: "read",
      object: file.key,
      what: `it was replaced after it was listed with ${file.size} bytes: ${what}`,
      next: "Find out what else writes to this replica, then try again",
      cause,
    },
    { file: file.key },
  );
}
