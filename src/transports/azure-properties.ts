/**
 * What Azure keeps with a blob, and under which names.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { StoreError } from "./errors.ts";
import type { HttpResponse } from "./http-response.ts";
import type { GetResult, ObjectMetadata } from "./object-store.ts";
import { TIMESTAMP_METADATA } from "./timestamp.ts";

/** The name of the timestamp on Azure, where a name has no hyphen. */
const AZURE_TIMESTAMP = "litestreamtimestamp";

/** Headers that keep metadata; `InvalidArgumentError` for a name or a value that would not come back as it is. */
export function metadataHeaders(
  key: string,
  metadata: ObjectMetadata | undefined,
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(metadata ?? {})) {
    const named = name === TIMESTAMP_METADATA ? AZURE_TIMESTAMP : name;
    const taken = name === AZURE_TIMESTAMP || !/^[a-z_][a-z0-9_]*$/.test(named);
    if (taken || !/^[!-~](?:[ -~]*[!-~])?$/.test(value)) {
      throw new InvalidArgumentError({
        operation: "write",
        object: key,
        what: `Azure cannot keep the metadata ${JSON.stringify(name)}`,
        next: "Give names of small letters, digits and underscores, and values of printable ASCII",
      });
    }
    headers[`x-ms-meta-${named}`] = value;
  }
  return headers;
}

/** Metadata by the names of the contract. */
export function metadataFrom(entries: Iterable<readonly [string, string]>): ObjectMetadata {
  const metadata: Record<string, string> = {};
  for (const [name, value] of entries) {
    const lower = name.toLowerCase();
    metadata[lower === AZURE_TIMESTAMP ? TIMESTAMP_METADATA : lower] = value;
  }
  return metadata;
}

/** What the headers of an answer tell of the blob. */
export function blobProperties(
  response: HttpResponse,
): Pick<GetResult, "etag" | "lastModified" | "metadata"> {
  const { operation, object } = response.request;
  const etag = response.header("etag");
  const lastModified = new Date(response.header("last-modified") ?? "");
  if (etag === undefined || Number.isNaN(lastModified.getTime())) {
    throw new StoreError({
      operation,
      object,
      what: "the answer does not show the ETag and the time of the blob",
      next: "In a browser, let the CORS rules of the storage account expose all headers",
    });
  }
  const metadata = metadataFrom(Object.entries(response.headersWith("x-ms-meta-")));
  return { etag: quoteTag(etag), lastModified, metadata };
}

/** A tag as headers have it; listings leave the quotes out. */
export function quoteTag<T extends string | undefined>(etag: T): T {
  return (etag === undefined || etag.startsWith('"') ? etag : `"${etag}"`) as T;
}
