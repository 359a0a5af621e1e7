/**
 * Writing a blob: in one request, or block by block with one that commits them.
 *
 * Blocks that are not committed are never seen, and the service drops them after a week or when another version of the
 * blob is committed. So there is nothing to clean up when an upload fails.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import { headBlob } from "./azure-read.ts";
import { azureError, type AzureRequests } from "./azure-requests.ts";
import { PreconditionFailedError, StoreError } from "./errors.ts";
import type { HttpResponse } from "./http-response.ts";
import { type BodyPart, bodyParts, inParallel, withFirst } from "./parts.ts";

/** A blob to write. */
export interface AzureUpload {
  /** Key of the blob. */
  readonly key: string;
  /** The conditions. */
  readonly conditions: Readonly<Record<"if-match" | "if-none-match", string | undefined>>;
  /** Tier, type and metadata. */
  readonly headers: Readonly<Record<string, string>>;
  readonly blockSize: number;
  /** Blocks under way at a time. */
  readonly concurrency: number;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of a block's name, as many as Litestream's have: all uncommitted blocks of a blob must agree in that. */
const BLOCK_ID_SIZE = 64;

/** Writes a body and returns the answer to the request that made it visible. */
export async function uploadBlob(
  requests: AzureRequests,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  upload: AzureUpload,
): Promise<HttpResponse> {
  const { key, blockSize, signal } = upload;
  const context = { operation: "write", object: key, signal };
  const parts = bodyParts(body, blockSize, context);
  const first = await parts.next();
  if (first.done === true) throw new StoreError({ ...context, what: "the body has no part" });
  if (first.value.last) return await putBlob(requests, first.value.bytes, upload);
  return await putBlocks(requests, withFirst(first.value, parts), upload);
}

/** @see https://learn.microsoft.com/rest/api/storageservices/put-blob */
async function putBlob(
  requests: AzureRequests,
  body: Uint8Array<ArrayBuffer>,
  upload: AzureUpload,
): Promise<HttpResponse> {
  const { key, conditions, headers, signal } = upload;
  const response = await requests.send({
    operation: "write",
    key,
    method: "PUT",
    headers: { ...headers, ...conditions, "x-ms-blob-type": "BlockBlob" },
    body,
    signal,
  });
  if (response.status === 201) return response;
  throw await refusal(response, upload);
}

async function putBlocks(
  requests: AzureRequests,
  parts: AsyncIterable<BodyPart>,
  upload: AzureUpload,
): Promise<HttpResponse> {
  const { key, concurrency, signal } = upload;
  const { client } = requests;
  // Of two writers of one blob each must commit his own blocks: the service keeps one set for both.
  const id = client.platform.randomBytes(BLOCK_ID_SIZE);
  const ids = await inParallel(parts, concurrency, async (part, ended) => {
    const either = signal === undefined ? ended : AbortSignal.any([signal, ended]);
    const blockId = nameBlock(id, part.index);
    const context = { operation: "write", object: key, signal: either };
    await client.retry(context, () => putBlock(requests, part.bytes, { upload, blockId, either }));
    return blockId;
  });
  const context = { operation: "write", object: key, signal };
  return await client.retry(context, () => commitBlocks(requests, ids, upload));
}

/** @see https://learn.microsoft.com/rest/api/storageservices/put-block */
async function putBlock(
  requests: AzureRequests,
  body: Uint8Array<ArrayBuffer>,
  block: {
    readonly upload: AzureUpload;
    readonly blockId: string;
    readonly either: AbortSignal;
  },
): Promise<void> {
  const { key } = block.upload;
  const response = await requests.send({
    operation: "write",
    key,
    method: "PUT",
    query: { comp: "block", blockid: block.blockId },
    body,
    signal: block.either,
  });
  if (response.status !== 201) throw await azureError(response);
  await response.discard();
}

/** @see https://learn.microsoft.com/rest/api/storageservices/put-block-list */
async function commitBlocks(
  requests: AzureRequests,
  ids: readonly string[],
  upload: AzureUpload,
): Promise<HttpResponse> {
  const { key, conditions, headers, signal } = upload;
  const list = ids.map((id) => `<Latest>${id}</Latest>`).join("");
  const response = await requests.send({
    operation: "write",
    key,
    method: "PUT",
    query: { comp: "blocklist" },
    headers: { ...headers, ...conditions, "content-type": "application/xml" },
    body: `<?xml version="1.0" encoding="utf-8"?><BlockList>${list}</BlockList>`,
    signal,
  });
  if (response.status === 201) return response;
  if (response.header("x-ms-error-code") === "InvalidBlockList") {
    await response.discard();
    throw await blocksLost(requests, upload);
  }
  throw await refusal(response, upload);
}

/** Somebody else has committed the same blob meanwhile, which drops the blocks of all others. */
async function blocksLost(requests: AzureRequests, upload: AzureUpload): Promise<Error> {
  const { key, conditions, signal } = upload;
  const [create, version] = [conditions["if-none-match"], conditions["if-match"]];
  if (create !== undefined || version !== undefined) {
    // Undefined where there is none, as is the version to replace where the blob is to be created.
    if ((await etagOf(requests, key, signal)) !== version) return changed(key);
  }
  const what =
    "another writer has committed the blob meanwhile, which drops all other blocks of it";
  return new StoreError({ operation: "write", object: key, what }, { retryable: true });
}

async function etagOf(
  requests: AzureRequests,
  key: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  try {
    return (await headBlob(requests, key, { signal })).etag;
  } catch (error) {
    if (isPagestreamError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

/** The error of an answer to a conditional write: a blob that is gone is not the version asked for. */
async function refusal(response: HttpResponse, upload: AzureUpload): Promise<Error> {
  const error = await azureError(response);
  const gone = isPagestreamError(error, "NOT_FOUND") && upload.conditions["if-match"] !== undefined;
  return gone ? changed(upload.key) : error;
}

function changed(key: string): PreconditionFailedError {
  return new PreconditionFailedError({
    operation: "write",
    object: key,
    what: "another writer has changed the blob",
    next: "Read the object again and decide anew",
  });
}

/** The name of a block: the same random bytes for all of an upload, then its number. */
function nameBlock(id: Uint8Array, index: number): string {
  const bytes = id.slice();
  new DataView(bytes.buffer).setUint32(bytes.length - 4, index);
  return btoa(String.fromCharCode(...bytes));
}
