/**
 * Files as object stores, restore targets and SQLite databases, on the `node:` modules that Node, Deno and Bun share.
 * For whoever brings Pagestream to a runtime; programs use `@pagestream/node`, `pagestream/deno` or `pagestream/bun`.
 *
 * @module
 */
export { type Closable, closeOnExit, type CloseOnExitOptions } from "./close-on-exit.ts";
export { fileDrillOf, type FileDrillOptions } from "./file-drill.ts";
export { type FileSinkOptions, fileSinkOf, recoverTargetOf } from "./file-sink.ts";
export { lockDatabase, type LockOptions } from "./file-lock.ts";
export { fileFollowTargetOf } from "./follow-target.ts";
export { fileSpool } from "./file-spool.ts";
export { fileStore, type FileStoreOptions } from "./file-store.ts";
export {
  type NativeConnection,
  type NativeDriver,
  type NativeOpenOptions,
  nodeSqliteDriver,
  preparing,
  type PreparedStatement,
  type PreparingDatabase,
} from "./native-driver.ts";
export { ExclusiveLockError, NotWalError, SecondLibraryError } from "./errors.ts";
export type { NativeHandle, NativeStatement, OpenNative } from "./native-handle.ts";
export { type NativeSqlite, nodeSqlite, type SqliteHandle } from "./native-sqlite.ts";
export {
  type NativeReplication,
  type NativeRuntime,
  replicateOn,
  type ReplicateNativeOptions,
  type ReplicateTarget,
} from "./replicate-native.ts";
export { storeFromConfig, storeFromUrl, withFiles } from "./store-from-url.ts";
export { syncFilesOf, type SyncFilesOptions } from "./sync-files.ts";
export { openWalFollower, type WalFollower, type WalFollowerOptions } from "./wal-follower.ts";
export type { WalCheckpoint } from "./wal-seal.ts";
export type { WatchFile } from "./wal-wakeups.ts";
