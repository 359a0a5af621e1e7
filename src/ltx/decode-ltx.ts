/**
 * Decodes a whole file in memory.
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import type { PageImage } from "../core/commit-source.ts";
import { LtxDecoder } from "./decoder.ts";
import type { LtxHeader } from "./header.ts";
import { decodePageIndex, INDEX_LENGTH_SIZE, type PageIndex } from "./page-index.ts";
import { LTX_TRAILER_SIZE, type LtxTrailer } from "./trailer.ts";

/** A whole file, decoded and verified. */
export interface DecodedLtx {
  /** Sizes, range and time, validated. */
  readonly header: LtxHeader;
  /** The pages in the file's order, each in memory of its own. */
  readonly pages: PageImage[];
  /** The two checksums the file was verified against. */
  readonly trailer: LtxTrailer;
  /** Where the frame of each page lies, verified against the frames. */
  readonly index: PageIndex;
}

/**
 * Decodes and verifies a file in memory. Keeps nothing of `bytes`. Errors as {@linkcode LtxDecoder.next}.
 */
export function decodeLtx(bytes: Uint8Array, options: { readonly name?: string } = {}): DecodedLtx {
  const decoder = new LtxDecoder(options);
  decoder.push(bytes);
  decoder.end();
  const pages: PageImage[] = [];
  while (decoder.next() === "page") pages.push({ pgno: decoder.pgno, data: decoder.data.slice() });
  const end = bytes.length - LTX_TRAILER_SIZE;
  const length = Number(viewOf(bytes).getBigUint64(end - INDEX_LENGTH_SIZE));
  const offset = end - INDEX_LENGTH_SIZE - length;
  const index = decodePageIndex(bytes.subarray(offset, end), { ...options, offset });
  return { header: decoder.header, pages, trailer: decoder.trailer, index };
}
