/**
 * The states a replica can give back.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { type Replica, openReplica } from "../replica/replica.ts";
import { listRestorePoints as list } from "../replica/list-restore-points.ts";
import type { RestorePoint } from "../replica/restore-points.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type { RestorePoint } from "../replica/restore-points.ts";

/** Options of {@linkcode listRestorePoints}. */
export interface ListRestorePointsOptions {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** Ends the listing with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Lists every TXID at which a restore is possible, newest first, and among them the states that Litestream 0.3 left, which
 * are restored by their times. Costs one listing per level and one more, and one request per file where the store's
 * listings do not tell exact times.
 */
export async function listRestorePoints(
  replica: ObjectStore | Replica,
  options: ListRestorePointsOptions = {},
): Promise<RestorePoint[]> {
  const { platform = webPlatform, signal } = options;
  return await list(openReplica(replica, { platform }), { signal });
}
