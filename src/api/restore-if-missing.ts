/**
 * `restoreIfMissing`: the first thing a server does with its database.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import type { Replica } from "../replica/replica.ts";
import type { RestoreResult } from "../replica/restore-options.ts";
import type { RestoreSink } from "../replica/restore-sink.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { restore, type RestoreOptions } from "./restore.ts";

/**
 * Restores into a target that does not exist yet, from a replica that does. Resolves to `undefined`, and writes
 * nothing, when the target is there already or the replica holds no file at all; a replica that is damaged is an error.
 *
 * The journal mode bytes become `rollback` unless asked otherwise: what is restored here is opened by sqlite-wasm,
 * which cannot open a file marked WAL without shared memory.
 */
export async function restoreIfMissing(
  replica: ObjectStore | Replica,
  target: RestoreSink,
  options: RestoreOptions = {},
): Promise<RestoreResult | undefined> {
  try {
    return await restore(replica, target, { journalHeader: "rollback", ...options });
  } catch (error) {
    if (isPagestreamError(error, "NO_BACKUP") || isPagestreamError(error, "TARGET_EXISTS")) {
      return undefined;
    }
    throw error;
  }
}
