/**
 * Every state of the 0.3 layout that can still be restored.
 *
 * @module
 */
import { SNAPSHOT_LEVEL } from "./layout.ts";
import { type LegacyFile, byTime, follows } from "./legacy-layout.ts";
import type { ReplicaFiles } from "./legacy-plan.ts";
import type { RestorePoint } from "./restore-points.ts";

/** The states of the 0.3 layout that a time restores, newest first. One sort and one pass, whatever their number. */
export function legacyPoints(files: ReplicaFiles): RestorePoint[] {
  const taken = new Set(files.levels.flat().map((f) => f.time.getTime()));
  const points: RestorePoint[] = [];
  let base: LegacyFile | undefined;
  // Segments that follow each other, which may have begun before the snapshot that makes them of use.
  let run: { readonly first: LegacyFile | undefined; readonly last: LegacyFile } | undefined;
  for (const file of [...files.legacy].sort(byTime)) {
    if (file.offset === undefined) base = file;
    else if (run !== undefined && follows(file, run.last)) run = { ...run, last: file };
    else run = { first: file.offset === 0 ? file : undefined, last: file };
    const time = file.time.getTime();
    // At one moment only the state after all of its files can be asked for, and LTX files come first.
    if (points.at(-1)?.time.getTime() === time) points.pop();
    if (base === undefined || file.generation !== base.generation || taken.has(time)) continue;
    let last = base;
    if (run?.last.generation === base.generation && run.last.index >= base.index) {
      if (run.first === undefined || run.first.index > base.index) continue;
      last = run.last;
    }
    const { generation, index, offset, size } = last;
    const level = offset === undefined ? SNAPSHOT_LEVEL : 0;
    points.push({ txid: 0n, time: file.time, level, size, legacy: { generation, index, offset } });
  }
  return points.reverse();
}
