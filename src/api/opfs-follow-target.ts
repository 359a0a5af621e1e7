/**
 * A followed copy in the browser's private file system.
 *
 * @module
 */
import type { OpenFile } from "../core/sync-files.ts";
import { redoFollowTarget } from "../replica/follow-redo.ts";
import type { FollowTarget } from "../replica/follow-target.ts";
import { openHandle } from "./opfs-handles.ts";

/** Holds a copy in three files of a folder of OPFS: `<name>`, `<name>-redo` and `<name>-txid`. */
export interface OpfsFollowTarget extends FollowTarget {
  /**
   * The database of the newest step, marked for a rollback journal: a new array. A step is applied in one synchronous run,
   * so that it is always a whole state. Only while a follower has the target open.
   */
  read(): Uint8Array<ArrayBuffer>;
}

/**
 * Makes the target of a copy in OPFS, in a dedicated worker: only there are the synchronous file handles that make a step
 * atomic. While a follower has it open nobody else can open the files.
 *
 * @example
 * ```ts ignore
 * import { follow, opfsFollowTarget } from "pagestream";
 *
 * const copy = opfsFollowTarget(await navigator.storage.getDirectory(), "copy.db");
 * const follower = await follow(store, copy);
 * console.log(follower.position, copy.read().length);
 * ```
 */
export function opfsFollowTarget(
  directory: FileSystemDirectoryHandle,
  name: string,
): OpfsFollowTarget {
  const object = `opfs:${name}`;
  const work = { operation: "follow into", object };
  let database: OpenFile | undefined;
  const target = redoFollowTarget(object, async () => {
    const opened: OpenFile[] = [];
    try {
      for (const suffix of ["", "-redo", "-txid"]) {
        opened.push(await openHandle(work, directory, name + suffix));
      }
    } catch (error) {
      for (const file of opened) file.close();
      throw error;
    }
    const [main, log, position] = opened as [OpenFile, OpenFile, OpenFile];
    database = main;
    return { database: main, log, position };
  });
  return {
    name: object,
    get state() {
      return target.state;
    },
    open: () => target.open(),
    begin: (next) => target.begin(next),
    close: () => target.close(),
    read() {
      const bytes = new Uint8Array(database?.size() ?? 0);
      database?.read(bytes, 0);
      return bytes;
    },
  };
}
