/**
 * The LTX file format: encode, decode, verify and merge files that Litestream 0.5 reads and writes.
 *
 * @module
 */
export { isPagestreamError } from "../core/errors.ts";
export * from "./checksum.ts";
export * from "./crc64.ts";
export * from "./decode-ltx.ts";
export * from "./decoder.ts";
export * from "./encoder.ts";
export * from "./errors.ts";
export * from "./file-name.ts";
export {
  decodeHeader,
  encodeHeader,
  hasNoChecksum,
  isSnapshot,
  LTX_HEADER_SIZE,
  LTX_NO_CHECKSUM,
  type LtxHeader,
  replicaHeader,
  type ReplicaHeaderFields,
  validateHeader,
} from "./header.ts";
export * from "./lz4-block.ts";
export { decodeLz4Frame, LZ4_FRAME_MAGIC, lz4FrameBound, Lz4FrameWalk } from "./lz4-frame.ts";
export * from "./merge.ts";
export {
  BLOCK_HEADER_SIZE,
  decodeFrame,
  decodePageHeader,
  encodePageHeader,
  PAGE_BLOCK,
  PAGE_HEADER_SIZE,
  type PageHeader,
  type PageHeaderOptions,
  validatePageHeader,
} from "./page-frame.ts";
export {
  decodePageIndex,
  encodePageIndex,
  LTX_SIZE_MIN,
  type PageIndex,
  type PageIndexOptions,
  type PageIndexSource,
  readPageIndex,
} from "./page-index.ts";
export * from "./trailer.ts";
