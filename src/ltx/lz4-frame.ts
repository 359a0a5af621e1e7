/**
 * LZ4 frames that hold one page, as Litestream 0.5.0 to 0.5.15 wrote them. Integers are little-endian.
 *
 * | bytes | part |
 * | ---: | --- |
 * | 4 | magic `04 22 4d 18` (skippable frames, magic `5x 2a 4d 18` and a u32 length, may come before it) |
 * | 1 | FLG: bits 7-6 version 01, 5 independent blocks, 4 block checksums, 3 content size, 2 content checksum, 0 dictionary |
 * | 1 | BD: bits 6-4 largest block: 4 to 7 for 64 KiB, 256 KiB, 1 MiB, 4 MiB |
 * | 0 or 8 | content size (read over: writers may have it wrong, and the content checksum says more) |
 * | 1 | second byte of the xxHash32 of the descriptor |
 * | 4 + n (+ 4) | blocks: u32 length, bit 31 set for a stored block; the data; its xxHash32 if FLG says so |
 * | 4 | end mark, a zero length |
 * | 4 | xxHash32 of the content; required here |
 *
 * A page header gives no length for a frame, so its end is found by walking it. The walk checks every length against
 * what a page can need before anything is read or hashed: damaged bytes cannot cost more than one page's worth.
 *
 * @module
 */
import { hash } from "lz4js/xxh32.js";
import { viewOf } from "../core/bytes.ts";
import { lz4CompressBound, lz4DecompressAt } from "./lz4-block.ts";

/** First four bytes of an LZ4 frame, as a little-endian number. */
export const LZ4_FRAME_MAGIC = 0x184d2204;

/** Most bytes that skippable frames before the frame may take. */
const SKIPPABLE_MAX = 65536;
/** Magic, FLG, BD, content size and header checksum. */
const DESCRIPTOR_MAX = 15;
const STORED = 0x80000000;

/** The most bytes that a frame holding one page is allowed to take. Twice the block bound leaves room for many blocks. */
export function lz4FrameBound(pageSize: number): number {
  return SKIPPABLE_MAX + DESCRIPTOR_MAX + 2 * lz4CompressBound(pageSize) + 8;
}

/**
 * Finds the end of a frame in bytes that arrive piece by piece. Each part is looked at once, so a frame of many small
 * blocks costs time in proportion to its length however it is cut.
 */
export class Lz4FrameWalk {
  readonly #pageSize: number;
  #part: "start" | "blocks" | "done" = "start";
  #length = 0;
  #problem = "";
  #flags = 0;

  /**
   * Begins before the first byte of a frame.
   *
   * @param pageSize bytes that the frame must decode to.
   */
  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  /** What is wrong with the frame after {@linkcode advance} returned -1. */
  get problem(): string {
    return this.#problem;
  }

  /** Offset from the frame's start up to which it has been walked. */
  get walked(): number {
    return this.#length;
  }

  /** Forgets the frame; the next call begins a new one. */
  reset(): void {
    this.#part = "start";
    this.#length = 0;
    this.#problem = "";
  }

  /**
   * Walks on over `bytes`, which must hold the frame from its first byte. Returns the bytes needed to go on, counted
   * from the frame's start: a value up to `bytes.length` is the length of the whole frame; -1 means a bad frame.
   */
  advance(bytes: Uint8Array): number {
    const view = viewOf(bytes);
    while (this.#part !== "done") {
      const need = this.#part === "start" ? this.#start(view) : this.#block(view);
      if (need !== 0) return need;
      if (this.#length > lz4FrameBound(this.#pageSize)) {
        return this.#fail(
          `the frame is longer than the ${lz4FrameBound(this.#pageSize)} bytes a page can take`,
        );
      }
    }
    return this.#length;
  }

  /** Skippable frames and the descriptor. 0: walked on; otherwise what {@linkcode advance} returns. */
  #start(view: DataView): number {
    const at = this.#length;
    if (view.byteLength < at + 7) return at + 7;
    const magic = view.getUint32(at, true);
    if ((magic & 0xfffffff0) === 0x184d2a50) {
      if (view.byteLength < at + 8) return at + 8;
      const length = view.getUint32(at + 4, true);
      if (at + 8 + length > SKIPPABLE_MAX) return this.#fail("a skippable frame is too long");
      this.#length = at + 8 + length;
      return 0;
    }
    if (magic !== LZ4_FRAME_MAGIC) return this.#fail("the frame's magic is not 04 22 4d 18");
    const flags = view.getUint8(at + 4);
    const largest = view.getUint8(at + 5);
    if ((flags & 0xc3) !== 0x40)
      return this.#fail("the frame uses another version, a dictionary or reserved bits");
    if ((flags & 0x04) === 0) return this.#fail("the frame has no content checksum");
    if ((largest & 0x8f) !== 0 || largest >> 4 < 4)
      return this.#fail("the frame's block size is not legal");
    const descriptor = 2 + ((flags & 0x08) !== 0 ? 8 : 0);
    if (view.byteLength < at + 4 + descriptor + 1) return at + 4 + descriptor + 1;
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at + 4, descriptor);
    if (((hash(0, bytes, 0, descriptor) >>> 8) & 0xff) !== view.getUint8(at + 4 + descriptor)) {
      return this.#fail("the frame's header checksum does not match");
    }
    this.#flags = flags;
    this.#length = at + 4 + descriptor + 1;
    this.#part = "blocks";
    return 0;
  }

  /** One block, or the end mark and the content checksum. */
  #block(view: DataView): number {
    const at = this.#length;
    if (view.byteLength < at + 4) return at + 4;
    const word = view.getUint32(at, true);
    if (word === 0) {
      if (view.byteLength < at + 8) return at + 8;
      this.#length = at + 8;
      this.#part = "done";
      return 0;
    }
    const stored = word >= STORED;
    const length = stored ? word - STORED : word;
    if (length > (stored ? this.#pageSize : lz4CompressBound(this.#pageSize))) {
      return this.#fail(`a block of ${length} bytes is longer than a page can take`);
    }
    const end = at + 4 + length + ((this.#flags & 0x10) !== 0 ? 4 : 0);
    if (view.byteLength < end) return end;
    this.#length = end;
    return 0;
  }

  #fail(problem: string): -1 {
    this.#problem = problem;
    return -1;
  }
}

/**
 * Decodes a frame that {@linkcode Lz4FrameWalk} accepted whole into `page`, which it must fill exactly, and verifies
 * its checksums. Returns what is wrong, or `undefined`.
 */
export function decodeLz4Frame(frame: Uint8Array, page: Uint8Array): string | undefined {
  const view = viewOf(frame);
  let at = 0;
  while (view.getUint32(at, true) !== LZ4_FRAME_MAGIC) at += 8 + view.getUint32(at + 4, true);
  const flags = view.getUint8(at + 4);
  const largest = 1 << (8 + 2 * (view.getUint8(at + 5) >> 4));
  at += 4 + 2 + ((flags & 0x08) !== 0 ? 8 : 0) + 1;
  const independent = (flags & 0x20) !== 0;
  let filled = 0;
  for (;;) {
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) break;
    const stored = word >= STORED;
    const length = stored ? word - STORED : word;
    const data = frame.subarray(at, at + length);
    at += length;
    if ((flags & 0x10) !== 0) {
      if (hash(0, data, 0, length) !== view.getUint32(at, true))
        return "a block's checksum does not match";
      at += 4;
    }
    const before = filled;
    if (stored) {
      if (filled + length > page.length) return "the frame decodes to more than a page";
      page.set(data, filled);
      filled += length;
    } else if (independent) {
      const written = lz4DecompressAt(data, page.subarray(filled), 0);
      filled = written < 0 ? -1 : filled + written;
    } else {
      filled = lz4DecompressAt(data, page, filled);
    }
    if (filled < 0) return "a block is damaged or decodes to more than a page";
    if (filled - before > largest) return "a block decodes to more than the frame's block size";
  }
  if (filled !== page.length)
    return `the frame decodes to ${filled} bytes, a page has ${page.length}`;
  if (hash(0, page, 0, filled) !== view.getUint32(at, true))
    return "the content checksum does not match";
  return undefined;
}
