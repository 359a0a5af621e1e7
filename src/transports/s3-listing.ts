/**
 * Listings in the manner of S3, page by page, in key order whatever order the server has.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import { StoreError } from "./errors.ts";
import { inKeyOrder } from "./key-order.ts";
import type { ListOptions, ObjectInfo } from "./object-store.ts";
import { isKey } from "./path-rules.ts";
import type { S3Door, S3Request } from "./s3-requests.ts";
import type { XmlNode } from "./xml.ts";

/** What is listed. */
export interface S3Listing extends ListOptions {
  /** Path of the store with its slash at the end, or nothing. */
  readonly root: string;
  /** Keys per page. @default what the server gives */
  readonly pageSize?: number | undefined;
}

/** Pages without a key that may follow each other. */
const EMPTY_PAGES = 1000;

/** Objects below a prefix. Ends with an error rather than short or out of order. */
export async function* listObjects(
  door: S3Door,
  listing: S3Listing,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const { prefix = "", startAfter, signal } = listing;
  // All keys with the prefix sort before such a start.
  if (startAfter !== undefined && startAfter > prefix && !startAfter.startsWith(prefix)) return;
  let last = startAfter;
  for await (const info of inKeyOrder(listedObjects(door, listing), prefix)) {
    throwIfAborted(signal, "list", prefix);
    if (startAfter !== undefined && info.key <= startAfter) continue;
    if (last !== undefined && info.key <= last) {
      throw badList(prefix, `it has ${JSON.stringify(info.key)} after ${JSON.stringify(last)}`);
    }
    last = info.key;
    yield info;
  }
}

async function* listedObjects(
  door: S3Door,
  listing: S3Listing,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const { root, prefix = "", pageSize, signal } = listing;
  const start = safeStart(listing);
  const query: Record<string, string> = {
    "list-type": "2",
    "encoding-type": "url",
    prefix: root + prefix,
    ...(start === undefined ? {} : { "start-after": root + start }),
    ...(pageSize === undefined ? {} : { "max-keys": String(pageSize) }),
  };
  let token: string | undefined;
  for (let empty = 0; empty < EMPTY_PAGES; empty++) {
    const request: S3Request = {
      operation: "list",
      object: prefix === "" ? "all objects" : prefix,
      method: "GET",
      query: token === undefined ? query : { ...query, "continuation-token": token },
      signal,
    };
    const page =
      token === undefined
        ? await door.sendForXml(request)
        : await door.client.retry(request, () => door.sendForXml(request));
    if (page.name !== "ListBucketResult") throw badList(prefix, "the answer is no list");
    const urlEncoded = page.textOf("EncodingType") === "url";
    for (const entry of page.children("Contents")) {
      empty = 0;
      const info = entryOf(entry, { root, prefix, urlEncoded });
      if (info !== undefined) yield info;
    }
    if (page.textOf("IsTruncated") !== "true") return;
    const next = page.textOf("NextContinuationToken");
    if (next === "" || next === token) {
      throw badList(prefix, "a page is not the last one and does not say how to go on");
    }
    token = next;
  }
  throw badList(prefix, `${EMPTY_PAGES} pages in a row were empty`);
}

/**
 * Where a listing begins so that no order leaves out a key after `startAfter`. The tree order puts some keys with a
 * slash before keys with a lower character, so the start ends before the first of these. And where it is the name of a
 * folder, SeaweedFS leaves out all of the folder, so it is the last possible name before.
 */
function safeStart({ prefix = "", startAfter }: S3Listing): string | undefined {
  if (startAfter === undefined || startAfter <= prefix) return undefined;
  const rest = startAfter.slice(prefix.length);
  const unsafe = rest.search(/[^/-~]/);
  // Nothing but these two would have a slash, or a lower character, as the one before.
  const safe = (unsafe < 0 ? rest : rest.slice(0, unsafe)).replace(/[/0]+$/, "");
  if (safe === "") return undefined;
  const before = String.fromCharCode(safe.charCodeAt(safe.length - 1) - 1);
  return `${prefix}${safe.slice(0, -1)}${before}~`;
}

/** An object of a listing; `undefined` for what is no key of ours, such as a marker of a folder. */
function entryOf(
  entry: XmlNode,
  context: { readonly root: string; readonly prefix: string; readonly urlEncoded: boolean },
): ObjectInfo | undefined {
  const { root, prefix, urlEncoded } = context;
  const key = keyOf(entry.textOf("Key"), prefix, urlEncoded);
  if (!key.startsWith(root + prefix))
    throw badList(prefix, "it holds keys that were not asked for");
  const relative = key.slice(root.length);
  if (!isKey(relative)) return undefined;
  const size = entry.textOf("Size");
  const time = Date.parse(entry.textOf("LastModified"));
  if (!/^\d{1,15}$/.test(size) || Number.isNaN(time)) {
    throw badList(prefix, `it tells no size or time of ${JSON.stringify(relative)}`);
  }
  // HEAD tells whole seconds.
  const lastModified = new Date(Math.floor(time / 1000) * 1000);
  return { key: relative, size: Number(size), etag: entry.textOf("ETag"), lastModified };
}

/** The two dialects differ in the space alone; a plus sign of the key is encoded in both. */
function keyOf(text: string, prefix: string, urlEncoded: boolean): string {
  if (!urlEncoded) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", "%20"));
  } catch {
    throw badList(prefix, "a key is encoded wrongly");
  }
}

function badList(prefix: string, what: string): StoreError {
  const object = prefix === "" ? "all objects" : prefix;
  return new StoreError({
    operation: "list",
    object,
    what: `the server's list cannot be relied on, ${what}`,
    next: "Report it to whoever runs the server",
  });
}
