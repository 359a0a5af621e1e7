/**
 * Bodies of unknown length as one piece of known length: for servers that must be told the length first.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { type BodyContext, bodyChunks } from "./body.ts";
import { StoreError } from "./errors.ts";

/** A body that lies somewhere else than in memory. */
export interface SpooledBody {
  /** All of it; readable until `release`. */
  readonly blob: Blob;
  /** Frees the place. */
  release(): Promise<void>;
}

/** Keeps the chunks of a body, to its end, outside of memory. It leaves nothing behind where it fails. */
export type Spool = (chunks: AsyncIterable<Uint8Array>) => Promise<SpooledBody>;

/** Where a body may be gathered. */
export interface WholeBodyOptions extends BodyContext {
  /** Most bytes kept in memory. */
  readonly maxBufferedBytes: number;
  /** Takes what is longer. */
  readonly spool?: Spool | undefined;
  /** The caller's own bound on the length. */
  readonly sizeBound?: number | undefined;
}

/** A body whose length is known. */
export interface WholeBody {
  /** To be sent. */
  readonly body: Uint8Array<ArrayBuffer> | Blob;
  /** Frees what was taken for it. */
  release(): Promise<void>;
}

const NOTHING_TO_RELEASE = async (): Promise<void> => undefined;

/**
 * Gathers a body. One given as an array is taken as it is; a stream goes to memory, or, past the bound, to the spool;
 * without one, and past `sizeBound`, it is refused with `StoreError`.
 */
export async function wholeBody(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  options: WholeBodyOptions,
): Promise<WholeBody> {
  const { maxBufferedBytes, spool, sizeBound = Number.MAX_SAFE_INTEGER } = options;
  if (body instanceof Uint8Array) {
    // Sent before the promise settles, until when the bytes are the store's to read.
    return { body: body as Uint8Array<ArrayBuffer>, release: NOTHING_TO_RELEASE };
  }
  const chunks = bodyChunks(body, options);
  const buffered: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of { [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) }) {
    size += chunk.length;
    buffered.push(chunk.slice());
    if (size > Math.min(maxBufferedBytes, sizeBound)) break;
  }
  if (size <= Math.min(maxBufferedBytes, sizeBound)) {
    return { body: concatBytes(buffered), release: NOTHING_TO_RELEASE };
  }
  if (size > sizeBound || spool === undefined) {
    await chunks.return();
    throw size > sizeBound ? pastSizeBound(options) : pastBuffer(options);
  }
  return await spooled(spool, { buffered, chunks, options });
}

interface Rest {
  readonly buffered: readonly Uint8Array[];
  readonly chunks: AsyncGenerator<Uint8Array, void, undefined>;
  readonly options: WholeBodyOptions;
}

async function spooled(spool: Spool, { buffered, chunks, options }: Rest): Promise<WholeBody> {
  const { sizeBound = Number.MAX_SAFE_INTEGER } = options;
  async function* all(): AsyncGenerator<Uint8Array, void, undefined> {
    let size = 0;
    for (const chunk of buffered) {
      size += chunk.length;
      yield chunk;
    }
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > sizeBound) throw pastSizeBound(options);
      yield chunk;
    }
  }
  const { blob, release } = await spool(all());
  return { body: blob, release };
}

function pastSizeBound({ operation, object, sizeBound }: WholeBodyOptions): StoreError {
  const what = `the body is longer than the ${sizeBound} bytes that were announced`;
  return new StoreError({ operation, object, what });
}

function pastBuffer({ operation, object, maxBufferedBytes }: WholeBodyOptions): StoreError {
  return new StoreError({
    operation,
    object,
    what: `the server must be told the length first, and the body is longer than the ${maxBufferedBytes} bytes that are kept in memory`,
    next: "Raise maxBufferedBytes, or give the store a spool",
  });
}
