/**
 * What the actors of a simulation share.
 *
 * @module
 */
import type { SeededRandom } from "../../src/testing/seeded-random.ts";
import type { History } from "./history.ts";
import type { SimServer } from "./network.ts";
import type { SimPlan } from "./plan.ts";
import type { ReplicaWatch } from "./replica-watch.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimSqlite } from "./sqlite.ts";
import type { Trace } from "./trace.ts";

/** One replica: the server it lies on, and what must hold of it. */
export interface Destination {
  readonly server: SimServer;
  readonly watch: ReplicaWatch;
}

/** The world of one seed. */
export interface World {
  readonly plan: SimPlan;
  readonly random: SeededRandom;
  readonly scheduler: Scheduler;
  readonly sqlite: SimSqlite;
  readonly trace: Trace;
  readonly history: History;
  readonly destinations: readonly Destination[];
  /** Whether things go wrong; after a while they do no longer. */
  troubled: boolean;
  /** Ends the run with an error, from wherever it is found out. */
  fail(error: unknown): void;
  /** How often what happened. */
  readonly counts: Record<string, number>;
}

/** Counts one of something. */
export function count({ counts }: World, what: string, by = 1): void {
  counts[what] = (counts[what] ?? 0) + by;
}
