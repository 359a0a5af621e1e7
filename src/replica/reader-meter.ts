/**
 * Counts what a reader asks of its store.
 *
 * @module
 */
import type { BlockingReads } from "../core/page-source.ts";
import type { Clock } from "../core/platform.ts";
import type {
  GetOptions,
  GetResult,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutResult,
  WatchOptions,
} from "../transports/object-store.ts";
import { StoreTraits } from "../transports/store-traits.ts";

/** Keys that one request of a listing brings in most stores. */
const LIST_KEYS = 1000;

/** What is counted. */
export interface Meter {
  requests: number;
  bytes: number;
}

/** Reads that count. */
export function meteredReads(reads: BlockingReads, meter: Meter): BlockingReads {
  return {
    read(key, range, into) {
      meter.requests++;
      meter.bytes += range.length;
      return reads.read(key, range, into);
    },
  };
}

/** A store that counts and takes the time, and is otherwise the one underneath. */
export class MeteredStore extends StoreTraits implements ObjectStore {
  readonly watch?: (options?: WatchOptions) => AsyncIterable<ObjectInfo>;
  readonly #store: ObjectStore;
  readonly #meter: Meter;
  readonly #clock: Clock;
  #latencyMs: number | undefined;

  /** Adds to `meter` whatever is asked of `store` through it. */
  constructor(store: ObjectStore, meter: Meter, clock: Clock) {
    super(store);
    this.#store = store;
    this.#meter = meter;
    this.#clock = clock;
    if (store.watch !== undefined) this.watch = store.watch.bind(store);
  }

  /** Milliseconds until an object began to come, at best: what a round trip costs. 0 where none was asked for. */
  get latencyMs(): number {
    return this.#latencyMs ?? 0;
  }

  async get(key: string, options: GetOptions = {}): Promise<GetResult> {
    this.#meter.requests++;
    const start = this.#clock.monotonic();
    const result = await this.#store.get(key, options);
    const latencyMs = this.#clock.monotonic() - start;
    this.#latencyMs = Math.min(this.#latencyMs ?? latencyMs, latencyMs);
    const rest = Math.max(0, result.size - (options.offset ?? 0));
    this.#meter.bytes += Math.min(options.length ?? rest, rest);
    return result;
  }

  head(key: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<ObjectInfo> {
    this.#meter.requests++;
    return this.#store.head(key, options);
  }

  async *list(options?: ListOptions): AsyncGenerator<ObjectInfo, void, undefined> {
    let keys = 0;
    this.#meter.requests++;
    for await (const info of this.#store.list(options)) {
      if (keys > 0 && keys % LIST_KEYS === 0) this.#meter.requests++;
      keys++;
      yield info;
    }
  }

  put(...args: Parameters<ObjectStore["put"]>): Promise<PutResult> {
    return this.#store.put(...args);
  }

  delete(...args: Parameters<ObjectStore["delete"]>): Promise<void> {
    return this.#store.delete(...args);
  }

  deleteOne(...args: Parameters<ObjectStore["deleteOne"]>): Promise<void> {
    return this.#store.deleteOne(...args);
  }
}
