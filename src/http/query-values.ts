/**
 * Values of SQLite in JSON: a BLOB is `{"base64"}`, an INTEGER that a JSON number does not hold exactly `{"integer"}`.
 *
 * @module
 */
import type { SqlParameter, SqlValue } from "../api/open-replica-database.ts";
import type { Json } from "./openapi.ts";
import { Refusal } from "./refusal.ts";

/** JSON schema of a value. */
export const VALUE_SCHEMA: Json = {
  anyOf: [
    { type: "null" },
    { type: "number" },
    { type: "boolean" },
    { type: "string" },
    object("base64"),
    object("integer"),
  ],
};

/** The parameters of a statement as a client sent them. */
export function fromJson(
  params: unknown,
): readonly SqlParameter[] | Readonly<Record<string, SqlParameter>> {
  if (Array.isArray(params)) return params.map(valueFromJson);
  if (typeof params !== "object" || params === null) {
    throw new Refusal("BAD_REQUEST", "params is an array or an object");
  }
  const entries = Object.entries(params).map(([name, value]) => [name, valueFromJson(value)]);
  return Object.fromEntries(entries) as Record<string, SqlParameter>;
}

/** A value as it is sent. */
export function toJson(value: SqlValue): Json {
  if (typeof value === "bigint") return { integer: String(value) };
  if (value instanceof Uint8Array) return { base64: base64(value) };
  // JSON has no infinities; SQLite has them, and reads these texts as such.
  if (typeof value === "number" && !Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  return value;
}

function valueFromJson(value: unknown): SqlParameter {
  if (value === null || ["boolean", "number", "string"].includes(typeof value)) {
    return value as SqlParameter;
  }
  const [key, text, ...more] = Object.entries(Object(value)).flat();
  if (typeof text === "string" && more.length === 0) {
    if (key === "integer" && /^-?\d{1,19}$/.test(text)) {
      const integer = BigInt(text);
      if (BigInt.asIntN(64, integer) === integer) return integer;
    }
    const bytes = key === "base64" ? fromBase64(text) : undefined;
    if (bytes !== undefined) return bytes;
  }
  throw new Refusal(
    "BAD_REQUEST",
    'a value is null, a number, a text, true, false, {"base64": "…"} or {"integer": "…"}',
  );
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

function fromBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function object(key: string): Json {
  return {
    type: "object",
    required: [key],
    additionalProperties: false,
    properties: { [key]: { type: "string" } },
  };
}
