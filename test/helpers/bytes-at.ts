/**
 * What lies in a store.
 *
 * @module
 */
import { readBody } from "../../src/testing/test-kit.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";

/** The bytes of an object. */
export async function bytesAt(store: ObjectStore, key: string): Promise<Uint8Array<ArrayBuffer>> {
  return await readBody((await store.get(key)).body);
}
