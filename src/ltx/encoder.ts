/**
 * Writes an LTX file piece by piece, and refuses at the moment of writing whatever a restore would refuse later.
 *
 * @module
 */
import type { PageImage } from "../core/commit-source.ts";
import { concatBytes, viewOf } from "../core/bytes.ts";
import { lockPage } from "../core/lock-page.ts";
import { CHECKSUM_FLAG, DatabaseChecksum, flaggedChecksum, isChecksum } from "./checksum.ts";
import { Crc64 } from "./crc64.ts";
import { LtxEncodeError } from "./errors.ts";
import { formatFileName } from "./file-name.ts";
import { encodeHeader, hasNoChecksum, isSnapshot, type LtxHeader } from "./header.ts";
import { lz4CompressBound } from "./lz4-block.ts";
import { BLOCK_HEADER_SIZE, PAGE_BLOCK, PAGE_HEADER_SIZE } from "./page-frame.ts";
import { INDEX_LENGTH_SIZE, putVarint } from "./page-index.ts";
import { LTX_TRAILER_SIZE } from "./trailer.ts";
import { type PageKernel, pageKernel } from "./wasm-kernel.ts";

/** Options of {@linkcode LtxEncoder}. */
export interface LtxEncoderOptions {
  /**
   * Database size in pages before this file. Given, every page in (`previousCommit`, `commit`] but the lock page must be
   * written: SQLite may grow a file without writing each new page, and a restore would find holes there. A snapshot
   * always is held to that, from 0.
   */
  readonly previousCommit?: number | undefined;
  /** The most bytes of a chunk, except where one page needs more. @default 262144 */
  readonly chunkSize?: number | undefined;
}

/** What was written. */
export interface LtxSummary {
  /** The header as it was written. */
  readonly header: LtxHeader;
  /** Length of the file in bytes. */
  readonly size: number;
  /** Number of pages in it. */
  readonly pageCount: number;
  /** The last 8 bytes of the file. */
  readonly fileChecksum: bigint;
}

const CHUNK_SIZE = 256 * 1024;
/** Enough for the files that are the rule, and for any one page. */
const SCRATCH_SIZE = 96 * 1024;
const SCRATCH_INDEX_SIZE = 1024;
/** Encoders that work at the same time; more than these allocate their own. */
const SPARE_MAX = 2;
/** Entries of the index are kept encoded, in pieces of this many bytes. */
const INDEX_CHUNK_SIZE = 64 * 1024;
/** The longest entry of three minimal varints: 32, 53 and 32 bits. */
const INDEX_ENTRY_MAX = 18;

/** Memory of small files, used again and again: to allocate it would cost more than to compress a page. */
interface Scratch {
  readonly chunk: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly index: Uint8Array<ArrayBuffer>;
}

const spare: Scratch[] = [];

function borrowScratch(): Scratch {
  const used = spare.pop();
  if (used !== undefined) return used;
  const chunk = new Uint8Array(SCRATCH_SIZE);
  return { chunk, view: viewOf(chunk), index: new Uint8Array(SCRATCH_INDEX_SIZE) };
}

/**
 * An LTX file in the making. `output` gets the bytes in order, in chunks that the receiver owns; the encoder never
 * touches one again. After an exception from `output` the encoder is unusable; a refused call
 * changes nothing and the next one may be right.
 */
export class LtxEncoder {
  readonly #header: LtxHeader;
  readonly #output: (chunk: Uint8Array<ArrayBuffer>) => void;
  readonly #chunkSize: number;
  readonly #lock: number;
  readonly #frameMax: number;
  readonly #crc = new Crc64();
  readonly #kernel: PageKernel = pageKernel();
  /** The checksum of a snapshot that carries one; it costs a second pass over each page. */
  readonly #database: DatabaseChecksum | undefined;
  readonly #indexChunks: Uint8Array[] = [];
  /** Given back at the end; lost where the end never comes. */
  readonly #scratch: Scratch = borrowScratch();
  #index: Uint8Array<ArrayBuffer> = this.#scratch.index;
  #indexAt = 0;
  #chunk: Uint8Array<ArrayBuffer> = this.#scratch.chunk;
  #view: DataView = this.#scratch.view;
  #at = 0;
  /** Bytes handed out before the current chunk. */
  #handedOut = 0;
  #pageCount = 0;
  #last = 0;
  /** The next page that must not be left out; infinite where none must be written. */
  #required: number;
  #broken = false;
  #summary: LtxSummary | undefined;

  /**
   * Begins a file.
   *
   * @throws {LtxFormatError} when the header is not valid.
   * @throws {LtxEncodeError} for an empty database without checksums.
   */
  constructor(
    header: LtxHeader,
    output: (chunk: Uint8Array<ArrayBuffer>) => void,
    options: LtxEncoderOptions = {},
  ) {
    const head = encodeHeader(header);
    this.#header = header;
    this.#output = output;
    this.#chunkSize = options.chunkSize ?? CHUNK_SIZE;
    this.#lock = lockPage(header.pageSize);
    this.#frameMax = BLOCK_HEADER_SIZE + lz4CompressBound(header.pageSize);
    if (header.commit === 0 && hasNoChecksum(header)) {
      throw this.#refusal(
        "an empty database needs the post-apply checksum 8000000000000000, which a file without checksums cannot carry",
        "Write nothing until the database has a page, or clear the no-checksum flag",
      );
    }
    const snapshot = isSnapshot(header);
    this.#database = snapshot && !hasNoChecksum(header) ? new DatabaseChecksum() : undefined;
    this.#required = snapshot ? 1 : this.#after(options.previousCommit ?? Infinity);
    this.#chunk.set(head);
    this.#at = head.length;
    this.#crc.update(head);
  }

  /**
   * Compresses and appends a page. `data` may lie in any memory and is not kept.
   *
   * @throws {LtxEncodeError} when the page must not stand here.
   */
  encodePage(pgno: number, data: Uint8Array): void {
    this.#check(pgno, data);
    this.#makeRoom(this.#frameMax);
    const start = this.#at + BLOCK_HEADER_SIZE;
    const block = this.#chunk.subarray(start, this.#at + this.#frameMax);
    const length = this.#kernel.compressPage(data, block);
    this.#begin(pgno, length);
    this.#kernel.addCompressed(data, this.#crc);
    this.#append(pgno, data, length);
  }

  /**
   * Appends a page whose LZ4 block is at hand: copies `payload` and hashes `data`, which must be what the block
   * decodes to; that is not checked. Neither is kept.
   *
   * @throws {LtxEncodeError} when the page must not stand here.
   */
  encodeFrame(pgno: number, payload: Uint8Array, data: Uint8Array): void {
    this.#check(pgno, data);
    if (payload.length === 0 || payload.length > this.#frameMax - BLOCK_HEADER_SIZE) {
      throw this.#refusal(
        `a payload of ${payload.length} bytes for page ${pgno} cannot be a page's block`,
      );
    }
    this.#makeRoom(BLOCK_HEADER_SIZE + payload.length);
    this.#chunk.set(payload, this.#at + BLOCK_HEADER_SIZE);
    this.#begin(pgno, payload.length);
    this.#crc.update(data);
    this.#append(pgno, data, payload.length);
  }

  /**
   * Ends the file and hands out its last bytes; called again, it only returns the same summary.
   *
   * @param options.postApplyChecksum the database checksum after this file. Required with checksums, except in a snapshot
   * and for an empty database, where it is known; refused without.
   * @throws {LtxEncodeError} when pages are missing or the checksum breaks a rule.
   */
  finish(options: { readonly postApplyChecksum?: bigint } = {}): LtxSummary {
    if (this.#summary !== undefined) return this.#summary;
    this.#checkUsable();
    if (this.#required <= this.#header.commit) throw this.#hole(undefined);
    const postApply = this.#postApply(options.postApplyChecksum);
    const indexLength =
      this.#indexChunks.reduce((sum, chunk) => sum + chunk.length, this.#indexAt) + 1;
    this.#copy(END_MARKER);
    for (const chunk of this.#indexChunks) this.#copy(chunk);
    this.#copy(this.#index.subarray(0, this.#indexAt));
    this.#makeRoom(TAIL_SIZE);
    const tail = this.#chunk.subarray(this.#at, this.#at + TAIL_SIZE);
    tail[0] = 0;
    this.#view.setUint32(this.#at + 1, Math.floor(indexLength / 0x1_0000_0000));
    this.#view.setUint32(this.#at + 5, indexLength >>> 0);
    this.#view.setBigUint64(this.#at + 1 + INDEX_LENGTH_SIZE, postApply);
    this.#crc.update(tail.subarray(0, -8));
    const fileChecksum = flaggedChecksum(this.#crc);
    this.#view.setBigUint64(this.#at + TAIL_SIZE - 8, fileChecksum);
    this.#at += TAIL_SIZE;
    const size = this.#handedOut + this.#at;
    this.#handOut();
    this.#summary = { header: this.#header, size, pageCount: this.#pageCount, fileChecksum };
    if (spare.length < SPARE_MAX) spare.push(this.#scratch);
    return this.#summary;
  }

  /** The rules of order; a page that passes may be written. */
  #check(pgno: number, data: Uint8Array): void {
    this.#checkUsable();
    const { commit, pageSize } = this.#header;
    if (pgno > commit)
      throw this.#refusal(`page ${pgno} is past the database size of ${commit} pages`);
    if (!(pgno >= 1) || !Number.isInteger(pgno)) throw this.#refusal(`${pgno} is no page number`);
    if (data.length !== pageSize) {
      throw this.#refusal(`page ${pgno} has ${data.length} bytes, the page size is ${pageSize}`);
    }
    if (pgno === this.#lock)
      throw this.#refusal(`page ${pgno} is the lock page, which is never stored`);
    if (pgno <= this.#last)
      throw this.#refusal(`page ${pgno} follows page ${this.#last}, out of order`);
    if (pgno > this.#required) throw this.#hole(pgno);
  }

  #checkUsable(): void {
    if (this.#summary !== undefined) throw this.#refusal("the file is finished");
    if (this.#broken) throw this.#refusal("its output failed before", "Begin the file again");
  }

  /** Writes and hashes the header of a frame whose payload of `length` bytes stands in its place in the chunk. */
  #begin(pgno: number, length: number): void {
    this.#view.setUint32(this.#at, pgno);
    this.#view.setUint16(this.#at + 4, PAGE_BLOCK);
    this.#view.setUint32(this.#at + PAGE_HEADER_SIZE, length);
    this.#crc.updateU32(pgno);
    this.#crc.updateU16(PAGE_BLOCK);
    this.#crc.updateU32(length);
  }

  /** Counts in a frame that is written and hashed. */
  #append(pgno: number, data: Uint8Array, length: number): void {
    const start = this.#at;
    this.#database?.toggle(pgno, data);
    const size = BLOCK_HEADER_SIZE + length;
    if (this.#indexAt + INDEX_ENTRY_MAX > this.#index.length) this.#growIndex();
    let at = putVarint(this.#index, this.#indexAt, pgno);
    at = putVarint(this.#index, at, this.#handedOut + start);
    this.#indexAt = putVarint(this.#index, at, size);
    this.#at = start + size;
    this.#pageCount++;
    this.#last = pgno;
    if (pgno === this.#required) this.#required = this.#after(pgno);
    if (this.#at >= this.#chunkSize) this.#handOut();
  }

  /** The page after `pgno`, the lock page skipped. */
  #after(pgno: number): number {
    return pgno + 1 === this.#lock ? pgno + 2 : pgno + 1;
  }

  #growIndex(): void {
    this.#indexChunks.push(this.#index.slice(0, this.#indexAt));
    this.#index = new Uint8Array(Math.min(INDEX_CHUNK_SIZE, this.#index.length * 4));
    this.#indexAt = 0;
  }

  #postApply(given: bigint | undefined): bigint {
    if (hasNoChecksum(this.#header)) {
      if (given === undefined || given === 0n) return 0n;
      throw this.#refusal(
        "a file without checksums cannot carry a post-apply checksum",
        "Leave it out, or clear the no-checksum flag",
      );
    }
    const known = this.#header.commit === 0 ? CHECKSUM_FLAG : this.#database?.value();
    const value = given ?? known;
    if (value === undefined) throw this.#refusal("the post-apply checksum is missing");
    if (!isChecksum(value)) throw this.#refusal("the post-apply checksum lacks its flag bit");
    if (known !== undefined && value !== known) {
      const wanted = known.toString(16);
      throw this.#refusal(
        `the post-apply checksum is ${value.toString(16)}, the pages give ${wanted}`,
      );
    }
    return value;
  }

  /** Appends hashed bytes of any length. */
  #copy(bytes: Uint8Array): void {
    this.#crc.update(bytes);
    this.#makeRoom(bytes.length);
    this.#chunk.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #makeRoom(length: number): void {
    if (this.#at + length <= this.#chunk.length) return;
    if (this.#at > 0 && this.#at + length > this.#chunkSize) this.#handOut();
    if (this.#at + length <= this.#chunk.length) return;
    const larger = new Uint8Array(Math.max(this.#chunkSize, this.#at + length));
    larger.set(this.#chunk.subarray(0, this.#at));
    this.#chunk = larger;
    this.#view = viewOf(larger);
  }

  /** Gives the current chunk away; the next one is allocated when it is needed. */
  #handOut(): void {
    const chunk = this.#chunk;
    const length = this.#at;
    this.#handedOut += length;
    this.#at = 0;
    this.#chunk = EMPTY;
    this.#view = viewOf(EMPTY);
    // The scratch is used again, and a view would keep a whole buffer alive: worth it only where most of it is used.
    const isMostlyUsed = chunk !== this.#scratch.chunk && length * 2 > chunk.length;
    this.#broken = true;
    this.#output(isMostlyUsed ? chunk.subarray(0, length) : chunk.slice(0, length));
    this.#broken = false;
  }

  #hole(next: number | undefined): LtxEncodeError {
    const { commit } = this.#header;
    const where = next === undefined ? "the file ends" : `page ${next} comes next`;
    const rule = isSnapshot(this.#header)
      ? `a snapshot must hold every page up to ${commit}`
      : `every page that is new in a database grown to ${commit} pages must be in the file`;
    return this.#refusal(`page ${this.#required} is missing: ${where}, but ${rule}`);
  }

  #refusal(what: string, next?: string): LtxEncodeError {
    const { minTxid, maxTxid } = this.#header;
    return new LtxEncodeError({ name: formatFileName(minTxid, maxTxid), what, next });
  }
}

const EMPTY = new Uint8Array(0);
const END_MARKER = new Uint8Array(PAGE_HEADER_SIZE);
/** The index's terminator and length, and the trailer. */
const TAIL_SIZE = 1 + INDEX_LENGTH_SIZE + LTX_TRAILER_SIZE;

/**
 * Encodes a whole file in memory.
 *
 * @param pages in ascending order; each is compressed before the next is asked for.
 * @throws {LtxEncodeError} as {@linkcode LtxEncoder} does.
 */
export function encodeLtx(
  header: LtxHeader,
  pages: Iterable<PageImage>,
  options: LtxEncoderOptions & { readonly postApplyChecksum?: bigint } = {},
): Uint8Array<ArrayBuffer> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const encoder = new LtxEncoder(header, (chunk) => chunks.push(chunk), options);
  for (const page of pages) encoder.encodePage(page.pgno, page.data);
  const { postApplyChecksum } = options;
  encoder.finish(postApplyChecksum === undefined ? {} : { postApplyChecksum });
  return chunks.length === 1 ? chunks[0]! : concatBytes(chunks);
}
