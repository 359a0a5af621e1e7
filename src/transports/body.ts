/**
 * What every store does with bodies: walk them with an eye on the signal, collect them, cut ranges.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import {
  abortedError,
  type AbortedError,
  InvalidArgumentError,
  throwIfAborted,
} from "../core/errors.ts";
import type { GetOptions, PutOptions } from "./object-store.ts";

/** Who walks a body, for messages, and what may stop the walk. */
export interface BodyContext {
  /** Verb phrase that completes "Cannot …" in an error. */
  readonly operation: string;
  /** The key, as errors name it. */
  readonly object: string;
  /** Ends the walk with `AbortedError`, also while the source is silent. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The non-empty chunks of a body. An aborted signal ends the wait for the next chunk at once with `AbortedError`, also
 * when the source never answers; the source's iterator is told to return.
 */
export async function* bodyChunks(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  context: BodyContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { operation, object, signal } = context;
  throwIfAborted(signal, operation, object);
  if (body instanceof Uint8Array) {
    if (body.length > 0) yield body;
    return;
  }
  const iterator = body[Symbol.asyncIterator]();
  const abort = abortRace(context);
  let ended = false;
  try {
    for (;;) {
      const next = await abort.race(iterator.next());
      if (next.done === true) {
        ended = true;
        return;
      }
      checkChunk(next.value, context);
      if (next.value.length > 0) yield next.value;
      throwIfAborted(signal, operation, object);
    }
  } finally {
    abort.end();
    // Not awaited: a generator that is stuck in an `await` answers `return` only after it.
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

function checkChunk(chunk: unknown, { operation, object }: BodyContext): void {
  if (chunk instanceof Uint8Array) return;
  throw new InvalidArgumentError({
    operation,
    object,
    what: `the body yielded a ${typeof chunk}`,
    next: "Yield Uint8Array chunks",
  });
}

/**
 * Lets each of many steps end early when the signal is aborted, until the call that stops listening. Not with
 * `Promise.race`: what lost to a promise that is never settled stays in memory as long as that promise.
 */
function abortRace({ operation, object, signal }: BodyContext): {
  race<T>(step: Promise<T>): Promise<T>;
  end(): void;
} {
  let refuse = (_error: AbortedError): void => undefined;
  const onAbort = (): void => {
    refuse(abortedError({ operation, object, signal }));
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  return {
    race: (step) =>
      new Promise((resolve, reject) => {
        refuse = reject;
        step.then(resolve, reject);
        if (signal?.aborted) onAbort();
      }),
    end: () => signal?.removeEventListener("abort", onAbort),
  };
}

/** The whole body in one array of its own: the caller may keep it whatever happens to the source's arrays. */
export async function collectBody(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  context: BodyContext,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bodyChunks(body, context)) {
    // The source may reuse its array for the next chunk.
    chunks.push(chunk.slice());
  }
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined) return first as Uint8Array<ArrayBuffer>;
  return concatBytes(chunks);
}

/** A half-open range of bytes. */
export interface ByteRange {
  /** Offset of the first byte. */
  readonly start: number;
  /** Offset behind the last byte; equal to `start` where the range is empty. */
  readonly end: number;
}

/** The part of an object of `size` bytes that `options` ask for; empty past the end. */
export function byteRange(size: number, options: GetOptions | undefined, key: string): ByteRange {
  const { offset = 0, length = Number.MAX_SAFE_INTEGER } = options ?? {};
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new InvalidArgumentError({
      operation: "read",
      object: key,
      what: `the range ${offset}+${length} is not made of whole, non-negative numbers`,
    });
  }
  const start = Math.min(offset, size);
  return { start, end: start + Math.min(length, size - start) };
}

/** Refuses contradicting conditions. */
export function checkPutOptions(key: string, options: PutOptions | undefined): void {
  if (options?.ifNoneMatch !== undefined && options.ifMatch !== undefined) {
    throw new InvalidArgumentError({
      operation: "write",
      object: key,
      what: "ifNoneMatch and ifMatch exclude each other",
      next: "Give one of them",
    });
  }
}
