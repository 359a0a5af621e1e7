/**
 * The lock page: the page that holds byte 0x40000000, on which SQLite takes its file locks. SQLite never stores
 * content there, so it is never captured, hashed or written to LTX, and restores as zeros. A database size in pages
 * still counts it.
 *
 * @module
 */
import { InvalidArgumentError } from "./errors.ts";

/** File offset of the first byte that SQLite locks: 1 GiB. */
export const LOCK_OFFSET = 0x40000000;

/** Number of the lock page for a page size in bytes: 262145 for 4096. */
export function lockPage(pageSize: number): number {
  return Math.floor(LOCK_OFFSET / pageSize) + 1;
}

/** Every page of a database of `commit` pages, without the lock page. */
export function allPages(pageSize: number, commit: number): Uint32Array<ArrayBuffer> {
  const lock = lockPage(pageSize);
  const pgnos = new Uint32Array(commit >= lock ? commit - 1 : commit);
  for (let i = 0; i < pgnos.length; i++) pgnos[i] = i + 1 < lock ? i + 1 : i + 2;
  return pgnos;
}

/**
 * The pages of an image: of those asked for, which is all when undefined, the ones that exist, without the lock page.
 *
 * @throws {InvalidArgumentError} where the numbers do not ascend.
 */
export function imagePages(
  pageSize: number,
  commit: number,
  pages: Uint32Array | undefined,
): Uint32Array {
  if (pages === undefined) return allPages(pageSize, commit);
  for (let i = 1; i < pages.length; i++) {
    if (pages[i]! > pages[i - 1]!) continue;
    throw new InvalidArgumentError({
      operation: "read",
      object: "an image",
      what: `page ${pages[i]} follows page ${pages[i - 1]}`,
      next: "Pass page numbers in ascending order",
    });
  }
  const lock = lockPage(pageSize);
  return pages.filter((pgno) => pgno >= 1 && pgno <= commit && pgno !== lock);
}
