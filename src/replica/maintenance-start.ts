/**
 * Gives each destination of a primary its maintenance, and tells the primary's readers what it does.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { LevelGap } from "./compactor-plan.ts";
import type { ConflictError } from "./errors.ts";
import type { EventReporter } from "./event-reporter.ts";
import { resolveLevels } from "./levels.ts";
import type { LocalState } from "./local-state.ts";
import { Maintenance, type MaintenanceOptions } from "./maintenance.ts";
import { RecentFiles } from "./maintenance-cache.ts";
import type { ReplicateOptions } from "./replication.ts";
import { Scheduler } from "./scheduler.ts";
import type { ReplicaWriter } from "./writer.ts";

/** A destination as its maintenance sees it. */
export interface MaintainedDestination extends Pick<MaintenanceOptions, "snapshot"> {
  /** What its store calls itself. */
  readonly name: string;
  readonly writer: ReplicaWriter;
  /** Files are missing in the replica, and no snapshot leads over them. */
  gapFound(): void;
  /** Another writer owns it. */
  lost(error: ConflictError): void;
}

/** What all destinations share. */
export interface MaintenanceMakerOptions {
  readonly options: Pick<
    ReplicateOptions,
    | "levels"
    | "snapshot"
    | "l0RetentionMs"
    | "l0RetentionCheckMs"
    | "retention"
    | "scheduler"
    | "recent"
  >;
  readonly platform: Platform;
  readonly state: LocalState;
  readonly reporter: EventReporter;
}

/** Makes the maintenance of one destination. */
export type MaintenanceMaker = (destination: MaintainedDestination) => Maintenance;

/** Checks the settings, and throws `InvalidArgumentError` where they cannot work. */
export function maintenanceMaker(shared: MaintenanceMakerOptions): MaintenanceMaker {
  const { options, platform, state, reporter } = shared;
  const settings = resolveLevels(options);
  const { scheduler = new Scheduler(platform.clock), recent = new RecentFiles() } = options;
  return (target) => {
    const { name: destination, writer } = target;
    const tellGap = (gap: LevelGap): void => {
      const { level, reached: after, next } = gap;
      reporter.announce({
        type: "level-fault",
        destination,
        level,
        fault: "gap",
        after,
        before: next.minTxid,
      });
      if (level === 0 && !gap.bridged) target.gapFound();
    };
    return new Maintenance({
      writer,
      platform,
      settings,
      scheduler,
      recent,
      snapshot: (wait) => target.snapshot(wait),
      read: ({ name, size }) => state.readStaged(name, 0, size),
      events: {
        compacted: ({ level, file: { minTxid, maxTxid, size }, sources: files }) =>
          reporter.emit({ type: "compacted", destination, level, minTxid, maxTxid, size, files }),
        promoted: ({ level, maxTxid: txid, size }) =>
          reporter.emit({ type: "snapshot", destination, level, txid, size }),
        retained: (files) => {
          const size = files.reduce((sum, file) => sum + file.size, 0);
          reporter.emit({ type: "retained", destination, files: files.length, size });
        },
        skipped: (reason) => reporter.emit({ type: "retention-skipped", destination, reason }),
        denied: (error) => reporter.emit({ type: "retention-denied", destination, error }),
        gap: tellGap,
        fault: ({ level, type: fault, previous, next }) =>
          reporter.announce({
            type: "level-fault",
            destination,
            level,
            fault,
            after: previous.maxTxid,
            before: next.minTxid,
          }),
        failed: (error) => reporter.emit({ type: "error", error }),
        conflict: (error) => target.lost(error),
      },
    });
  };
}
