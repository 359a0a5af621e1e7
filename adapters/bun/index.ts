/**
 * Pagestream on Bun: files as object stores, restore targets and SQLite databases.
 *
 * @module
 */
export { type Recovery, TargetExistsError } from "pagestream";
export { DatabaseLockedError } from "pagestream/vfs";
export {
  type Closable,
  closeOnExit,
  type CloseOnExitOptions,
  type FileDrillOptions,
  type FileSinkOptions,
  fileSpool,
  fileStore,
  type FileStoreOptions,
  storeFromConfig,
  storeFromUrl,
  type NativeHandle,
  type NativeReplication,
  type OpenNative,
  type ReplicateNativeOptions,
  SecondLibraryError,
  type SyncFilesOptions,
  type WalFollower,
} from "../files/index.ts";
export { fileDrill, fileFollowTarget, fileSink, recoverTarget, syncFiles } from "./files.ts";
export { replicate } from "./replicate.ts";
