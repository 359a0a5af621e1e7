/**
 * Makes the destinations of a primary: what they share, and what their readers are told.
 *
 * @module
 */
import type { CatchUpTools } from "./catch-up.ts";
import type { Confirmations } from "./confirmations.ts";
import { Destination, type DestinationEvents } from "./destination.ts";
import type { Destinations } from "./destinations.ts";
import type { EventReporter } from "./event-reporter.ts";
import type { LeaseHolder } from "./lease.ts";
import { maintenanceMaker } from "./maintenance-start.ts";
import type { PrimaryOptions } from "./primary-options.ts";
import type { Replica } from "./replica.ts";

/** What all destinations of one primary share. */
export interface SharedByDestinations {
  readonly options: PrimaryOptions;
  readonly tools: Omit<CatchUpTools, "state" | "platform" | "cut" | "others">;
  readonly confirmations: Confirmations;
  readonly reporter: EventReporter;
  /** Who takes the leases, where any are wanted. */
  readonly holder: LeaseHolder | undefined;
  /** All that are made here. */
  readonly all: () => Destinations;
  /** What the primary has to do itself. */
  readonly events: Pick<
    DestinationEvents,
    "uploaded" | "superseded" | "conflict" | "caughtUp" | "released"
  >;
}

/** Makes one destination for each replica. */
export function makeDestinations(
  replicas: readonly Replica[],
  shared: SharedByDestinations,
): Destination[] {
  const { options, confirmations, reporter, holder, all } = shared;
  const { state, platform, l0RetentionMs, pointer } = options;
  const tools: CatchUpTools = {
    ...shared.tools,
    state,
    platform,
    cut: (signal) => confirmations.cut(signal),
    others: (replica, txid) => all().others(replica, txid),
  };
  const events: DestinationEvents = {
    ...shared.events,
    stalled: ({ name: destination }, error) => {
      reporter.emit({ type: "stalled", destination, error });
      confirmations.stall(error);
    },
    recovered: ({ name: destination }) => reporter.emit({ type: "recovered", destination }),
    leftBehind: ({ name: destination }, reason) =>
      reporter.announce({ type: "degraded", destination, reason }),
    leased: ({ name: destination }, generation) =>
      reporter.emit({ type: "lease", destination, generation }),
  };
  const maintain = maintenanceMaker({ options, platform, state, reporter });
  return replicas.map(
    (replica, i) =>
      new Destination({
        replica,
        folder: `bridge-${i}`,
        tools,
        holder,
        l0RetentionMs,
        pointer,
        maintain,
        flush: (only, wait) => confirmations.flush({ ...wait, only }),
        waitFor: ({ destination: only, txid }, wait) =>
          confirmations.waitFor(txid, { ...wait, only }),
        events,
      }),
  );
}
