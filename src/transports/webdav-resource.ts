/**
 * What a WebDAV server tells of its resources: the answers to PROPFIND.
 *
 * @module
 */
import { StoreError } from "./errors.ts";
import { parseXml, type XmlNode } from "./xml.ts";
import type { FolderEntry } from "./tree-walk.ts";

/** The question: only what is used, because some servers must read a file for each of the others. */
export const PROPFIND_BODY: string =
  '<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/>' +
  "<D:getcontentlength/><D:getetag/><D:getlastmodified/></D:prop></D:propfind>";

/** A file or a folder. */
export interface DavResource extends FolderEntry {
  /** Decoded, without slashes at its end. */
  readonly path: string;
  /** Size in bytes; 0 for a folder. */
  readonly size: number;
  /** In whole seconds, by the server's clock. */
  readonly lastModified: Date;
  /** `undefined` where the server tells none. */
  readonly etag: string | undefined;
}

/** Who asks, for messages. */
export interface DavContext {
  readonly operation: string;
  readonly object: string;
}

/** The resources of a multistatus answer. A member that may not be looked at is an error: it would be missing. */
export function parseMultistatus(text: string, context: DavContext): DavResource[] {
  const root = parseXml(text, context);
  if (root.name !== "multistatus") throw strange(context, "the answer is no WebDAV multistatus");
  const resources: DavResource[] = [];
  for (const response of root.children("response")) {
    const resource = resourceOf(response, context);
    if (resource !== undefined) resources.push(resource);
  }
  return resources;
}

function resourceOf(response: XmlNode, context: DavContext): DavResource | undefined {
  const status = response.textOf("status");
  // Removed while the list was made.
  if (/ (404|410)\b/.test(status)) return undefined;
  if (status !== "" && !/ 2\d\d\b/.test(status)) {
    throw strange(
      context,
      `the server hides a member of the folder (${status.trim().slice(0, 40)})`,
    );
  }
  const path = pathOf(response.textOf("href"));
  // A name that is not UTF-8 is no key of ours.
  if (path === undefined) return undefined;
  const found = response
    .children("propstat")
    .filter((each) => / 200\b/.test(each.textOf("status")))
    .flatMap((each) => each.children("prop"));
  const textOf = (name: string): string | undefined =>
    found
      .find((prop) => prop.child(name) !== undefined)
      ?.textOf(name)
      .trim();
  const folder = found.some((prop) => prop.child("resourcetype")?.child("collection"));
  const size = textOf("getcontentlength") ?? "";
  const lastModified = new Date(textOf("getlastmodified") ?? "");
  const told = /^\d{1,15}$/.test(size) && !Number.isNaN(lastModified.getTime());
  if (!folder && !told) throw strange(context, "the server does not tell size and time of a file");
  const name = path.slice(path.lastIndexOf("/") + 1);
  return { name, folder, path, size: Number(size), lastModified, etag: textOf("getetag") };
}

/**
 * The path of an `href`, which is an absolute URL or a path. Not by the parser of URLs, which takes dot segments and
 * backslashes of a name for parts of the path.
 */
function pathOf(href: string): string | undefined {
  const path = href.trim().replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, "");
  return decodedPath(path);
}

/** A path decoded, with single slashes and none at its end; `undefined` where it is not UTF-8. */
export function decodedPath(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
      .replace(/\/{2,}/g, "/")
      .replace(/\/$/, "");
  } catch {
    return undefined;
  }
}

/** The members of a folder among the resources of its answer; `undefined` where it is no folder. */
export function membersOf(
  resources: readonly DavResource[],
  folder: string,
  context: DavContext,
): DavResource[] | undefined {
  const self = resources.find(({ path }) => path === folder);
  const below = resources.filter((each) => each !== self);
  if (self === undefined || below.some(({ path }) => !path.startsWith(`${folder}/`))) {
    throw strange(context, "the server names its resources by another address", {
      next: "Use the address that the server itself knows",
    });
  }
  if (!self.folder) return undefined;
  // A name that holds an encoded slash lies deeper by its path, and is no key of ours.
  return below.filter(({ path, name }) => path === `${folder}/${name}`);
}

function strange(
  { operation, object }: DavContext,
  what: string,
  more: { readonly next?: string } = {},
): StoreError {
  return new StoreError({ operation, object, what, next: more.next });
}
