/**
 * Writing an object: in one request, or in an upload session that goes on where it broke off.
 *
 * @module
 */
import { concatBytes, toHex } from "../core/bytes.ts";
import { StoreError } from "./errors.ts";
import { OBJECT_FIELDS, objectFacts, type ObjectFacts } from "./gcs-objects.ts";
import { gcsError, type GcsRequests } from "./gcs-requests.ts";
import type { HttpResponse } from "./http-response.ts";
import { parseJson } from "./json.ts";
import type { ObjectMetadata } from "./object-store.ts";
import { type BodyPart, bodyParts } from "./parts.ts";

/** All chunks of a session but the last are multiples of this. */
export const CHUNK_UNIT: number = 256 * 1024;

const TYPE = "application/octet-stream";

/** An object to write. */
export interface GcsUpload {
  readonly key: string;
  /** The condition: 0 to create only, the generation to replace, `undefined` for neither. */
  readonly ifGenerationMatch: string | undefined;
  readonly metadata: ObjectMetadata;
  /** Bytes of a chunk, a multiple of {@linkcode CHUNK_UNIT}; a smaller body is one request. */
  readonly chunkSize: number;
  readonly signal?: AbortSignal | undefined;
}

/** Writes a body and returns what the server tells of the object. */
export async function uploadObject(
  requests: GcsRequests,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  upload: GcsUpload,
): Promise<ObjectFacts> {
  const { key, chunkSize, signal } = upload;
  const parts = bodyParts(body, chunkSize, { operation: "write", object: key, signal });
  try {
    const first = await parts.next();
    if (first.done === true || first.value.last) {
      return await putWhole(requests, first.value?.bytes ?? new Uint8Array(), upload);
    }
    return await putChunks(requests, first.value, { upload, rest: parts });
  } finally {
    await parts.return();
  }
}

/** The description of the object that both ways begin with. */
function resourceOf({ metadata }: GcsUpload): string {
  return JSON.stringify({ contentType: TYPE, metadata });
}

/** @see https://cloud.google.com/storage/docs/uploading-objects#multipart */
async function putWhole(
  requests: GcsRequests,
  bytes: Uint8Array,
  upload: GcsUpload,
): Promise<ObjectFacts> {
  const { key, ifGenerationMatch, signal } = upload;
  const boundary = `part_${toHex(requests.client.platform.randomBytes(16))}`;
  const head = `--${boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n${resourceOf(upload)}\r\n--${boundary}\r\ncontent-type: ${TYPE}\r\n\r\n`;
  const encoder = new TextEncoder();
  const response = await requests.send({
    operation: "write",
    key,
    upload: true,
    method: "POST",
    query: { uploadType: "multipart", ifGenerationMatch, fields: OBJECT_FIELDS },
    headers: { "content-type": `multipart/related; boundary=${boundary}` },
    body: concatBytes([encoder.encode(head), bytes, encoder.encode(`\r\n--${boundary}--\r\n`)]),
    signal,
  });
  if (response.status !== 200) throw await gcsError(response);
  return await written(response);
}

async function putChunks(
  requests: GcsRequests,
  first: BodyPart,
  more: { readonly upload: GcsUpload; readonly rest: AsyncIterable<BodyPart> },
): Promise<ObjectFacts> {
  const { upload, rest } = more;
  const context = { operation: "write", object: upload.key, signal: upload.signal };
  const session = await beginSession(requests, upload);
  try {
    let offset = 0;
    const put = async (part: BodyPart): Promise<ObjectFacts | undefined> => {
      const start = offset;
      offset += part.bytes.length;
      return await putChunk(requests, part, { session, start, upload });
    };
    let result = await put(first);
    for await (const part of rest) result = await put(part);
    if (result === undefined) {
      throw new StoreError({ ...context, what: "the server did not end the upload" });
    }
    return result;
  } catch (error) {
    const cancelled = requests.client
      .send({ ...context, signal: undefined, method: "DELETE", url: session })
      .then((response) => response.discard())
      // A session that stays ends by itself after a week; the first error is the one to tell.
      .catch(() => undefined);
    if (upload.signal?.aborted !== true) await cancelled;
    throw error;
  }
}

/**
 * Begins an upload session and returns its address, which alone lets bytes in: no credentials go there.
 *
 * @see https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
async function beginSession(requests: GcsRequests, upload: GcsUpload): Promise<string> {
  const { key, ifGenerationMatch, signal } = upload;
  const response = await requests.send({
    operation: "write",
    key,
    upload: true,
    method: "POST",
    query: { uploadType: "resumable", ifGenerationMatch, fields: OBJECT_FIELDS },
    headers: {
      "content-type": "application/json; charset=UTF-8",
      "x-upload-content-type": TYPE,
    },
    body: resourceOf(upload),
    signal,
  });
  if (response.status !== 200) throw await gcsError(response);
  await response.discard();
  const session = response.header("location");
  if (session !== undefined && URL.canParse(session)) return session;
  throw new StoreError({
    operation: "write",
    object: key,
    what: "the server began an upload without telling its address",
    next: "In a browser, let the answer expose Location",
  });
}

/** How far an upload is: the bytes that the server has, or the object when it is done. */
type Progress = { readonly stored: number } | { readonly facts: ObjectFacts };

interface Chunk {
  readonly session: string;
  /** Offset of the first byte. */
  readonly start: number;
  readonly upload: GcsUpload;
}

/** Sends a chunk until the server has all of it; it may keep a part, and its answer may be lost. */
async function putChunk(
  requests: GcsRequests,
  part: BodyPart,
  chunk: Chunk,
): Promise<ObjectFacts | undefined> {
  const { start, upload } = chunk;
  const { key, signal } = upload;
  const context = { operation: "write", object: key, signal };
  const end = start + part.bytes.length;
  const total = part.last ? String(end) : "*";
  const ended = await requests.client.retry(context, async (attempt) => {
    let stored = start;
    for (let first = true; ; first = false) {
      const ask = attempt > 1 && first;
      const rest = part.bytes.subarray(stored - start);
      const range = ask || rest.length === 0 ? "*" : `${stored}-${end - 1}`;
      const progress = await sendChunk(requests, chunk, {
        body: ask ? new Uint8Array() : rest,
        range: `bytes ${range}/${total}`,
      });
      if (progress === undefined) return "lost";
      if ("facts" in progress) return progress.facts;
      if (progress.stored === end && !part.last) return "stored";
      const advanced = progress.stored > stored || (ask && progress.stored === stored);
      if (!advanced || progress.stored > end) {
        const what = `the server keeps ${progress.stored} bytes of an upload that has ${stored} to ${end}`;
        throw new StoreError({ operation: "write", object: key, what }, { retryable: true });
      }
      stored = progress.stored;
    }
  });
  if (ended === "lost") {
    const what = "the server has given the upload up";
    throw new StoreError({ operation: "write", object: key, what }, { retryable: true });
  }
  return ended === "stored" ? undefined : ended;
}

/** Sends bytes, or none to ask how far the upload is; `undefined` where the server no longer knows it. */
async function sendChunk(
  requests: GcsRequests,
  { session, upload }: Chunk,
  content: { readonly body: Uint8Array<ArrayBuffer>; readonly range: string },
): Promise<Progress | undefined> {
  const response = await requests.client.send({
    operation: "write",
    object: upload.key,
    method: "PUT",
    url: session,
    // A browser hides an answer of 308: then the status comes as 200 with a header.
    headers: { "content-range": content.range, "x-guploader-no-308": "yes" },
    body: content.body,
    signal: upload.signal,
  });
  const more = response.status === 308 || response.header("x-http-status-code-override") === "308";
  if (more) {
    await response.discard();
    const last = /^bytes=0-(\d{1,15})$/.exec(response.header("range") ?? "")?.[1];
    return { stored: last === undefined ? 0 : Number(last) + 1 };
  }
  if (response.status === 200 || response.status === 201) return { facts: await written(response) };
  if (response.status === 404 || response.status === 410) {
    await response.discard();
    return undefined;
  }
  throw await gcsError(response);
}

async function written(response: HttpResponse): Promise<ObjectFacts> {
  const { request } = response;
  return objectFacts(parseJson(await response.text(), request), request);
}
