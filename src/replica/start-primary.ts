/**
 * The start of a replication.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import type { Platform } from "../core/platform.ts";
import { budgetedReplica } from "./budgeted-store.ts";
import type { StartEvent } from "./comparison.ts";
import { checkDurability } from "./durability.ts";
import type { EventTap } from "./event-reporter.ts";
import { memoryState } from "./local-state.ts";
import { Primary } from "./primary.ts";
import type { Replica } from "./replica.ts";
import type { ReplicateOptions, Replication } from "./replication.ts";
import { RequestBudget } from "./request-budget.ts";

/** Starts replicating `source` into one replica or several. Resolves when it is known how to continue. */
export async function startPrimary(
  source: CommitSource,
  unbudgeted: Replica | readonly [Replica, ...Replica[]],
  options: ReplicateOptions & {
    readonly platform: Platform;
    /** What the caller has done for the start, told to whoever reads events first. */
    readonly announce?: readonly StartEvent[] | undefined;
    /** Shared with other databases. @default one of its own, where `requestsPerHour` is given */
    readonly budget?: RequestBudget | undefined;
    /** Told of every event. */
    readonly tap?: EventTap | undefined;
  },
): Promise<Replication> {
  const { platform, requestsPerHour } = options;
  const budget =
    options.budget ??
    (requestsPerHour === undefined
      ? undefined
      : new RequestBudget(platform.clock, requestsPerHour));
  const complete = { ...options, budget, state: options.state ?? memoryState() };
  const replicas = [unbudgeted].flat().map((replica) => budgetedReplica(replica, budget));
  const first = replicas[0] as Replica;
  // Where there are others one that does not answer is no reason not to start.
  if (replicas.length === 1 && first.store.probe !== undefined) await first.prepareToWrite();
  checkDurability(source, { replicas, state: complete.state, options: complete });
  const primary = new Primary(source, replicas, complete);
  try {
    await primary.start(options.announce, options.signal);
  } catch (error) {
    primary.detach();
    throw error;
  }
  return primary;
}
