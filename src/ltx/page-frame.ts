/**
 * A page frame: page header, payload length where the header says so, payload. Integers are big-endian.
 *
 * | offset | size | field |
 * | ---: | ---: | --- |
 * | 0 | 4 | page number; 0 (with flags 0) ends the page block |
 * | 4 | 2 | flags: bit 0 set: a length and an LZ4 block follow; clear: an LZ4 frame follows |
 * | 6 | 4 | payload length, with bit 0 set only |
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { isValidPageSize } from "../core/database-header.ts";
import { InvalidArgumentError } from "../core/errors.ts";
import { LtxFormatError } from "./errors.ts";
import { lz4CompressBound } from "./lz4-block.ts";
import { decodeLz4Frame, lz4FrameBound, Lz4FrameWalk } from "./lz4-frame.ts";
import { pageKernel } from "./wasm-kernel.ts";

/** Length of a page header in bytes. */
export const PAGE_HEADER_SIZE = 6;

/** Page flag: a length and an LZ4 block follow the page header. */
export const PAGE_BLOCK = 1;

/** Length of a page header with the payload length that follows it under {@linkcode PAGE_BLOCK}. */
export const BLOCK_HEADER_SIZE = 10;

/** The most bytes that any page frame can take. */
export const FRAME_SIZE_MAX: number = PAGE_HEADER_SIZE + lz4FrameBound(65536);

/** The first six bytes of a page frame. */
export interface PageHeader {
  /** Page number, from 1. */
  readonly pgno: number;
  /** 0 or {@linkcode PAGE_BLOCK}. */
  readonly flags: number;
}

/** Where a page header stands, for errors. */
export interface PageHeaderOptions {
  /** What to call the file. */
  readonly name?: string;
  /** Offset of the page header in the file. @default 0 */
  readonly offset?: number;
}

/**
 * Checks a page header; the end marker is none.
 *
 * @throws {LtxFormatError} naming field and offset.
 */
export function validatePageHeader(header: PageHeader, options: PageHeaderOptions = {}): void {
  const { name = "LTX page header", offset = 0 } = options;
  if (header.pgno === 0)
    throw new LtxFormatError({ name, field: "pgno", offset, what: "the page number is 0" });
  if ((header.flags & ~PAGE_BLOCK) !== 0) {
    const what = `page flags 0x${header.flags.toString(16).padStart(4, "0")} are not known`;
    throw new LtxFormatError({ name, field: "pageFlags", offset: offset + 4, what });
  }
}

/** The six bytes of a page header. */
export function encodePageHeader(header: PageHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PAGE_HEADER_SIZE);
  const view = viewOf(bytes);
  view.setUint32(0, header.pgno);
  view.setUint16(4, header.flags);
  return bytes;
}

/**
 * Decodes the page header at the start of `bytes` without validating it; keeps nothing.
 *
 * @throws {LtxFormatError} when the bytes are too few.
 */
export function decodePageHeader(bytes: Uint8Array, options: PageHeaderOptions = {}): PageHeader {
  const { name = "LTX page header", offset = 0 } = options;
  if (bytes.length < PAGE_HEADER_SIZE) {
    throw new LtxFormatError({
      name,
      field: "pageHeader",
      offset: offset + bytes.length,
      what: `${bytes.length} bytes are too few for a page header of ${PAGE_HEADER_SIZE}`,
    });
  }
  const view = viewOf(bytes);
  return { pgno: view.getUint32(0), flags: view.getUint16(4) };
}

/**
 * Decodes one page frame that was fetched alone by its place in the page index. `bytes` must be exactly the frame.
 * Returns a page of its own; keeps nothing. The content of a block has no checksum on this path.
 *
 * @throws {LtxFormatError} when the header, the lengths or the payload are wrong.
 */
export function decodeFrame(
  bytes: Uint8Array,
  pageSize: number,
  name = "LTX page frame",
): { readonly pgno: number; readonly data: Uint8Array<ArrayBuffer> } {
  if (!isValidPageSize(pageSize)) {
    throw new InvalidArgumentError({
      operation: "decode",
      object: name,
      what: `page size ${pageSize} is no power of two from 512 to 65536`,
    });
  }
  const data = new Uint8Array(pageSize);
  return { pgno: decodeFrameInto(bytes, data, name), data };
}

/** As {@linkcode decodeFrame}, into `page`, whose length is a page size. Returns the page number. */
export function decodeFrameInto(bytes: Uint8Array, page: Uint8Array, name: string): number {
  const pageSize = page.length;
  const header = decodePageHeader(bytes, { name });
  validatePageHeader(header, { name });
  const fail = (field: string, offset: number, what: string): never => {
    throw new LtxFormatError({
      name,
      field,
      offset,
      what: `${what} in the frame of page ${header.pgno}`,
    });
  };
  if ((header.flags & PAGE_BLOCK) !== 0) {
    if (bytes.length < BLOCK_HEADER_SIZE)
      fail("payloadSize", bytes.length, "the payload length is cut off");
    const length = viewOf(bytes).getUint32(PAGE_HEADER_SIZE);
    if (length > lz4CompressBound(pageSize)) {
      fail(
        "payloadSize",
        PAGE_HEADER_SIZE,
        `a payload of ${length} bytes is longer than a page can take`,
      );
    }
    if (bytes.length !== BLOCK_HEADER_SIZE + length) {
      fail(
        "payloadSize",
        PAGE_HEADER_SIZE,
        `${bytes.length} bytes do not hold a payload of ${length}`,
      );
    }
    const written = pageKernel().decompressPage(bytes.subarray(BLOCK_HEADER_SIZE), page);
    if (written !== pageSize)
      fail("payload", BLOCK_HEADER_SIZE, `the LZ4 block ${blockProblem(written, pageSize)}`);
  } else {
    const frame = bytes.subarray(PAGE_HEADER_SIZE);
    const walk = new Lz4FrameWalk(pageSize);
    const length = walk.advance(frame);
    if (length < 0) fail("payload", PAGE_HEADER_SIZE + walk.walked, walk.problem);
    if (length > frame.length) fail("payload", bytes.length, "the LZ4 frame is cut off");
    if (length < frame.length)
      fail("payload", PAGE_HEADER_SIZE + length, "bytes follow the LZ4 frame");
    const problem = decodeLz4Frame(frame, page);
    if (problem !== undefined) fail("payload", PAGE_HEADER_SIZE, problem);
  }
  return header.pgno;
}

/** What is wrong with a block that decoded to `written` bytes (-1: not at all) instead of a page. */
export function blockProblem(written: number, pageSize: number): string {
  return written < 0
    ? `is damaged or decodes to more than a page of ${pageSize} bytes`
    : `decodes to ${written} bytes, a page has ${pageSize}`;
}
