/**
 * One replica or several, as `replicate` and `openReplicated` take them.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { openReplica, type Replica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";

/** Where a database is replicated to: a store, or several, of which each gets everything. */
export type ReplicaTargets = ObjectStore | Replica | readonly (ObjectStore | Replica)[];

/** Opens them in the order given. Throws `InvalidArgumentError` where there is none, or one is given twice. */
export function openReplicas(
  targets: ReplicaTargets,
  platform: Platform,
): readonly [Replica, ...Replica[]] {
  const [first, ...others] = [targets].flat() as (ObjectStore | Replica)[];
  const refuse = (what: string, next: string): never => {
    throw new InvalidArgumentError({ operation: "replicate", object: "replicas", what, next });
  };
  if (first === undefined) return refuse("the list is empty", "Give one replica at least");
  const open = (target: ObjectStore | Replica): Replica => openReplica(target, { platform });
  const replicas: [Replica, ...Replica[]] = [open(first), ...others.map(open)];
  const names = new Set<string>();
  for (const { description } of replicas) {
    if (names.has(description)) {
      return refuse(
        `${description} is given twice`,
        "Give each replica a place and a description of its own",
      );
    }
    names.add(description);
  }
  return replicas;
}

/**
 * The replica that goes furthest of those that answer; a single one is not asked. Where none of them holds anything, one
 * that does not answer could: then its error is thrown, since a database begun anew would take its place.
 */
export async function newestReplica(
  replicas: readonly [Replica, ...Replica[]],
  signal: AbortSignal | undefined,
): Promise<Replica> {
  let newest = replicas[0];
  if (replicas.length === 1) return newest;
  const positions = await Promise.allSettled(replicas.map((each) => each.position({ signal })));
  let furthest = 0n;
  for (const [i, position] of positions.entries()) {
    if (position.status === "rejected" || position.value.maxTxid <= furthest) continue;
    furthest = position.value.maxTxid;
    newest = replicas[i] as Replica;
  }
  const silent = positions.find((position) => position.status === "rejected");
  if (furthest === 0n && silent !== undefined) throw silent.reason;
  return newest;
}
