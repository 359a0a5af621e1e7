/**
 * The lock page: the page that holds byte 0x40000000, on which SQLite takes its file locks. SQLite never stores
 * content there, so it is never captured, hashed or written to LTX, and restores as zeros. A database size in pages
 * still counts it.
 *
 * @module
 */

/** File offset of the first byte that SQLite locks: 1 GiB. */
export const LOCK_OFFSET = 0x40000000;

/** Number of the lock page for a page size in bytes: 262145 for 4096. */
export function lockPage(pageSize: number): number {
  return Math.floor(LOCK_OFFSET / pageSize) + 1;
}
