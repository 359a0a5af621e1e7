/**
 * How the rows of two states of a replica differ.
 *
 * @module
 */
/* oxlint-disable no-await-in-loop -- statements of one connection run one after another anyway. */
import type { RowidRange } from "../core/leaf-rowids.ts";
import type { PageView } from "../core/page-source.ts";
import type { QueryLimits } from "../vfs/replica-limits.ts";
import type { ReplicaConnection } from "../vfs/replica-connection.ts";
import type { SqlValue } from "../vfs/replica-values.ts";
import { REPLICA_VFS } from "../vfs/replica-vfs.ts";
import type { DiffOptions, RowKey, TableDiff } from "./open-replica-database-options.ts";
import type { TouchedTables } from "./touched-tables.ts";

const MAX_KEYS = 1000;

/** A table of one of the states. */
interface Table {
  readonly columns: readonly string[];
  /** The columns of the primary key in their order, or a name of the rowid. */
  readonly key: readonly string[];
  /** Whether the key is the rowid, which three columns of its names would hide. */
  readonly hasRowid: boolean;
  readonly rootPage: number;
  /** Its CREATE TABLE. */
  readonly sql: string;
}

/** How states are compared. */
interface Comparison extends Pick<DiffOptions, "signal" | "maxKeys"> {
  /** Bounds of all of it. */
  readonly limits: QueryLimits;
  /** Which b-trees may differ. */
  readonly touched: TouchedTables;
  /** Which rows of a table may differ that begins with a page in both states; undefined for all. */
  readonly changed: (rootPage: number) => Promise<readonly RowidRange[] | undefined>;
}

/** Runs a statement and resolves to its rows. */
type Run = (sql: string, params?: readonly string[]) => Promise<SqlValue[][]>;

/**
 * Compares the state that the connection looks at with the one that it is given for whatever state it asks for. The
 * connection is used up by that.
 */
export async function compareStates<V extends PageView>(
  connection: ReplicaConnection<V>,
  { limits, signal, maxKeys = MAX_KEYS, touched, changed }: Comparison,
): Promise<TableDiff[]> {
  const run: Run = async (sql, params = []) =>
    (await connection.run(sql, params, { signal, timeoutMs: limits.leftMs })).rows;
  await run("ATTACH ? AS earlier", [`file:${connection.path}?vfs=${REPLICA_VFS}&txid=earlier`]);
  const now = await tablesOf(run, "main");
  const then = await tablesOf(run, "earlier");
  const tables: TableDiff[] = [];
  for (const name of [...new Set([...now.keys(), ...then.keys()])].toSorted()) {
    const [later, earlier] = [now.get(name), then.get(name)];
    let rows: readonly RowidRange[] | undefined;
    if (touched.complete && later !== undefined && isAlike(later, earlier)) {
      if (!touched.roots.has(later.rootPage)) continue;
      if (later.hasRowid) rows = await changed(later.rootPage);
    }
    const diff = await compareTable(run, name, { later, earlier, maxKeys, rows });
    if (diff !== undefined) tables.push(diff);
  }
  return tables;
}

/** Whether a table begins with the same page in both states, and is defined alike. */
function isAlike(later: Table, earlier: Table | undefined): boolean {
  return later.rootPage === earlier?.rootPage && later.sql === earlier.sql;
}

/** The tables of a schema that have rows of their own. */
async function tablesOf(run: Run, schema: "main" | "earlier"): Promise<Map<string, Table>> {
  const tables = new Map<string, Table>();
  const rows = await run(
    `SELECT name, l.wr, s.rootpage, s.sql FROM pragma_table_list l
     JOIN ${schema}.sqlite_schema s USING (name)
     WHERE l.schema = ? AND l.type IN ('table', 'shadow') AND s.type = 'table'
     AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`,
    [schema],
  );
  for (const [name, withoutRowid, rootPage, sql] of rows) {
    const info = await run("SELECT name, pk FROM pragma_table_info(?, ?)", [String(name), schema]);
    const columns = info.map(([column]) => String(column));
    const key = withoutRowid === 1 ? primaryKey(info) : [rowidName(columns)];
    const isHidden = columns.some((column) => column.toLowerCase() === key[0]);
    const hasRowid = withoutRowid !== 1 && !isHidden;
    const table = { columns, key, hasRowid, rootPage: Number(rootPage), sql: String(sql) };
    tables.set(String(name), table);
  }
  return tables;
}

function primaryKey(info: readonly SqlValue[][]): string[] {
  return info
    .filter(([, position]) => Number(position) > 0)
    .toSorted(([, a], [, b]) => Number(a) - Number(b))
    .map(([column]) => String(column));
}

/** A name of the rowid that no column has taken. */
function rowidName(columns: readonly string[]): string {
  const taken = new Set(columns.map((column) => column.toLowerCase()));
  return ["rowid", "_rowid_", "oid"].find((name) => !taken.has(name)) ?? "rowid";
}

async function compareTable(
  run: Run,
  name: string,
  of: {
    readonly later: Table | undefined;
    readonly earlier: Table | undefined;
    readonly maxKeys: number;
    readonly rows: readonly RowidRange[] | undefined;
  },
): Promise<TableDiff | undefined> {
  const { later: now, earlier: then, maxKeys, rows } = of;
  const table = quoted(name);
  const sameKey = now !== undefined && then !== undefined && String(now.key) === String(then.key);
  const key = (now ?? then)!.key;
  const keys = (alias: string): string =>
    key.map((column) => `${alias}.${quotedKey(column)}`).join(", ");
  const ranges = rows && [`[${rows.map((range) => `[${range.join()}]`).join()}]`];
  const part = "WITH part(low, high) AS (SELECT value ->> 0, value ->> 1 FROM json_each(?))";
  const list = (from: string, where: string): Promise<RowKey[]> => {
    const limit = `LIMIT ${maxKeys + 1}`;
    if (ranges === undefined)
      return run(`SELECT ${keys("r")} FROM ${from} WHERE ${where} ${limit}`);
    // In this order, or all rows would be looked for in the ranges.
    return run(
      `${part} SELECT ${keys("r")} FROM part CROSS JOIN ${from}
       WHERE r.${quotedKey(key[0]!)} BETWEEN part.low AND part.high AND (${where}) ${limit}`,
      ranges,
    );
  };
  const only = (schema: string, other: string): Promise<RowKey[]> =>
    list(
      `${schema}.${table} r`,
      sameKey ? `NOT EXISTS (SELECT 1 FROM ${other}.${table} o WHERE ${matching(key)})` : "true",
    );
  const inserted = now === undefined ? [] : await only("main", "earlier");
  const deleted = then === undefined ? [] : await only("earlier", "main");
  const shared = now?.columns.filter((column) => then?.columns.includes(column)) ?? [];
  const differing = shared.map((column) => `r.${quoted(column)} IS NOT o.${quoted(column)}`);
  const updated =
    sameKey && differing.length > 0
      ? await list(
          `main.${table} r CROSS JOIN earlier.${table} o ON ${matching(key)}`,
          differing.join(" OR "),
        )
      : [];
  const isAltered = String(now?.columns) !== String(then?.columns) || !sameKey;
  const altered = isAltered ? "altered" : "same";
  const schema = now === undefined ? "dropped" : then === undefined ? "created" : altered;
  const found = [inserted, deleted, updated];
  if (schema === "same" && found.every((rows) => rows.length === 0)) return undefined;
  const complete = found.every((rows) => rows.length <= maxKeys);
  const cut = (rows: RowKey[]): RowKey[] => rows.slice(0, maxKeys);
  return {
    table: name,
    schema,
    key,
    inserted: cut(inserted),
    deleted: cut(deleted),
    updated: cut(updated),
    complete,
  };
}

function matching(key: readonly string[]): string {
  return key.map((column) => `r.${quotedKey(column)} = o.${quotedKey(column)}`).join(" AND ");
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The names of the rowid mean it only while they are not quoted. */
function quotedKey(name: string): string {
  return ["rowid", "_rowid_", "oid"].includes(name) ? name : quoted(name);
}
