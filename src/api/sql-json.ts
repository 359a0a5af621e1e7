/**
 * Values of SQLite in JSON: what a query answers over HTTP and from the shell.
 *
 * @module
 */
import type { SqlValue } from "../vfs/replica-values.ts";

/** A value of SQLite as `JSON.stringify` takes it. */
export type SqlJson =
  | null
  | number
  | string
  | { readonly base64: string }
  | { readonly integer: string };

/**
 * A BLOB as `{"base64": "…"}`, an INTEGER that a JSON number does not hold exactly as `{"integer": "…"}`. JSON has no
 * infinities: they are the texts `Inf` and `-Inf`, as SQLite writes them.
 */
export function sqlValueToJson(value: SqlValue): SqlJson {
  if (typeof value === "bigint") return { integer: String(value) };
  if (value instanceof Uint8Array) return { base64: base64(value) };
  if (typeof value === "number" && !Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  return value;
}

/** Characters that are made at a time: no runtime takes more arguments than some ten thousand. */
const RUN = 8192;

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += RUN) {
    text += String.fromCharCode(...bytes.subarray(at, at + RUN));
  }
  return btoa(text);
}
