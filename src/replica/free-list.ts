/**
 * The free list of a database. Its leaves are pages whose content means nothing: SQLite may leave anything in them, and
 * after a crash often does.
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";

/** Offset in page 1 of the number of the first trunk page; the number of free pages follows it. */
const FIRST_TRUNK_OFFSET = 32;
const FREE_COUNT_OFFSET = 36;
/** A trunk page: number of the next trunk, number of its leaves, then the leaves. */
const LEAVES_OFFSET = 8;

/**
 * The leaf pages of the free list of a database of `commit` pages, read through `read`. Empty where the list is
 * malformed: then no page is known to be free.
 */
export async function freeListLeaves(
  read: (pgno: number) => Promise<Uint8Array>,
  commit: number,
): Promise<ReadonlySet<number>> {
  const nothing: ReadonlySet<number> = new Set();
  const first = viewOf(await read(1));
  const count = first.getUint32(FREE_COUNT_OFFSET);
  const free = new Set<number>();
  const leaves = new Set<number>();
  /** False for a number that no free page can have, or that came before. */
  const add = (pgno: number): boolean => {
    if (pgno < 2 || pgno > commit || free.has(pgno) || free.size === count) return false;
    free.add(pgno);
    return true;
  };
  for (let trunk = first.getUint32(FIRST_TRUNK_OFFSET); trunk !== 0;) {
    if (!add(trunk)) return nothing;
    const page = viewOf(await read(trunk));
    const length = page.getUint32(4);
    if (LEAVES_OFFSET + 4 * length > page.byteLength) return nothing;
    for (let i = 0; i < length; i++) {
      const leaf = page.getUint32(LEAVES_OFFSET + 4 * i);
      if (!add(leaf)) return nothing;
      leaves.add(leaf);
    }
    trunk = page.getUint32(0);
  }
  return free.size === count ? leaves : nothing;
}
