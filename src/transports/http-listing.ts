/**
 * How a server of plain files tells what it has: by an index in JSON, or by the pages it makes of its folders.
 *
 * The index is `{"objects": [{"key", "size", "lastModified", "etag"?, "metadata"?}, …], "more"?: true}`, with times in
 * RFC 3339. `more` asks for another page after the last key.
 *
 * @module
 */
import { StoreError } from "./errors.ts";
import { asObject, type JsonObject, listField, parseJson, textField } from "./json.ts";
import type { ObjectInfo, ObjectStore } from "./object-store.ts";
import { isKey } from "./path-rules.ts";
import { parseTimestamp, TIMESTAMP_METADATA } from "./timestamp.ts";
import type { FolderEntry } from "./tree-walk.ts";

/** Key of the index that {@linkcode writeHttpIndex} writes. */
export const INDEX_KEY = "pagestream-index.json";

/** Who asks, for messages. */
export interface ListingContext {
  readonly operation: string;
  readonly object: string;
}

/** A page of an index. */
export interface IndexPage {
  readonly objects: readonly ObjectInfo[];
  /** Whether more follow. */
  readonly more: boolean;
}

/**
 * Writes the index of a store into the store itself, for readers who have it by plain HTTP from a server that does not
 * list. It is as old as its last writing: write it after each change, or publish a copy that does not change.
 *
 * @example
 * ```ts
 * import { writeHttpIndex } from "pagestream/transports/http";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const store = memoryStore();
 * await store.put("ltx/0/a.ltx", new Uint8Array(3));
 * console.log(await writeHttpIndex(store)); // 1
 * ```
 *
 * @returns How many objects it names
 */
export async function writeHttpIndex(
  store: ObjectStore,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<number> {
  const objects: object[] = [];
  // Without the tags, which are those of this store and not of the server.
  for await (const { key, size, lastModified, metadata } of store.list(options)) {
    if (key !== INDEX_KEY) objects.push({ key, size, lastModified, metadata });
  }
  const text = `${JSON.stringify({ objects })}\n`;
  await store.put(INDEX_KEY, new TextEncoder().encode(text), options);
  return objects.length;
}

/** Parses an index; one that is cut or of another form is a `StoreError`. */
export function parseIndex(text: string, context: ListingContext): IndexPage {
  const page = parseJson(text, context);
  if (!Array.isArray(page["objects"])) throw strange(context, "the answer is no index of objects");
  const objects = listField(page, "objects").map((each) => {
    const object = indexed(asObject(each));
    if (object === undefined) throw strange(context, "the index holds an entry that is no object");
    return object;
  });
  return { objects, more: page["more"] === true };
}

function indexed(entry: JsonObject): ObjectInfo | undefined {
  const { key, size } = entry;
  const ms = parseTimestamp(textField(entry, "lastModified") ?? "");
  if (typeof key !== "string" || !isKey(key) || ms === undefined) return undefined;
  if (!Number.isSafeInteger(size) || (size as number) < 0) return undefined;
  const time = textField(asObject(entry["metadata"]), TIMESTAMP_METADATA);
  return {
    key,
    size: size as number,
    etag: textField(entry, "etag") ?? "",
    lastModified: new Date(ms),
    metadata: time === undefined ? undefined : { [TIMESTAMP_METADATA]: time },
  };
}

const TITLE = /<title>\s*(?:Index of|Directory listing (?:for|of))\s/i;
const LINK = /<a\s(?:[^>]*\s)?href=(?:"([^"]*)"|'([^']*)')/gi;

/**
 * The entries of a page that nginx, Apache, lighttpd or Python makes of a folder. Any other page, or a cut one, is a
 * `StoreError`, and so is a link that cannot be understood: a list must never be short without an error.
 */
export function parseFolderPage(html: string, context: ListingContext): FolderEntry[] {
  if (!TITLE.test(html)) {
    throw strange(context, "the answer is no listing of a folder", {
      next: "Write an index with writeHttpIndex, or let the server list its folders",
    });
  }
  if (!/<\/html>\s*$/i.test(html)) {
    throw strange(context, "the listing of the folder was cut", { retryable: true });
  }
  const entries = new Map<string, FolderEntry>();
  for (const [, double, single] of html.matchAll(LINK)) {
    const href = unescapeHtml(double ?? single ?? "").replace(/^\.\//, "");
    // Orders of sorting, the folder above, pages elsewhere.
    if (/^([?#/]|\.\.\/?$|[a-z][a-z0-9+.-]*:)/i.test(href) || href === "") continue;
    const entry = entryOf(href);
    if (entry === undefined) throw strange(context, "the listing holds a link that is no name");
    // Some pages link an entry twice, by its icon and by its name.
    entries.set(href, entry);
  }
  return [...entries.values()];
}

function entryOf(href: string): FolderEntry | undefined {
  const folder = href.endsWith("/");
  const path = folder ? href.slice(0, -1) : href;
  if (/[/?#]/.test(path)) return undefined;
  try {
    return { name: decodeURIComponent(path), folder };
  } catch {
    return undefined;
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"' };

function unescapeHtml(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w+));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name as string] ?? whole;
    const code = decimal === undefined ? parseInt(hex as string, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function strange(
  { operation, object }: ListingContext,
  what: string,
  more: { readonly next?: string; readonly retryable?: boolean } = {},
): StoreError {
  const { next, retryable = false } = more;
  return new StoreError({ operation, object, what, next }, { retryable });
}
