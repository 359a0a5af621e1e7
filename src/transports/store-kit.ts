/**
 * What object stores share: rules for keys, bodies and times, and the errors of the contract. For whoever writes one.
 *
 * @module
 */
export { throwIfAborted } from "../core/errors.ts";
export {
  type BodyContext,
  bodyChunks,
  type ByteRange,
  byteRange,
  checkPutOptions,
  collectBody,
} from "./body.ts";
export * from "./errors.ts";
export type * from "./object-store.ts";
export { checkKey, checkPrefix, isKey } from "./path-rules.ts";
export { formatTimestamp, parseTimestamp, TIMESTAMP_METADATA } from "./timestamp.ts";
