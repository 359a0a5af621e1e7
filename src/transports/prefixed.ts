/**
 * A part of a store as a store of its own: many replicas in one bucket, with one connection and one set of credentials.
 *
 * @module
 */
import type {
  GetOptions,
  GetResult,
  ListOptions,
  LocalReads,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutResult,
  StoreCapabilities,
  WatchOptions,
} from "./object-store.ts";
import { checkKey, checkPrefix } from "./path-rules.ts";
import { type Passing, StoreTraits } from "./store-traits.ts";

interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

/**
 * The objects of `store` whose keys begin with `prefix` and a slash, by the rest of their keys. Which conditions hold is
 * tried once for all parts, beside them; closing it is the business of whoever made `store`.
 *
 * @example
 * ```ts
 * import { memoryStore } from "pagestream/transports/memory";
 * import { prefixedStore } from "pagestream/transports/prefixed";
 *
 * const bucket = memoryStore();
 * const tenant = prefixedStore(bucket, "tenants/42");
 * await tenant.put("ltx/0/a.ltx", new Uint8Array([1, 2, 3]));
 * const { size } = await bucket.head("tenants/42/ltx/0/a.ltx"); // 3
 * ```
 */
export function prefixedStore(store: ObjectStore, prefix: string): ObjectStore {
  checkKey(prefix, "use the prefix");
  return new PrefixedStore(store, `${prefix}/`);
}

/** A class, unlike the stores themselves: it holds no secret, and a process may hold thousands. */
class PrefixedStore extends StoreTraits implements Passing {
  readonly #store: ObjectStore;
  readonly #prefix: string;
  readonly probe?: (options?: Cancellable) => Promise<StoreCapabilities>;
  readonly watch?: (options?: WatchOptions) => AsyncIterable<ObjectInfo>;
  readonly localReads?: () => Promise<LocalReads | undefined>;

  constructor(store: ObjectStore, prefix: string) {
    super(store);
    this.#store = store;
    this.#prefix = prefix;
    if (store.probe !== undefined) this.probe = store.probe.bind(store);
    if (store.watch !== undefined) this.watch = (options) => this.#watch(options);
    if (store.localReads !== undefined) this.localReads = () => this.#localReads();
  }

  override get description(): string {
    return `${this.#store.description}/${this.#prefix.slice(0, -1)}`;
  }

  async get(key: string, options?: GetOptions): Promise<GetResult> {
    return await this.#store.get(this.#outer(key, "read"), options);
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options?: PutOptions,
  ): Promise<PutResult> {
    return await this.#store.put(this.#outer(key, "write"), body, options);
  }

  async head(key: string, options?: Cancellable): Promise<ObjectInfo> {
    return this.#inner(await this.#store.head(this.#outer(key, "look up"), options));
  }

  async delete(keys: readonly string[], options?: Cancellable): Promise<void> {
    const outer = keys.map((key) => this.#outer(key, "delete"));
    await this.#store.delete(outer, options);
  }

  async deleteOne(
    key: string,
    options?: Cancellable & { readonly ifMatch?: string | undefined },
  ): Promise<void> {
    await this.#store.deleteOne(this.#outer(key, "delete"), options);
  }

  async *list(options: ListOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
    const { prefix = "", startAfter, signal } = options;
    checkPrefix(prefix, "list");
    const after = startAfter === undefined ? undefined : this.#prefix + startAfter;
    const listing = { prefix: this.#prefix + prefix, startAfter: after, signal };
    for await (const info of this.#store.list(listing)) yield this.#inner(info);
  }

  async *#watch(options: WatchOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
    const { prefix = "" } = options;
    checkPrefix(prefix, "watch");
    const { watch } = this.#store;
    if (watch === undefined) return;
    const watching = watch.call(this.#store, { ...options, prefix: this.#prefix + prefix });
    for await (const info of watching) yield this.#inner(info);
  }

  async #localReads(): Promise<LocalReads | undefined> {
    const reads = await this.#store.localReads?.();
    if (reads === undefined) return undefined;
    return {
      read: (key, range, into) => reads.read(this.#outer(key, "read"), range, into),
      close: () => reads.close(),
    };
  }

  #outer(key: string, operation: string): string {
    checkKey(key, operation);
    return this.#prefix + key;
  }

  #inner(info: ObjectInfo): ObjectInfo {
    return { ...info, key: info.key.slice(this.#prefix.length) };
  }
}
