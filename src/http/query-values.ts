/**
 * Parameters of statements in JSON, in the form that values are answered in.
 *
 * @module
 */
import type { SqlParameter } from "../api/open-replica-database.ts";
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
