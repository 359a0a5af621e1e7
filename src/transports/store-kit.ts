/**
 * What object stores share: rules for keys, bodies and times, and the errors of the contract. For whoever writes one.
 *
 * @module
 */
export { throwIfAborted } from "../core/errors.ts";
export { abortable, type AbortableWait } from "../core/abortable.ts";
export {
  type AccessToken,
  exchangeToken,
  tokenCache,
  type TokenCache,
  type TokenExchange,
  type TokenRequest,
  type TokenSource,
} from "./access-token.ts";
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
export {
  type AskedRange,
  askedRange,
  emptyBody,
  emptyRange,
  rangedBody,
  type RangedBody,
} from "./http-range.ts";
export {
  type AnswerHead,
  type HttpRequest,
  HttpResponse,
  type ResponseContext,
} from "./http-response.ts";
export { retryAfterMs, type ServerFailure, statusError } from "./http-status.ts";
export { asObject, type JsonObject, listField, parseJson, textField } from "./json.ts";
export {
  checkEndpoint,
  encodeName,
  encodePath,
  encodeQuery,
  type KeyPath,
  keyPath,
} from "./location.ts";
export { headerMetadata, isLtxKey, LTX_HEADER_SIZE, readHeader } from "./ltx-time.ts";
export type * from "./object-store.ts";
export { PROBE_KEY } from "./object-store.ts";
export { type BodyPart, bodyParts, inParallel } from "./parts.ts";
export { checkKey, checkPrefix, isKey } from "./path-rules.ts";
export {
  getPlain,
  headLtx,
  headPlain,
  type PlainInfo,
  type PlainRequest,
  type PlainResult,
  type Send,
  versionTag,
} from "./plain-object.ts";
export { type Passing, StoreTraits } from "./store-traits.ts";
export { probeConditions, type ProbedConditions, type ProbeRequests } from "./probe.ts";
export {
  type Spool,
  type SpooledBody,
  type WholeBody,
  wholeBody,
  type WholeBodyOptions,
} from "./spool.ts";
export { similarName } from "./suggest.ts";
export { formatTimestamp, parseTimestamp, TIMESTAMP_METADATA } from "./timestamp.ts";
export {
  checkFileKey,
  type FolderEntry,
  TEMP_NAME,
  tempName,
  type TreeFile,
  walkTree,
  type WalkOptions,
} from "./tree-walk.ts";
