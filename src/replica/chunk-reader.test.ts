import { describe, expect, test } from "vitest";
import { type Buffers, type ChunkReader, chunkReader } from "./chunk-reader.ts";

/** A stream of bytes that fills what it is given in pieces of at most `piece` bytes. */
function byteStream(content: Uint8Array, piece: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    type: "bytes",
    pull(controller) {
      const request = controller.byobRequest!;
      const view = request.view as Uint8Array;
      const part = content.subarray(at, at + Math.min(piece, view.length));
      view.set(part);
      at += part.length;
      if (part.length === 0) controller.close();
      request.respond(part.length);
    },
  });
}

/** Buffers of 8 bytes; counts them. */
function countedBuffers(): Buffers & { taken: number } {
  return {
    taken: 0,
    take(left) {
      if (left < 8) return undefined;
      this.taken++;
      return new Uint8Array(8);
    },
  };
}

async function readAll(reader: ChunkReader, length: number): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for (let left = length; ;) {
    const chunk = await reader.read(left);
    if (chunk === undefined) return chunks;
    left = Math.max(0, left - chunk.length);
    chunks.push(chunk.slice());
  }
}

const CONTENT = Uint8Array.from({ length: 20 }, (_, i) => i + 1);

describe("chunkReader()", () => {
  test.each([1, 3, 8, 100])(
    "chunkReader() fills whole buffers from pieces of %i bytes",
    async (piece) => {
      const buffers = countedBuffers();
      const reader = chunkReader(byteStream(CONTENT, piece), buffers);
      expect(reader.fillsBuffers).toBe(true);
      const chunks = await readAll(reader, 20);
      expect(chunks).toEqual([CONTENT.slice(0, 8), CONTENT.slice(8, 16), CONTENT.slice(16)]);
      expect(buffers.taken).toBe(2);
    },
  );

  test("chunkReader() hands out what a body has that is shorter than expected", async () => {
    const reader = chunkReader(byteStream(CONTENT, 3), countedBuffers());
    expect(await readAll(reader, 100)).toEqual([
      CONTENT.slice(0, 8),
      CONTENT.slice(8, 16),
      CONTENT.slice(16),
    ]);
  });

  test("chunkReader() shows that a body is longer than expected", async () => {
    const reader = chunkReader(byteStream(CONTENT, 3), countedBuffers());
    expect((await reader.read(19))!.length + (await reader.read(11))!.length).toBe(16);
    expect(await reader.read(3)).toEqual(Uint8Array.of(17, 18, 19));
    expect(await reader.read(0)).toEqual(Uint8Array.of(20));
    expect(await reader.read(0)).toBeUndefined();
  });

  test("chunkReader() takes other bodies as they come", async () => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(CONTENT.slice(0, 5));
        controller.enqueue(CONTENT.slice(5));
        controller.close();
      },
    });
    const buffers = countedBuffers();
    const reader = chunkReader(body, buffers);
    expect(reader.fillsBuffers).toBe(false);
    expect(await readAll(reader, 20)).toEqual([CONTENT.slice(0, 5), CONTENT.slice(5)]);
    expect(buffers.taken).toBe(0);
  });

  test("chunkReader() ends when it is cancelled, and passes on what a body fails with", async () => {
    const reader = chunkReader(byteStream(CONTENT, 3), countedBuffers());
    await reader.cancel();
    expect(await reader.read(20)).toBeUndefined();
    const failure = new Error("disk");
    const failing = new ReadableStream({ type: "bytes", pull: () => Promise.reject(failure) });
    await expect(chunkReader(failing, countedBuffers()).read(20)).rejects.toBe(failure);
  });
});
