/**
 * Ranged reads while the thread that asks for them is blocked: a helper worker does them, and shared memory tells.
 *
 * A request names a control block of {@linkcode CONTROL_BYTES}: the status, the number of the request until a worker takes it,
 * the length of a text, and the text, which says in ASCII why a read failed. It also names the buffer for the bytes, which belongs to the worker until the status
 * changes. The asking thread makes a larger one where a range needs it.
 *
 * @module
 */
import { asciiText } from "../core/ascii.ts";
import {
  ClosedError,
  InvalidArgumentError,
  TimeoutError,
  UnsupportedError,
} from "../core/errors.ts";
import type { BlockingReads } from "../core/page-source.ts";
import { awaitStatus, canBlock, DONE, FAILED, type WorkerPort } from "./blocked-thread.ts";
import { carriedError } from "./carried-error.ts";

/** Size of a control block. */
export const CONTROL_BYTES = 16_384;
/** Where its text begins. */
export const CONTROL_TEXT = 12;
/** Word with the number of the request. */
export const NUMBER_WORD = 1;
/** Word with the length of the text. */
export const LENGTH_WORD = 2;

/** What the asking thread posts. */
export interface ReadRequest {
  readonly kind: "pagestream-read";
  /** Not 0. A worker that does not find it in the control block any more leaves the request alone. */
  readonly number: number;
  readonly control: SharedArrayBuffer;
  /** Where the bytes go, from its start; at least `length` bytes. */
  readonly data: SharedArrayBuffer;
  readonly key: string;
  readonly offset: number;
  readonly length: number;
  /** Version that is wanted; empty for any. */
  readonly etag: string;
  /** After this many milliseconds nobody waits any more: the worker answers somewhat earlier. */
  readonly deadlineMs: number;
}

/** Options of {@linkcode blockingReads}. */
export interface BlockingReadsOptions {
  /**
   * Longest wait for the worker in milliseconds, retries included; then the read throws `TimeoutError`, whatever became of
   * the worker. A store that fails again and again ends the wait a tenth earlier, with its own error. @default 30000
   */
  readonly deadlineMs?: number | undefined;
  /** Most memory shared with the worker, in bytes; longer ranges are read in pieces of this size. @default 4 MiB */
  readonly bufferBytes?: number | undefined;
}

/** What a range of a few pages needs. */
const FIRST_BUFFER_BYTES = 64 * 1024;

/** The longest wait that timers know. */
const MAX_DEADLINE_MS = 2 ** 31 - 1;

/**
 * Makes reads that block the thread out of a worker that runs `serveReads` of `pagestream/read-worker` on the replica's
 * store. The worker must be up before the first read: one that starts while this thread is blocked may never do so.
 *
 * Errors are those of the store, made anew in this thread. `TimeoutError` where the worker has not answered in time: one that
 * has ended looks the same, unless the runtime tells, which is `ClosedError`. `UnsupportedError` at once where this thread
 * must not block, as the main thread of a browser must not, or has no shared memory, as in pages that are not cross-origin
 * isolated.
 *
 * @example
 * ```ts ignore
 * const worker = new Worker(new URL("./read-worker.ts", import.meta.url));
 * await new Promise((resolve) => worker.once("message", resolve)); // it says that it is up
 * const reads = blockingReads(worker);
 * const header = reads.read("ltx/9/0000000000000001-0000000000000001.ltx", {
 *   offset: 0,
 *   length: 100,
 *   etag: "",
 * });
 * ```
 */
export function blockingReads(
  worker: WorkerPort,
  options: BlockingReadsOptions = {},
): BlockingReads {
  const { deadlineMs = 30_000, bufferBytes = 4 * 2 ** 20 } = options;
  checkWhole("deadlineMs", deadlineMs, MAX_DEADLINE_MS);
  checkWhole("bufferBytes", bufferBytes, 2 ** 30);
  if (!canBlock()) throw mustNotBlock();
  let data: SharedArrayBuffer | undefined;
  let control = new SharedArrayBuffer(CONTROL_BYTES);
  let number = 0;

  /** Reads a piece into `data`. */
  const readPiece = (piece: Pick<ReadRequest, "key" | "offset" | "length" | "etag">): void => {
    if (data === undefined || data.byteLength < piece.length) {
      const size = Math.max(FIRST_BUFFER_BYTES, 2 ** Math.ceil(Math.log2(piece.length)));
      data = new SharedArrayBuffer(Math.min(size, bufferBytes));
    }
    const words = new Int32Array(control, 0, CONTROL_TEXT / 4);
    words.fill(0);
    number = (number + 1) | 0 || 1;
    Atomics.store(words, NUMBER_WORD, number);
    const request: ReadRequest = {
      kind: "pagestream-read",
      number,
      control,
      data,
      ...piece,
      deadlineMs,
    };
    try {
      worker.postMessage(request);
    } catch (cause) {
      throw hasEnded(piece.key, cause);
    }
    const status = awaitStatus(words, deadlineMs);
    if (status === DONE) return;
    if (status === FAILED) {
      throw carriedError(asciiText(new Uint8Array(control, CONTROL_TEXT, words[LENGTH_WORD])));
    }
    // The worker may still write into them.
    data = undefined;
    control = new SharedArrayBuffer(CONTROL_BYTES);
    throw noAnswer(piece.key, deadlineMs);
  };

  return {
    read(key, { offset, length, etag }) {
      checkWhole("offset", offset, Number.MAX_SAFE_INTEGER, 0);
      checkWhole("length", length, Number.MAX_SAFE_INTEGER - offset, 0);
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length;) {
        const size = Math.min(length - at, bufferBytes);
        readPiece({ key, offset: offset + at, length: size, etag });
        bytes.set(new Uint8Array(data as SharedArrayBuffer, 0, size), at);
        at += size;
      }
      return bytes;
    },
  };
}

function checkWhole(name: string, value: number, most: number, least = 1): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new InvalidArgumentError({
    operation: "use",
    object: `${name} of blocking reads`,
    what: `${value} is no whole number from ${least} to ${most}`,
  });
}

function mustNotBlock(): UnsupportedError {
  return new UnsupportedError({
    operation: "block on",
    object: "a helper worker",
    what: "this thread has no shared memory, or must not wait",
    next: "Use a worker, in a browser that of a cross-origin isolated page, or the driver that retries",
  });
}

/** Some runtimes say so. */
function hasEnded(object: string, cause: unknown): ClosedError {
  const what = "the helper worker takes no messages any more";
  const next = "Start another one, and read through that";
  return new ClosedError({ operation: "read", object, what, next, cause });
}

function noAnswer(key: string, deadlineMs: number): TimeoutError {
  return new TimeoutError({
    operation: "read",
    object: key,
    what: `the helper worker has not answered within ${deadlineMs} ms`,
    next: "Check that it still runs, and that it had called serveReads before the first read",
  });
}
