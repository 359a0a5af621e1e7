/**
 * Pagestream on Node: files as object stores, restore targets and SQLite databases.
 *
 * @module
 */
export { TargetExistsError } from "pagestream";
export { DatabaseLockedError } from "pagestream/vfs";
export { type Closable, closeOnExit, type CloseOnExitOptions } from "./close-on-exit.ts";
export { fileSink, type FileSinkOptions, recoverTarget } from "./file-sink.ts";
export { fileStore, type FileStoreOptions } from "./file-store.ts";
export { syncFiles, type SyncFilesOptions } from "./sync-files.ts";
export type { Recovery } from "pagestream";
