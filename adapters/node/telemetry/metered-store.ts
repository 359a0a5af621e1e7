/**
 * A store that tells of its requests: how many, how many bytes, how long, how they ended.
 *
 * @module
 */
import {
  type GetOptions,
  type GetResult,
  isPagestreamError,
  type ListOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
  type PutResult,
  type StoreCapabilities,
  type WatchOptions,
} from "pagestream";
import { type Passing, StoreTraits } from "pagestream/transports/store-kit";

/** What is done, in Litestream's words. Looking an object up counts as reading it. */
export type StoreOperation = "PUT" | "GET" | "LIST" | "DELETE";

/** One call of a store that has ended. */
export interface StoreCall {
  readonly operation: StoreOperation;
  /** Bytes of bodies sent, or asked for; 0 for the others. */
  readonly bytes: number;
  /** Requests it took, as far as a caller can know: large bodies go in parts, listings in pages. */
  readonly requests: number;
  /** How long it took; of a reading until the body began. */
  readonly seconds: number;
  /** Code of the error that it ended with. That an object is not there is none, nor that the caller gave up. */
  readonly error: string | undefined;
}

const PART_BYTES = 5 << 20;
const PAGE_KEYS = 1000;

interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

/** The same store; `tell` is called at the end of each call. */
export class MeteredStore extends StoreTraits implements Passing {
  readonly #store: ObjectStore;
  readonly #tell: (call: StoreCall) => void;
  readonly probe?: (options?: Cancellable) => Promise<StoreCapabilities>;
  readonly watch?: (options?: WatchOptions) => AsyncIterable<ObjectInfo>;
  readonly close?: () => Promise<void>;

  constructor(store: ObjectStore, tell: (call: StoreCall) => void) {
    super(store);
    this.#store = store;
    this.#tell = tell;
    if (store.probe !== undefined) this.probe = store.probe.bind(store);
    if (store.watch !== undefined) this.watch = store.watch.bind(store);
    if (store.close !== undefined) this.close = store.close.bind(store);
  }

  async get(key: string, options: GetOptions = {}): Promise<GetResult> {
    const call = this.#begin("GET");
    return await call.of(this.#store.get(key, options), ({ size }) => {
      const { offset = 0, length = size } = options;
      call.bytes = Math.max(0, Math.min(length, size - offset));
    });
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options?: PutOptions,
  ): Promise<PutResult> {
    const call = this.#begin("PUT");
    const counted = body instanceof Uint8Array ? body : call.counting(body);
    if (body instanceof Uint8Array) call.bytes = body.length;
    return await call.of(this.#store.put(key, counted, options), () => {
      if (call.bytes > PART_BYTES) call.requests = Math.ceil(call.bytes / PART_BYTES) + 2;
    });
  }

  async head(key: string, options?: Cancellable): Promise<ObjectInfo> {
    return await this.#begin("GET").of(this.#store.head(key, options));
  }

  async delete(keys: readonly string[], options?: Cancellable): Promise<void> {
    const call = this.#begin("DELETE");
    call.requests = Math.ceil(keys.length / PAGE_KEYS);
    await call.of(this.#store.delete(keys, options));
  }

  async deleteOne(
    key: string,
    options?: Cancellable & { readonly ifMatch?: string | undefined },
  ): Promise<void> {
    await this.#begin("DELETE").of(this.#store.deleteOne(key, options));
  }

  async *list(options?: ListOptions): AsyncGenerator<ObjectInfo, void, undefined> {
    const call = this.#begin("LIST");
    let names = 0;
    try {
      for await (const info of this.#store.list(options)) {
        if (++names % PAGE_KEYS === 0) call.requests++;
        yield info;
      }
    } catch (error) {
      call.fail(error);
      throw error;
    } finally {
      call.end();
    }
  }

  #begin(operation: StoreOperation): Call {
    return new Call(operation, this.#tell);
  }
}

/** A call under way. */
class Call {
  bytes = 0;
  requests = 1;
  readonly #operation: StoreOperation;
  readonly #tell: (call: StoreCall) => void;
  readonly #start = performance.now();
  #error: string | undefined;

  constructor(operation: StoreOperation, tell: (call: StoreCall) => void) {
    this.#operation = operation;
    this.#tell = tell;
  }

  /** Waits for it, lets `note` look at what came, and ends. */
  async of<Result>(promise: Promise<Result>, note?: (result: Result) => void): Promise<Result> {
    try {
      const result = await promise;
      note?.(result);
      return result;
    } catch (error) {
      this.fail(error);
      throw error;
    } finally {
      this.end();
    }
  }

  async *counting(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of body) {
      this.bytes += chunk.length;
      yield chunk;
    }
  }

  fail(error: unknown): void {
    if (!isPagestreamError(error)) this.#error = "UNKNOWN";
    else if (error.code !== "NOT_FOUND" && error.code !== "ABORTED") this.#error = error.code;
  }

  end(): void {
    const { bytes, requests } = this;
    const seconds = (performance.now() - this.#start) / 1000;
    this.#tell({ operation: this.#operation, bytes, requests, seconds, error: this.#error });
  }
}
