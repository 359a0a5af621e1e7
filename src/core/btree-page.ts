/**
 * The children of a page of a b-tree: what a scan reads next.
 *
 * | offset | size | field of the header of a b-tree page |
 * | ---: | ---: | --- |
 * | 0 | 1 | kind: 2 interior of an index, 5 interior of a table, 10 and 13 leaves |
 * | 3 | 2 | number of cells |
 * | 8 | 4 | right-most child, of an interior page only |
 * | 12 | 2 each | offsets of the cells; each begins with the page number of its left child |
 *
 * On page 1 the header comes after the database header.
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import { DATABASE_HEADER_SIZE } from "./database-header.ts";

const INTERIOR_INDEX = 2;
const INTERIOR_TABLE = 5;
const INTERIOR_HEADER_SIZE = 12;

/**
 * Page numbers of the children of an interior page, in the order of their keys. Undefined for any other page, and for bytes
 * that only look like one: nothing tells a b-tree page from other pages for sure.
 *
 * @param commit size of the database in pages: no child lies beyond it.
 */
export function childPages(
  page: Uint8Array,
  pgno: number,
  commit: number,
): Uint32Array | undefined {
  const header = pgno === 1 ? DATABASE_HEADER_SIZE : 0;
  const kind = page[header];
  if (kind !== INTERIOR_TABLE && kind !== INTERIOR_INDEX) return undefined;
  const view = viewOf(page);
  const cells = view.getUint16(header + 3);
  const end = header + INTERIOR_HEADER_SIZE + 2 * cells;
  if (end > page.length) return undefined;
  const children = new Uint32Array(cells + 1);
  for (let i = 0; i < cells; i++) {
    const cell = view.getUint16(header + INTERIOR_HEADER_SIZE + 2 * i);
    if (cell < end || cell + 4 > page.length) return undefined;
    children[i] = view.getUint32(cell);
  }
  children[cells] = view.getUint32(header + 8);
  for (const child of children) if (child < 2 || child > commit) return undefined;
  return children;
}
