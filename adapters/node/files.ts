/**
 * Files on Node; databases are locked and checked through `node:sqlite`.
 *
 * @module
 */
import type { DrillTarget, FollowTarget, Recovery, RestoreSink, SyncFiles } from "pagestream";
import {
  fileDrillOf,
  fileFollowTargetOf,
  type FileDrillOptions,
  type FileSinkOptions,
  fileSinkOf,
  nodeSqlite,
  recoverTargetOf,
  type SyncFilesOptions,
  syncFilesOf,
} from "pagestream/files-kit";

/**
 * Node's files. Failures throw Node's own errors, except `lock`, which throws `DatabaseLockedError` and `IoError`.
 *
 * Never use it on a database file that SQLite has open in this process: closing a descriptor drops all locks that the
 * process holds on the file.
 *
 * @example
 * ```ts
 * import { syncFiles } from "@pagestream/node";
 *
 * const files = syncFiles();
 * const lock = files.lock("app.db");
 * const file = files.open("app.db", { mode: "create" });
 * file.close();
 * lock.release();
 * ```
 */
export function syncFiles(options: SyncFilesOptions = {}): SyncFiles {
  return syncFilesOf(nodeSqlite, options);
}

/**
 * Makes a sink that writes a database file. It writes beside the target under a name of its own, syncs, and then puts
 * the file in its place; a crash leaves the old files, none, or the new file alone. What an earlier crash has left is
 * completed or undone first.
 *
 * Without `force` a target that is not empty, or that has a `-wal`, `-journal` or `-shm`, is refused with
 * `TargetExistsError`; with it, one that is in use with `DatabaseLockedError`.
 *
 * @example
 * ```ts ignore
 * import { restore } from "pagestream";
 * import { fileSink, fileStore } from "@pagestream/node";
 *
 * await restore(fileStore("/backup/app"), fileSink("app.db"), { integrityCheck: "quick" });
 * ```
 */
export function fileSink(path: string, options: FileSinkOptions = {}): RestoreSink {
  return fileSinkOf(nodeSqlite, path, options);
}

/**
 * Completes or undoes what an interrupted restore left at a database file. Call it, with the lock held, before the
 * file is opened.
 */
export function recoverTarget(path: string): Recovery {
  return recoverTargetOf(nodeSqlite, path);
}

/**
 * Makes a target for the `restore` of `verify`: the database is restored into a temporary file and read by this runtime's
 * SQLite, in a thread. Good for one call, which removes the file.
 *
 * @example
 * ```ts ignore
 * import { verify } from "pagestream";
 * import { fileDrill, fileStore } from "@pagestream/node";
 *
 * const probes = [{ sql: "SELECT count(*) > 0 FROM note", expected: 1 }];
 * const report = await verify(fileStore("/backup/app"), { restore: fileDrill(), probes });
 * ```
 */
export function fileDrill(options: FileDrillOptions = {}): DrillTarget {
  return fileDrillOf(nodeSqlite, options);
}

/**
 * Makes the target of a copy on disk: a database in WAL mode, whose only writer is the follower. Any number of readers may
 * have it open, in any process: each read transaction sees one state of the replica for as long as it lasts, and neither
 * waits for the follower nor keeps it waiting. A reader that stays in one transaction keeps the WAL growing, as in any
 * WAL database.
 *
 * The position is kept in `<path>-txid`, as Litestream does.
 *
 * @example
 * ```ts ignore
 * import { follow } from "pagestream";
 * import { fileFollowTarget, fileStore } from "@pagestream/node";
 *
 * await using follower = await follow(fileStore("/backup/app"), fileFollowTarget("copy.db"));
 * for await (const event of follower.events) console.log(event.type, follower.position);
 * ```
 */
export function fileFollowTarget(path: string): FollowTarget {
  return fileFollowTargetOf(nodeSqlite, path);
}
