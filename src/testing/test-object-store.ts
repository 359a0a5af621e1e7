/**
 * The contract of an object store as a test suite.
 *
 * @module
 */
import type { ObjectStore } from "../transports/object-store.ts";
import { conditionCases } from "./object-store-conditions.ts";
import { listCases } from "./object-store-listing.ts";
import type { StoreCase, StoreSuite } from "./object-store-suite.ts";
import { readCases } from "./object-store-reading.ts";
import { writeCases } from "./object-store-writing.ts";
import { collect, type TestKit } from "./test-kit.ts";

/** A test runner and what to ask of the store. */
export interface ObjectStoreTestOptions extends TestKit {
  /** Title of the suite. @default the store's type and the word contract */
  readonly name?: string | undefined;
  /** Objects in the test of long listings and batched deletion; more than a page of the store. @default 1010 */
  readonly manyObjects?: number | undefined;
  /** Size in bytes of the largest object, more than a part of the store. @default 5.5 MiB */
  readonly largeSize?: number | undefined;
  /**
   * Rounds of racing writers. A server that queues them may take seconds for each; where another suite races against the
   * same server, 0 leaves them out. @default 5
   */
  readonly races?: number | undefined;
  /**
   * Where the store has the time of an object from: the metadata it was put with, or the header of an LTX file, where the
   * server keeps no metadata. @default "metadata"
   */
  readonly timeFrom?: "metadata" | "header" | undefined;
  /** Whether names that begin with a dot show in a list; no key of a replica has one. @default true */
  readonly dotNames?: boolean | undefined;
}

/**
 * Registers the tests that every store must pass. A capability that the store says it lacks is not skipped: the suite
 * then asks that the store refuses.
 *
 * `make` is called once per test and may return the same store each time: each test uses keys of its own and deletes
 * them at its end.
 *
 * @example
 * ```ts ignore
 * import { testObjectStore } from "pagestream/testing";
 * import { memoryStore } from "pagestream/transports/memory";
 * import { describe, expect, test } from "vitest";
 *
 * testObjectStore(() => memoryStore(), { describe, test, expect });
 * ```
 */
export function testObjectStore(
  make: () => ObjectStore | Promise<ObjectStore>,
  options: ObjectStoreTestOptions,
): void {
  const { describe, test, expect } = options;
  // Objects of an earlier run that was killed must not disturb this one.
  const run = `t${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`;
  let count = 0;
  const storeTest: StoreSuite["storeTest"] = (name, body) => {
    const prefix = `${run}/${++count}/`;
    test(name, async () => {
      const store = await make();
      try {
        await body(storeCase(store, prefix));
      } finally {
        const left = await collect(store.list({ prefix }));
        await store.delete(left.map((object) => object.key));
      }
    });
  };
  const suite: StoreSuite = {
    describe,
    test,
    expect,
    storeTest,
    raceTest: options.races === 0 ? () => undefined : storeTest,
    manyObjects: options.manyObjects ?? 1010,
    largeSize: options.largeSize ?? 5.5 * 1024 * 1024,
    races: options.races ?? 5,
    timeFrom: options.timeFrom ?? "metadata",
    dotNames: options.dotNames ?? true,
  };
  describe(options.name ?? "object store contract", () => {
    readCases(suite);
    writeCases(suite);
    conditionCases(suite);
    listCases(suite);
  });
}

function storeCase(store: ObjectStore, prefix: string): StoreCase {
  return {
    store,
    can: store.capabilities,
    key: (name) => prefix + name,
    async names(options = {}) {
      const listed = await collect(
        store.list({
          prefix: prefix + (options.prefix ?? ""),
          startAfter: options.startAfter === undefined ? undefined : prefix + options.startAfter,
        }),
      );
      return listed.map((object) => object.key.slice(prefix.length));
    },
  };
}
