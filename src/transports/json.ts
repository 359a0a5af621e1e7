/**
 * JSON as servers send it: nothing in it is trusted to be there.
 *
 * @module
 */
import { StoreError } from "./errors.ts";

/** The members of an object; empty for any other value. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Parses an answer. One that was cut is a retryable `StoreError`; without a context, for the text of a failure, it is an
 * empty object.
 */
export function parseJson(
  text: string,
  context?: { readonly operation: string; readonly object: string },
): JsonObject {
  try {
    return asObject(JSON.parse(text));
  } catch {
    if (context === undefined) return {};
    const { operation, object } = context;
    const what = "the server's answer is not whole JSON";
    const next = "Check that the address is that of the store's interface";
    throw new StoreError({ operation, object, what, next }, { retryable: true });
  }
}

/** A value as an object; empty where it is none. */
export function asObject(value: unknown): JsonObject {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as JsonObject) : {};
}

/** A member as text, numbers included; `undefined` where it is neither. */
export function textField(object: JsonObject, name: string): string | undefined {
  const value = object[name];
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? value : undefined;
}

/** A member as a list; empty where it is none. */
export function listField(object: JsonObject, name: string): readonly unknown[] {
  const value = object[name];
  return Array.isArray(value) ? value : [];
}
