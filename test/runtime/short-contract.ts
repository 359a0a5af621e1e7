/**
 * The part of the contract of stores that depends on where it runs: on `fetch`, streams and sockets of a runtime, and on
 * how requests are signed. The rest depends on the store and its server, for which the whole contract runs elsewhere.
 *
 * @module
 */
import type { TestKit } from "pagestream/testing";

/** How the names of these tests begin. */
const BEGINNINGS = [
  "get() returns what put() wrote",
  "get() returns an empty object",
  "get() and head() of a missing key",
  "get() returns ranges",
  "get() reads the version that ifMatch names",
  "get() can be cancelled",
  "every call fails with ABORTED",
  "put() takes keys with every character",
  "put() takes a large object",
  "put() and get() can run side by side",
  "put() takes a stream of unknown size",
  "put() takes a large stream",
  "put() leaves nothing of a large stream",
  "put() ends at once when it is aborted",
  "deleteOne() removes one object",
  "put() with ifNoneMatch creates",
  "put() with ifNoneMatch never replaces by a large stream",
  "put() with ifMatch replaces",
  "deleteOne() with ifMatch",
  "list() yields keys in order",
  "list() can be left early",
  "list() and delete() handle",
  "watch() announces",
  "watch() can be left early",
] as const;

/** Tests of the short contract. */
export const SHORT_CONTRACT_TESTS: number = BEGINNINGS.length;

/** A test runner that runs these tests of the contract alone. */
export function shortContract<Kit extends TestKit>(kit: Kit): Kit {
  return {
    ...kit,
    test(name: string, body: () => void | Promise<void>) {
      if (BEGINNINGS.some((beginning) => name.startsWith(beginning))) kit.test(name, body);
    },
  };
}
