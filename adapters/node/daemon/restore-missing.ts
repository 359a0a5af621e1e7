/**
 * Databases that are not there, restored before they are replicated.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { restoreIfMissing, type RestoreResult } from "pagestream";
import type { DatabaseConfig } from "../config/config.ts";
import { fileSink } from "../files.ts";
import type { MemberTools } from "./member.ts";

/**
 * Restores a database where its configuration says so, there is no file, and its replica has something; else resolves to
 * `undefined`.
 */
export async function restoreMissing(
  config: DatabaseConfig,
  { openStore }: Pick<MemberTools, "openStore">,
  signal?: AbortSignal,
): Promise<RestoreResult | undefined> {
  const { path, replica } = config;
  if (!config.restoreIfMissing || existsSync(path)) return undefined;
  const store = await openStore(replica, path);
  try {
    return await restoreIfMissing(store, fileSink(path), { journalHeader: "keep", signal });
  } finally {
    await store.close?.();
  }
}
