/**
 * How the daemon reaches databases, stores and its own files.
 *
 * @module
 */
import { hostname } from "node:os";
import { fileState, type LocalState, type ObjectStore, type Platform } from "pagestream";
import { lockDatabase, nodeSqlite } from "pagestream/files-kit";
import type { DatabaseConfig, ReplicaConfig } from "../config/config.ts";
import { storeOf } from "../config/store-of.ts";
import { syncFiles } from "../files.ts";
import type { MemberTools, OpenSource } from "./member.ts";
import { openDatabase } from "./open-database.ts";

/** Options of {@linkcode Daemon}. */
export interface DaemonOptions {
  /** Opens a database that exists. @default a follower of its WAL */
  readonly open?: OpenSource | undefined;
  /** Makes the store of a replica; `database` is the path of what goes there. @default as its keys say */
  readonly openStore?:
    | ((replica: ReplicaConfig, database: string) => Promise<ObjectStore>)
    | undefined;
  /** Local state of a database. @default files in its `metaPath` */
  readonly stateOf?: ((config: DatabaseConfig) => LocalState) | undefined;
  /** Dates files and times every pause. @default the runtime's clock and random numbers */
  readonly platform?: Platform | undefined;
}

/** The options, with what they leave out. */
export function daemonDoors(
  options: DaemonOptions,
): Pick<MemberTools, "lock" | "open" | "openStore" | "stateOf" | "owner"> {
  const {
    open = openDatabase,
    openStore = (replica) => storeOf(replica),
    stateOf = stateBeside,
  } = options;
  const lock: MemberTools["lock"] = (path) =>
    lockDatabase(path, nodeSqlite, { besideNative: true });
  return { lock, open, openStore, stateOf, owner: `${hostname()}:${process.pid}` };
}

function stateBeside({ metaPath }: DatabaseConfig): LocalState {
  return fileState(syncFiles(), metaPath);
}
