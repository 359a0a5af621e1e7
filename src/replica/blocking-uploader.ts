/**
 * Uploads while the thread that asks for them is blocked: a helper worker does them, a word in shared memory tells.
 *
 * The control block is shared memory of {@linkcode CONTROL_BYTES}: a status word, the length of a text, and the text, in
 * ASCII, that says why an upload failed. The status leaves {@linkcode PENDING} once: by the worker, or by the asking
 * thread when its deadline has passed.
 *
 * @module
 */
import { asciiText } from "../core/ascii.ts";
import type { WriterStanding } from "./fence.ts";
import type { LtxObject } from "./upload-staged.ts";

/** Nothing is known yet. */
export const PENDING = 0;
/** The store has confirmed every file. */
export const CONFIRMED = 1;
/** The worker has given up; the text says why. */
export const FAILED = 2;
/** The asking thread has given up. */
export const ABANDONED = 3;

/** Size of a control block. */
export const CONTROL_BYTES = 1024;
/** Where its text begins. */
export const CONTROL_TEXT = 8;

/** A file on its way to the worker. */
export interface SharedFile {
  readonly level: number;
  readonly minTxid: bigint;
  readonly maxTxid: bigint;
  readonly timestamp: bigint;
  /** The whole file. */
  readonly bytes: SharedArrayBuffer;
}

/** What the asking thread posts. */
export interface UploadRequest {
  readonly kind: "pagestream-upload";
  readonly control: SharedArrayBuffer;
  /** What the asking thread knows of the replica. */
  readonly standing: WriterStanding;
  /** To be uploaded in this order. */
  readonly files: readonly SharedFile[];
  /** After this many milliseconds nobody waits any more. */
  readonly deadlineMs: number;
}

/** Where messages for the worker go: a `Worker` of any runtime. */
export interface UploadPort {
  /** Hands a message over; shared memory in it stays shared. */
  postMessage(message: unknown): void;
}

/** Uploads through a helper worker; made by {@linkcode blockingUploader}. */
export interface BlockingUploader {
  /** Whether this thread may block. */
  canBlock(): boolean;
  /**
   * Blocks until the store has confirmed the files, in order; returns why not where that failed, or took longer than the
   * deadline. Then any of them may be in the store all the same.
   */
  upload(
    files: readonly LtxObject[],
    deadlineMs: number,
    standing: WriterStanding,
  ): string | undefined;
}

/**
 * Makes an uploader for durability `hold-block` out of a worker that runs `serveUploads` of `pagestream/hold-worker`.
 *
 * @example
 * ```ts ignore
 * const worker = new Worker(new URL("./hold-worker.ts", import.meta.url));
 * const replication = await replicate(source, store, {
 *   durability: "hold-block",
 *   blockingUploader: blockingUploader(worker),
 * });
 * ```
 */
export function blockingUploader(port: UploadPort): BlockingUploader {
  return {
    canBlock() {
      try {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, PENDING, 0);
        return true;
      } catch {
        // No shared memory, or a thread that must not block.
        return false;
      }
    },
    upload(files, deadlineMs, standing) {
      const control = new SharedArrayBuffer(CONTROL_BYTES);
      const request: UploadRequest = {
        kind: "pagestream-upload",
        control,
        standing,
        files: files.map(shared),
        deadlineMs,
      };
      port.postMessage(request);
      const words = new Int32Array(control, 0, 2);
      Atomics.wait(words, 0, PENDING, deadlineMs);
      const status = Atomics.compareExchange(words, 0, PENDING, ABANDONED);
      if (status === CONFIRMED) return undefined;
      if (status === PENDING) return `the store has not confirmed it within ${deadlineMs} ms`;
      return asciiText(new Uint8Array(control, CONTROL_TEXT, words[1]));
    },
  };
}

function shared(object: LtxObject): SharedFile {
  const bytes = new SharedArrayBuffer(object.size);
  new Uint8Array(bytes).set(object.read(0, object.size));
  return { ...object.where, bytes };
}
