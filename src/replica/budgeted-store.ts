/**
 * A store whose every request is taken from a budget first.
 *
 * @module
 */
import type {
  GetOptions,
  GetResult,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutResult,
  StoreCapabilities,
} from "../transports/object-store.ts";
import { type Passing, StoreTraits } from "../transports/store-traits.ts";
import type { Replica } from "./replica.ts";
import type { RequestBudget } from "./request-budget.ts";

/** The smallest part that stores cut a large body into. */
const PART_BYTES = 5 << 20;
/** Requests beside the parts: one begins a large upload, one completes it. */
const LARGE_REQUESTS = 2;
/** Names on a page of a listing, and in a deletion, of the stores that have pages of them. */
const PAGE_KEYS = 1_000;
/** The most that trying conditions takes. */
const PROBE_REQUESTS = 8;

interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

/**
 * The same store, made to wait for a budget. Counted is one request a call; a large body counts one for each 5 MiB and
 * two more, a listing one for each 1,000 names, a deletion likewise.
 */
export class BudgetedStore extends StoreTraits implements Passing {
  readonly probe?: (options?: Cancellable) => Promise<StoreCapabilities>;
  readonly watch?: NonNullable<ObjectStore["watch"]>;
  readonly #store: ObjectStore;
  readonly #budget: RequestBudget;

  constructor(store: ObjectStore, budget: RequestBudget) {
    super(store);
    this.#store = store;
    this.#budget = budget;
    if (store.probe !== undefined) this.probe = (options) => this.#probe(options);
    if (store.watch !== undefined) this.watch = store.watch.bind(store);
  }

  async get(key: string, options?: GetOptions): Promise<GetResult> {
    await this.#take(1, options);
    return await this.#store.get(key, options);
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options?: PutOptions,
  ): Promise<PutResult> {
    await this.#take(1, options);
    if (!(body instanceof Uint8Array)) {
      return await this.#store.put(key, this.#paced(body, options), options);
    }
    if (body.length > PART_BYTES) await this.#take(largeRequests(body.length), options);
    return await this.#store.put(key, body, options);
  }

  async head(key: string, options?: Cancellable): Promise<ObjectInfo> {
    await this.#take(1, options);
    return await this.#store.head(key, options);
  }

  async delete(keys: readonly string[], options?: Cancellable): Promise<void> {
    await this.#take(Math.ceil(keys.length / PAGE_KEYS), options);
    await this.#store.delete(keys, options);
  }

  async deleteOne(
    key: string,
    options?: Cancellable & { readonly ifMatch?: string | undefined },
  ): Promise<void> {
    await this.#take(1, options);
    await this.#store.deleteOne(key, options);
  }

  async *list(options?: ListOptions): AsyncGenerator<ObjectInfo, void, undefined> {
    await this.#take(1, options);
    let names = 0;
    for await (const info of this.#store.list(options)) {
      if (++names % PAGE_KEYS === 0) await this.#take(1, options);
      yield info;
    }
  }

  /** A body that pays for each of its parts before it hands it out: its size may be known only at its end. */
  async *#paced(
    body: AsyncIterable<Uint8Array>,
    options: Cancellable | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let size = 0;
    let paid = 0;
    for await (const chunk of body) {
      size += chunk.length;
      const due = size > PART_BYTES ? largeRequests(size) : 0;
      await this.#take(due - paid, options);
      paid = due;
      yield chunk;
    }
  }

  async #probe(options?: Cancellable): Promise<StoreCapabilities> {
    const { probe, capabilities } = this.#store;
    // It tries once in the life of a store; what it found then is what it says now.
    if (!capabilities.conditionalPut) await this.#take(PROBE_REQUESTS, options);
    return (await probe?.call(this.#store, options)) ?? capabilities;
  }

  async #take(count: number, options: Cancellable | undefined): Promise<void> {
    for (let i = 0; i < count; i++) await this.#budget.take(this.description, options?.signal);
  }
}

/** The same replica, made to wait for a budget where there is one. */
export function budgetedReplica(replica: Replica, budget: RequestBudget | undefined): Replica {
  if (budget === undefined) return replica;
  return replica.through({ store: new BudgetedStore(replica.store, budget) });
}

/** Requests of a large body beyond the first. */
function largeRequests(size: number): number {
  return LARGE_REQUESTS + Math.ceil(size / PART_BYTES) - 1;
}
