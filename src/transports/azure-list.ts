/**
 * Listing the blobs of a container, page by page.
 *
 * @module
 */
import { metadataFrom, quoteTag } from "./azure-properties.ts";
import { azureError, type AzureRequests } from "./azure-requests.ts";
import { StoreError } from "./errors.ts";
import { inKeyOrder } from "./key-order.ts";
import type { ListOptions, ObjectInfo } from "./object-store.ts";
import { parseXml, type XmlNode } from "./xml.ts";

/** What every page is asked for. */
export interface ListRequest extends ListOptions {
  /** Blobs per page. */
  readonly pageSize: number;
}

/**
 * Lists in key order. The service has no start-after: what comes before it is read and dropped. An account with a
 * hierarchical namespace lists folder by folder.
 */
export async function* listBlobs(
  requests: AzureRequests,
  options: ListRequest,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const { prefix = "", startAfter } = options;
  let last = "";
  for await (const info of inKeyOrder(listedBlobs(requests, options), prefix)) {
    if (startAfter !== undefined && info.key <= startAfter) continue;
    if (info.key <= last) {
      const what = `the server lists ${JSON.stringify(info.key)} after ${JSON.stringify(last)}`;
      throw new StoreError({ operation: "list", object: requests.description, what });
    }
    last = info.key;
    yield info;
  }
}

async function* listedBlobs(
  requests: AzureRequests,
  options: ListRequest,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const about = { operation: "list", object: requests.description, signal: options.signal };
  let marker = "";
  for (;;) {
    const at = marker;
    const ask = (): Promise<XmlNode> => listPage(requests, options, at);
    const page = at === "" ? await ask() : await requests.client.retry(about, ask);
    for (const blob of page.child("Blobs")?.children("Blob") ?? []) {
      const info = infoOf(requests, blob);
      if (info !== undefined) yield info;
    }
    marker = page.textOf("NextMarker");
    if (marker === "") return;
    if (marker === at) throw new StoreError({ ...about, what: "the server repeats a page" });
  }
}

/** @see https://learn.microsoft.com/rest/api/storageservices/list-blobs */
async function listPage(
  requests: AzureRequests,
  { prefix = "", pageSize, signal }: ListRequest,
  marker: string,
): Promise<XmlNode> {
  const about = { operation: "list", object: requests.description };
  const response = await requests.send({
    operation: "list",
    method: "GET",
    query: {
      restype: "container",
      comp: "list",
      prefix: requests.place.prefix + prefix,
      include: "metadata",
      maxresults: String(pageSize),
      marker: marker === "" ? undefined : marker,
    },
    signal,
  });
  if (response.status !== 200) throw await azureError(response);
  const page = parseXml(await response.text(), about);
  if (page.name === "EnumerationResults" && page.child("Blobs") !== undefined) return page;
  const next = "Check that the endpoint is that of a blob service";
  throw new StoreError({ ...about, what: "the answer is no list of blobs", next });
}

/** `undefined` for what is no object of the store: the names of others, and folders of a hierarchical namespace. */
function infoOf(requests: AzureRequests, blob: XmlNode): ObjectInfo | undefined {
  const key = requests.place.keyOf(blob.textOf("Name"));
  const entries = blob.child("Metadata")?.children() ?? [];
  const metadata = metadataFrom(entries.map(({ name, text }) => [name, text]));
  if (key === undefined || metadata["hdi_isfolder"] === "true") return undefined;
  const properties = blob.child("Properties");
  const size = properties?.textOf("Content-Length") ?? "";
  const etag = properties?.textOf("Etag") ?? "";
  const lastModified = new Date(properties?.textOf("Last-Modified") ?? "");
  if (!/^\d{1,15}$/.test(size) || etag === "" || Number.isNaN(lastModified.getTime())) {
    const what = `the server does not tell size, ETag and time of ${JSON.stringify(key)}`;
    throw new StoreError({ operation: "list", object: requests.description, what });
  }
  return { key, size: Number(size), etag: quoteTag(etag), lastModified, metadata };
}
