/**
 * The contract of a store that can only be read, over what another one has written in the same place.
 *
 * @module
 */
import { checkPutOptions } from "../transports/body.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { failure } from "./test-kit.ts";
import { type ObjectStoreTestOptions, testObjectStore } from "./test-object-store.ts";

/** Two ways to one place. */
export interface ReadableStorePair {
  /** The store under test. */
  readonly reader: ObjectStore;
  /** Writes what the other reads. */
  readonly writer: ObjectStore;
}

/**
 * Registers the tests of {@linkcode testObjectStore} for reading and listing, and that writing is refused.
 *
 * @example
 * ```ts ignore
 * import { testReadableStore } from "pagestream/testing";
 * import { fileStore } from "@pagestream/node";
 * import { httpStore } from "pagestream/transports/http";
 * import { describe, expect, test } from "vitest";
 *
 * const pair = { reader: httpStore("http://127.0.0.1:8080"), writer: fileStore("/srv/www") };
 * testReadableStore(() => pair, { describe, test, expect, timeFrom: "header" });
 * ```
 */
export function testReadableStore(
  make: () => ReadableStorePair | Promise<ReadableStorePair>,
  options: ObjectStoreTestOptions,
): void {
  const { describe, test, expect, name = "readable store contract" } = options;
  describe(name, () => {
    test("put() and delete() are refused", async () => {
      const { reader } = await make();
      expect(await failure(() => reader.put("a", new Uint8Array(1)))).toBe("UNSUPPORTED");
      expect(await failure(() => reader.delete(["a"]))).toBe("UNSUPPORTED");
      expect(await failure(() => reader.deleteOne("a"))).toBe("UNSUPPORTED");
    });
    testObjectStore(async () => together(await make()), { ...options, name: "reading" });
  });
}

/** A store that writes by the one and reads by the other; conditions are the reader's to refuse. */
function together({ reader, writer }: ReadableStorePair): ObjectStore {
  return {
    type: reader.type,
    description: reader.description,
    capabilities: reader.capabilities,
    get: (key, options) => reader.get(key, options),
    head: (key, options) => reader.head(key, options),
    list: (options) => reader.list(options),
    async put(key, body, options = {}) {
      checkPutOptions(key, options);
      if (options.ifNoneMatch !== undefined || options.ifMatch !== undefined) {
        return await reader.put(key, body, options);
      }
      await writer.put(key, body, options);
      const { etag, lastModified } = await reader.head(key);
      return { etag, lastModified };
    },
    delete: (keys, options) => writer.delete(keys, options),
    deleteOne: (key, options = {}) =>
      options.ifMatch === undefined
        ? writer.deleteOne(key, options)
        : reader.deleteOne(key, options),
  };
}
