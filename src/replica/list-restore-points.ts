/**
 * The states that a replica can give back, of both layouts.
 *
 * @module
 */
import { legacyFiles } from "./legacy-layout.ts";
import { legacyPoints } from "./legacy-points.ts";
import type { Replica } from "./replica.ts";
import { type RestorePoint, restorablePoints } from "./restore-points.ts";

/**
 * Lists every TXID, and every time of the 0.3 layout, at which a restore is possible, newest first. Costs one listing per
 * level and one of the 0.3 layout.
 */
export async function listRestorePoints(
  replica: Replica,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<RestorePoint[]> {
  const { signal } = options;
  const [levels, legacy] = await Promise.all([
    replica.levels({ exactTimes: true, signal }),
    legacyFiles(replica, signal),
  ]);
  const points = restorablePoints(levels.flat()).reverse();
  const older = legacyPoints({ levels, legacy });
  // Merged rather than sorted: LTX points stay in the order of their TXIDs, whatever their clocks said.
  return points
    .flatMap((point) => {
      const end = older.findIndex((p) => p.time.getTime() <= point.time.getTime());
      return [...older.splice(0, end < 0 ? older.length : end), point];
    })
    .concat(older);
}
