export * from "./commit-source.ts";
export * from "./errors.ts";
export * from "./event-stream.ts";
export * from "./platform.ts";
export * from "./retry.ts";
export * from "./sync-files.ts";
