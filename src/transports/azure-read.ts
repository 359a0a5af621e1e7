/**
 * Reading blobs, and what is known of them.
 *
 * @module
 */
import { blobProperties, quoteTag } from "./azure-properties.ts";
import { azureError, type AzureRequests } from "./azure-requests.ts";
import { StoreError } from "./errors.ts";
import { askedRange, emptyRange, rangedBody } from "./http-range.ts";
import type { GetOptions, GetResult, ObjectInfo } from "./object-store.ts";

/**
 * Reads a blob or a part of it.
 *
 * @see https://learn.microsoft.com/rest/api/storageservices/get-blob
 */
export async function getBlob(
  requests: AzureRequests,
  key: string,
  options: GetOptions = {},
): Promise<GetResult> {
  const { ifMatch, signal } = options;
  const asked = askedRange(options, key);
  if (asked.length !== 0) {
    const response = await requests.send({
      operation: "read",
      key,
      method: "GET",
      headers: { range: asked.header, "if-match": quoteTag(ifMatch) },
      signal,
    });
    if (response.status === 200 || response.status === 206) {
      const properties = blobProperties(response);
      const part = await rangedBody(response, asked);
      if (part !== undefined) return { ...part, ...properties };
    } else {
      const error = await azureError(response);
      if (response.status !== 416) throw error;
    }
  }
  // Nothing of the blob is in the range. The answer does not always tell its size.
  return emptyRange(await headBlob(requests, key, options), asked);
}

/**
 * What is known of a blob.
 *
 * @see https://learn.microsoft.com/rest/api/storageservices/get-blob-properties
 */
export async function headBlob(
  requests: AzureRequests,
  key: string,
  options: Pick<GetOptions, "ifMatch" | "signal"> = {},
): Promise<ObjectInfo> {
  const response = await requests.send({
    operation: "look up",
    key,
    method: "HEAD",
    headers: { "if-match": quoteTag(options.ifMatch) },
    signal: options.signal,
  });
  if (response.status !== 200) throw await azureError(response);
  await response.discard();
  const size = response.contentLength;
  if (size !== undefined) return { key, size, ...blobProperties(response) };
  const what = "the server does not tell the size of the blob";
  throw new StoreError({ operation: "look up", object: key, what });
}
