/**
 * How the command writes sizes, times, tables and colours for people.
 *
 * @module
 */
import { styleText } from "node:util";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** `512 B`, `41.2 kB`, `12.3 MB`: powers of 1000, three digits. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.95 would be rounded up to a fourth digit.
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 99.95 ? 1 : 0)} ${UNITS[unit]}`;
}

/** `7 ms`, `1.2 s`, `2 min 05 s`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}

/** RFC 3339 in UTC with milliseconds: what `-timestamp` takes back. */
export function formatTime(time: Date): string {
  return time.toISOString();
}

/** `1 file`, `2 files`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** `12,345`. Not by `toLocaleString`, whose first call takes longer than many a restore. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** Rows in aligned columns, two spaces apart, one line each. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  }
  return rows
    .map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  "))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

/** A bar of `width` characters, `done` between 0 and 1. */
export function formatBar(done: number, width = 24): string {
  const full = Math.round(Math.min(1, Math.max(0, done)) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}

/** Colours a text where the stream is a terminal and nobody asked for none (`NO_COLOR`). */
export function paint(
  style: "bold" | "dim" | "green" | "red" | "yellow",
  text: string,
  stream: NodeJS.WriteStream,
): string {
  return styleText(style, text, { stream });
}

/** A path as a shell takes it. */
export function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
