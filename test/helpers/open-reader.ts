/**
 * Readers of replicas that a test opens.
 *
 * @module
 */
import { onTestFinished } from "vitest";
import { openReader, type ReaderOptions, type ReplicaReader } from "../../src/replica/reader.ts";
import { fakePlatform } from "../../src/testing/index.ts";
import { ONE_TRY } from "./one-try.ts";

/** Opens a reader that does not follow and repeats nothing, unless it is told to; the test closes it at its end. */
export async function openTestReader(
  store: Parameters<typeof openReader>[0],
  options: Partial<ReaderOptions> = {},
): Promise<ReplicaReader> {
  const platform = fakePlatform(1);
  const reader = await openReader(store, { platform, retry: ONE_TRY, follow: false, ...options });
  onTestFinished(() => reader.close());
  return reader;
}
