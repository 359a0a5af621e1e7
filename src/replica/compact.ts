/**
 * Compaction of a replica by whoever calls, beside its writer or without one.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import {
  type CompactionOutcome,
  compactLevel,
  isOutdated,
  repairLevel,
  tooEarlyUntil,
} from "./compactor.ts";
import { maxTxidOf, mayBeRepaired } from "./compactor-plan.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import { type LevelsOptions, resolveLevels } from "./levels.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { replicaWriter } from "./writer.ts";

/** Options of `compact`. */
export interface CompactReplicaOptions extends Pick<LevelsOptions, "levels"> {
  /** Only this level, from 1 to 8. @default every level that `levels` names, from 1 upwards */
  readonly level?: number | undefined;
  /** Leave a level alone whose newest file is of its current interval: the outcome is `too-early`. @default false */
  readonly ifDue?: boolean | undefined;
  /** Ends the work with `AbortedError`; files that were written stay. */
  readonly signal?: AbortSignal | undefined;
}

/** Compacts level after level; the outcomes tell each file that was written, and per level why no other was. */
export async function compactReplica(
  replica: Replica,
  options: CompactReplicaOptions = {},
): Promise<CompactionOutcome[]> {
  const { level, signal } = options;
  const { intervals } = resolveLevels(options);
  if (level !== undefined && !(Number.isInteger(level) && level > 0 && level < SNAPSHOT_LEVEL)) {
    throw new InvalidArgumentError({
      operation: "compact",
      object: `level ${level}`,
      what: "there are levels from 1 to 8 to compact into",
    });
  }
  await replica.prepareToWrite({ signal });
  const levels = level === undefined ? intervals.map((_, i) => i + 1) : [level];
  const outcomes: CompactionOutcome[] = [];
  let files = await replica.levels({ signal });
  for (const each of levels) {
    for (let isSecondTry = false; ;) {
      let outcome: CompactionOutcome;
      try {
        outcome = await compactOnce(replica, files, { ...options, level: each });
        if (outcome.type === "gap") {
          const where = { writer: replicaWriter(replica), levels: files, signal };
          outcome = (await repairLevel(outcome.gap, where)) ?? outcome;
        }
      } catch (error) {
        // The writer, or its retention, was faster: what it left is in a new listing.
        if (!isOutdated(error) || isSecondTry) throw error;
        isSecondTry = true;
        files = await replica.levels({ signal });
        continue;
      }
      outcomes.push(outcome);
      if (outcome.type !== "compacted") break;
      const { file } = outcome;
      files = files.map((known, i) => (i === file.level ? [...known, file] : known));
      // The next turn begins at the gap.
      if (!outcome.more && !mayBeRepaired(outcome.gap)) break;
    }
  }
  return outcomes;
}

async function compactOnce(
  replica: Replica,
  files: readonly (readonly LtxFileInfo[])[],
  options: CompactReplicaOptions & { readonly level: number },
): Promise<CompactionOutcome> {
  const { level, ifDue, signal } = options;
  const [target = [], sources = [], snapshots = []] = [level, level - 1, SNAPSHOT_LEVEL].map(
    (n) => files[n] ?? [],
  );
  const intervalMs = resolveLevels(options).intervals[level - 1];
  if (ifDue === true && intervalMs !== undefined) {
    const last = maxTxidOf(target);
    const newest = target.find((file) => file.maxTxid === last);
    const untilMs = tooEarlyUntil(newest, intervalMs, replica.platform.clock.now());
    if (untilMs !== undefined) return { type: "too-early", level, untilMs };
  }
  const writer = replicaWriter(replica);
  return await compactLevel(level, { writer, files: { target, sources, snapshots }, signal });
}
