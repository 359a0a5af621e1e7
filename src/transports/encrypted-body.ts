/**
 * Bodies of encrypted objects: chunk by chunk in either direction.
 *
 * @module
 */
import type { BodyContext } from "./body.ts";
import {
  CHUNK_SIZE,
  chunkCount,
  chunkNonce,
  SEALED_CHUNK_SIZE,
  TAG_SIZE,
} from "./encrypted-format.ts";
import { DecryptError, StoreError } from "./errors.ts";
import { bodyParts } from "./parts.ts";

/** The object as it is stored: header, then sealed chunks. One chunk is held back until it is known whether it is the last. */
export async function* sealBody(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  seal: { readonly header: Uint8Array<ArrayBuffer>; readonly objectKey: CryptoKey },
  context: BodyContext,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  yield seal.header;
  for await (const { index, bytes, last } of bodyParts(body, CHUNK_SIZE, context)) {
    const algorithm = { name: "AES-GCM", iv: chunkNonce(index, last) };
    yield new Uint8Array(await crypto.subtle.encrypt(algorithm, seal.objectKey, bytes));
  }
}

/** Reads a body by so many bytes at a time. */
export class BodyTaker {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  /** Locks the body. */
  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader();
  }

  /** The next `length` bytes in an array of their own; fewer only at the end. */
  async take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    let size = 0;
    for (;;) {
      const piece = this.#rest.subarray(0, length - size);
      bytes.set(piece, size);
      size += piece.length;
      this.#rest = this.#rest.subarray(piece.length);
      if (size === length) return bytes;
      const { done, value } = await this.#reader.read();
      if (done) return bytes.subarray(0, size);
      this.#rest = value;
    }
  }

  /** Gives up what was not read. */
  async cancel(reason?: unknown): Promise<void> {
    await this.#reader.cancel(reason);
  }
}

/** Which plain bytes of an object are wanted, and how they are opened. */
export interface OpenRange {
  /** Key of the object, for messages. */
  readonly key: string;
  readonly objectKey: CryptoKey;
  /** Plain size of the whole object. */
  readonly size: number;
  /** Offset of the first byte wanted; the body begins with the chunk that holds it. */
  readonly start: number;
  /** Offset behind the last. */
  readonly end: number;
}

/** The plain bytes of a range. Each chunk is handed out only once its tag was found right. */
export function openBody(taker: BodyTaker, range: OpenRange): ReadableStream<Uint8Array> {
  const { start, end } = range;
  let index = Math.floor(start / CHUNK_SIZE);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const plain = await openChunk(taker, range, index);
        const offset = index++ * CHUNK_SIZE;
        const wanted = plain.subarray(Math.max(0, start - offset), end - offset);
        if (wanted.length > 0) controller.enqueue(wanted);
        if (index * CHUNK_SIZE < end) return;
        await taker.cancel();
        controller.close();
      },
      cancel: (reason) => taker.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

async function openChunk(
  taker: BodyTaker,
  { key, objectKey, size }: OpenRange,
  index: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const isLast = index === chunkCount(size) - 1;
  const length = isLast ? size - index * CHUNK_SIZE + TAG_SIZE : SEALED_CHUNK_SIZE;
  const sealed = await taker.take(length);
  if (sealed.length < length) {
    const what = `the transfer broke off in its chunk ${index}`;
    throw new StoreError({ operation: "read", object: key, what }, { retryable: true });
  }
  try {
    const algorithm = { name: "AES-GCM", iv: chunkNonce(index, isLast) };
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, objectKey, sealed));
  } catch {
    await taker.cancel();
    throw new DecryptError(
      {
        operation: "decrypt",
        object: key,
        what: `chunk ${index} of ${chunkCount(size)} is not what was written: changed, moved, cut or added`,
        next: "Look for another copy of it, or restore an earlier state",
      },
      { reason: "damaged" },
    );
  }
}
