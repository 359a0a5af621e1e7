/**
 * What the parts of the object store contract are written with.
 *
 * @module
 */
import type { ObjectStore, StoreCapabilities } from "../transports/object-store.ts";
import { TIMESTAMP_METADATA, formatTimestamp } from "../transports/timestamp.ts";
import { buildLtx } from "./build-ltx.ts";
import { seededRandom } from "./seeded-random.ts";
import type { TestKit } from "./test-kit.ts";

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
  readonly races: number;
  /** Where the store has the time of an object from. */
  readonly timeFrom: "metadata" | "header";
  /** Whether names that begin with a dot show in a list. */
  readonly dotNames: boolean;
  /** Registers a test that gets a fresh prefix, whose objects are deleted afterwards. */
  readonly storeTest: (name: string, body: (context: StoreCase) => Promise<void>) => void;
  /** The same for races, which a suite without rounds leaves out. */
  readonly raceTest: StoreSuite["storeTest"];
}

/** Metadata that holds a creation time. */
export function timed(text: string): Readonly<Record<string, string>> {
  return { [TIMESTAMP_METADATA]: text };
}

/** An object and the time that `head` must tell of it. */
export interface TimedObject {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** An object with a time: any bytes, or an LTX file where the store reads the time from the header. */
export function timedObject(from: "metadata" | "header", ms: number, size: number): TimedObject {
  const bytes =
    from === "header"
      ? buildLtx({ pageSize: 512, pages: { 1: { seed: size } }, timestamp: ms }).bytes
      : seededRandom(size).bytes(size);
  return { bytes, metadata: timed(formatTimestamp(ms)) };
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
