/**
 * Looks now and then whether the files of each level of a replica follow each other, which nobody may notice while nothing
 * is restored.
 *
 * @module
 */
import { type Clock, type ObjectStore, openReplica } from "pagestream";
import type { DatabaseConfig, ReplicaConfig } from "../config/config.ts";

/** Levels whose files are chains; those of level 9 each begin with the first TXID. */
const LEVELS = 9;

/** Two files of a level that do not follow each other. */
export interface LevelFault {
  /** Path of the database. */
  readonly database: string;
  /** Where its replica lies. */
  readonly replica: string;
  readonly level: number;
  readonly fault: "gap" | "overlap";
  /** The TXID that the first one ends with. */
  readonly after: bigint;
  /** The TXID that the second one begins with. */
  readonly before: bigint;
}

/** Options of {@linkcode startValidation}. */
export interface ValidationOptions {
  /** Pause between two looks at all replicas, in milliseconds. */
  readonly intervalMs: number;
  readonly clock: Clock;
  /** The databases as of now. */
  readonly databases: () => readonly DatabaseConfig[];
  readonly openStore: (replica: ReplicaConfig) => Promise<ObjectStore>;
  readonly onFault: (fault: LevelFault) => void;
  /** Told of a replica that could not be looked at; it is looked at again after the interval. */
  readonly onError: (error: Error, database: string) => void;
}

/** Begins; returns the function that ends it. One listing of each replica is made at a time. */
export function startValidation(options: ValidationOptions): () => void {
  const { intervalMs, clock, databases, onError } = options;
  const ending = new AbortController();
  const look = async (): Promise<void> => {
    for (const { path, replica, otherReplicas } of databases()) {
      for (const each of [replica, ...otherReplicas]) {
        if (ending.signal.aborted) return;
        await validate(path, each, { ...options, signal: ending.signal }).catch(
          (error: unknown) => {
            if (!ending.signal.aborted) onError(error as Error, path);
          },
        );
      }
    }
    if (!ending.signal.aborted) cancel = clock.schedule(() => void look(), intervalMs);
  };
  let cancel = clock.schedule(() => void look(), intervalMs);
  return () => {
    cancel();
    ending.abort();
  };
}

async function validate(
  database: string,
  config: ReplicaConfig,
  options: ValidationOptions & { readonly signal: AbortSignal },
): Promise<void> {
  const { openStore, onFault, signal } = options;
  const store = await openStore(config);
  try {
    const levels = await openReplica(store).levels({ signal });
    for (const [level, files] of levels.slice(0, LEVELS).entries()) {
      for (const [i, { minTxid: before }] of files.entries()) {
        const after = files[i - 1]?.maxTxid;
        if (after === undefined || before === after + 1n) continue;
        const fault = before > after ? "gap" : "overlap";
        onFault({ database, replica: config.name, level, fault, after, before });
      }
    }
  } finally {
    await store.close?.();
  }
}
