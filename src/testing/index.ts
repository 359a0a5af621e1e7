/**
 * Contract suites, fakes and builders: what our own tests use, and what the tests of a new store can use.
 *
 * @module
 */
export * from "./build-ltx.ts";
export * from "./fake-clock.ts";
export * from "./fake-platform.ts";
export * from "./faulty-store.ts";
export * from "./memory-sync-files.ts";
export * from "./seeded-random.ts";
export * from "./test-kit.ts";
export {
  type CommitSourceCase,
  type CommitSourceTestOptions,
  testCommitSource,
} from "./test-commit-source.ts";
export { type ObjectStoreTestOptions, testObjectStore } from "./test-object-store.ts";
export { type LocalStateTestOptions, testLocalState } from "./test-local-state.ts";
export * from "./test-sync-files.ts";
export { type ReadableStorePair, testReadableStore } from "./test-readable-store.ts";
