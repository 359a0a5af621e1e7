/**
 * Pagestream: Litestream-compatible replication and disaster recovery for SQLite, inside the process that writes it.
 *
 * @module
 */
export type {
  CommitListener,
  CommitSource,
  CommittedPages,
  CommittedTransaction,
  DatabaseImage,
  ImageOptions,
  PageImage,
} from "../core/commit-source.ts";
export {
  AbortedError,
  ClosedError,
  ERROR_CODES,
  type ErrorCode,
  type ErrorDetails,
  InvalidArgumentError,
  InvalidDatabaseError,
  IoError,
  isPagestreamError,
  PagestreamError,
  TimeoutError,
  UnsupportedError,
} from "../core/errors.ts";
export type { Aborter, Clock, Platform } from "../core/platform.ts";
export { DEFAULT_RETRY, type RetryPolicy } from "../core/retry.ts";
export type {
  FileIdentity,
  FileLock,
  OpenOptions,
  SyncFile,
  SyncFiles,
} from "../core/sync-files.ts";
export type { IntegrityCheck, RestoreSink, RestoreStart } from "../replica/restore-sink.ts";
export { NotFoundError, PreconditionFailedError, StoreError } from "../transports/errors.ts";
export type {
  GetOptions,
  GetResult,
  ListOptions,
  ObjectInfo,
  ObjectMetadata,
  ObjectStore,
  PutOptions,
  PutResult,
  StoreCapabilities,
} from "../transports/object-store.ts";
export { webPlatform } from "./web-platform.ts";
