/**
 * Databases that are brought into their replicas once.
 *
 * @module
 */
import { createFleet, retain, webPlatform } from "pagestream";
import type { Config, DatabaseConfig } from "../config/config.ts";
import { daemonDoors, type DaemonOptions } from "./doors.ts";
import { Member } from "./member.ts";
import { restoreMissing } from "./restore-missing.ts";

/** Options of {@linkcode replicateOnce}. */
export interface OnceOptions extends DaemonOptions {
  /** Whether each replica gets a snapshot of the database too. @default false */
  readonly snapshot?: boolean | undefined;
  /** Whether files are removed that need not be kept. @default false */
  readonly retention?: boolean | undefined;
  /** Told of each database that is done. */
  readonly onDone?: ((path: string, txid: bigint) => void) | undefined;
}

/** Uploads what each replica lacks, one database after the other. Throws the first failure, and leaves the rest. */
export async function replicateOnce(
  config: Config,
  databases: readonly DatabaseConfig[],
  options: OnceOptions = {},
): Promise<void> {
  const { platform = webPlatform } = options;
  await using fleet = createFleet({ platform, requestsPerHour: config.requestsPerHour });
  const nothing = (): void => undefined;
  const tools = {
    ...daemonDoors(options),
    fleet,
    platform,
    onStart: nothing,
    onFailure: nothing,
  };
  for (const database of databases) {
    // What goes on in a daemon by itself is asked for here.
    const quiet = { ...database.options, levels: [], retention: { enabled: false } };
    const member = new Member({ ...database, options: quiet }, tools);
    const { timeoutMs: deadlineMs } = config.shutdown;
    let txid: bigint;
    member.restored = (await restoreMissing(database, tools))?.position;
    try {
      const replication = await member.startOnce();
      await replication.flush();
      if (options.snapshot === true) await replication.snapshot();
      txid = replication.position.replicated;
    } catch (error) {
      await member.close({ deadlineMs: 0 });
      throw error;
    }
    const { error } = await member.close({ deadlineMs });
    if (error !== undefined) throw error;
    if (options.retention === true && database.options.retention?.enabled !== false) {
      await retainAll(database, tools.openStore);
    }
    options.onDone?.(database.path, txid);
  }
}

async function retainAll(
  { path, replica, otherReplicas, options }: DatabaseConfig,
  openStore: NonNullable<DaemonOptions["openStore"]>,
): Promise<void> {
  for (const each of [replica, ...otherReplicas]) {
    const store = await openStore(each, path);
    try {
      await retain(store, options);
    } finally {
      await store.close?.();
    }
  }
}
