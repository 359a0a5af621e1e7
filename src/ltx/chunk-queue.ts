/**
 * Chunks of a stream, offered as one window of contiguous bytes.
 *
 * @module
 */

/**
 * Takes chunks as they come and lets a parser ask for so many bytes in a row. Bytes are read where they are; only what
 * straddles two chunks is copied together.
 *
 * The parser reads `bytes` from `at` on and calls `skip` for what it has used. `gather` may replace `bytes`.
 */
export class ChunkQueue {
  /** The window; valid until `gather` or `keep`. */
  bytes: Uint8Array = EMPTY;
  /** Where the unread bytes of the window begin. */
  at = 0;
  /** Bytes skipped since the stream's start. */
  offset = 0;
  /** True when no chunk will follow. */
  ended = false;
  readonly #waiting: Uint8Array[] = [];
  /** Index of the first chunk still waiting; chunks before it are in or past the window. */
  #head = 0;
  #waitingBytes = 0;
  /** Owned memory for what straddles chunks. */
  #own = EMPTY;
  #windowIsOwn = false;

  /** Unread bytes, in the window and waiting. */
  get available(): number {
    return this.bytes.length - this.at + this.#waitingBytes;
  }

  /** Adds a chunk; it is kept until `keep`. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.at === this.bytes.length && this.#waitingBytes === 0) {
      this.#show(chunk);
      return;
    }
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
  }

  /** Marks bytes of the window as used. */
  skip(length: number): void {
    this.at += length;
    this.offset += length;
  }

  /** Sees to it that the window has `length` unread bytes; false when so many have not been pushed. */
  gather(length: number): boolean {
    const have = this.bytes.length - this.at;
    if (have >= length) return true;
    if (have + this.#waitingBytes < length) return false;
    if (have === 0 && this.#waiting[this.#head]!.length >= length) {
      const chunk = this.#take();
      this.#show(chunk);
      return true;
    }
    this.#join(length);
    return true;
  }

  /** Copies what is unread, so that no pushed chunk is referred to any more. */
  keep(): void {
    if (this.#waitingBytes === 0 && (this.#windowIsOwn || this.at === this.bytes.length)) {
      if (!this.#windowIsOwn) this.#show(EMPTY);
      return;
    }
    this.#join(this.available);
  }

  /** Makes a window of owned memory that holds the next `length` bytes; the rest of a chunk goes on waiting. */
  #join(length: number): void {
    const old = this.bytes.subarray(this.at);
    if (this.#own.length < length) {
      const larger = new Uint8Array(Math.max(length, this.#own.length * 2, 256));
      larger.set(old);
      this.#own = larger;
    } else {
      // Also right where `old` is a part of the same memory further on.
      this.#own.set(old);
    }
    let filled = old.length;
    while (filled < length) {
      const chunk = this.#take();
      const part = chunk.subarray(0, length - filled);
      this.#own.set(part, filled);
      filled += part.length;
      if (part.length < chunk.length) {
        this.#waiting[--this.#head] = chunk.subarray(part.length);
        this.#waitingBytes += chunk.length - part.length;
      }
    }
    this.bytes = this.#own.subarray(0, length);
    this.at = 0;
    this.#windowIsOwn = true;
  }

  #take(): Uint8Array {
    const chunk = this.#waiting[this.#head]!;
    this.#waiting[this.#head++] = EMPTY;
    this.#waitingBytes -= chunk.length;
    if (this.#waitingBytes === 0) {
      this.#waiting.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024) {
      this.#waiting.splice(0, this.#head);
      this.#head = 0;
    }
    return chunk;
  }

  #show(chunk: Uint8Array): void {
    this.bytes = chunk;
    this.at = 0;
    this.#windowIsOwn = false;
  }
}

const EMPTY = new Uint8Array(0);
