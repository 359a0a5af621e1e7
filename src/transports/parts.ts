/**
 * Bodies in pieces: for stores that take a large object in parts, several at a time.
 *
 * @module
 */
import { type BodyContext, bodyChunks } from "./body.ts";

/** A piece of a body. */
export interface BodyPart {
  /** From 0. */
  readonly index: number;
  /** `partSize` bytes; fewer in the last part alone. Belongs to the receiver while its work lasts. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether no more follow: known with the part, so that a small body needs no second step. */
  readonly last: boolean;
}

/**
 * Cuts a body into parts of exactly `partSize` bytes and a rest; an empty body is one empty part. One part is held back
 * until it is known whether it is the last. Bytes given as one array are not copied, others once.
 */
export async function* bodyParts(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  partSize: number,
  context: BodyContext,
): AsyncGenerator<BodyPart, void, undefined> {
  const isWhole = body instanceof Uint8Array;
  let index = 0;
  let part = new Uint8Array();
  let size = 0;
  for await (const chunk of bodyChunks(body, context)) {
    for (let rest = chunk; rest.length > 0;) {
      if (size === partSize) {
        yield { index: index++, bytes: part, last: false };
        size = 0;
      }
      const piece = rest.subarray(0, partSize - size);
      if (isWhole) {
        part = piece as Uint8Array<ArrayBuffer>;
      } else {
        if (size === 0) part = new Uint8Array(partSize);
        part.set(piece, size);
      }
      size += piece.length;
      rest = rest.subarray(piece.length);
    }
  }
  yield { index, bytes: part.subarray(0, size), last: true };
}

/** A source whose first item was looked at, whole again. */
export async function* withFirst<T>(
  first: T,
  rest: AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  try {
    yield first;
    yield* rest;
  } finally {
    // Also where nothing but the first was taken.
    await rest.return();
  }
}

/**
 * Works on the items of a source, at most `concurrency` at a time, and returns the results in the order of the items. The
 * first failure ends it: nothing new is begun, `signal` is aborted, and what is under way is waited for.
 */
export async function inParallel<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  concurrency: number,
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const running = new Set<Promise<void>>();
  const aborter = new AbortController();
  let failure: { readonly error: unknown } | undefined;
  let count = 0;
  try {
    for await (const item of source) {
      const index = count++;
      const task = work(item, aborter.signal).then(
        (result) => {
          results[index] = result;
          running.delete(task);
        },
        (error: unknown) => {
          failure ??= { error };
          running.delete(task);
          aborter.abort();
        },
      );
      running.add(task);
      if (running.size >= concurrency) await Promise.race(running);
      if (failure !== undefined) break;
    }
  } catch (error) {
    failure ??= { error };
    aborter.abort();
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure.error;
  return results;
}
