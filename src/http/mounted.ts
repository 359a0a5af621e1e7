/**
 * What requests for one replica share: its listing, one reader, and the database that queries run on.
 *
 * @module
 */
import type { Context } from "hono";
import { InvalidArgumentError, isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { ReaderInside, ReaderMemory } from "../replica/reader-inside.ts";
import type { IndexStore, ReaderOptions, ReplicaReader } from "../replica/reader-options.ts";
import { openReader } from "../replica/reader.ts";
import { openReplica, type Replica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { ServedListing } from "./listing.ts";
import { OpenReader } from "./open-reader.ts";
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
  /**
   * Whether each request has a reader of its own, for runtimes where what one request has under way is of no use to another. What
   * is shared then is memory: the pages and the index of a reader that was put away. @default false
   */
  readonly isPerRequest?: boolean | undefined;
}

/** A replica that requests are for. */
export class Mounted {
  /** The replica, with tries that a waiting client bears. */
  readonly replica: Replica;
  /** Its files. */
  readonly listing: ServedListing;
  readonly #options: KeepOptions;
  readonly #given: ReplicaReader | undefined;
  /** The reader of all requests, where they may share one. */
  #shared: Promise<OpenReader> | undefined;
  /** What requests that have ended leave to others, where each has its own reader. */
  #left: { readonly memory: ReaderMemory; readonly refreshedAt: number } | undefined;
  #index: Uint8Array | undefined;
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

  /**
   * Lends a reader. One that requests share is opened for the first and closed some time after the last. Call the second
   * function at the end.
   */
  async lend(): Promise<readonly [opened: OpenReader, giveBack: () => Promise<void>]> {
    this.#users++;
    this.#stopTimer();
    let own: OpenReader | undefined;
    let isLent = true;
    const giveBack = async (): Promise<void> => {
      if (!isLent) return;
      isLent = false;
      if (--this.#users === 0 && own === undefined) this.#rest();
      if (own !== undefined) await this.#putAway(own);
    };
    try {
      // Who gives a reader has seen to it that requests can share it.
      if (this.#options.isPerRequest !== true || this.#given !== undefined) {
        return [await this.#share(), giveBack];
      }
      own = await this.#openOwn();
      return [own, giveBack];
    } catch (error) {
      await giveBack();
      throw error;
    }
  }

  /** Runs `work` with a reader. */
  async withReader<T>(work: (opened: OpenReader) => Promise<T>): Promise<T> {
    const [opened, giveBack] = await this.lend();
    try {
      return await work(opened);
    } finally {
      await giveBack();
    }
  }

  /** Lets go of what was opened for requests; what the routes were given is its owner's to close. */
  async close(): Promise<void> {
    this.#stopTimer();
    const shared = this.#shared;
    this.#shared = undefined;
    this.#left = undefined;
    // What could not be opened has been told already.
    const opened = await shared?.catch(() => undefined);
    await opened?.closeAttached();
    if (this.#given === undefined) await opened?.reader.close();
  }

  #share(): Promise<OpenReader> {
    if (this.#shared !== undefined) return this.#shared;
    const { platform, freshMs } = this.#options;
    const opening = (async () => {
      const reader = this.#given ?? (await this.#open(this.#reading()));
      return new OpenReader(reader, { platform, freshMs, isShared: true });
    })();
    this.#shared = opening;
    opening.catch(() => {
      if (this.#shared === opening) this.#shared = undefined;
    });
    return opening;
  }

  async #openOwn(): Promise<OpenReader> {
    const { platform, freshMs } = this.#options;
    const left = this.#left;
    this.#left = undefined;
    const indexStore: IndexStore = {
      load: async () => this.#index,
      save: async (bytes) => void (this.#index = bytes),
    };
    const reading = { ...this.#reading(), indexStore };
    const reader = await this.#open(reading, left?.memory);
    const { refreshedAt } = left ?? {};
    return new OpenReader(reader, { platform, freshMs, isShared: false, refreshedAt });
  }

  async #open(options: ReaderOptions, memory?: ReaderMemory): Promise<ReplicaReader> {
    try {
      return await openReader(this.replica, options, memory);
    } catch (error) {
      if (!isPagestreamError(error, "UNSUPPORTED")) throw error;
      const what = "the replica is of Litestream 0.3, whose states can only be had as a whole";
      throw new Refusal("NOT_ENABLED", what);
    }
  }

  async #putAway(own: OpenReader): Promise<void> {
    await own.closeAttached();
    if (own.reader.error !== undefined) {
      // What it knows may be of a replica that is no more.
      await own.reader.close();
      return;
    }
    const memory = await (own.reader as ReplicaReader & ReaderInside).leave();
    if (this.#left !== undefined && this.#left.memory.latest.txid > memory.latest.txid) return;
    this.#left = { memory, refreshedAt: own.refreshedAt };
  }

  #reading(): ReaderOptions {
    const { platform, cacheBytes = 16 << 20 } = this.#options;
    // Newer states are asked for when a request wants to know: no request, no cost.
    return { platform, retry: RETRY, cacheBytes, follow: false };
  }

  #rest(): void {
    if (this.#shared === undefined) return;
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
  /** Where nothing is held open between requests: for as long as somebody has the object. */
  readonly #byObject = new WeakMap<Served, Mounted>();

  constructor(options: MountsOptions) {
    this.#options = options;
  }

  /** What requests for the replica of `c` share. */
  async of(c: Context): Promise<Mounted> {
    const { replica, key, isPerRequest = false } = this.#options;
    // Two stores may call themselves alike, so what they are called says nothing: only the same object is the same.
    const name = key?.(c);
    const known = name === undefined ? undefined : this.#mounts.get(name);
    const served = known === undefined ? await replica(c) : undefined;
    if (isPerRequest && served !== undefined && name === undefined) return this.#ofObject(served);
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

  #ofObject(served: Served): Mounted {
    const mounted = this.#byObject.get(served) ?? new Mounted(served, this.#options);
    this.#byObject.set(served, mounted);
    return mounted;
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
