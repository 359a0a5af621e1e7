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
  ListenOptions,
  PageImage,
  PrepareMode,
} from "../core/commit-source.ts";
export {
  AbortedError,
  ClosedError,
  ERROR_CODES,
  type ErrorCode,
  type ErrorDetails,
  ImageOverrunError,
  InvalidArgumentError,
  InvalidDatabaseError,
  IoError,
  QuotaError,
  isPagestreamError,
  PagestreamError,
  TimeoutError,
  UnsupportedError,
  WalMismatchError,
} from "../core/errors.ts";
export type { BlockingReads, PageSource, PageView, PinOptions } from "../core/page-source.ts";
export type { Aborter, Clock, Platform } from "../core/platform.ts";
export { readWalIndexHeader, type WalIndexHeader, type WalIndexState } from "../core/wal-index.ts";
export {
  isInWalMode,
  type WalCommits,
  type WalDoubt,
  type WalFiles,
  WalTail,
} from "../core/wal-tail.ts";
export { DEFAULT_RETRY, type RetryPolicy } from "../core/retry.ts";
export type {
  FileIdentity,
  FileLock,
  OpenFile,
  OpenOptions,
  SyncFile,
  SyncFiles,
} from "../core/sync-files.ts";
export {
  CacheFullError,
  ConflictError,
  DamagedFileError,
  DatabaseBehindError,
  FollowPositionError,
  GapError,
  IntegrityError,
  LeaseHeldError,
  NoBackupError,
  OutcomeUnknownError,
  ReplicaBehindError,
  StagingFullError,
  TargetExistsError,
  TimestampNotAvailableError,
  TxidNotAvailableError,
} from "../replica/errors.ts";
export { COST_PRICES } from "../replica/cost-prices.ts";
export {
  type CostAllowance,
  type CostEstimate,
  type CostPrices,
  type CostProfile,
  estimateCost,
  type RequestCounts,
} from "../replica/cost.ts";
export type {
  Fleet,
  FleetDatabase,
  FleetDatabaseOptions,
  FleetDatabaseState,
  FleetEvent,
  FleetOptions,
  FleetReplica,
  FleetSource,
  FleetStatus,
} from "../replica/fleet.ts";
export type { FileSpan, Layout } from "../replica/layout.ts";
export type { WorkerPort } from "../replica/blocked-thread.ts";
export { blockingReads, type BlockingReadsOptions } from "../replica/blocking-reads.ts";
export { type BlockingUploader, blockingUploader } from "../replica/blocking-uploader.ts";
export type {
  LevelOptions,
  LevelsOptions,
  RetentionOptions,
  SnapshotOptions,
} from "../replica/levels.ts";
export type { WriterStanding } from "../replica/fence.ts";
export type { RecentFiles } from "../replica/maintenance-cache.ts";
export type { ScheduledTask, Scheduler, SchedulerOptions } from "../replica/scheduler.ts";
export type { LtxObject } from "../replica/upload-staged.ts";
export {
  fileState,
  type LocalState,
  type StagedWriter,
  stateDirectory,
} from "../replica/local-state.ts";
export type { PlannedFile, RestoreTarget } from "../replica/plan.ts";
export type { PositionToken } from "../replica/position-token.ts";
export type {
  ByteRange,
  FilesOptions,
  LtxFileInfo,
  NewLtxFile,
  Replica,
  ReplicaPosition,
  RetriedCall,
  UploadBody,
} from "../replica/replica.ts";
export type {
  CloseOptions,
  DestinationState,
  DestinationStatus,
  Durability,
  Position,
  ReplicateOptions,
  Replication,
  ReplicationEvent,
  ReplicationStats,
  SnapshotResult,
  WaitOptions,
} from "../replica/replication.ts";
export type { TimeInput } from "../replica/timestamps.ts";
export type { LegacyFile, LegacyPosition } from "../replica/legacy-layout.ts";
export type { PlannedLegacyFile } from "../replica/legacy-plan.ts";
export type {
  IndexStore,
  ReaderEvent,
  ReaderFollowing,
  ReaderRequest,
  ReaderStats,
  ReaderWait,
  ReplicaReader,
  ReplicaView,
  ViewOptions,
} from "../replica/reader.ts";
export type { RestorePoint } from "../replica/restore-points.ts";
export type { IntegrityCheck, RestoreSink, RestoreStart } from "../replica/restore-sink.ts";
export { type BytesFollowTarget, bytesFollowTarget } from "../replica/follow-bytes.ts";
export type { Follower, FollowEvent, FollowRequest } from "../replica/follow-options.ts";
export { type RedoFiles, redoFollowTarget } from "../replica/follow-redo.ts";
export type { CopyState, FollowStep, FollowTarget, NextState } from "../replica/follow-target.ts";
export { type CopyGuard, walFollowTarget, type WalTargetOptions } from "../replica/follow-wal.ts";
export {
  type BytesHydrationTarget,
  bytesHydrationTarget,
  type CopyFile,
  type CopyFiles,
  type HydrationTarget,
  syncFileHydrationTarget,
} from "../replica/hydrate-target.ts";
export {
  hydrate,
  type Hydrated,
  type HydrateOptions,
  type HydrationEvent,
  type HydrationProgress,
} from "../replica/hydrate.ts";
export { keepChoice, type SyncFileSinkOptions, syncFileSink } from "../replica/sync-file-sink.ts";
export {
  type Recovery,
  recoverFiles,
  refuseTarget,
  swapIn,
  temporaryPath,
} from "../replica/target-files.ts";
export {
  DecryptError,
  type DecryptReason,
  NotFoundError,
  PreconditionFailedError,
  StoreError,
} from "../transports/errors.ts";
export type {
  GetOptions,
  GetResult,
  ListOptions,
  LocalReads,
  ObjectInfo,
  ObjectMetadata,
  ObjectStore,
  PutOptions,
  PutResult,
  StoreCapabilities,
  WatchOptions,
} from "../transports/object-store.ts";
export {
  LtxChecksumError,
  LtxEncodeError,
  LtxFormatError,
  LtxUnsupportedError,
} from "../ltx/errors.ts";
export {
  DatabaseLockedError,
  ForeignAccessError,
  NotCapturedError,
  UnsupportedJournalModeError,
  VfsError,
} from "../vfs/errors.ts";
export { follow, type FollowOptions } from "./follow.ts";
export { type DatabaseFiles, type RestoreInto } from "./database-files.ts";
export type { Fingerprint } from "./fingerprint.ts";
export {
  type Flushing,
  flushOnHide,
  requestPersistence,
  type StorageGrant,
} from "./browser-page.ts";
export {
  callWriter,
  type CallWriterOptions,
  holdWriter,
  type HoldWriterOptions,
  type WriterHold,
} from "./hold-writer.ts";
export { opfsFiles } from "./opfs-files.ts";
export {
  openSahPool,
  type PausingPool,
  type SahPoolInstaller,
  type SahPoolOptions,
} from "./open-sah-pool.ts";
export { type OpfsFollowTarget, opfsFollowTarget } from "./opfs-follow-target.ts";
export type { OpfsDatabase } from "./opfs-handles.ts";
export { opfsFileSink, type OpfsSinkOptions, type SahPool, sahPoolSink } from "./opfs-sinks.ts";
export { opfsState } from "./opfs-state.ts";
export { opfsHydrationTarget } from "./opfs-hydration-target.ts";
export { type BytesSink, bytesSink, type BytesSinkOptions } from "./bytes-sink.ts";
export { createFleet } from "./create-fleet.ts";
export {
  compact,
  type CompactionOutcome,
  type CompactOptions,
  type CompactReplicaOptions,
  type LevelGap,
} from "./compact.ts";
export { type DeletedReplica, deleteReplica, type DeleteReplicaOptions } from "./delete-replica.ts";
export { listRestorePoints, type ListRestorePointsOptions } from "./list-restore-points.ts";
export {
  openReplicated,
  type OpenReplicatedOptions,
  type ReplicatedDatabase,
} from "./open-replicated.ts";
export { memoryDrill } from "./memory-drill.ts";
export { openReplica, type OpenReplicaOptions } from "./open-replica.ts";
export { openReplicaReader, type OpenReplicaReaderOptions } from "./open-replica-reader.ts";
export type { ReplicaTargets } from "./open-replicas.ts";
export {
  type LeaseStatus,
  type LevelStatus,
  type ReplicaStatus,
  replicaStatus,
  type ReplicaStatusOptions,
} from "./replica-status.ts";
export { replicate } from "./replicate.ts";
export {
  type LegacyRestored,
  restore,
  type RestoreOptions,
  type RestoreProgress,
  type RestoreRequest,
  type RestoreResult,
  type StateRequest,
} from "./restore.ts";
export {
  retain,
  type RetainOptions,
  type RetainReplicaOptions,
  type RetentionDecision,
  type RetentionPlan,
} from "./retain.ts";
export { restoreIfMissing } from "./restore-if-missing.ts";
export {
  type DrillDatabase,
  type DrillResult,
  type DrillRow,
  type DrillTarget,
  FAULT_CODES,
  type FaultCode,
  type Probe,
  type SqlProbe,
  type VerifiedLevel,
  verify,
  type VerifyFault,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  type VerifyRequest,
} from "./verify.ts";
export { webPlatform } from "../transports/web-platform.ts";
