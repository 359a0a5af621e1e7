/**
 * `replicate` on Deno, which also takes handles of node:sqlite and better-sqlite3 and paths.
 *
 * @module
 */
import type { CommitSource, ReplicaTargets, ReplicateOptions, Replication } from "pagestream";
import {
  type NativeHandle,
  type NativeReplication,
  nodeSqlite,
  nodeSqliteDriver,
  replicateOn,
  type ReplicateNativeOptions,
  type ReplicateTarget,
} from "../files/index.ts";
import { syncFiles } from "./files.ts";
import { watchFile } from "./watch-file.ts";

/** Replicates what a capture VFS sees: the `replicate` of `pagestream`. */
export function replicate(
  source: CommitSource,
  replica: ReplicaTargets,
  options?: ReplicateOptions,
): Promise<Replication>;
/**
 * Replicates a database in WAL mode that native SQLite writes, by its handle or its path. Its WAL
 * is followed: what other processes commit is replicated, too. The database itself gets no table, and beside it lie the
 * local state (`.app.db-pagestream`) and a lock (`app.db.pagestream-lock`) that keeps out a second replication.
 *
 * A handle is followed through its own SQLite library, because two libraries in one process drop each other's locks; a
 * path through `node:sqlite`.
 *
 * Rejects with `UnsupportedError` for a database that is in memory, temporary, read-only, in another journal mode, or
 * that has others attached; with `SecondLibraryError` where this process follows the file through another library; with
 * `DatabaseLockedError` where it is replicated already; else as the `replicate` of `pagestream` does.
 *
 * @example
 * ```ts
 * import { DatabaseSync } from "node:sqlite";
 * import { fileStore, replicate } from "pagestream/deno";
 *
 * const db = new DatabaseSync("app.db");
 * db.exec("PRAGMA journal_mode = WAL; CREATE TABLE note(body)");
 * const replication = await replicate(db, fileStore("backup"));
 * db.exec("INSERT INTO note VALUES ('hello')");
 * await replication.durable(); // now it is in the replica
 * await replication.close();
 * ```
 */
export function replicate(
  database: NativeHandle | string,
  replica: ReplicaTargets,
  options?: ReplicateNativeOptions,
): Promise<NativeReplication>;
export function replicate(
  database: ReplicateTarget,
  replica: ReplicaTargets,
  options: ReplicateOptions & ReplicateNativeOptions = {},
): Promise<Replication> {
  const runtime = {
    driver: nodeSqliteDriver,
    sqlite: nodeSqlite,
    files: syncFiles(),
    watch: watchFile,
  };
  return replicateOn(runtime, database, { replica, options });
}
