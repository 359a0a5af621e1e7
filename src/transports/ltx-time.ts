/**
 * The creation time of an LTX file by its own header: for places that keep no metadata with an object.
 *
 * @module
 */
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import type { ObjectMetadata } from "./object-store.ts";
import { formatTimestamp, TIMESTAMP_METADATA } from "./timestamp.ts";

/** Length of the header in bytes: what to read for {@linkcode headerMetadata}. */
export { LTX_HEADER_SIZE };

/** Tells whether a key is that of an LTX file. */
export function isLtxKey(key: string): boolean {
  return key.endsWith(".ltx");
}

/** The metadata that the header of an LTX file stands for; empty where the bytes are none. */
export function headerMetadata(header: Uint8Array): ObjectMetadata {
  try {
    const ms = Number(decodeHeader(header).timestamp);
    return { [TIMESTAMP_METADATA]: formatTimestamp(ms) };
  } catch {
    // Of another kind or damaged: who reads the file learns of that. Here it is only an object without a time.
    return {};
  }
}

/** Reads the header from the beginning of a body, and gives up the rest. */
export async function readHeader(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const header = new Uint8Array(LTX_HEADER_SIZE);
  let size = 0;
  const reader = body.getReader();
  while (size < header.length) {
    const { done, value } = await reader.read();
    if (done) break;
    const piece = value.subarray(0, header.length - size);
    header.set(piece, size);
    size += piece.length;
  }
  await reader.cancel();
  return header.subarray(0, size);
}
