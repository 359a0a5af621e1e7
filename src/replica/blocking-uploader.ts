/**
 * Uploads while the thread that asks for them is blocked: a helper worker does them, a word in shared memory tells.
 *
 * The control block is shared memory of {@linkcode CONTROL_BYTES}: a status word, the length of a text, and the text, in
 * ASCII, that says why an upload failed.
 *
 * @module
 */
import { asciiText } from "../core/ascii.ts";
import { awaitStatus, canBlock, DONE, PENDING, type WorkerPort } from "./blocked-thread.ts";
import type { WriterStanding } from "./fence.ts";
import type { LtxObject } from "./upload-staged.ts";

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
export function blockingUploader(port: WorkerPort): BlockingUploader {
  return {
    canBlock,
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
      const status = awaitStatus(words, deadlineMs);
      if (status === DONE) return undefined;
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
