/**
 * Listings in key order, whatever order a server has.
 *
 * Most servers list by bytes. Some walk a tree of folders and list `a/b` before `a-b`. The two orders differ only where
 * one key has a slash and the other a character that sorts before it. So what lies in a folder is held back until
 * the listing has left all names that begin like the folder.
 *
 * @module
 */
import type { ObjectInfo } from "./object-store.ts";

/** Puts what a tree order lists too early where it belongs. Keys begin with `prefix`; a third order stays as it is. */
export async function* inKeyOrder(
  objects: AsyncIterable<ObjectInfo>,
  prefix: string,
): AsyncGenerator<ObjectInfo, void, undefined> {
  let held: ObjectInfo[] = [];
  // The folder whose names are held, without its slash.
  let folder = "";
  for await (const info of objects) {
    const { key } = info;
    // Keys that are to come can only sort before the held ones while they begin like the folder.
    const follows = key.startsWith(folder) ? (key[folder.length] ?? "") : "~";
    if (held.length > 0 && follows > "/") {
      yield* sorted(held);
      held = [];
    }
    const slash = key.indexOf("/", prefix.length);
    if (held.length > 0) held.push(info);
    else if (slash < 0) yield info;
    else {
      held = [info];
      folder = key.slice(0, slash);
    }
  }
  yield* sorted(held);
}

function sorted(objects: ObjectInfo[]): ObjectInfo[] {
  return objects.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
}
