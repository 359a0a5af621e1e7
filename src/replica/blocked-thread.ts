/**
 * A thread that blocks until a helper worker has answered: what uploads and reads of this kind share.
 *
 * The first word of a control block in shared memory is the status. It leaves {@linkcode PENDING} once: by the worker, or
 * by the asking thread when its deadline has passed.
 *
 * @module
 */

/** Nothing is known yet. */
export const PENDING = 0;
/** The worker has done what was asked. */
export const DONE = 1;
/** The worker has given up, and the control block says why. */
export const FAILED = 2;
/** The asking thread has given up. */
export const ABANDONED = 3;

/** Where messages for the worker go: a `Worker` of any runtime. */
export interface WorkerPort {
  /** Hands a message over; shared memory in it stays shared. */
  postMessage(message: unknown): void;
}

/** Where requests come from: `self` of a web worker, or `parentPort` of `node:worker_threads`. */
export type RequestPort =
  | {
      /** Called with each message; set by whoever serves. */
      onmessage: unknown;
    }
  | {
      /** Calls `listener` with each message. */
      on(event: "message", listener: (data: unknown) => void): unknown;
    };

/** Whether this thread has shared memory, and may block on it. */
export function canBlock(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, PENDING, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * Blocks until the status leaves {@linkcode PENDING}, and returns what it is then; {@linkcode PENDING} itself says that the
 * deadline has passed, and that the worker has been told so.
 */
export function awaitStatus(words: Int32Array, deadlineMs: number): number {
  Atomics.wait(words, 0, PENDING, deadlineMs);
  return Atomics.compareExchange(words, 0, PENDING, ABANDONED);
}

/** Tells the asking thread, unless it has given up. */
export function setStatus(words: Int32Array, status: number): void {
  Atomics.compareExchange(words, 0, PENDING, status);
  Atomics.notify(words, 0);
}

/** Calls `serve` with each request of a kind. Other messages are the worker's own affair. */
export function receiveRequests<T extends { readonly kind: string }>(
  port: RequestPort,
  kind: T["kind"],
  serve: (request: T) => void,
): void {
  const receive = (data: unknown): void => {
    if ((data as { readonly kind?: unknown } | null | undefined)?.kind === kind) serve(data as T);
  };
  if ("on" in port) port.on("message", receive);
  else port.onmessage = (event: { readonly data: unknown }) => receive(event.data);
}
