/**
 * What must not be shown: passwords, keys and tokens, by the names they go by and where URLs carry them.
 *
 * @module
 */

/** Shown in the place of a secret. */
export const MASK = "***";

/** Names of fields and keys whose values are secrets. `key-path`, `access-key-id` and the like are not. */
const SECRET_NAME =
  /(?:^|[-_.])(?:password|secret|token|seed|jwt|credentials?|creds|authorization|signature|nkey)$|(?:account|access|private|customer|encryption|api)[-_]?key$|secret[-_]?(?:access[-_]?)?key$/i;

const SECRET_NAME_CAMEL = /(?:Password|Secret|Token|AccessKey|AccountKey|PrivateKey)$/;

/** Whether a field or key of this name holds a secret. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name) || SECRET_NAME_CAMEL.test(name);
}

/**
 * The value without secrets: the password and the values of the query of each URL in a text, and every field of an
 * object that has a secret's name. Objects are copied, eight levels deep.
 *
 * @param name what the value is called where it stands
 */
export function maskSecrets<T>(value: T, name?: string): T;
export function maskSecrets(value: unknown, name = ""): unknown {
  return mask(value, { name, depth: 0 });
}

function mask(value: unknown, where: { readonly name: string; readonly depth: number }): unknown {
  const { name, depth } = where;
  if (isSecretName(name) && value !== undefined && value !== null && value !== "") return MASK;
  if (typeof value === "string") return maskUrls(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (depth >= 8) return MASK;
  if (Array.isArray(value)) return value.map((each) => mask(each, { name, depth: depth + 1 }));
  const copy: Record<string, unknown> = {};
  for (const [key, each] of Object.entries(value)) {
    copy[key] = mask(each, { name: key, depth: depth + 1 });
  }
  return copy;
}

/** User info and query of each URL: signatures and keys stand there under many names. */
function maskUrls(text: string): string {
  return text
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/)([^\s/?#@"']*):([^\s/?#"']*)@/gi, `$1$2:${MASK}@`)
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/[^\s?#"']*\?)[^\s#"']+/gi, `$1${MASK}`);
}
