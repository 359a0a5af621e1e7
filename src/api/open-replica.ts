/**
 * `openReplica`: a replica as an object of its own, for whoever asks it more than one question.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import { openReplica as open, type Replica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

/** Options of {@linkcode openReplica}. */
export interface OpenReplicaOptions {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** How often and how long each request is tried. @default ten tries within two minutes per request */
  readonly retry?: RetryPolicy | undefined;
}

/**
 * Gives a store Litestream's names, levels and times. Every function that takes a store takes the result too.
 *
 * @example
 * ```ts
 * import { openReplica } from "pagestream";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const replica = openReplica(memoryStore());
 * const { maxTxid } = await replica.position(); // 0n: nothing there yet
 * ```
 */
export function openReplica(
  store: ObjectStore | Replica,
  options: OpenReplicaOptions = {},
): Replica {
  return open(store, { platform: options.platform ?? webPlatform, retry: options.retry });
}
