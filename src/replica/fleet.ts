/**
 * Many databases in one process, as their user sees them.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import type { PagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import type { Replica } from "./replica.ts";
import type {
  CloseOptions,
  Position,
  ReplicateOptions,
  Replication,
  ReplicationEvent,
  WaitOptions,
} from "./replication.ts";

/** What one database of a fleet is replicated with: the fleet has the rest. */
export type FleetDatabaseOptions = Omit<
  ReplicateOptions,
  "platform" | "scheduler" | "recent" | "requestsPerHour"
>;

/** A database that is open, or how to open it once its replica has answered. */
export type FleetSource = CommitSource | (() => CommitSource | Promise<CommitSource>);

/** Where a database goes: one replica or several. */
export type FleetReplica = ObjectStore | Replica | readonly (ObjectStore | Replica)[];

/** Options of `createFleet`. */
export interface FleetOptions {
  /** What every database is replicated with unless its registration says otherwise. */
  readonly defaults?: Omit<FleetDatabaseOptions, "state" | "position" | "signal"> | undefined;
  /** Databases that may start at once. @default 50, as Litestream */
  readonly starts?: number | undefined;
  /** Uploads that may be under way at once. @default 32 */
  readonly uploads?: number | undefined;
  /** Compactions, snapshots and removals that may be under way at once. @default 4 */
  readonly maintenance?: number | undefined;
  /** The most requests that all databases together may make in any hour; see `ReplicateOptions`. @default no bound */
  readonly requestsPerHour?: number | undefined;
  /** Dates files and times every pause. @default the runtime's clock and random numbers */
  readonly platform?: Platform | undefined;
}

/** What a database of a fleet is doing. */
export type FleetDatabaseState =
  | "starting"
  | "replicating"
  | "resting"
  | "stalled"
  | "stopped"
  | "closing";

/** One database of a fleet, as of the moment it was asked for. */
export interface FleetDatabase {
  /** As it was registered. */
  readonly name: string;
  /**
   * `resting`: all is done, until it commits again. `stalled`: a store of it fails, or has to be brought up; attempts go
   * on. `stopped`: another writer took its replica.
   */
  readonly state: FleetDatabaseState;
  /** Why it is stalled or stopped. */
  readonly error: PagestreamError | undefined;
  /** How far it has come; `undefined` while it starts. */
  readonly position: Position | undefined;
  /** Milliseconds since the oldest commit that is not yet in the store; 0 when all are. */
  readonly lagMs: number;
  /** Bytes kept for the store. */
  readonly pendingBytes: number;
}

/** All databases of a fleet together. */
export interface FleetStatus {
  /** Databases that are registered. */
  readonly databases: number;
  /** How many of them are in each state. */
  readonly states: Readonly<Record<FleetDatabaseState, number>>;
  /** Largest lag of any database in milliseconds; 0 when all is in the stores. */
  readonly lagMs: number;
  /** Whose that is. */
  readonly laggard: string | undefined;
  /** Bytes kept for the stores. */
  readonly pendingBytes: number;
  /** Transactions since the start of the databases that are registered now. */
  readonly commits: number;
  /** Files confirmed by the stores since then. */
  readonly files: number;
  /** Bytes of those files. */
  readonly bytes: number;
  /** Requests made so far, where they are bounded. */
  readonly requests: number | undefined;
}

/** An event of one database. */
export type FleetEvent = ReplicationEvent & {
  /** Whose it is, as it was registered. */
  readonly database: string;
};

/** Databases that are replicated together. */
export interface Fleet extends AsyncDisposable {
  /** Databases that are registered, those that start included. */
  readonly size: number;
  /** Events of all databases from the moment a loop begins. */
  readonly events: AsyncIterable<FleetEvent>;
  /**
   * Begins to replicate a database into one replica or several. Resolves when it is known how to continue, rejects as `replicate` does, and then the
   * name is free again. A source given as a function is opened only after its replica has answered, and only
   * when its turn to start has come. `InvalidArgumentError` where the name, the source or the store is in use.
   */
  register(
    name: string,
    source: FleetSource,
    replica: FleetReplica,
    options?: FleetDatabaseOptions,
  ): Promise<Replication>;
  /** Uploads what is left of a database and forgets it, also when that fails; a start under way is ended. */
  unregister(name: string, options?: CloseOptions): Promise<void>;
  /** The replication of a name; `undefined` while it starts, and where there is none. */
  get(name: string): Replication | undefined;
  /** Every database, in the order of their registration. */
  databases(): IterableIterator<FleetDatabase>;
  /** All databases together, as of this moment. */
  status(): FleetStatus;
  /** Uploads now what is committed now, and resolves when all stores have confirmed it; rejects with the first failure. */
  flush(options?: WaitOptions): Promise<void>;
  /** Unregisters all databases and ends; rejects with the first failure, and has ended all the same. */
  close(options?: CloseOptions): Promise<void>;
}
