/**
 * Contract suites, fakes and builders: what our own tests use, and what the tests of a new store can use.
 *
 * @module
 */
export * from "./fake-clock.ts";
export * from "./fake-platform.ts";
export * from "./seeded-random.ts";
export { type ObjectStoreTestOptions, testObjectStore } from "./test-object-store.ts";
export * from "./test-kit.ts";
