/**
 * What requests for one replica share: its listing, one reader, and the database that queries run on.
 *
 * @module
 */
import type { Context } from "hono";
import { InvalidArgumentError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { RestoreTarget } from "../replica/plan.ts";
import type { ReplicaReader, ReplicaView } from "../replica/reader-options.ts";
import { openReader } from "../replica/reader.ts";
import { openReplica, type Replica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { ServedListing } from "./listing.ts";
import { Refusal } from "./refusal.ts";

/** What routes can be made over. */
export type Served = ObjectStore | Replica | ReplicaReader;

/** Somebody waits for the answer: fewer tries and shorter pauses than a replication takes. */
const RETRY: RetryPolicy = { attempts: 3, baseMs: 100, capMs: 1000, budgetMs: 10_000 };

/** How a replica is kept for requests. */
export interface KeepOptions {
  /** Time and chance. */
  readonly platform: Platform;
  /** For how many milliseconds what was found is told again. */
  readonly freshMs: number;
  /** After how many milliseconds without a request what was opened is closed. @default 300000 */
  readonly idleMs?: number | undefined;
  /** Memory for the pages of one replica. @default 16777216 (16 MiB) */
  readonly cacheBytes?: number | undefined;
}

/** Options of `view`. */
export interface ViewOptions {
  /** Ends the search of a state of the past. */
  readonly signal: AbortSignal;
  /** Whether the newest state is looked for even if that was done a moment ago. @default false */
  readonly isUrgent?: boolean | undefined;
}

/** Something that is closed with the reader it was made of. */
export interface Attached {
  /** Closes it. */
  close(): Promise<void>;
}

/** A replica that requests are for. */
export class Mounted {
  /** The replica, with tries that a waiting client bears. */
  readonly replica: Replica;
  /** Its files. */
  readonly listing: ServedListing;
  readonly #options: KeepOptions;
  readonly #given: ReplicaReader | undefined;
  readonly #attached = new Map<string, Promise<Attached>>();
  #reader: Promise<ReplicaReader> | undefined;
  #refreshing: Promise<ReplicaView> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #users = 0;
  #stopTimer = (): void => undefined;

  constructor(served: Served, options: KeepOptions) {
    const { platform } = options;
    this.#options = options;
    this.#given = "viewAt" in served ? served : undefined;
    const replica = "viewAt" in served ? served.replica : served;
    this.replica = openReplica(replica, { platform, retry: RETRY });
    this.listing = new ServedListing(this.replica, options);
  }

  /** Whether a request needs what is open. */
  get isInUse(): boolean {
    return this.#users > 0;
  }

  /** Lends the reader, which is opened for the first and closed some time after the last. Call the second function at the end. */
  async lend(): Promise<readonly [reader: ReplicaReader, giveBack: () => void]> {
    this.#users++;
    this.#stopTimer();
    let isLent = true;
    const giveBack = (): void => {
      if (isLent && --this.#users === 0) this.#rest();
      isLent = false;
    };
    try {
      return [await this.#open(), giveBack];
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** Runs `work` with the reader. */
  async withReader<T>(work: (reader: ReplicaReader) => Promise<T>): Promise<T> {
    const [reader, giveBack] = await this.lend();
    try {
      return await work(reader);
    } finally {
      giveBack();
    }
  }

  /** The state of a target, for an empty one the newest: no older than what is told again. */
  async view(
    reader: ReplicaReader,
    target: RestoreTarget,
    { signal, isUrgent = false }: ViewOptions,
  ): Promise<ReplicaView> {
    if (target.txid !== undefined || target.timestamp !== undefined) {
      return await reader.viewAt(target, { signal, allowFuture: true });
    }
    const { freshMs, platform } = this.#options;
    const now = platform.clock.monotonic();
    if (!isUrgent && now - this.#refreshedAt < freshMs) return reader.latest;
    this.#refreshing ??= reader
      .refresh()
      .finally(() => {
        this.#refreshing = undefined;
      })
      .then((view) => {
        this.#refreshedAt = platform.clock.monotonic();
        return view;
      });
    return await this.#refreshing;
  }

  /** What was attached to the reader under a name, or is made of it now. A reader must be lent meanwhile. */
  async attach<T extends Attached>(name: string, make: () => Promise<T>): Promise<T> {
    const before = this.#attached.get(name);
    if (before !== undefined) return (await before) as T;
    const made = make();
    this.#attached.set(name, made);
    made.catch(() => this.#attached.delete(name));
    return await made;
  }

  /** Lets go of what was opened for requests; what the routes were given is its owner's to close. */
  async close(): Promise<void> {
    this.#stopTimer();
    const [attached, reader] = [[...this.#attached.values()], this.#reader];
    this.#attached.clear();
    this.#reader = undefined;
    this.#refreshedAt = Number.NEGATIVE_INFINITY;
    // What could not be opened has been told already.
    const opened = await Promise.allSettled(attached);
    for (const each of opened) if (each.status === "fulfilled") await each.value.close();
    if (this.#given === undefined)
      await reader?.then((each) => each.close()).catch(() => undefined);
  }

  #open(): Promise<ReplicaReader> {
    if (this.#given !== undefined) return Promise.resolve(this.#given);
    if (this.#reader !== undefined) return this.#reader;
    const { platform, cacheBytes = 16 << 20 } = this.#options;
    // Newer states are asked for when a request wants to know: no request, no cost.
    const opening = openReader(this.replica, { platform, retry: RETRY, cacheBytes, follow: false });
    this.#reader = opening;
    opening.catch(() => {
      if (this.#reader === opening) this.#reader = undefined;
    });
    return opening;
  }

  #rest(): void {
    const { platform, idleMs = 300_000 } = this.#options;
    this.#stopTimer = platform.clock.schedule(() => void this.close(), idleMs, true);
  }
}

/** Options of {@linkcode Mounts}. */
export interface MountsOptions extends KeepOptions {
  /** The replica of a request. */
  readonly replica: (c: Context) => Served | Promise<Served>;
  /** Name of the replica of a request. */
  readonly key: ((c: Context) => string) | undefined;
  /** How many replicas are kept at a time. */
  readonly maxReplicas: number;
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
    const { replica, key } = this.#options;
    // Two stores may call themselves alike, so what they are called says nothing: only the same object is the same.
    const name = key?.(c);
    const known = name === undefined ? undefined : this.#mounts.get(name);
    const served = known === undefined ? await replica(c) : undefined;
    const identity = name ?? served;
    let mounted = known ?? this.#mounts.get(identity);
    if (mounted === undefined) {
      if (served === undefined) throw noReplica();
      if (this.#mounts.size >= this.#options.maxReplicas) await this.#makeRoom();
      // Another request may have come first while a replica was closed.
      mounted = this.#mounts.get(identity) ?? new Mounted(served, this.#options);
    }
    this.#mounts.delete(identity);
    this.#mounts.set(identity, mounted);
    return mounted;
  }

  /** Lets go of all that was opened for requests. */
  async close(): Promise<void> {
    const all = [...this.#mounts.values()];
    this.#mounts.clear();
    await Promise.all(all.map((mounted) => mounted.close()));
  }

  async #makeRoom(): Promise<void> {
    for (const [identity, mounted] of this.#mounts) {
      if (mounted.isInUse) continue;
      this.#mounts.delete(identity);
      await mounted.close();
      return;
    }
    throw new Refusal("BUSY", "too many replicas are in use", { "retry-after": "1" });
  }
}

function noReplica(): InvalidArgumentError {
  return new InvalidArgumentError({
    operation: "serve",
    object: "a replica",
    what: "the option replica gave neither a store nor a replica",
  });
}
