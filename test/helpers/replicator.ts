/**
 * The replicator beside an application: a process of its own that follows a database into a directory.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { fileStore, replicate, syncFiles } from "@pagestream/node";
import {
  fileState,
  type LevelsOptions,
  type ObjectStore,
  type ReplicationEvent,
  stateDirectory,
  StoreError,
} from "pagestream";
import { nodeSqliteDriver } from "../../adapters/files/native-driver.ts";
import { openWalFollower } from "../../adapters/files/wal-follower.ts";
import { answer, argument, Peer } from "./peer.ts";
import { QUIET_LEVELS } from "./quiet-levels.ts";

/** What to replicate where. */
export interface ReplicatorOptions {
  readonly path: string;
  /** Directory of the replica. */
  readonly replica: string;
  /** @default 64 MiB */
  readonly walLimit?: number | undefined;
  /** @default no compaction, no snapshots, no retention */
  readonly levels?: LevelsOptions | undefined;
  /** A file: while it is there the store fails. */
  readonly outage?: string | undefined;
}

/** What a replicator tells of itself. */
export interface ReplicatorStatus {
  /** Bytes that the start read with system calls, where the system counts them, and how long it took. */
  readonly start: { readonly bytesRead: number | undefined; readonly ms: number };
  readonly walBytes: number;
  readonly txid: bigint;
  /** What happened so far: types of events, and the reasons of those that have one. */
  readonly events: readonly string[];
}

type Ask = "start" | "sync" | "close" | "status";

/** A running replicator. */
export class Replicator {
  readonly #peer: Peer;

  private constructor(peer: Peer) {
    this.#peer = peer;
  }

  /** Starts one; resolves when it follows and knows how to continue. */
  static async open(options: ReplicatorOptions): Promise<Replicator> {
    const replicator = new Replicator(new Peer(fileURLToPath(import.meta.url), options));
    await replicator.#peer.ask("start");
    return replicator;
  }

  get pid(): number {
    return this.#peer.pid;
  }

  /** Resolves when all that is committed now is in the replica. */
  async sync(): Promise<void> {
    await this.#peer.ask("sync");
  }

  status(): Promise<ReplicatorStatus> {
    return this.#peer.ask("status");
  }

  /** Replicates what is there and ends. */
  async close(): Promise<void> {
    await this.#peer.ask("close");
    await this.#peer.end();
  }

  /** Ends it in the middle of whatever it does. */
  kill(): Promise<void> {
    return this.#peer.kill();
  }
}

/** Bytes this process has read with system calls; Linux alone counts them. */
function bytesRead(): number | undefined {
  try {
    return Number(/^rchar: (\d+)$/mu.exec(readFileSync("/proc/self/io", "latin1"))?.[1]);
  } catch {
    return undefined;
  }
}

async function serve({
  path,
  replica,
  walLimit,
  levels,
  outage,
}: ReplicatorOptions): Promise<void> {
  const files = syncFiles();
  const [bytes, time] = [bytesRead(), performance.now()];
  const follower = await openWalFollower(path, { driver: nodeSqliteDriver, files, walLimit });
  const replication = await replicate(follower, failing(fileStore(replica), outage), {
    ...QUIET_LEVELS,
    ...levels,
    state: fileState(files, stateDirectory(path)),
  });
  const ms = performance.now() - time;
  const read = bytes === undefined ? undefined : (bytesRead() as number) - bytes;
  const events: string[] = [];
  void (async () => {
    for await (const event of replication.events) events.push(describeEvent(event));
  })();
  answer(async (ask: Ask) => {
    if (ask === "sync") await replication.durable();
    if (ask === "close") {
      // In an outage nothing comes of waiting.
      const deadlineMs = outage !== undefined && existsSync(outage) ? 500 : 30_000;
      await replication.close({ deadlineMs }).finally(() => follower.close());
    }
    if (ask !== "status") return undefined;
    const { walBytes } = follower;
    const { replicated: txid } = replication.position;
    return { start: { bytesRead: read, ms }, walBytes, txid, events };
  });
  process.on("disconnect", () => process.exit(0));
}

/** A store that fails while a file is there. */
function failing(store: ObjectStore, outage: string | undefined): ObjectStore {
  if (outage === undefined) return store;
  const check = (object: string): void => {
    if (!existsSync(outage)) return;
    const what = "the store is out of order";
    throw new StoreError({ operation: "reach", object, what }, { retryable: true });
  };
  return {
    ...store,
    async get(key, options) {
      check(key);
      return await store.get(key, options);
    },
    async put(key, body, options) {
      check(key);
      const result = await store.put(key, body, options);
      // An answer that is lost.
      check(key);
      return result;
    },
    async head(key, options) {
      check(key);
      return await store.head(key, options);
    },
    async delete(keys, options) {
      check(keys[0] ?? "");
      await store.delete(keys, options);
    },
    async *list(options) {
      check(options?.prefix ?? "");
      yield* store.list(options);
    },
  };
}

function describeEvent(event: ReplicationEvent): string {
  if (event.type === "error") return `error ${event.error.message}`;
  return "reason" in event ? `${event.type} ${event.reason}` : event.type;
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  await serve(argument());
}
