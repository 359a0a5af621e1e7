/**
 * A file in memory: chunks that grow without moving what is stored.
 *
 * @module
 */

/** Chunks are at least as large as the largest page, so that an aligned page never spans two. */
const CHUNK_SIZE = 65_536;
/** A journal of a small transaction should not cost a whole chunk. */
const FIRST_CHUNK_SIZE = 4096;

/** Bytes that can be read and written at any offset; what was never written reads as zeros. */
export class ByteStore {
  /** Holes have no chunk. Only the chunk at 0 may be shorter than the rest. */
  #chunks: (Uint8Array | undefined)[] = [];
  #size = 0;

  /** Size in bytes. */
  get size(): number {
    return this.#size;
  }

  /** Copies bytes from `offset` into `into`; returns how many, fewer than asked for at the end. */
  read(into: Uint8Array, offset: number): number {
    const amount = Math.max(0, Math.min(into.length, this.#size - offset));
    let done = 0;
    while (done < amount) {
      const position = offset + done;
      const index = Math.floor(position / CHUNK_SIZE);
      const from = position - index * CHUNK_SIZE;
      const take = Math.min(amount - done, CHUNK_SIZE - from);
      const chunk = this.#chunks[index];
      const stored = chunk === undefined ? 0 : Math.max(0, Math.min(take, chunk.length - from));
      if (stored > 0) into.set(chunk!.subarray(from, from + stored), done);
      if (stored < take) into.fill(0, done + stored, done + take);
      done += take;
    }
    return amount;
  }

  /** Stores a copy of `bytes` at `offset`, growing as needed. */
  write(bytes: Uint8Array, offset: number): void {
    let done = 0;
    while (done < bytes.length) {
      const position = offset + done;
      const index = Math.floor(position / CHUNK_SIZE);
      const from = position - index * CHUNK_SIZE;
      const take = Math.min(bytes.length - done, CHUNK_SIZE - from);
      const whole = take === bytes.length;
      this.#chunk(index, from + take).set(whole ? bytes : bytes.subarray(done, done + take), from);
      done += take;
    }
    if (offset + bytes.length > this.#size) this.#size = offset + bytes.length;
  }

  /** Sets the size; new bytes are zeros. */
  truncate(size: number): void {
    if (size < this.#size) {
      const keep = Math.ceil(size / CHUNK_SIZE);
      this.#chunks.length = Math.min(this.#chunks.length, keep);
      // Growing again must show zeros, not what was cut off.
      const last = keep - 1;
      this.#chunks[last]?.fill(0, size - last * CHUNK_SIZE);
    }
    this.#size = size;
  }

  /** All bytes, copied. */
  copy(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#size);
    this.read(bytes, 0);
    return bytes;
  }

  /** The chunk `index` with room for `needed` bytes. */
  #chunk(index: number, needed: number): Uint8Array {
    const chunk = this.#chunks[index];
    if (chunk !== undefined && chunk.length >= needed) return chunk;
    let length = CHUNK_SIZE;
    if (index === 0) {
      length = chunk?.length ?? FIRST_CHUNK_SIZE;
      while (length < needed) length *= 2;
    }
    const grown = new Uint8Array(length);
    if (chunk !== undefined) grown.set(chunk);
    while (this.#chunks.length < index) this.#chunks.push(undefined);
    this.#chunks[index] = grown;
    return grown;
  }
}
