/**
 * How the rows of a query are printed: for people in columns, for programs as JSON.
 *
 * @module
 */
import { type SqlValue, sqlValueToJson } from "pagestream/vfs";

/** Rows that are aligned with each other: no more are held to be measured. */
const BLOCK_ROWS = 1000;
/** Characters after which a text is cut on a terminal's line. */
const CELL_MAX = 1000;

/**
 * Pieces of a table with a line under the names of its columns. Widths are those of a thousand rows at a time, so that a
 * large result needs no more memory for being printed.
 */
export function* formatRows(
  columns: readonly string[],
  rows: readonly (readonly SqlValue[])[],
): Generator<string> {
  if (columns.length === 0) return;
  const widths = columns.map((name) => widthOf(escape(name)));
  for (let at = 0; at === 0 || at < rows.length; at += BLOCK_ROWS) {
    const block = rows.slice(at, at + BLOCK_ROWS);
    const cells = block.map((row) => row.map(formatCell));
    for (const row of cells) {
      row.forEach((text, i) => (widths[i] = Math.max(widths[i] ?? 0, widthOf(text))));
    }
    const line = (texts: readonly string[], row?: readonly SqlValue[]): string =>
      `${texts.map((text, i) => pad(text, widths[i] ?? 0, isNumber(row?.[i]))).join("  ")}`.trimEnd();
    let text = "";
    if (at === 0) {
      text += `${line(columns.map(escape))}\n${widths.map((width) => "-".repeat(width)).join("  ")}\n`;
    }
    cells.forEach((row, i) => (text += `${line(row, block[i])}\n`));
    yield text;
  }
}

/** Pieces of one JSON object: `columns`, `rows`, and `more` as further members. */
export function* formatJson(
  columns: readonly string[],
  rows: readonly (readonly SqlValue[])[],
  more: Readonly<Record<string, unknown>>,
): Generator<string> {
  yield `{\n  "columns": ${JSON.stringify(columns)},\n  "rows": [`;
  for (let at = 0; at < rows.length; at += BLOCK_ROWS) {
    const lines = rows
      .slice(at, at + BLOCK_ROWS)
      .map((row) => `\n    ${JSON.stringify(row.map(sqlValueToJson))}`);
    yield `${at === 0 ? "" : ","}${lines.join(",")}`;
  }
  yield rows.length === 0 ? "]" : "\n  ]";
  for (const [name, value] of Object.entries(more)) {
    const text = JSON.stringify(value, undefined, 2).replaceAll("\n", "\n  ");
    yield `,\n  ${JSON.stringify(name)}: ${text}`;
  }
  yield "\n}\n";
}

/** As SQL writes it, but text as it is. */
function formatCell(value: SqlValue): string {
  if (value === null) return "NULL";
  if (value instanceof Uint8Array) {
    return cut(`x'${Buffer.from(value.subarray(0, CELL_MAX)).toString("hex")}'`);
  }
  return typeof value === "string" ? cut(escape(value)) : String(value);
}

/** Data must not end a line, nor tell the terminal anything. */
function escape(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => JSON_ESCAPES[char] ?? codeOf(char));
}

const JSON_ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function codeOf(char: string): string {
  return `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;
}

function cut(text: string): string {
  return text.length <= CELL_MAX ? text : `${text.slice(0, CELL_MAX)}…`;
}

function isNumber(value: SqlValue | undefined): boolean {
  return typeof value === "number" || typeof value === "bigint";
}

function widthOf(text: string): number {
  return [...text].length;
}

function pad(text: string, width: number, isRight: boolean): string {
  const space = " ".repeat(Math.max(0, width - widthOf(text)));
  return isRight ? space + text : text + space;
}
