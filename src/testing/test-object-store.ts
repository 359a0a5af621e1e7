/**
 * The contract of an object store as a test suite.
 *
 * @module
 */
import type { ObjectStore, StoreCapabilities } from "../transports/object-store.ts";
import { TIMESTAMP_METADATA } from "../transports/timestamp.ts";
import { conditionCases } from "./object-store-conditions.ts";
import { listCases } from "./object-store-listing.ts";
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
}

/** One test's view of the store: keys below a prefix of its own. */
export interface StoreCase {
  readonly store: ObjectStore;
  readonly can: StoreCapabilities;
  /** The full key of a name. */
  key(name: string): string;
  /** Names below this case's prefix, as the store lists them. */
  names(options?: { readonly prefix?: string; readonly startAfter?: string }): Promise<string[]>;
}

/** What the parts of the suite are written with. */
export interface StoreSuite extends TestKit {
  readonly manyObjects: number;
  readonly largeSize: number;
  /** Registers a test that gets a fresh prefix, whose objects are deleted afterwards. */
  readonly storeTest: (name: string, body: (context: StoreCase) => Promise<void>) => void;
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
    manyObjects: options.manyObjects ?? 1010,
    largeSize: options.largeSize ?? 5.5 * 1024 * 1024,
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

/** Metadata that holds a creation time. */
export function timed(text: string): Readonly<Record<string, string>> {
  return { [TIMESTAMP_METADATA]: text };
}

/** The bytes as a stream of unknown size, in chunks of these sizes in turn, all in one array that is used again. */
export async function* streamOf(
  bytes: Uint8Array,
  sizes: readonly number[],
): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = new Uint8Array(Math.max(...sizes));
  for (let offset = 0, i = 0; offset < bytes.length; i++) {
    const part = bytes.subarray(offset, offset + (sizes[i % sizes.length] as number));
    buffer.set(part);
    yield buffer.subarray(0, part.length);
    buffer.fill(0xee);
    offset += part.length;
  }
}
