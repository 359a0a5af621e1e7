export * from "./clock.ts";
export * from "./commit-source.ts";
export * from "./errors.ts";
export * from "./sync-files.ts";
