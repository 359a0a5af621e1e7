/**
 * Reads an LTX file piece by piece and verifies all of it: structure, index, checksums.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { lockPage } from "../core/lock-page.ts";
import { DatabaseChecksum, flaggedChecksum } from "./checksum.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { Crc64 } from "./crc64.ts";
import { LtxChecksumError, LtxFormatError, LtxUnsupportedError } from "./errors.ts";
import { FrameDigest } from "./frame-digest.ts";
import {
  decodeHeader,
  hasNoChecksum,
  isSnapshot,
  LTX_HEADER_SIZE,
  type LtxHeader,
  UNSUPPORTED_NEXT,
} from "./header.ts";
import { lz4CompressBound } from "./lz4-block.ts";
import { decodeLz4Frame, Lz4FrameWalk } from "./lz4-frame.ts";
import { BLOCK_HEADER_SIZE, blockProblem, PAGE_BLOCK, PAGE_HEADER_SIZE } from "./page-frame.ts";
import { INDEX_LENGTH_SIZE } from "./page-index.ts";
import { decodeTrailer, LTX_TRAILER_SIZE, type LtxTrailer } from "./trailer.ts";
import { pageKernel, type PageKernel } from "./wasm-kernel.ts";

/** What {@linkcode LtxDecoder.next} came to: a page, the need for more bytes, or the verified end of the file. */
export type LtxStep = "page" | "more" | "done";

/** The longest varint that is read. */
const VARINT_MAX = 10;

/**
 * Decodes a file that arrives in chunks of any size, in memory that does not depend on the file's length.
 *
 * Pages are handed out as they come, in the file's order, and are good only once `next()` has returned `"done"`: that
 * stands for a right file checksum, a page index equal to the pages seen, nothing after the trailer and, in a snapshot with
 * checksums, a right post-apply checksum. Whether pages are sorted, within commit and not the lock page is for whoever
 * uses them to check. After an exception every further call throws it again.
 *
 * @example
 * ```ts
 * import { LtxDecoder } from "pagestream/ltx";
 * import { buildLtx } from "pagestream/testing";
 *
 * const { name, bytes } = buildLtx({ pages: { 1: 0xaa, 2: { seed: 7 } } });
 * const decoder = new LtxDecoder({ name });
 * for (let at = 0; at < bytes.length; at += 1000) {
 *   decoder.push(bytes.subarray(at, at + 1000)); // as a store's body brings it
 *   while (decoder.next() === "page") console.log(decoder.pgno, decoder.data.length);
 * }
 * decoder.end();
 * decoder.next(); // "done", or an exception
 * ```
 */
export class LtxDecoder {
  readonly #name: string;
  readonly #input = new ChunkQueue();
  readonly #crc = new Crc64();
  readonly #kernel: PageKernel = pageKernel();
  readonly #frames = new FrameDigest();
  readonly #entries = new FrameDigest();
  #part: "header" | "pages" | "index" | "length" | "trailer" | "end" = "header";
  #failure: unknown;
  #header: LtxHeader | undefined;
  #trailer: LtxTrailer | undefined;
  #walk: Lz4FrameWalk | undefined;
  #database: DatabaseChecksum | undefined;
  #page: Uint8Array = EMPTY;
  #payload: Uint8Array | undefined;
  #pgno = 0;
  #frameOffset = 0;
  #payloadMax = 0;
  #lock = 0;
  #indexStart = 0;
  #entry: [number, number, number] = [0, 0, 0];
  #field = 0;

  /**
   * Waits for the first {@linkcode push}.
   *
   * @param options.name what to call the file in errors. @default "LTX file"
   */
  constructor(options: { readonly name?: string } = {}) {
    this.#name = options.name ?? "LTX file";
  }

  /**
   * Adds the next bytes of the file. The chunk is kept, not copied, until `next()` has returned `"more"`; from then on it
   * belongs to the caller again.
   */
  push(chunk: Uint8Array): void {
    if (this.#input.ended) throw this.#misuse("bytes were pushed after the end");
    this.#input.push(chunk);
  }

  /** Says that no bytes follow. */
  end(): void {
    this.#input.ended = true;
  }

  /**
   * Goes on to the next page.
   *
   * @throws {LtxFormatError} naming field and offset, also when the file is cut off.
   * @throws {LtxChecksumError} when a checksum does not match.
   * @throws {LtxUnsupportedError} for LTX versions that are not read.
   */
  next(): LtxStep {
    if (this.#failure !== undefined) throw this.#failure;
    this.#pgno = 0;
    this.#payload = undefined;
    try {
      const step = this.#step();
      if (step === "more") this.#input.keep();
      return step;
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** Decodes the header, once its bytes are there, without going on to a page. False: more bytes are needed. */
  readHeader(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#header !== undefined) return true;
    try {
      if (this.#startFile()) return true;
      this.#input.keep();
      return false;
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** The header; readable as soon as `readHeader()` was true or `next()` returned a page. */
  get header(): LtxHeader {
    if (this.#header === undefined) throw this.#misuse("the header has not been read yet");
    return this.#header;
  }

  /** Number of the current page; 0 where there is none. */
  get pgno(): number {
    return this.#pgno;
  }

  /** The current page, a view that is valid until `next()`. */
  get data(): Uint8Array {
    return this.#page;
  }

  /** The LZ4 block of the current page, a view that is valid until `next()`; `undefined` for an LZ4 frame. */
  get payload(): Uint8Array | undefined {
    return this.#payload;
  }

  /** Offset of the current page's frame in the file, in bytes. */
  get frameOffset(): number {
    return this.#frameOffset;
  }

  /** The trailer; readable after `"done"`. */
  get trailer(): LtxTrailer {
    if (this.#trailer === undefined) throw this.#misuse("the trailer has not been read yet");
    return this.#trailer;
  }

  /** Bytes of the file decoded so far; its length after `"done"`. */
  get size(): number {
    return this.#input.offset;
  }

  #step(): LtxStep {
    for (;;) {
      switch (this.#part) {
        case "header":
          if (!this.#startFile()) return "more";
          break;
        case "pages": {
          const step = this.#frame();
          if (step !== "index") return step;
          break;
        }
        case "index":
          if (!this.#readIndex()) return "more";
          break;
        case "length":
          if (!this.#readIndexLength()) return "more";
          break;
        case "trailer":
          if (!this.#readTrailer()) return "more";
          break;
        case "end":
          if (this.#input.available > 0)
            this.#fail("trailer", this.#input.offset, "bytes follow the trailer");
          return this.#input.ended ? "done" : "more";
      }
    }
  }

  #startFile(): boolean {
    const input = this.#input;
    if (!this.#need(LTX_HEADER_SIZE, "header")) return false;
    const bytes = input.bytes.subarray(input.at, input.at + LTX_HEADER_SIZE);
    const header = decodeHeader(bytes, this.#name);
    this.#header = header;
    this.#page = new Uint8Array(header.pageSize);
    this.#payloadMax = lz4CompressBound(header.pageSize);
    this.#lock = lockPage(header.pageSize);
    if (isSnapshot(header) && !hasNoChecksum(header)) this.#database = new DatabaseChecksum();
    this.#crc.update(bytes);
    input.skip(LTX_HEADER_SIZE);
    this.#part = "pages";
    return true;
  }

  /** One page frame or the end marker. */
  #frame(): "page" | "more" | "index" {
    const input = this.#input;
    if (!this.#need(PAGE_HEADER_SIZE, "pageHeader")) return "more";
    const { bytes, at } = input;
    const pgno = readU32(bytes, at);
    const flags = (bytes[at + 4]! << 8) | bytes[at + 5]!;
    this.#frameOffset = input.offset;
    if (pgno === 0) {
      if (flags !== 0) this.#fail("pageFlags", input.offset + 4, "the end marker has flags");
      this.#crc.updateU32(0);
      this.#crc.updateU16(0);
      input.skip(PAGE_HEADER_SIZE);
      this.#indexStart = input.offset;
      this.#part = "index";
      return "index";
    }
    if ((flags & ~PAGE_BLOCK) !== 0) this.#refuseFlags(flags);
    const whole = flags === PAGE_BLOCK ? this.#block(pgno) : this.#lz4Frame(pgno);
    if (!whole) return "more";
    const size = input.offset - this.#frameOffset;
    this.#frames.add(pgno, this.#frameOffset, size);
    if (this.#database !== undefined && pgno !== this.#lock)
      this.#database.toggle(pgno, this.#page);
    this.#pgno = pgno;
    return "page";
  }

  #block(pgno: number): boolean {
    const input = this.#input;
    if (!this.#need(BLOCK_HEADER_SIZE, "payloadSize")) return false;
    const length = readU32(input.bytes, input.at + PAGE_HEADER_SIZE);
    if (length > this.#payloadMax) {
      const what = `a payload of ${length} bytes for page ${pgno} is longer than a page can take`;
      this.#fail("payloadSize", input.offset + PAGE_HEADER_SIZE, what);
    }
    if (!this.#need(BLOCK_HEADER_SIZE + length, "payload")) return false;
    const start = input.at + BLOCK_HEADER_SIZE;
    const payload = input.bytes.subarray(start, start + length);
    const page = this.#page;
    const crc = this.#crc;
    crc.updateU32(pgno);
    crc.updateU16(PAGE_BLOCK);
    crc.updateU32(length);
    const written = this.#kernel.decodePage(payload, page, crc);
    if (written !== page.length) {
      const what = `the LZ4 block of page ${pgno} ${blockProblem(written, page.length)}`;
      this.#fail("payload", input.offset + BLOCK_HEADER_SIZE, what);
    }
    this.#payload = payload;
    input.skip(BLOCK_HEADER_SIZE + length);
    return true;
  }

  #lz4Frame(pgno: number): boolean {
    const input = this.#input;
    const walk = (this.#walk ??= new Lz4FrameWalk(this.#page.length));
    const offset = input.offset + PAGE_HEADER_SIZE;
    // Each look at the frame names how many bytes the next one needs; the walk itself never goes back.
    let length = walk.walked + 1;
    for (;;) {
      if (!this.#need(PAGE_HEADER_SIZE + length, "payload")) return false;
      const start = input.at + PAGE_HEADER_SIZE;
      length = walk.advance(input.bytes.subarray(start));
      if (length < 0) this.#fail("payload", offset + walk.walked, `${walk.problem}, page ${pgno}`);
      if (start + length <= input.bytes.length) break;
    }
    const start = input.at + PAGE_HEADER_SIZE;
    const problem = decodeLz4Frame(input.bytes.subarray(start, start + length), this.#page);
    if (problem !== undefined) this.#fail("payload", offset, `${problem}, page ${pgno}`);
    walk.reset();
    this.#crc.updateU32(pgno);
    this.#crc.updateU16(0);
    this.#crc.update(this.#page);
    input.skip(PAGE_HEADER_SIZE + length);
    return true;
  }

  #readIndex(): boolean {
    const input = this.#input;
    for (;;) {
      const start = input.offset;
      const value = this.#varint();
      if (value < 0) return false;
      if (this.#field === 0) {
        if (value === 0) break;
        if (value > 0xffffffff)
          this.#fail("index", start, `page number ${value} does not fit 32 bits`);
      }
      this.#entry[this.#field++] = value;
      if (this.#field < 3) continue;
      this.#field = 0;
      const [pgno, offset, size] = this.#entry;
      if (size > 0xffffffff) this.#fail("index", start, `a page frame of ${size} bytes cannot be`);
      this.#entries.add(pgno, offset, size);
      if (this.#entries.count > this.#frames.count) {
        this.#fail(
          "index",
          start,
          `the page index lists more than the ${this.#frames.count} pages of the file`,
        );
      }
    }
    if (!this.#entries.equals(this.#frames)) {
      const what = "the page index does not agree with the pages of the file";
      this.#fail("index", this.#indexStart, what);
    }
    this.#part = "length";
    return true;
  }

  /** The next varint of the index, hashed and taken; -1 when its bytes are not there yet. */
  #varint(): number {
    const input = this.#input;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < VARINT_MAX; i++) {
      if (!this.#need(i + 1, "index")) return -1;
      const byte = input.bytes[input.at + i]!;
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte >= 0x80) continue;
      if (value > Number.MAX_SAFE_INTEGER)
        this.#fail("index", input.offset, "a number is beyond 2^53");
      for (let k = 0; k <= i; k++) this.#crc.updateU8(input.bytes[input.at + k]!);
      input.skip(i + 1);
      return value;
    }
    return this.#fail("index", input.offset, "a number has more than ten bytes");
  }

  #readIndexLength(): boolean {
    const input = this.#input;
    if (!this.#need(INDEX_LENGTH_SIZE, "indexLength")) return false;
    const { bytes, at, offset } = input;
    const length = readU32(bytes, at) * 2 ** 32 + readU32(bytes, at + 4);
    if (length !== offset - this.#indexStart) {
      const what = `the index length is ${length}, the index has ${offset - this.#indexStart} bytes`;
      this.#fail("indexLength", offset, what);
    }
    this.#crc.update(bytes.subarray(at, at + INDEX_LENGTH_SIZE));
    input.skip(INDEX_LENGTH_SIZE);
    this.#part = "trailer";
    return true;
  }

  #readTrailer(): boolean {
    const input = this.#input;
    if (!this.#need(LTX_TRAILER_SIZE, "trailer")) return false;
    const { bytes, at, offset } = input;
    const trailer = decodeTrailer(bytes.subarray(at, at + LTX_TRAILER_SIZE), this.#name);
    this.#crc.update(bytes.subarray(at, at + 8));
    this.#compare("fileChecksum", offset + 8, trailer.fileChecksum, flaggedChecksum(this.#crc));
    if (this.#database !== undefined) {
      this.#compare("postApplyChecksum", offset, trailer.postApplyChecksum, this.#database.value());
    }
    input.skip(LTX_TRAILER_SIZE);
    this.#trailer = trailer;
    this.#part = "end";
    return true;
  }

  /** False when so many bytes are not there yet; an error when they never will be. */
  #need(length: number, field: string): boolean {
    const input = this.#input;
    if (input.bytes.length - input.at >= length || input.gather(length)) return true;
    if (!input.ended) return false;
    const offset = input.offset + input.available;
    return this.#fail(field, offset, "the file is cut off");
  }

  #refuseFlags(flags: number): never {
    const offset = this.#frameOffset + 4;
    const text = flags.toString(16).padStart(4, "0");
    if (this.#frameOffset === LTX_HEADER_SIZE && (flags === V2_FLAGS || flags === V1_FLAGS)) {
      throw new LtxUnsupportedError({
        name: this.#name,
        field: "pageFlags",
        offset,
        what: `the file is of the pre-release LTX version ${flags === V2_FLAGS ? 2 : 1}`,
        next: UNSUPPORTED_NEXT,
      });
    }
    return this.#fail("pageFlags", offset, `page flags 0x${text} are not known`);
  }

  #compare(field: string, offset: number, expected: bigint, actual: bigint): void {
    if (expected !== actual)
      throw new LtxChecksumError({ name: this.#name, field, offset, expected, actual });
  }

  #fail(field: string, offset: number, what: string): never {
    throw new LtxFormatError({ name: this.#name, field, offset, what });
  }

  #misuse(what: string): InvalidArgumentError {
    return new InvalidArgumentError({ operation: "decode", object: this.#name, what });
  }
}

const EMPTY = new Uint8Array(0);
/** What stands where flags belong in version 2: the first half of an LZ4 frame's magic. */
const V2_FLAGS = 0x0422;
/** The same in version 1, whose first page follows uncompressed: "SQ". */
const V1_FLAGS = 0x5351;

function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}
