/**
 * `createFleet`: many databases, replicated together.
 *
 * @module
 */
import type { Fleet, FleetOptions } from "../replica/fleet.ts";
import { startFleet } from "../replica/fleet-members.ts";
import { webPlatform } from "../transports/web-platform.ts";

/**
 * Makes a fleet, to which databases are registered at any time. They share what a process has once: places for uploads,
 * one timer for compactions, snapshots and removals, and the budget of requests. Whoever waits for one of these is served in
 * the order of arrival, one step for each database, so that a busy one does not hold up the others. An idle database costs
 * memory alone.
 *
 * @example
 * ```ts
 * import { type CommitSource, createFleet } from "pagestream";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * export async function serve(tenants: ReadonlyMap<string, CommitSource>): Promise<void> {
 *   await using fleet = createFleet({ requestsPerHour: 100_000 });
 *   const starts = [...tenants].map(([name, source]) => fleet.register(name, source, memoryStore()));
 *   await Promise.all(starts);
 *   console.log(fleet.status().lagMs);
 * }
 * ```
 */
export function createFleet(options: FleetOptions = {}): Fleet {
  return startFleet({ ...options, platform: options.platform ?? webPlatform });
}
