/**
 * Gives each destination of a primary its maintenance, and tells the primary's readers what it does.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { Compacted } from "./compactor.ts";
import type { LevelFault, LevelGap } from "./compactor-plan.ts";
import type { ConflictError } from "./errors.ts";
import type { EventReporter } from "./event-reporter.ts";
import { resolveLevels } from "./levels.ts";
import type { LocalState } from "./local-state.ts";
import { Maintenance, type MaintenanceEvents, type MaintenanceTarget } from "./maintenance.ts";
import { RecentFiles } from "./maintenance-cache.ts";
import type { LtxFileInfo } from "./replica.ts";
import type { ReplicateOptions } from "./replication.ts";
import { Scheduler } from "./scheduler.ts";

/** A destination as its maintenance sees it. */
export interface MaintainedDestination extends MaintenanceTarget {
  /** What its store calls itself. */
  readonly name: string;
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
  const tools = { platform, settings, scheduler, recent, state };
  return (target) => new Maintenance(tools, target, new MaintenanceReporter(target, reporter));
}

/** Tells the readers of a replication what the maintenance of one destination does. A fleet has thousands of these. */
class MaintenanceReporter implements MaintenanceEvents {
  readonly #target: MaintainedDestination;
  readonly #reporter: EventReporter;

  constructor(target: MaintainedDestination, reporter: EventReporter) {
    this.#target = target;
    this.#reporter = reporter;
  }

  compacted({ level, file, sources: files }: Compacted): void {
    const { name: destination } = this.#target;
    const { minTxid, maxTxid, size } = file;
    this.#reporter.emit({ type: "compacted", destination, level, minTxid, maxTxid, size, files });
  }

  promoted({ level, maxTxid: txid, size }: LtxFileInfo): void {
    this.#reporter.emit({ type: "snapshot", destination: this.#target.name, level, txid, size });
  }

  retained(files: readonly LtxFileInfo[]): void {
    const { name: destination } = this.#target;
    const size = files.reduce((sum, file) => sum + file.size, 0);
    this.#reporter.emit({ type: "retained", destination, files: files.length, size });
  }

  skipped(reason: string): void {
    this.#reporter.emit({ type: "retention-skipped", destination: this.#target.name, reason });
  }

  denied(error: PagestreamError): void {
    this.#reporter.emit({ type: "retention-denied", destination: this.#target.name, error });
  }

  gap({ level, reached, next, bridged }: LevelGap): void {
    this.#tellFault({ level, fault: "gap", after: reached, before: next.minTxid });
    if (level === 0 && !bridged) this.#target.gapFound();
  }

  fault({ level, type: fault, previous, next }: LevelFault): void {
    this.#tellFault({ level, fault, after: previous.maxTxid, before: next.minTxid });
  }

  failed(error: PagestreamError): void {
    this.#reporter.emit({ type: "error", error });
  }

  conflict(error: ConflictError): void {
    this.#target.lost(error);
  }

  #tellFault(fault: {
    readonly level: number;
    readonly fault: LevelFault["type"];
    readonly after: bigint;
    readonly before: bigint;
  }): void {
    this.#reporter.announce({ type: "level-fault", destination: this.#target.name, ...fault });
  }
}
