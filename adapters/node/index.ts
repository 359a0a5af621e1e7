/**
 * Pagestream on Node: files as object stores, restore targets and SQLite databases.
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
  type NativeHandle,
  type NativeReplication,
  type OpenNative,
  type ReplicateNativeOptions,
  SecondLibraryError,
  type SyncFilesOptions,
  type WalFollower,
} from "pagestream/files-kit";
export { awsCredentials, type AwsCredentialsOptions } from "./aws-credentials.ts";
export { fileDrill, fileFollowTarget, fileSink, recoverTarget, syncFiles } from "./files.ts";
export { googleCredentials, type GoogleCredentialsOptions } from "./google-credentials.ts";
export { sftpStore, type SftpStoreOptions } from "./sftp.ts";
export { storeFromConfig, storeFromUrl } from "./store-from-url.ts";
export { replicate } from "./replicate.ts";
