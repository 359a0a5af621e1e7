/**
 * `opfsState`: replication state that outlives the tab.
 *
 * @module
 */
import type { OpenFile } from "../core/sync-files.ts";
import type { LocalState } from "../replica/local-state.ts";
import { openFileState } from "../replica/open-file-state.ts";
import { openHandle, type OpfsDatabase, sideFolder } from "./opfs-handles.ts";

const NAMES = ["marker-a", "marker-b", "log-a", "log-b", "staged"] as const;

/**
 * Opens the state of a database of OPFS, in a dedicated worker: the marker and the staged files, so that a worker which
 * finds its database there goes on from what was proven of it and reads nothing of the replica.
 *
 * The state is one worker's at a time: `DatabaseLockedError` where another has it open. `replicate` closes it.
 *
 * @example
 * ```ts ignore
 * const state = await opfsState({ vfs: "opfs-sahpool", path: "/notes.db" });
 * const replication = await replicate(vfs.source(db), store, { state });
 * ```
 */
export async function opfsState(database: OpfsDatabase): Promise<LocalState> {
  const work = { operation: "open the state of", object: `${database.vfs}:${database.path}` };
  const folder = await sideFolder(work, database);
  const opened: OpenFile[] = [];
  try {
    for (const name of NAMES) opened.push(await openHandle(work, folder, name));
    const [a, b, c, d, staged] = opened as unknown as FiveFiles;
    return openFileState({ marker: [a, b], log: [c, d], staged });
  } catch (error) {
    for (const file of opened) file.close();
    throw error;
  }
}

type FiveFiles = readonly [OpenFile, OpenFile, OpenFile, OpenFile, OpenFile];
