/**
 * Compaction of a replica on demand.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { type CompactReplicaOptions, compactReplica } from "../replica/compact.ts";
import type { CompactionOutcome } from "../replica/compactor.ts";
import { type Replica, openReplica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type { LevelGap } from "../replica/compactor-plan.ts";
export type { CompactReplicaOptions } from "../replica/compact.ts";
export type { CompactionOutcome } from "../replica/compactor.ts";

/** Options of {@linkcode compact}. */
export interface CompactOptions extends CompactReplicaOptions {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
}

/**
 * Merges the files of each level into one file of the next, as a running replication does by itself at every boundary.
 * Safe beside it: a file is created only where none is, and nothing is removed; but since neither knows of the other, a
 * level may then hold some TXIDs twice, which whoever reads it skips.
 *
 * @example
 * ```ts
 * import { compact } from "pagestream";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * for (const outcome of await compact(memoryStore())) {
 *   if (outcome.type === "compacted") console.log(outcome.level, outcome.file.key);
 * }
 * ```
 */
export async function compact(
  replica: ObjectStore | Replica,
  options: CompactOptions = {},
): Promise<CompactionOutcome[]> {
  const { platform = webPlatform, ...rest } = options;
  return await compactReplica(openReplica(replica, { platform }), rest);
}
