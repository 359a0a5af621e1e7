/**
 * How the daemon opens a database: with the SQLite of Node, beside the processes that write it.
 *
 * @module
 */
import { nodeSqliteDriver, openWalFollower } from "pagestream/files-kit";
import type { DatabaseConfig } from "../config/config.ts";
import { syncFiles } from "../files.ts";
import type { DaemonSource, SourceEvents } from "./member.ts";

/** Follows the WAL of a database; one in another journal mode is switched to WAL, as Litestream does. */
export async function openDatabase(
  { path, walLimit, options: { groupMs } }: DatabaseConfig,
  events: SourceEvents,
): Promise<DaemonSource> {
  const files = syncFiles();
  return await openWalFollower(path, {
    driver: nodeSqliteDriver,
    files,
    walLimit,
    groupMs,
    enforceWal: true,
    ...events,
  });
}
