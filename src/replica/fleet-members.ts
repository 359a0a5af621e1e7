/**
 * The databases of a fleet: each has a replication of its own, all share the places for uploads, the scheduler of what is
 * due later, and the budget of requests.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { ClosedError, InvalidArgumentError } from "../core/errors.ts";
import { EventStream } from "../core/event-stream.ts";
import type { Platform } from "../core/platform.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { budgetedReplica } from "./budgeted-store.ts";
import type {
  Fleet,
  FleetDatabase,
  FleetDatabaseOptions,
  FleetDatabaseState,
  FleetEvent,
  FleetOptions,
  FleetReplica,
  FleetSource,
  FleetStatus,
} from "./fleet.ts";
import { FleetMember } from "./fleet-member.ts";
import { Gate } from "./gate.ts";
import { memoryState } from "./local-state.ts";
import { RecentFiles } from "./maintenance-cache.ts";
import { Replica, type ReplicaOptions } from "./replica.ts";
import type { CloseOptions, Replication, WaitOptions } from "./replication.ts";
import { RequestBudget } from "./request-budget.ts";
import { RestingReplication } from "./resting-replication.ts";
import { Scheduler } from "./scheduler.ts";
import { startPrimary } from "./start-primary.ts";

/** As many as Litestream opens at once. */
const STARTS = 50;
const UPLOADS = 32;
const MAINTENANCE = 4;

type MembersOptions = FleetOptions & { readonly platform: Platform };

/** What a member starts with. */
interface Start {
  readonly source: FleetSource;
  readonly replicas: readonly [Replica, ...Replica[]];
  readonly options: FleetDatabaseOptions;
  readonly signal: AbortSignal;
}

/** Starts a fleet without databases; throws `InvalidArgumentError` where a bound is no whole number of at least 1. */
export function startFleet(options: MembersOptions): Fleet {
  return new FleetMembers(options);
}

class FleetMembers implements Fleet {
  readonly events: EventStream<FleetEvent> = new EventStream();
  readonly #options: MembersOptions;
  readonly #members = new Map<string, FleetMember>();
  /** Sources and stores in use: two histories in one place would destroy each other. */
  readonly #taken = new Set<object>();
  readonly #starts: Gate;
  readonly #replicaOptions: ReplicaOptions & { readonly uploads: Gate };
  readonly #scheduler: Scheduler;
  readonly #recent = new RecentFiles();
  readonly #budget: RequestBudget | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: MembersOptions) {
    const { platform, requestsPerHour } = options;
    const { starts = STARTS, uploads = UPLOADS, maintenance = MAINTENANCE } = options;
    for (const [name, count] of Object.entries({ starts, uploads, maintenance })) {
      if (Number.isSafeInteger(count) && count > 0) continue;
      const what = `${name} is ${count}, not a whole number of at least 1`;
      throw new InvalidArgumentError({ operation: "create", object: "a fleet", what });
    }
    this.#options = options;
    this.#starts = new Gate(starts);
    this.#replicaOptions = { platform, uploads: new Gate(uploads) };
    this.#scheduler = new Scheduler(platform.clock, { concurrency: maintenance });
    this.#budget =
      requestsPerHour === undefined
        ? undefined
        : new RequestBudget(platform.clock, requestsPerHour);
  }

  get size(): number {
    return this.#members.size;
  }

  async register(
    name: string,
    source: FleetSource,
    into: FleetReplica,
    options: FleetDatabaseOptions = {},
  ): Promise<Replication> {
    if (this.#closing !== undefined) {
      const what = "the fleet is closed";
      throw new ClosedError({ operation: "register", object: name, what });
    }
    if (this.#members.has(name)) throw refusal(name, "a database of this name is registered");
    const member = new FleetMember(name, this.events);
    const [first, ...others] = [into].flat().map((one) => this.#open(one));
    if (first === undefined) throw refusal(name, "no replica is given");
    const replicas: Start["replicas"] = [first, ...others];
    try {
      for (const { store } of replicas) this.#take(member, store, "its store is in use");
    } catch (error) {
      this.#forget(member);
      throw error;
    }
    this.#members.set(name, member);
    const aborter = this.#options.platform.newAborter();
    const { signal } = options;
    const onAbort = (): void => aborter.abort(signal?.reason);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const start = { source, replicas, options, signal: aborter.signal };
    const begin = (): Promise<Replication> => this.#start(member, start);
    try {
      return await member.start(this.#starts.run(name, begin, aborter.signal), aborter);
    } catch (error) {
      this.#forget(member);
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async unregister(name: string, options?: CloseOptions): Promise<void> {
    const member = this.#members.get(name);
    if (member === undefined) {
      const what = "no database of this name is registered";
      throw new InvalidArgumentError({ operation: "unregister", object: name, what });
    }
    try {
      await member.end(options);
    } finally {
      this.#forget(member);
    }
  }

  get(name: string): Replication | undefined {
    return this.#members.get(name)?.replication;
  }

  *databases(): Generator<FleetDatabase, undefined> {
    for (const member of this.#members.values()) yield member.view;
  }

  status(): FleetStatus {
    const states: Record<FleetDatabaseState, number> = {
      starting: 0,
      replicating: 0,
      resting: 0,
      stalled: 0,
      stopped: 0,
      closing: 0,
    };
    const sums = { lagMs: 0, pendingBytes: 0, commits: 0, files: 0, bytes: 0 };
    let laggard: string | undefined;
    for (const { name, state, replication } of this.#members.values()) {
      states[state]++;
      if (replication === undefined) continue;
      const { lagMs, pendingBytes, commits, files, bytes } = replication.stats;
      if (lagMs > sums.lagMs) {
        sums.lagMs = lagMs;
        laggard = name;
      }
      sums.pendingBytes += pendingBytes;
      sums.commits += commits;
      sums.files += files;
      sums.bytes += bytes;
    }
    return { databases: this.size, states, ...sums, laggard, requests: this.#budget?.spent };
  }

  async flush(options: WaitOptions = {}): Promise<void> {
    await all([...this.#members.values()], (member) => member.flush(options));
  }

  close(options?: CloseOptions): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(options: CloseOptions | undefined): Promise<void> {
    try {
      await all([...this.#members.keys()], (name) => this.unregister(name, options));
    } finally {
      this.events.close();
    }
  }

  /** The store first: no database is opened, or listened to, for a replica that does not answer. */
  async #start(member: FleetMember, start: Start): Promise<Replication> {
    const { replicas, options, signal } = start;
    const budgeted = replicas.map((replica) => budgetedReplica(replica, this.#budget));
    let { source } = start;
    if (typeof source === "function") {
      const answers = await Promise.allSettled(budgeted.map((replica) => reach(replica, signal)));
      const failed = answers.filter((answer) => answer.status === "rejected");
      if (failed.length === answers.length) throw failed[0]?.reason;
      source = await source();
    }
    this.#take(member, source, "its source is registered under another name");
    const all = {
      ...this.#options.defaults,
      ...options,
      platform: this.#options.platform,
      scheduler: this.#scheduler,
      recent: this.#recent,
      budget: this.#budget,
      tap: member,
      signal: undefined,
    };
    // Whoever may be asked before a COMMIT must be there.
    if ((all.durability ?? "async") !== "async") {
      return await startPrimary(source, replicas, { ...all, signal });
    }
    // Where there are several the start itself asks each of them.
    if (budgeted.length === 1) await budgeted[0]?.prepareToWrite({ signal });
    const state = options.state ?? memoryState();
    const resting = new RestingReplication(source, budgeted, { ...all, state });
    await resting.start(signal);
    return resting;
  }

  #open(into: ObjectStore | Replica): Replica {
    const { uploads } = this.#replicaOptions;
    if (into instanceof Replica) return into.through({ uploads });
    return new Replica(into, this.#replicaOptions);
  }

  #take(member: FleetMember, thing: ObjectStore | CommitSource, taken: string): void {
    if (this.#taken.has(thing)) throw refusal(member.name, taken);
    this.#taken.add(thing);
    member.taken.push(thing);
  }

  #forget(member: FleetMember): void {
    for (const thing of member.taken.splice(0)) this.#taken.delete(thing);
    if (this.#members.get(member.name) === member) this.#members.delete(member.name);
  }
}

function refusal(name: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError({ operation: "register", object: name, what });
}

/** Does something with all of them, whatever fails; then throws the first failure. */
async function all<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const outcomes = await Promise.allSettled(items.map(act));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** Resolves when the store has answered: it can be listed, and it is known which conditions it honours. */
async function reach(replica: Replica, signal: AbortSignal): Promise<void> {
  const { store } = replica;
  await replica.retry({ operation: "list", object: store.description, signal }, async () => {
    for await (const _ of store.list({ signal })) break;
  });
  await replica.prepareToWrite({ signal });
}
