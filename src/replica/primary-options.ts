/**
 * What a primary works with, and what is assumed where the caller says nothing.
 *
 * @module
 */
import type { EventStream } from "../core/event-stream.ts";
import type { Platform } from "../core/platform.ts";
import type { RestedState } from "./continuity.ts";
import type { EventTap } from "./event-reporter.ts";
import { type GroupCadence, groupCadence } from "./group-cadence.ts";
import type { LocalState } from "./local-state.ts";
import type { Replica } from "./replica.ts";
import type { ReplicateOptions, ReplicationEvent } from "./replication.ts";
import type { RequestBudget } from "./request-budget.ts";

/** Cadence where a request costs money, as Litestream's. */
const REMOTE_GROUP_MS = 1_000;
/** Cadence where it costs a system call. */
const LOCAL_GROUP_MS = 10;
/** Bytes of page images after which a group is cut at once. */
export const GROUP_BYTES: number = 16 << 20;
/** Bytes kept while the store does not keep up. */
export const STAGING_BYTES: number = 64 << 20;
/** How long the final upload may take. */
export const CLOSE_DEADLINE_MS = 30_000;

/** Options with everything that the platform or the caller may leave out filled in. */
export type PrimaryOptions = ReplicateOptions & {
  readonly platform: Platform;
  readonly state: LocalState;
  readonly budget: RequestBudget | undefined;
  /** Told of every event. */
  readonly tap?: EventTap | undefined;
  /** Called where somebody wants uploads now, for a start that waits. */
  readonly hurry?: (() => void) | undefined;
  /** Where events go. @default a stream of its own */
  readonly stream?: EventStream<ReplicationEvent> | undefined;
  /** Where it was put to rest. */
  readonly rested?: RestedState | undefined;
};

/** When groups are cut; `degraded` is told why they grow longer. */
export function cadenceOf(
  { platform, groupMs, budget }: PrimaryOptions,
  replicas: readonly Replica[],
  degraded: (reason: string) => void,
): GroupCadence {
  const isLocal = replicas.every(({ store }) => store.local);
  return groupCadence({
    clock: platform.clock,
    groupMs: groupMs ?? (isLocal ? LOCAL_GROUP_MS : REMOTE_GROUP_MS),
    budget,
    onLonger: () => degraded("the budget of requests makes groups longer"),
  });
}
