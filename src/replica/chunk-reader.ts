/**
 * Reads a body chunk by chunk, where it can be into memory that has been used before.
 *
 * A restore of a local replica is so fast that new memory for each chunk, which the system clears page by page and the
 * collector has to find again, is a good part of its time and most of its memory.
 *
 * @module
 */

/** Large buffers to read into. */
export interface Buffers {
  /** A buffer that nobody else uses and that `left` bytes fill, if any. Its memory moves on to the chunk that is read into it. */
  take(left: number): Uint8Array<ArrayBuffer> | undefined;
}

/** Reads one body. */
export interface ChunkReader {
  /** Whether the memory of a chunk is a buffer, or was made for it. */
  readonly fillsBuffers: boolean;
  /** The next bytes, undefined after the last. `left` bytes are still expected. */
  read(left: number): Promise<Uint8Array | undefined>;
  cancel(): Promise<void>;
}

/** Reads a body into buffers if it takes them, and as it comes if not or without them. */
export function chunkReader(
  body: ReadableStream<Uint8Array>,
  buffers: Buffers | undefined,
): ChunkReader {
  const filler = buffers === undefined ? undefined : byobReader(body);
  if (buffers === undefined || filler === undefined) {
    const reader = body.getReader();
    return {
      fillsBuffers: false,
      read: async () => (await reader.read()).value,
      cancel: () => reader.cancel(),
    };
  }
  return {
    fillsBuffers: true,
    async read(left) {
      // A buffer is taken only to be filled: a short chunk must not hold more memory than is counted for it. Where
      // nothing more is expected, there is room for one byte, to see that it does not come.
      let memory = buffers.take(left) ?? new Uint8Array(Math.max(1, left));
      let filled = 0;
      while (filled < memory.length) {
        const { done, value } = await filler.read(memory.subarray(filled));
        if (value === undefined) return undefined;
        // The view given is void now; its memory is in the one that came back.
        memory = new Uint8Array(value.buffer);
        filled += value.length;
        if (done) break;
      }
      return filled === 0 ? undefined : memory.subarray(0, filled);
    },
    cancel: () => filler.cancel(),
  };
}

/** The part of a `ReadableStreamBYOBReader` used here. */
interface Filler {
  read(
    view: Uint8Array<ArrayBuffer>,
  ): Promise<{ done: boolean; value?: Uint8Array<ArrayBuffer> | undefined }>;
  cancel(): Promise<void>;
}

function byobReader(body: ReadableStream<Uint8Array>): Filler | undefined {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    // The source of this stream hands out chunks of its own.
    return undefined;
  }
}
