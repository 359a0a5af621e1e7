/**
 * Whether the files of each level follow each other.
 *
 * @module
 */
import type { LtxFileInfo, Replica } from "pagestream";

/** Two files of a level that do not follow each other. */
export interface LevelFault {
  readonly level: number;
  readonly fault: "gap" | "overlap";
  /** The last TXID of the first one. */
  readonly after: bigint;
  /** The first TXID of the other. */
  readonly before: bigint;
}

/**
 * Looks for gaps and overlaps by listings alone. A gap that a file of another level bridges is none: that is how a replica is
 * brought up that was away.
 */
export async function findLevelFaults(
  replica: Replica,
  options: { readonly level?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<readonly LevelFault[]> {
  const { signal } = options;
  const levels = await replica.levels({ signal });
  const others = levels.flat();
  const faults: LevelFault[] = [];
  // Each snapshot begins with the first TXID.
  for (let level = 0; level < 9; level++) {
    if (options.level !== undefined && options.level !== level) continue;
    const files = levels[level] ?? [];
    for (let i = 1; i < files.length; i++) {
      const after = (files[i - 1] as LtxFileInfo).maxTxid;
      const before = (files[i] as LtxFileInfo).minTxid;
      if (before === after + 1n) continue;
      if (before <= after) faults.push({ level, fault: "overlap", after, before });
      else if (!others.some((file) => file.minTxid <= after + 1n && file.maxTxid >= before - 1n)) {
        faults.push({ level, fault: "gap", after, before });
      }
    }
  }
  return faults;
}
