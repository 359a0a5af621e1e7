/**
 * Asking for a file of a replica by its name alone.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { isPagestreamError } from "../core/errors.ts";
import { StoreError } from "../transports/errors.ts";
import type { FileSpan } from "./layout.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";

/** Bytes that one request brings: nearly always the whole file. */
const ASK_BYTES = 2 * 1024 * 1024;

/** A file that is there. */
export interface AskedFile {
  readonly info: LtxFileInfo;
  /** All its bytes, where they came with the answer. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** Looks whether a file is there and, where it is not large, reads it: one request. `undefined` where it is not. */
export async function askFile(
  replica: Replica,
  span: FileSpan,
  signal: AbortSignal,
): Promise<AskedFile | undefined> {
  const key = replica.key(span);
  const answer = await ask(replica, key, { limit: ASK_BYTES, signal });
  if (answer === undefined) return undefined;
  const { level, minTxid, maxTxid } = span;
  const { size, etag, time, bytes } = answer;
  return { info: { level, minTxid, maxTxid, size, etag, key, time }, bytes };
}

/** Reads a small object; `undefined` where it is missing, and no bytes where it is larger than `limit`. One request. */
export async function askObject(
  replica: Replica,
  key: string,
  options: AskOptions,
): Promise<{ readonly bytes: Uint8Array<ArrayBuffer> | undefined } | undefined> {
  return await ask(replica, key, options);
}

interface AskOptions {
  /** Size in bytes past which an object is not read. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

async function ask(
  replica: Replica,
  key: string,
  options: AskOptions,
): Promise<
  | {
      readonly size: number;
      readonly etag: string;
      readonly time: Date;
      readonly bytes: Uint8Array<ArrayBuffer> | undefined;
    }
  | undefined
> {
  const { limit, signal } = options;
  const attempt = async (): ReturnType<typeof ask> => {
    const answer = await replica.store.get(key, { offset: 0, length: limit, signal });
    const { size, etag, lastModified: time } = answer;
    if (size <= limit) return { size, etag, time, bytes: await readBody(answer.body, key, size) };
    await answer.body.cancel();
    return { size, etag, time, bytes: undefined };
  };
  try {
    return await replica.retry({ operation: "read", object: key, signal }, attempt);
  } catch (error) {
    if (isPagestreamError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

/** All bytes of a body. A transport's own error is left out: it may carry a signed URL. */
async function readBody(
  body: ReadableStream<Uint8Array>,
  key: string,
  size: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > size) break;
      chunks.push(value);
    }
  } catch (error) {
    if (isPagestreamError(error)) throw error;
    throw cut(key, length);
  }
  // One that is longer than it was said to be has not been read to its end.
  if (length > size) await reader.cancel();
  if (length !== size) throw cut(key, length);
  return concatBytes(chunks);
}

function cut(key: string, length: number): StoreError {
  const what = `the transfer broke off after ${length} bytes`;
  return new StoreError({ operation: "read", object: key, what }, { retryable: true });
}
