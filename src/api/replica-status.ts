/**
 * `replicaStatus`: how a replica stands.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { openReplica, type Replica } from "../replica/replica.ts";
import { readStatus, type ReplicaStatus } from "../replica/status.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type { LeaseStatus, LevelStatus, ReplicaStatus } from "../replica/status.ts";

/** Options of {@linkcode replicaStatus}. */
export interface ReplicaStatusOptions {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** Ends the requests with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Says how far a replica has come, what its levels hold, how old its newest snapshot is, who holds its lease, what its
 * pointer says, and whether it is encrypted. Reads no file: `verify` does. Costs one listing and three to five requests; an
 * empty place is a `NoBackupError`.
 */
export function replicaStatus(
  replica: ObjectStore | Replica,
  options: ReplicaStatusOptions = {},
): Promise<ReplicaStatus> {
  const { platform = webPlatform, signal } = options;
  return readStatus(openReplica(replica, { platform }), { signal });
}
