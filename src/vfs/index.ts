/**
 * VFSes for sqlite-wasm: two that store files, and one over any VFS that captures commits.
 *
 * @module
 */
export {
  attachCapture,
  type AttachCaptureOptions,
  type AttachedCapture,
} from "./attach-capture.ts";
export { type CaptureVfs, type CaptureVfsOptions, installCaptureVfs } from "./capture-vfs.ts";
export type { DatabaseHandle } from "./captured-source.ts";
export * from "./errors.ts";
export { patchWorkerd, type PatchWorkerdOptions } from "./patch-workerd.ts";
export { type FileSource, type FileSourceOptions, openFileSource } from "./file-source.ts";
export { installMemoryVfs, type MemoryVfs, type MemoryVfsOptions } from "./memory-vfs.ts";
export type * from "./sqlite3.ts";
export { installSyncFileVfs, type SyncFileVfs, type SyncFileVfsOptions } from "./sync-file-vfs.ts";
