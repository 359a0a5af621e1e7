/**
 * The rows of `sqlite_schema` on a leaf page of its b-tree, as far as they tell which b-tree is whose.
 *
 * A cell of a table's leaf is the length of the record and the rowid as varints, then the record: the length of its header, a
 * type per column, the columns. The columns are `type`, `name`, `tbl_name`, `rootpage` and `sql`; only the last is ever long,
 * so that the others lie on the page itself.
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import { DATABASE_HEADER_SIZE } from "./database-header.ts";

/** A b-tree and its table. */
export interface SchemaRow {
  /** Name of the table that the b-tree belongs to: its own rows, or an index of it. */
  readonly table: string;
  /** First page of the b-tree; 0 for views, triggers and virtual tables. */
  readonly rootPage: number;
}

const LEAF_TABLE = 13;
const LEAF_HEADER_SIZE = 8;

/**
 * The rows on a page; undefined where the page is no leaf of a table, or a row is none of a schema.
 *
 * @param decode text of UTF-8 or UTF-16, by the encoding of the database.
 */
export function schemaRows(
  page: Uint8Array,
  pgno: number,
  decode: (bytes: Uint8Array) => string,
): SchemaRow[] | undefined {
  const header = pgno === 1 ? DATABASE_HEADER_SIZE : 0;
  if (page[header] !== LEAF_TABLE) return undefined;
  const view = viewOf(page);
  const cells = view.getUint16(header + 3);
  const offsets = header + LEAF_HEADER_SIZE;
  if (offsets + 2 * cells > page.length) return undefined;
  const rows: SchemaRow[] = [];
  for (let i = 0; i < cells; i++) {
    const row = schemaRow(page, view.getUint16(offsets + 2 * i), decode);
    if (row === undefined) return undefined;
    rows.push(row);
  }
  return rows;
}

function schemaRow(
  page: Uint8Array,
  cell: number,
  decode: (bytes: Uint8Array) => string,
): SchemaRow | undefined {
  let at = cell;
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < 9; i++) {
      const byte = page[at++] ?? 0;
      if (i === 8) return value * 256 + byte;
      value = value * 128 + (byte & 0x7f);
      if (byte < 0x80) break;
    }
    return value;
  };
  varint();
  varint();
  const record = at;
  let start = record + varint();
  const columns = [varint(), varint(), varint(), varint()].map((type) => {
    const length = sizeOf(type);
    const bytes = page.subarray(start, start + length);
    start += length;
    return { type, bytes };
  });
  if (start > page.length) return undefined;
  const [, , table, root] = columns;
  if (table === undefined || root === undefined || table.type < 13 || table.type % 2 === 0) {
    return undefined;
  }
  const value = root.bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  return { table: decode(table.bytes), rootPage: root.type === 9 ? 1 : value };
}

/** Bytes of a column by its serial type. */
function sizeOf(type: number): number {
  if (type >= 12) return Math.floor((type - 12) / 2);
  return [0, 1, 2, 3, 4, 6, 8, 8, 0, 0][type] ?? 0;
}
