/**
 * How the daemon opens a database: with the SQLite of Node, beside the processes that write it.
 *
 * @module
 */
import { UnsupportedError } from "pagestream";
import type { DatabaseConfig } from "../config/config.ts";
import type { DaemonSource } from "./member.ts";

/** Follows the WAL of a database; one in another journal mode is switched to WAL, as Litestream does. */
export async function openDatabase(config: DatabaseConfig): Promise<DaemonSource> {
  throw new UnsupportedError({ operation: "follow", object: config.path, what: "not yet" });
}
