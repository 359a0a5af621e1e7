/**
 * The LZ4 frame that is a whole file of the 0.3 layout, decoded block by block as it arrives.
 *
 * Litestream 0.3 writes `04 22 4d 18 64 70 b9`: independent blocks of up to 4 MiB, no block checksums, a content checksum.
 * Other block sizes, block checksums and a content size are read too. Every length is checked against the frame's block
 * size before it is waited for, so damaged bytes cost at most one block of memory; lz4js would follow one flipped bit for
 * ever. The layout of a frame is in `lz4-frame.ts`, which reads those that hold a page.
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { UnsupportedError } from "../core/errors.ts";
import { ChunkQueue } from "../ltx/chunk-queue.ts";
import { lz4DecompressAt } from "../ltx/lz4-block.ts";
import { LZ4_FRAME_MAGIC } from "../ltx/lz4-frame.ts";
import { Xxh32, xxh32 } from "../ltx/xxh32.ts";
import { damagedLegacy } from "./legacy-layout.ts";

const STORED = 0x80000000;
/** Magic, FLG and BD. */
const HEAD = 6;
const AGE = /^(?:age-en|-----B)/;

/** Decodes one frame after the other. */
export class LegacyDecoder {
  readonly #sum = new Xxh32();
  #queue = new ChunkQueue();
  #name = "";
  #part: "head" | "blocks" | "done" = "head";
  #flags = 0;
  /** Largest block in bytes. */
  #largest = 0;
  #block = new Uint8Array(0);

  /** Begins a file; `name` is its key, for errors. */
  begin(name: string): void {
    this.#sum.reset();
    this.#queue = new ChunkQueue();
    this.#name = name;
    this.#part = "head";
  }

  /**
   * Decodes every block that `bytes` completes. Each is a view that the next step overwrites; `bytes` belong to the
   * decoder from now on.
   *
   * @throws {DamagedFileError} where the bytes are no such frame; {UnsupportedError} where they are encrypted.
   */
  *decode(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
    const queue = this.#queue;
    queue.push(bytes);
    if (this.#part === "head" && !this.#head()) return;
    while (this.#part === "blocks") {
      if (!queue.gather(4)) break;
      const word = viewOf(queue.bytes).getUint32(queue.at, true);
      if (word === 0) {
        if (!this.#end()) break;
        continue;
      }
      const length = word >= STORED ? word - STORED : word;
      if (length > this.#largest) throw this.#damage(`a block announces ${length} bytes`);
      const checksum = (this.#flags & 0x10) === 0 ? 0 : 4;
      if (!queue.gather(4 + length + checksum)) break;
      const data = queue.bytes.subarray(queue.at + 4, queue.at + 4 + length);
      if (checksum > 0) {
        const expected = viewOf(queue.bytes).getUint32(queue.at + 4 + length, true);
        if (xxh32(data) !== expected) throw this.#damage("a block has another checksum");
      }
      queue.skip(4 + length + checksum);
      const block = word >= STORED ? data : this.#decompress(data);
      this.#sum.update(block);
      yield block;
    }
    if (this.#part === "done" && queue.available > 0) throw this.#damage("bytes follow its end");
  }

  /** To be called after the last byte of the file. */
  finish(): void {
    if (this.#part !== "done") throw this.#damage("it ends in the middle");
  }

  /** The frame's descriptor; false when more bytes are needed. */
  #head(): boolean {
    const queue = this.#queue;
    if (!queue.gather(HEAD + 1)) return false;
    const view = viewOf(queue.bytes.subarray(queue.at));
    if (view.getUint32(0, true) !== LZ4_FRAME_MAGIC) throw this.#notAFrame();
    const flags = view.getUint8(4);
    const size = view.getUint8(5);
    if ((flags & 0xe3) !== 0x60 || (flags & 0x04) === 0) {
      throw this.#damage(`its LZ4 flags are ${flags.toString(16)}`);
    }
    if ((size & 0x8f) !== 0 || size >> 4 < 4) {
      throw this.#damage(`its LZ4 block size is ${size.toString(16)}`);
    }
    const length = (flags & 0x08) !== 0 ? HEAD + 8 : HEAD;
    if (!queue.gather(length + 1)) return false;
    const head = queue.bytes.subarray(queue.at, queue.at + length + 1);
    if (((xxh32(head.subarray(4, length)) >>> 8) & 0xff) !== head[length]) {
      throw this.#damage("its LZ4 header has another checksum");
    }
    queue.skip(length + 1);
    this.#flags = flags;
    this.#largest = 1 << (8 + 2 * (size >> 4));
    this.#part = "blocks";
    return true;
  }

  /** The end mark and the checksum of all content; false when more bytes are needed. */
  #end(): boolean {
    const queue = this.#queue;
    if (!queue.gather(8)) return false;
    if (viewOf(queue.bytes).getUint32(queue.at + 4, true) !== this.#sum.digest()) {
      throw this.#damage("its content has another checksum");
    }
    queue.skip(8);
    this.#part = "done";
    return true;
  }

  #decompress(data: Uint8Array): Uint8Array {
    if (this.#block.length < this.#largest) this.#block = new Uint8Array(this.#largest);
    const block = this.#block.subarray(0, this.#largest);
    const written = lz4DecompressAt(data, block, 0);
    if (written < 0) throw this.#damage("a block cannot be decompressed");
    return block.subarray(0, written);
  }

  #notAFrame(): Error {
    const { bytes, at } = this.#queue;
    if (!AGE.test(String.fromCharCode(...bytes.subarray(at, at + HEAD + 1)))) {
      return this.#damage("it is no LZ4 frame");
    }
    return new UnsupportedError({
      operation: "restore",
      object: this.#name,
      what: "it is encrypted with age, which no release since Litestream 0.5 reads",
      next: "Restore it with Litestream 0.3.13 and its age identity",
    });
  }

  #damage(what: string): Error {
    return damagedLegacy(this.#name, what);
  }
}
