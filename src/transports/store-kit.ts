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
export { type Fetch, HttpClient, type HttpOptions, RedirectError } from "./http-client.ts";
export { type HttpRequest, HttpResponse, type ResponseContext } from "./http-response.ts";
export { retryAfterMs, type ServerFailure, statusError } from "./http-status.ts";
export type * from "./object-store.ts";
export { type BodyPart, bodyParts, inParallel } from "./parts.ts";
export { checkKey, checkPrefix, isKey } from "./path-rules.ts";
export { PROBE_KEY, probeConditions, type ProbedConditions, type ProbeRequests } from "./probe.ts";
export { formatTimestamp, parseTimestamp, TIMESTAMP_METADATA } from "./timestamp.ts";
