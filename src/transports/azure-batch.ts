/**
 * Deleting blobs: one by one, or many in one request.
 *
 * @module
 */
import { toHex } from "../core/bytes.ts";
import { isPagestreamError, type PagestreamError } from "../core/errors.ts";
import { isRetryable } from "../core/retry.ts";
import { azureError, type AzureRequests } from "./azure-requests.ts";
import { quoteTag } from "./azure-properties.ts";
import { headBlob } from "./azure-read.ts";
import { inParallel } from "./parts.ts";

/** Most requests that a batch may hold. */
const BATCH_SIZE = 256;

/** How to delete. */
export interface DeleteOptions {
  /** Only this version. */
  readonly ifMatch?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Deletes a blob; a missing one is no error.
 *
 * @see https://learn.microsoft.com/rest/api/storageservices/delete-blob
 */
export async function deleteBlob(
  requests: AzureRequests,
  key: string,
  options: DeleteOptions = {},
): Promise<void> {
  const { ifMatch, signal } = options;
  const headers = { "if-match": quoteTag(ifMatch) };
  const response = await requests.send({
    operation: "delete",
    key,
    method: "DELETE",
    headers,
    signal,
  });
  if (response.status === 202) {
    await response.discard();
    return;
  }
  const error = await azureError(response);
  if (error.code !== "NOT_FOUND" && !(await isGone(requests, key, { error, signal }))) throw error;
}

/** A condition fails on a missing blob, too. */
async function isGone(
  requests: AzureRequests,
  key: string,
  failed: { readonly error: PagestreamError; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  if (failed.error.code !== "PRECONDITION_FAILED") return false;
  try {
    await headBlob(requests, key, { signal: failed.signal });
    return false;
  } catch (error) {
    return isPagestreamError(error, "NOT_FOUND");
  }
}

/** Deletes any number of blobs. */
export type BlobsDeleter = (
  keys: readonly string[],
  signal: AbortSignal | undefined,
) => Promise<void>;

/**
 * Makes a deleter that sends batches, and single requests for whatever a batch has not deleted: each is authorized by
 * itself and may be refused by itself. A service that takes no batches is asked once.
 */
export function blobsDeleter(requests: AzureRequests, concurrency: number): BlobsDeleter {
  let batches = true;
  return async (keys, signal) => {
    const [only] = keys;
    if (keys.length === 1 && only !== undefined) {
      await deleteBlob(requests, only, { signal });
      return;
    }
    for (let at = 0; at < keys.length; at += BATCH_SIZE) {
      let left = keys.slice(at, at + BATCH_SIZE);
      const about = { operation: "delete objects of", object: requests.description, signal };
      const attempt = (): Promise<string[]> => deleteBatch(requests, left, signal);
      try {
        if (batches)
          left = at === 0 ? await attempt() : await requests.client.retry(about, attempt);
      } catch (error) {
        if (isRetryable(error) || signal?.aborted === true) throw error;
        batches = false;
      }
      await inParallel(left, concurrency, async (key, ended) => {
        const either = signal === undefined ? ended : AbortSignal.any([signal, ended]);
        const single = { operation: "delete", object: key, signal: either };
        await requests.client.retry(single, () => deleteBlob(requests, key, { signal: either }));
      });
    }
  };
}

/**
 * Returns the keys that are not known to be gone.
 *
 * @see https://learn.microsoft.com/rest/api/storageservices/blob-batch
 */
async function deleteBatch(
  requests: AzureRequests,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const boundary = `batch_${toHex(requests.client.platform.randomBytes(16))}`;
  const parts = await Promise.all(
    keys.map(async (key, id) => {
      const request = { operation: "delete", key, method: "DELETE", signal };
      const { path, headers } = await requests.subrequest(request);
      return [
        `--${boundary}`,
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        `Content-ID: ${id}`,
        "",
        `DELETE ${path} HTTP/1.1`,
        ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
        "Content-Length: 0",
        "",
        "",
      ].join("\r\n");
    }),
  );
  const response = await requests.send({
    operation: "delete objects of",
    method: "POST",
    query: { restype: "container", comp: "batch" },
    headers: { "content-type": `multipart/mixed; boundary=${boundary}` },
    body: `${parts.join("")}--${boundary}--\r\n`,
    signal,
  });
  if (response.status !== 202) throw await azureError(response);
  const type = response.header("content-type") ?? "";
  const gone = goneIds(await response.text(), type);
  return keys.filter((_, id) => !gone.has(id));
}

/** The numbers of the parts that say that the blob is deleted, or was not there. */
function goneIds(text: string, contentType: string): Set<number> {
  const boundary = /boundary="?([^";]+)/i.exec(contentType)?.[1];
  const gone = new Set<number>();
  for (const part of boundary === undefined ? [] : text.split(`--${boundary}`)) {
    const id = /^content-id:\s*(\d+)\s*$/im.exec(part)?.[1];
    const status = /^HTTP\/1\.1 (\d{3})/im.exec(part)?.[1];
    const missing = /^x-ms-error-code:\s*BlobNotFound\s*$/im.test(part);
    if (id !== undefined && (status === "202" || (status === "404" && missing))) {
      gone.add(Number(id));
    }
  }
  return gone;
}
