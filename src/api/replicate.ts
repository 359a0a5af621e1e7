/**
 * `replicate`: commits of one database into one replica, or several.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { startPrimary } from "../replica/start-primary.ts";
import type { ReplicateOptions, Replication } from "../replica/replication.ts";
import { webPlatform } from "../transports/web-platform.ts";
import { openReplicas, type ReplicaTargets } from "./open-replicas.ts";

/**
 * Replicates every commit of `source` into `replica`, from now until `close`. Several replicas get the same files; one
 * that is added later, or whose store was away too long, is brought to the newest state by itself.
 *
 * Resolves once it is known how to continue: with increments when the database is proven to equal the replica's newest
 * state, else with a file that brings what differs. Rejects with `DatabaseBehindError` where it equals an earlier state,
 * unless `onBehind` says otherwise. Uploading goes on in the background; see `durable` and `flush`.
 *
 * @example
 * ```ts ignore
 * const vfs = installCaptureVfs(sqlite3, { parent: "unix-none" });
 * const db = new sqlite3.oo1.DB(`file:/app.db?vfs=${vfs.name}`, "c");
 * await using replication = await replicate(vfs.source(db), store);
 * db.exec("CREATE TABLE note(body)");
 * await replication.durable();
 * ```
 *
 * @example Two replicas, of which one is enough for an answer
 * ```ts ignore
 * await using replication = await replicate(vfs.source(db), [near, far]);
 * db.exec("INSERT INTO note VALUES ('hello')");
 * await replication.durable({ at: "any" });
 * ```
 */
export async function replicate(
  source: CommitSource,
  replica: ReplicaTargets,
  options: ReplicateOptions = {},
): Promise<Replication> {
  const platform = options.platform ?? webPlatform;
  return await startPrimary(source, openReplicas(replica, platform), { ...options, platform });
}
