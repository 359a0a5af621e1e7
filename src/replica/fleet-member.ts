/**
 * One database of a fleet, from its registration to its end.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import type { EventStream } from "../core/event-stream.ts";
import type { Aborter } from "../core/platform.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import type { EventTap } from "./event-reporter.ts";
import type { FleetDatabase, FleetDatabaseState, FleetEvent } from "./fleet.ts";
import type { CloseOptions, Replication, ReplicationEvent, WaitOptions } from "./replication.ts";
import { RestingReplication } from "./resting-replication.ts";

/** One registration; its small size is what thousands of idle databases cost. */
export class FleetMember implements EventTap {
  /** As it was registered. */
  readonly name: string;
  /** Its stores, and its source once that is open: what nobody else may register. */
  readonly taken: (ObjectStore | CommitSource)[] = [];
  /** `undefined` while it starts. */
  replication: Replication | undefined;
  readonly #events: EventStream<FleetEvent>;
  /** The start, while it lasts. */
  #start: { readonly ended: Promise<unknown>; readonly aborter: Aborter } | undefined;
  #closing = false;

  /** Its events go to `events` too. */
  constructor(name: string, events: EventStream<FleetEvent>) {
    this.name = name;
    this.#events = events;
  }

  /** What it is doing. */
  get state(): FleetDatabaseState {
    const { replication } = this;
    if (this.#closing) return "closing";
    if (replication === undefined) return "starting";
    if (replication instanceof RestingReplication && replication.isAtRest) return "resting";
    const states = replication.destinations.map(({ state }) => state);
    if (states.includes("stopped")) return "stopped";
    return states.every((state) => state === "following") ? "replicating" : "stalled";
  }

  /** What it is like at this moment. */
  get view(): FleetDatabase {
    const { name, replication, state } = this;
    const { lagMs, pendingBytes } = replication?.stats ?? { lagMs: 0, pendingBytes: 0 };
    const error = replication?.destinations.find((each) => each.error !== undefined)?.error;
    return { name, state, error, position: replication?.position, lagMs, pendingBytes };
  }

  /** Waits for the start, which `aborter` ends. */
  async start(starting: Promise<Replication>, aborter: Aborter): Promise<Replication> {
    this.#start = { ended: starting.catch(() => undefined), aborter };
    try {
      this.replication = await starting;
      return this.replication;
    } finally {
      this.#start = undefined;
    }
  }

  /** Uploads what is committed, once it has started. */
  async flush(options: WaitOptions): Promise<void> {
    await this.#start?.ended;
    await this.replication?.flush(options);
  }

  /** Ends the start or the replication. */
  async end(options: CloseOptions | undefined): Promise<void> {
    this.#closing = true;
    this.#start?.aborter.abort("unregister");
    await this.#start?.ended;
    await this.replication?.close(options);
  }

  tell(event: ReplicationEvent): void {
    if (this.#events.hasReaders) this.#events.emit({ ...event, database: this.name });
  }
}
