/**
 * Pagestream on Node: files as object stores, restore targets and SQLite databases.
 *
 * @module
 */
export { DatabaseLockedError, TargetExistsError } from "./errors.ts";
export { fileStore, type FileStoreOptions } from "./file-store.ts";
export { syncFiles, type SyncFilesOptions } from "./sync-files.ts";
