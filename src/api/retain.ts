/**
 * Retention of a replica on demand.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { type Replica, openReplica } from "../replica/replica.ts";
import type { RetentionPlan } from "../replica/retention.ts";
import { type RetainReplicaOptions, retainReplica } from "../replica/retention-run.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type { RetainReplicaOptions } from "../replica/retention-run.ts";
export type { RetentionDecision, RetentionPlan } from "../replica/retention.ts";

/** Options of {@linkcode retain}. */
export interface RetainOptions extends RetainReplicaOptions {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
}

/**
 * Removes what a replica need not keep, as a running replication does by itself, or tells what that would be. Must not
 * run beside a writer whose retention differs: what this call removes, that one believes to be there.
 *
 * @example
 * ```ts
 * import { retain } from "pagestream";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const { decisions } = await retain(memoryStore(), { dryRun: true });
 * for (const { file, remove, reason } of decisions) console.log(file.key, remove, reason);
 * ```
 */
export async function retain(
  replica: ObjectStore | Replica,
  options: RetainOptions = {},
): Promise<RetentionPlan> {
  const { platform = webPlatform, ...rest } = options;
  return await retainReplica(openReplica(replica, { platform }), rest);
}
