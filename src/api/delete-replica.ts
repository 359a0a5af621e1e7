/**
 * Removing a replica.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { type DeletedReplica, deleteReplicaFiles } from "../replica/delete-replica.ts";
import { type Replica, openReplica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type { DeletedReplica } from "../replica/delete-replica.ts";

/** Options of {@linkcode deleteReplica}. */
export interface DeleteReplicaOptions {
  /** The `description` of the store: proof that this one is meant. */
  readonly confirm: string;
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** Ends listing and removing with `AbortedError`; files already removed stay so. */
  readonly signal?: AbortSignal | undefined;
}

/** Removes every LTX file of a replica, and nothing else in the store. */
export async function deleteReplica(
  replica: ObjectStore | Replica,
  options: DeleteReplicaOptions,
): Promise<DeletedReplica> {
  const { platform = webPlatform, confirm, signal } = options;
  return await deleteReplicaFiles(openReplica(replica, { platform }), { confirm, signal });
}
