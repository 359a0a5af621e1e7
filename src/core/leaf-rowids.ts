/**
 * The rowids on a leaf page of a table.
 *
 * Cells stand in the order of their rowids. Each begins with two varints, the length of its record and the rowid; the ninth
 * byte of a varint has eight bits.
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import { DATABASE_HEADER_SIZE } from "./database-header.ts";

const LEAF_TABLE = 13;
const LEAF_HEADER_SIZE = 8;

/** Two rowids and all between. */
export type RowidRange = readonly [first: bigint, last: bigint];

/** The first and the last rowid; none for a page without rows, undefined for one that is no leaf of a table. */
export function leafRowids(page: Uint8Array, pgno: number): RowidRange | "none" | undefined {
  const header = pgno === 1 ? DATABASE_HEADER_SIZE : 0;
  if (page[header] !== LEAF_TABLE) return undefined;
  const view = viewOf(page);
  const cells = view.getUint16(header + 3);
  if (cells === 0) return "none";
  const offsets = header + LEAF_HEADER_SIZE;
  if (offsets + 2 * cells > page.length) return undefined;
  const rowid = (cell: number): bigint => {
    let at = view.getUint16(offsets + 2 * cell);
    for (let i = 0; i < 9 && (page[at++] ?? 0) >= 0x80; i++);
    let value = 0n;
    for (let i = 0; i < 9; i++) {
      const byte = page[at++] ?? 0;
      value = i === 8 ? (value << 8n) | BigInt(byte) : (value << 7n) | BigInt(byte & 0x7f);
      if (byte < 0x80) break;
    }
    return BigInt.asIntN(64, value);
  };
  return [rowid(0), rowid(cells - 1)];
}
