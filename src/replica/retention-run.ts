/**
 * Retention of a replica by whoever calls: tells what may go and why, and removes it.
 *
 * @module
 */
import { UnsupportedError } from "../core/errors.ts";
import { readAdopted, releaseAdopted } from "./adopted.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import { type LevelsOptions, resolveLevels } from "./levels.ts";
import type { Replica } from "./replica.ts";
import { planRetention, type RetentionPlan } from "./retention.ts";
import { RetentionClock } from "./retention-clock.ts";
import { replicaWriter } from "./writer.ts";

/** Options of `retain`. */
export interface RetainReplicaOptions extends Pick<
  LevelsOptions,
  "snapshot" | "l0RetentionMs" | "retention"
> {
  /** Let go what an adopted earlier state was put in place of; until then it stays. @default false */
  readonly releaseAdopted?: boolean | undefined;
  /** Remove nothing, only tell what would go. @default false */
  readonly dryRun?: boolean | undefined;
  /** Ends the work with `AbortedError`; what was removed stays so. */
  readonly signal?: AbortSignal | undefined;
}

/** Lists the replica, plans what goes, and removes it unless that is not wanted. */
export async function retainReplica(
  replica: Replica,
  options: RetainReplicaOptions = {},
): Promise<RetentionPlan> {
  const { dryRun, releaseAdopted: isReleased, signal } = options;
  const { platform, store } = replica;
  const settings = resolveLevels(options);
  const clock = new RetentionClock(platform.clock, store);
  // Ages count at level 0 and for snapshots; elsewhere exact times may cost a request a file for nothing.
  const l0 = await replica.files(0, { exactTimes: true, signal });
  const levels = await replica.levels({ signal });
  const snapshots = await replica.files(SNAPSHOT_LEVEL, { exactTimes: true, signal });
  const time = clock.read();
  if ("distrust" in time) {
    throw new UnsupportedError({
      operation: "remove files of",
      object: replica.description,
      what: time.distrust,
      next: "Set the clock of this machine, then try again",
    });
  }
  const { nowMs } = time;
  const known = [l0, ...levels.slice(1, SNAPSHOT_LEVEL), snapshots];
  const adopted = isReleased === true ? [] : await readAdopted(replica, signal);
  const plan = planRetention(known, { ...settings, nowMs, adopted });
  if (dryRun !== true) {
    if (isReleased === true) await releaseAdopted(replica, signal);
    const writer = replicaWriter(replica);
    // Snapshots last: as long as they are there, the next call finds the same floor.
    for (const isLast of [false, true]) {
      const files = plan.remove.filter(({ level }) => (level === SNAPSHOT_LEVEL) === isLast);
      await writer.remove(files, { signal });
    }
  }
  return plan;
}
