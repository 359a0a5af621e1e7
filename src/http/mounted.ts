/**
 * What requests for one replica share: its listing, and what is known of its states.
 *
 * @module
 */
import type { Context } from "hono";
import { InvalidArgumentError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import { openReplica, type Replica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { ServedListing } from "./listing.ts";

/** Somebody waits for the answer: fewer tries and shorter pauses than a replication takes. */
const RETRY: RetryPolicy = { attempts: 3, baseMs: 100, capMs: 1000, budgetMs: 10_000 };

/** A replica that requests are for. */
export class Mounted {
  /** The replica, with tries that a waiting client bears. */
  readonly replica: Replica;
  /** Its files. */
  readonly listing: ServedListing;

  constructor(
    served: ObjectStore | Replica,
    options: { readonly platform: Platform; readonly freshMs: number },
  ) {
    const { platform } = options;
    this.replica = openReplica(served, { platform, retry: RETRY });
    this.listing = new ServedListing(this.replica, options);
  }

  /** Lets go of what was opened for requests; the replica itself is its owner's to close. */
  async close(): Promise<void> {}
}

/** Options of {@linkcode Mounts}. */
export interface MountsOptions {
  /** The replica of a request. */
  readonly replica: (c: Context) => ObjectStore | Replica | Promise<ObjectStore | Replica>;
  /** Name of the replica of a request. */
  readonly key: ((c: Context) => string) | undefined;
  /** How many replicas are kept at a time. */
  readonly maxReplicas: number;
  /** For how long a listing is told again. */
  readonly freshMs: number;
  /** Time and chance. */
  readonly platform: Platform;
}

/** The replicas that were asked for last. */
export class Mounts {
  readonly #options: MountsOptions;
  /** In the order of their last request. */
  readonly #mounts = new Map<unknown, Mounted>();

  constructor(options: MountsOptions) {
    this.#options = options;
  }

  /** What requests for the replica of `c` share. */
  async of(c: Context): Promise<Mounted> {
    const { replica, key, maxReplicas, platform, freshMs } = this.#options;
    // Two stores may call themselves alike, so what they are called says nothing: only the same object is the same.
    const name = key?.(c);
    const known = name === undefined ? undefined : this.#mounts.get(name);
    const served = known === undefined ? await replica(c) : undefined;
    const identity = name ?? served;
    let mounted = known ?? this.#mounts.get(identity);
    if (mounted === undefined) {
      if (served === undefined) throw noReplica();
      mounted = new Mounted(served, { platform, freshMs });
    }
    this.#mounts.delete(identity);
    this.#mounts.set(identity, mounted);
    const [oldest] = this.#mounts;
    if (this.#mounts.size > maxReplicas && oldest !== undefined) {
      this.#mounts.delete(oldest[0]);
      await oldest[1].close();
    }
    return mounted;
  }

  /** Lets go of all that was opened for requests. */
  async close(): Promise<void> {
    const all = [...this.#mounts.values()];
    this.#mounts.clear();
    await Promise.all(all.map((mounted) => mounted.close()));
  }
}

function noReplica(): InvalidArgumentError {
  return new InvalidArgumentError({
    operation: "serve",
    object: "a replica",
    what: "the option replica gave neither a store nor a replica",
  });
}
