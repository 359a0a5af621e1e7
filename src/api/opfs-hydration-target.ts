/**
 * A local copy of a replica in the browser's private file system.
 *
 * @module
 */
import type { OpenFile } from "../core/sync-files.ts";
import type { HydrationTarget } from "../replica/hydrate-target.ts";
import { openHandle } from "./opfs-handles.ts";

/**
 * Makes a target in two files of a folder of OPFS, `<name>` and `<name>-hydration`, in a dedicated worker: only there are the
 * synchronous file handles by which pages are read without waiting. While they are hydrated nobody else can open them.
 *
 * @example
 * ```ts ignore
 * import { hydrate, openReplicaReader, opfsHydrationTarget } from "pagestream";
 *
 * const reader = await openReplicaReader(store);
 * const folder = await navigator.storage.getDirectory();
 * const hydration = await hydrate(reader, opfsHydrationTarget(folder, "copy.db"));
 * ```
 */
export function opfsHydrationTarget(
  directory: FileSystemDirectoryHandle,
  name: string,
): HydrationTarget {
  const work = { operation: "hydrate into", object: `opfs:${name}` };
  return {
    name: work.object,
    path: name,
    async open() {
      const opened: OpenFile[] = [];
      const close = (): void => {
        for (const file of opened) file.close();
      };
      try {
        for (const suffix of ["-hydration", ""]) {
          opened.push(await openHandle(work, directory, name + suffix));
        }
      } catch (error) {
        close();
        throw error;
      }
      const [record, pages] = opened as [OpenFile, OpenFile];
      return { pages, record, close };
    },
  };
}
