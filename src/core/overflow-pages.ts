/**
 * Where the rows and keys of a b-tree page go on that are too large for it.
 *
 * | kind | page | a cell begins with |
 * | ---: | --- | --- |
 * | 2 | interior of an index | 4 bytes for its left child, the length of the payload as a varint |
 * | 10 | leaf of an index | the length of the payload |
 * | 13 | leaf of a table | the length of the payload, the rowid as a varint |
 *
 * The payload follows, as much of it as lies on the page, and the number of the first overflow page where that is not all. An
 * overflow page begins with the number of the next one, 0 on the last.
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import { DATABASE_HEADER_SIZE } from "./database-header.ts";

const INTERIOR_INDEX = 2;
const LEAF_INDEX = 10;
const LEAF_TABLE = 13;

/**
 * Numbers of the first overflow pages of the cells of a b-tree page, none for any other page.
 *
 * @param usable bytes of a page without those that the database header reserves.
 */
export function overflowPages(page: Uint8Array, pgno: number, usable: number): number[] {
  const header = pgno === 1 ? DATABASE_HEADER_SIZE : 0;
  const kind = page[header];
  if (kind !== INTERIOR_INDEX && kind !== LEAF_INDEX && kind !== LEAF_TABLE) return [];
  const view = viewOf(page);
  const least = Math.floor(((usable - 12) * 32) / 255) - 23;
  const most = kind === LEAF_TABLE ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23;
  const offsets = header + (kind === INTERIOR_INDEX ? 12 : 8);
  const cells = view.getUint16(header + 3);
  const found: number[] = [];
  for (let i = 0; i < cells && offsets + 2 * i + 2 <= page.length; i++) {
    let at = view.getUint16(offsets + 2 * i) + (kind === INTERIOR_INDEX ? 4 : 0);
    let size = 0;
    for (let j = 0; j < 9; j++) {
      const byte = page[at++] ?? 0;
      size = size * 128 + (byte & 0x7f);
      if (byte < 0x80) break;
    }
    if (size <= most) continue;
    if (kind === LEAF_TABLE) for (let j = 0; j < 9 && (page[at++] ?? 0) >= 0x80; j++);
    const wanted = least + ((size - least) % (usable - 4));
    at += wanted <= most ? wanted : least;
    if (at + 4 <= page.length) found.push(view.getUint32(at));
  }
  return found;
}
