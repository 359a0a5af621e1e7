/**
 * A server that holds objects, and the network between it and whoever asks.
 *
 * A request takes a while, has its effect on the server in one moment, and its answer takes a while. On either way it may
 * be lost, late, repeated or cut; what has its effect has it whether or not anybody still waits.
 *
 * @module
 */
import { AbortedError } from "../../src/core/errors.ts";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";
import {
  alreadyExists,
  NotFoundError,
  otherVersion,
  StoreError,
} from "../../src/transports/errors.ts";
import type {
  GetOptions,
  GetResult,
  ListOptions,
  ObjectInfo,
  ObjectMetadata,
  ObjectStore,
  PutOptions,
  PutResult,
} from "../../src/transports/object-store.ts";
import type { NetworkPlan, SimPlan } from "./plan.ts";
import type { SimProcess } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Trace } from "./trace.ts";

/** How long a client waits for an answer, in milliseconds. */
const PATIENCE_MS = 30_000;
/** How much later than that a late request may still arrive. */
const LATEST_MS = 20_000;

interface StoredObject {
  readonly bytes: Uint8Array;
  readonly etag: string;
  readonly lastModified: Date;
  readonly metadata: ObjectMetadata;
}

/** Who is told of every change, at the moment it happens, before anybody else can see it. */
export interface ServerWatch {
  put(key: string, bytes: Uint8Array, replaced: Uint8Array | undefined): void;
  removed(key: string): void;
  /** Whether an object that arrives late is one that nothing protects from. */
  leadsAstray(key: string, bytes: Uint8Array): boolean;
}

/** What the server is made of. */
export interface ServerOptions {
  readonly name: string;
  readonly plan: SimPlan;
  readonly random: SeededRandom;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly watch: ServerWatch;
  /** Whether anything may go wrong at this moment. */
  readonly troubled: () => boolean;
}

/** A server. Its own clock is right. */
export class SimServer {
  /** Requests that arrived, and how many of each fault there were. */
  requests = 0;
  readonly faults: Record<string, number> = {};
  readonly objects = new Map<string, StoredObject>();
  readonly #options: ServerOptions;
  #versions = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  /** Sorted keys. */
  keys(prefix = ""): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  /** The server as seen without a network: every answer at once, and never a fault. */
  direct(): ObjectStore {
    return this.#store((request) => {
      const result = request.effect();
      return Promise.resolve(result);
    });
  }

  /** The server as a process sees it. */
  connect(process: SimProcess): ObjectStore {
    return this.#store((request) => this.#send(process, request));
  }

  #store(send: <T>(request: Request<T>) => Promise<T>): ObjectStore {
    const { plan, name } = this.#options;
    const { capabilities, layout } = plan;
    return {
      type: "sim",
      description: name,
      capabilities,
      layout,
      get: async (key, options) => {
        const { signal } = options ?? {};
        const got = await send({ name: "get", key, signal, effect: () => this.#get(key, options) });
        const { cutAfter, object, bytes } = got;
        const { etag, lastModified, metadata } = object;
        const body = bodyOf(bytes, cutAfter);
        return { body, size: object.bytes.length, etag, lastModified, metadata } as GetResult;
      },
      put: async (key, body, options) => {
        const bytes = body instanceof Uint8Array ? body.slice() : await collect(body);
        const { signal } = options ?? {};
        return await send({
          name: "put",
          key,
          signal,
          writes: true,
          effect: () => this.#put(key, bytes, options),
          effectLate: () => {
            const { writers, destinations } = plan;
            const isOneOfSeveral = writers > 1 || destinations > 1;
            if (isOneOfSeveral && this.#options.watch.leadsAstray(key, bytes)) return;
            this.#put(key, bytes, options);
          },
        });
      },
      head: (key, options) => {
        const effect = (): ObjectInfo => infoOf(key, this.#find(key, "look up"));
        return send({ name: "head", key, signal: options?.signal, effect });
      },
      delete: (keys, options) =>
        send({
          name: "delete",
          key: keys.join(" "),
          signal: options?.signal,
          writes: true,
          effect: () => keys.forEach((key) => this.#delete(key)),
        }),
      deleteOne: (key, options) =>
        send({
          name: "delete",
          key,
          signal: options?.signal,
          writes: true,
          effect: () => {
            const found = this.objects.get(key);
            const { ifMatch } = options ?? {};
            if (found !== undefined && ifMatch !== undefined && ifMatch !== found.etag) {
              throw otherVersion({ operation: "delete", object: key });
            }
            this.#delete(key);
          },
        }),
      list: (options) => this.#list(send, options),
    };
  }

  // Effects.

  #find(key: string, operation: string): StoredObject {
    const found = this.objects.get(key);
    if (found !== undefined) return found;
    throw new NotFoundError({ operation, object: key, what: "there is no such object" });
  }

  #get(key: string, options: GetOptions = {}): Got {
    const object = this.#find(key, "read");
    const { ifMatch, offset = 0, length } = options;
    if (ifMatch !== undefined && ifMatch !== object.etag) {
      throw otherVersion({ operation: "read", object: key });
    }
    const end = length === undefined ? undefined : offset + length;
    return { object, bytes: object.bytes.subarray(offset, end), cutAfter: undefined };
  }

  #put(key: string, bytes: Uint8Array, options: PutOptions = {}): PutResult {
    const { scheduler, watch, plan } = this.#options;
    const { ifNoneMatch, ifMatch, metadata } = options;
    const found = this.objects.get(key);
    const { conditionalPut, conditionalReplace } = plan.capabilities;
    if (ifNoneMatch !== undefined && conditionalPut && found !== undefined) {
      throw alreadyExists(key);
    }
    if (ifMatch !== undefined && conditionalReplace && found?.etag !== ifMatch) {
      throw otherVersion({ operation: "write", object: key });
    }
    const etag = `v${++this.#versions}`;
    const lastModified = new Date(SERVER_START + scheduler.now);
    watch.put(key, bytes, found?.bytes);
    this.objects.set(key, { bytes, etag, lastModified, metadata: { ...metadata } });
    return { etag, lastModified };
  }

  #delete(key: string): void {
    if (this.#options.plan.keepsAll) {
      const what = "deleting is not allowed here";
      throw new StoreError({ operation: "delete", object: key, what }, { status: 403 });
    }
    if (this.objects.delete(key)) this.#options.watch.removed(key);
  }

  async *#list(
    send: <T>(request: Request<T>) => Promise<T>,
    options: ListOptions = {},
  ): AsyncGenerator<ObjectInfo, void, undefined> {
    const { plan } = this.#options;
    const { prefix = "", startAfter, signal } = options;
    const effect = (): ObjectInfo[] =>
      this.keys(prefix)
        .filter((key) => startAfter === undefined || key > startAfter)
        .map((key) => infoOf(key, this.objects.get(key)!));
    const found = await send({ name: "list", key: prefix, signal, effect });
    for (const info of found) {
      yield plan.capabilities.metadataInList ? info : { ...info, metadata: undefined };
    }
  }

  // The way there and back.

  #send<T>(process: SimProcess, request: Request<T>): Promise<T> {
    const { scheduler, random, plan, trace } = this.#options;
    const { network, outage } = plan;
    const { name, key, signal, effect } = request;
    const fault = this.#fault(request, network, outage);
    if (fault !== undefined) this.faults[fault] = (this.faults[fault] ?? 0) + 1;
    const id = `${process.name} ${name} ${key}`;
    trace.add(fault === undefined ? id : `${id}: ${fault}`);
    const [there, back] = [1 + random.int(network.slowestMs), 1 + random.int(network.slowestMs)];
    return new Promise<T>((resolve, reject) => {
      let settled = false;
      const answer = (delayMs: number, settle: () => void): void => {
        scheduler.after(delayMs, () =>
          process.run(() => {
            if (settled) return;
            settled = true;
            signal?.removeEventListener("abort", aborted);
            settle();
          }),
        );
      };
      const fail = (delayMs: number, error: unknown): void =>
        answer(delayMs, () => {
          trace.add(`  ${id} failed: ${(error as Error).message.slice(0, 80)}`);
          reject(error);
        });
      const aborted = (): void => {
        settled = true;
        const what = "the operation was aborted";
        reject(new AbortedError({ operation: name, object: key, what, cause: signal?.reason }));
      };
      if (signal?.aborted === true) return aborted();
      signal?.addEventListener("abort", aborted, { once: true });
      /** Has the effect once, now. */
      const arrive = <R>(effect: () => R): { readonly value: R } | { readonly error: unknown } => {
        this.requests++;
        try {
          return { value: effect() };
        } catch (error) {
          if ((error as { isViolation?: unknown }).isViolation === true) throw error;
          return { error };
        }
      };
      const lost = networkError("no answer came");
      switch (fault) {
        case "down":
          return fail(there, networkError("the connection was refused"));
        case "lost":
          return fail(PATIENCE_MS, lost);
        case "late":
          scheduler.after(
            PATIENCE_MS + random.int(LATEST_MS),
            () => void arrive(request.effectLate ?? effect),
          );
          return fail(PATIENCE_MS, lost);
        case "refused":
          return fail(there + back, refusal(random));
        case "cut upload":
          return fail(there, networkError("the body broke off"));
        case undefined:
        case "unanswered":
        case "repeated":
        case "cut":
          break;
      }
      scheduler.after(there, () => {
        let result = arrive(effect);
        if (fault === "unanswered") return fail(PATIENCE_MS - there, lost);
        if (fault === "repeated") result = arrive(effect);
        if ("error" in result) return fail(back, result.error);
        const { value } = result;
        if (fault === "cut") {
          if (name !== "get") return fail(back, networkError("the answer broke off"));
          const got = value as Got;
          return answer(back, () =>
            resolve({ ...got, cutAfter: random.int(got.bytes.length + 1) } as T),
          );
        }
        answer(back, () => resolve(value));
      });
    });
  }

  #fault(
    { writes, name }: Request<unknown>,
    network: NetworkPlan,
    outage: SimPlan["outage"],
  ): Fault | undefined {
    const { random, scheduler, troubled, plan } = this.#options;
    if (!troubled()) return undefined;
    const { now } = scheduler;
    if (outage !== undefined && now >= outage.from && now < outage.to) return "down";
    let roll = random.next() / 0x1_0000_0000;
    const happens = (odds: number): boolean => (roll -= odds) < 0;
    if (happens(network.lost)) return "lost";
    if (happens(network.unanswered)) return "unanswered";
    // Where creation is not conditional nothing protects from what arrives late.
    const mayBeLate = writes === true && plan.capabilities.conditionalPut;
    if (happens(network.late)) return mayBeLate ? "late" : "lost";
    if (happens(network.repeated)) return writes === true ? "repeated" : undefined;
    if (happens(network.refused)) return "refused";
    if (happens(network.cut)) return name === "put" ? "cut upload" : "cut";
    return undefined;
  }
}

/** Wall-clock time of the server at the beginning. */
export const SERVER_START: number = Date.UTC(2026, 0, 1);

type Fault =
  | "down"
  | "lost"
  | "unanswered"
  | "late"
  | "repeated"
  | "refused"
  | "cut"
  | "cut upload";

interface Request<T> {
  readonly name: string;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
  readonly writes?: boolean;
  readonly effect: () => T;
  /** @default as `effect` */
  readonly effectLate?: () => void;
}

interface Got {
  readonly object: StoredObject;
  readonly bytes: Uint8Array;
  readonly cutAfter: number | undefined;
}

function networkError(what: string): StoreError {
  return new StoreError({ operation: "reach", object: "the server", what }, { retryable: true });
}

function refusal(random: SeededRandom): StoreError {
  const throttled = random.chance(0.5);
  return new StoreError(
    { operation: "reach", object: "the server", what: throttled ? "slow down" : "internal error" },
    {
      retryable: true,
      status: throttled ? 429 : 503,
      retryAfterMs: throttled ? random.int(5_000) : undefined,
    },
  );
}

function infoOf(key: string, object: StoredObject): ObjectInfo {
  const { bytes, etag, lastModified, metadata } = object;
  return { key, size: bytes.length, etag, lastModified, metadata };
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk.slice());
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function bodyOf(bytes: Uint8Array, cutAfter: number | undefined): ReadableStream<Uint8Array> {
  let done = false;
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (done && cutAfter !== undefined) {
          controller.error(networkError("the body broke off"));
        } else if (done || bytes.length === 0) {
          controller.close();
        } else {
          controller.enqueue(bytes.slice(0, cutAfter));
        }
        done = true;
      },
    },
    { highWaterMark: 0 },
  );
}
