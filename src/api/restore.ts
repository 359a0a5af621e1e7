/**
 * Restoring a database from its replica.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { Replica } from "../replica/replica.ts";
import type { RestoreRequest, RestoreResult } from "../replica/restore-options.ts";
import type { RestoreSink } from "../replica/restore-sink.ts";
import { restoreReplica } from "../replica/restore.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type {
  LegacyRestored,
  RestoreProgress,
  RestoreRequest,
  RestoreResult,
  StateRequest,
} from "../replica/restore-options.ts";

/** Options of {@linkcode restore}. */
export interface RestoreOptions extends RestoreRequest {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** How often and how long each request is tried. @default ten tries within two minutes per request */
  readonly retry?: RetryPolicy | undefined;
}

/**
 * Restores a state of a replica: the newest, the one at a TXID, or the one at a time.
 *
 * What Litestream 0.3 left is restored too, by its times: where a replica holds both layouts, the one with the newest file
 * not after the wanted time.
 *
 * Nothing is visible at the target before every file has been read to its end and verified. A state that cannot be
 * given exactly is an error that names the nearest ones, never other data.
 *
 * @example
 * ```ts ignore
 * import { bytesSink, restore } from "pagestream";
 *
 * const sink = bytesSink();
 * const { txid, time } = await restore(store, sink, { timestamp: "5 minutes ago" });
 * console.log(txid, time, sink.bytes.length);
 * ```
 */
export function restore(
  replica: ObjectStore | Replica,
  sink: RestoreSink,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  return restoreReplica(replica, sink, { ...options, platform: options.platform ?? webPlatform });
}
