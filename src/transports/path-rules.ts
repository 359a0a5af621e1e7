/**
 * Which keys a store takes. One rule for all stores, so that a replica can be copied from any of them to any other:
 * to a directory, where `..` or a backslash would leave it, or behind a URL, where dot segments cannot be addressed.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";

/** Longest key in UTF-16 code units; S3 and its relatives stop at 1,024 bytes. */
export const MAX_KEY_LENGTH = 1024;

// NUL and the other control characters, the backslash (a separator on Windows), halves of surrogate pairs (they have
// no UTF-8 form, so two such keys would become one).
const FORBIDDEN = /[\u0000-\u001f\u007f\\]|\p{Surrogate}/u;

/**
 * Throws `InvalidArgumentError` unless `key` is a relative path of non-empty segments without `.`, `..`, control
 * characters and backslashes.
 */
export function checkKey(key: string, operation: string): void {
  const what = problem(key);
  if (what !== undefined) refuse(key, operation, what);
}

/** Like {@linkcode checkKey} for the `prefix` of a listing: it may be empty, and its last segment may be unfinished. */
export function checkPrefix(prefix: string, operation: string): void {
  const slash = prefix.lastIndexOf("/");
  const what =
    (slash < 0 ? undefined : problem(prefix.slice(0, slash))) ??
    (FORBIDDEN.test(prefix) ? "it holds a control character or a backslash" : undefined);
  if (what !== undefined) refuse(prefix, operation, what);
}

/** Tells whether {@linkcode checkKey} would accept a key. */
export function isKey(key: string): boolean {
  return problem(key) === undefined;
}

function problem(key: string): string | undefined {
  if (key.length === 0) return "a key must not be empty";
  if (key.length > MAX_KEY_LENGTH) return `it is longer than ${MAX_KEY_LENGTH} characters`;
  if (FORBIDDEN.test(key)) return "it holds a control character or a backslash";
  for (const segment of key.split("/")) {
    if (segment === "") return "it begins or ends with a slash or holds an empty segment";
    if (segment === "." || segment === "..") return `it holds the segment "${segment}"`;
  }
  return undefined;
}

function refuse(key: string, operation: string, what: string): never {
  throw new InvalidArgumentError({
    operation,
    object: JSON.stringify(key.slice(0, 80)),
    what,
    next: "Use keys relative to the store, such as ltx/0/0000000000000001-0000000000000001.ltx",
  });
}
