/**
 * The contracts and helpers that every other room builds on; no entry point of its own.
 *
 * @module
 */
export * from "./bytes.ts";
export * from "./commit-source.ts";
export * from "./database-header.ts";
export * from "./errors.ts";
export * from "./event-stream.ts";
export * from "./lock-page.ts";
export * from "./paths.ts";
export * from "./platform.ts";
export * from "./retry.ts";
export * from "./sync-files.ts";
export * from "./wal.ts";
export * from "./wal-reader.ts";
