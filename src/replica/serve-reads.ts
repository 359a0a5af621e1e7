/**
 * The worker's side of blocking reads: reads what a blocked thread asks for.
 *
 * @module
 */
import { asciiBytes } from "../core/ascii.ts";
import type { Platform } from "../core/platform.ts";
import { throwIfAborted, TimeoutError } from "../core/errors.ts";
import { StoreError } from "../transports/errors.ts";
import { DONE, FAILED, receiveRequests, type RequestPort, setStatus } from "./blocked-thread.ts";
import { CONTROL_TEXT, LENGTH_WORD, NUMBER_WORD, type ReadRequest } from "./blocking-reads.ts";
import { carryError } from "./carried-error.ts";
import type { Replica } from "./replica.ts";

/** The worker gives up first, so that the asking thread learns why. */
const PART_OF_DEADLINE = 0.9;

/** Reads every range asked for through `port`, with the replica's retries, and tells in shared memory. */
export function serveReadRequests(port: RequestPort, replica: Replica, platform: Platform): void {
  receiveRequests<ReadRequest>(port, "pagestream-read", (request) => {
    void serve(request, replica, platform);
  });
}

async function serve(request: ReadRequest, replica: Replica, platform: Platform): Promise<void> {
  const { control, number, key, deadlineMs } = request;
  const words = new Int32Array(control, 0, CONTROL_TEXT / 4);
  // Given up, or taken already: a worker may hear the same message by two ways.
  if (Atomics.compareExchange(words, NUMBER_WORD, number, 0) !== number) return;
  const aborter = platform.newAborter();
  const { signal } = aborter;
  let reason: unknown;
  let answered = false;
  const answer = (error?: unknown): void => {
    if (answered) return;
    answered = true;
    if (error !== undefined) {
      const text = asciiBytes(carryError(error, key));
      new Uint8Array(control, CONTROL_TEXT).set(text);
      words[LENGTH_WORD] = text.length;
    }
    setStatus(words, error === undefined ? DONE : FAILED);
  };
  const budgetMs = Math.ceil(deadlineMs * PART_OF_DEADLINE);
  const cancel = platform.clock.schedule(() => {
    aborter.abort("deadline");
    // Not every store ends when it is told.
    answer(reason ?? silent(key, budgetMs));
  }, budgetMs);
  const attempt = async (): Promise<void> => {
    try {
      await readOnce(request, replica, signal);
    } catch (error) {
      reason = error;
      throw error;
    }
  };
  try {
    await replica.retry({ operation: "read", object: key, signal }, attempt);
    answer();
  } catch (error) {
    answer(error);
  } finally {
    cancel();
  }
}

/** Fills the shared buffer from the start. */
async function readOnce(
  request: ReadRequest,
  replica: Replica,
  signal: AbortSignal,
): Promise<void> {
  const { key, offset, length, etag } = request;
  const data = new Uint8Array(request.data, 0, length);
  const ifMatch = etag === "" ? undefined : etag;
  const { body, size } = await replica.store.get(key, { offset, length, ifMatch, signal });
  const reader = body.getReader();
  let done = 0;
  try {
    if (size < offset + length) {
      throw failed(key, `it has ${size} bytes, and those up to ${offset + length} were wanted`);
    }
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      // Once it has been told of the failure, the asking thread uses the buffer for something else.
      throwIfAborted(signal, "read", key);
      if (next.value.length > length - done) {
        throw failed(key, `the store sent more than the ${length} bytes asked for`);
      }
      data.set(next.value, done);
      done += next.value.length;
    }
  } catch (error) {
    await reader.cancel().catch(() => undefined);
    throw error;
  }
  if (done < length) throw failed(key, `the transfer broke off after ${done} bytes`, true);
}

function failed(object: string, what: string, retryable = false): StoreError {
  return new StoreError({ operation: "read", object, what }, { retryable });
}

function silent(object: string, budgetMs: number): TimeoutError {
  const what = `the store has not answered within ${budgetMs} ms`;
  return new TimeoutError({ operation: "read", object, what });
}
