/**
 * `openReplicaReader`: a replica read page by page.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { ReaderRequest, ReplicaReader } from "../replica/reader-options.ts";
import { openReader } from "../replica/reader.ts";
import type { Replica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

/** Options of {@linkcode openReplicaReader}. */
export interface OpenReplicaReaderOptions extends ReaderRequest {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** How often and how long each request is tried. @default six tries within 15 seconds */
  readonly retry?: RetryPolicy | undefined;
}

/**
 * Opens a replica to be read page by page, without restoring it, and follows it until `close`.
 *
 * Only the page indexes of its files are read at first; pages come when they are fetched, with what a scan is likely to
 * want next, into one cache for all states. A view is a state and never changes: the newest is `latest`, one of the past
 * comes from `viewAt`. `openReplicaDatabase` of `pagestream/vfs` puts SQL on top, and any number of its databases can share
 * one reader.
 *
 * @example
 * ```ts
 * import { openReplicaReader } from "pagestream";
 * import { buildLtx } from "pagestream/testing";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const store = memoryStore();
 * const file = buildLtx({ pages: { 1: 0xaa, 2: 0xbb } });
 * await store.put(`ltx/0/${file.name}`, file.bytes);
 *
 * await using reader = await openReplicaReader(store);
 * const view = reader.latest;
 * await reader.fetch(view, [2]);
 * console.log(view.txid, view.commit, reader.peek(view, 2)?.[0]); // 1n 2 187
 * ```
 */
export function openReplicaReader(
  replica: ObjectStore | Replica,
  options: OpenReplicaReaderOptions = {},
): Promise<ReplicaReader> {
  return openReader(replica, { ...options, platform: options.platform ?? webPlatform });
}
