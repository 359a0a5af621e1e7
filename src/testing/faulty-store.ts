/**
 * A store that fails as told, and counts what it is asked.
 *
 * @module
 */
import type { Clock } from "../core/platform.ts";
import { StoreError } from "../transports/errors.ts";
import type { GetResult, ObjectInfo, ObjectStore } from "../transports/object-store.ts";

/** The methods of a store. */
export type StoreOperation = "get" | "put" | "head" | "delete" | "deleteOne" | "list";

/** One call, as the plan sees it and the log keeps it. */
export interface StoreRequest {
  /** Which method was called. */
  readonly operation: StoreOperation;
  /** The key; of `delete` the first one, of `list` the prefix. */
  readonly key: string;
  /** All keys of a `delete`, one key otherwise. */
  readonly keys: readonly string[];
  /** Counts the calls of this operation from 1. */
  readonly count: number;
  /** Counts all calls from 1. */
  readonly sequence: number;
  /** Range of a `get`. */
  readonly offset?: number | undefined;
  /** Bytes asked for by a `get`; to the end when undefined. */
  readonly length?: number | undefined;
}

/** What goes wrong with one call. */
export interface StoreFault {
  /** Thrown instead of doing it. */
  readonly before?: unknown;
  /** Thrown after it was done: a response that was lost. A `list` throws it at its end. */
  readonly after?: unknown;
  /** Waited by the plan's clock before anything else. */
  readonly delayMs?: number | undefined;
  /** The body of a `get` ends in an error after this many bytes, a `list` after this many objects. */
  readonly cutAfter?: number | undefined;
}

/** What goes wrong, and by whose clock. */
export interface FaultPlan {
  /** Asked at each call; `undefined` lets it pass. */
  readonly fault?: ((request: StoreRequest) => StoreFault | undefined) | undefined;
  /** Needed for `delayMs`. */
  readonly clock?: Pick<Clock, "schedule"> | undefined;
}

/** A store with a memory of its calls. */
export interface FaultyStore extends ObjectStore {
  /** Every call since the start or the last `reset`, also those that failed. */
  readonly requests: readonly StoreRequest[];
  /** Calls of one operation, or of all. */
  count(operation?: StoreOperation): number;
  /** Makes the next call of an operation go wrong, before the plan is asked; several queue up. */
  failNext(operation: StoreOperation, fault: StoreFault): void;
  /** Forgets the calls, and the faults that were queued. */
  reset(): void;
}

/** An error as a store throws it when the network fails. */
export function storeFault(what = "the connection was lost", retryable = true): StoreError {
  return new StoreError({ operation: "reach", object: "the store", what }, { retryable });
}

/**
 * Wraps a store.
 *
 * @example
 * ```ts
 * import { faultyStore, storeFault } from "pagestream/testing";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const store = faultyStore(memoryStore());
 * store.failNext("put", { after: storeFault() }); // written, but the answer is lost
 * ```
 */
export function faultyStore(store: ObjectStore, plan: FaultPlan = {}): FaultyStore {
  let requests: StoreRequest[] = [];
  let queue: { readonly operation: StoreOperation; readonly fault: StoreFault }[] = [];

  const count = (operation?: StoreOperation): number =>
    operation === undefined
      ? requests.length
      : requests.filter((request) => request.operation === operation).length;

  /** Logs a call and finds what is to go wrong with it. */
  const enter = (
    operation: StoreOperation,
    keys: readonly string[],
    range?: { readonly offset?: number | undefined; readonly length?: number | undefined },
  ): StoreFault => {
    const request: StoreRequest = {
      operation,
      key: keys[0] ?? "",
      keys,
      count: count(operation) + 1,
      sequence: requests.length + 1,
      offset: range?.offset,
      length: range?.length,
    };
    requests.push(request);
    const index = queue.findIndex((queued) => queued.operation === operation);
    if (index >= 0) return queue.splice(index, 1)[0]?.fault ?? {};
    return plan.fault?.(request) ?? {};
  };
  const delay = async ({ delayMs }: StoreFault): Promise<void> => {
    if (delayMs === undefined) return;
    const { clock } = plan;
    if (clock === undefined) throw new TypeError("A fault with delayMs needs a plan with a clock");
    await new Promise<void>((resolve) => void clock.schedule(resolve, delayMs));
  };
  const run = async <T>(fault: StoreFault, call: () => Promise<T>): Promise<T> => {
    await delay(fault);
    if (fault.before !== undefined) throw fault.before;
    const result = await call();
    if (fault.after !== undefined) throw fault.after;
    return result;
  };

  return {
    type: store.type,
    description: store.description,
    get capabilities() {
      return store.capabilities;
    },
    ...(store.probe === undefined ? {} : { probe: store.probe.bind(store) }),
    layout: store.layout,
    local: store.local,
    clockOffsetMs: () => store.clockOffsetMs?.(),
    encrypted: store.encrypted,
    get requests() {
      return requests;
    },
    count,
    failNext: (operation, fault) => void queue.push({ operation, fault }),
    reset() {
      requests = [];
      queue = [];
    },

    async get(key, options): Promise<GetResult> {
      const fault = enter("get", [key], options);
      const result = await run(fault, () => store.get(key, options));
      if (fault.cutAfter === undefined) return result;
      return { ...result, body: cutBody(result.body, fault.cutAfter) };
    },
    put: (key, body, options) => {
      const fault = enter("put", [key]);
      return run(fault, () => store.put(key, body, options));
    },
    head: (key, options) => {
      const fault = enter("head", [key]);
      return run(fault, () => store.head(key, options));
    },
    delete: (keys, options) => {
      const fault = enter("delete", [...keys]);
      return run(fault, () => store.delete(keys, options));
    },
    deleteOne: (key, options) => {
      const fault = enter("deleteOne", [key]);
      return run(fault, () => store.deleteOne(key, options));
    },
    async *list(options): AsyncGenerator<ObjectInfo, void, undefined> {
      const fault = enter("list", [options?.prefix ?? ""]);
      await delay(fault);
      if (fault.before !== undefined) throw fault.before;
      let left = fault.cutAfter ?? Number.POSITIVE_INFINITY;
      for await (const info of store.list(options)) {
        if (left-- <= 0) throw storeFault("the listing broke off");
        yield info;
      }
      if (fault.cutAfter !== undefined) throw storeFault("the listing broke off");
      if (fault.after !== undefined) throw fault.after;
    },
  };
}

/** The first `length` bytes of a body, then an error, whether or not there was more. */
function cutBody(body: ReadableStream<Uint8Array>, length: number): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let left = length;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = left > 0 ? await reader.read() : undefined;
        if (next === undefined || next.done) {
          await reader.cancel();
          throw storeFault("the body broke off");
        }
        controller.enqueue(next.value.subarray(0, left));
        left -= next.value.length;
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
