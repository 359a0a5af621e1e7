/**
 * The bytes of an encrypted object: a header of 128 bytes, then chunks.
 *
 * | offset | size | field |
 * | ---: | ---: | --- |
 * | 0 | 7 | `PSCRYPT` |
 * | 7 | 1 | version, 1 |
 * | 8 | 8 | creation time in ms since the Unix epoch, signed; the smallest number for none |
 * | 16 | 32 | id of the user's key, ASCII, filled up with zeros |
 * | 48 | 32 | salt: the wrapping key is HKDF-SHA-256 of the user's key with this salt |
 * | 80 | 48 | the object's own key, sealed by the wrapping key with a nonce of zeros |
 *
 * A chunk is the AES-256-GCM ciphertext of 64 KiB, of fewer bytes only in the last one, and its tag of 16 bytes. An empty
 * object has one empty chunk. Its nonce is the chunk's number (8 bytes) and whether it is the last (4 bytes, 1 or 0): a chunk
 * that was moved, left out or added does not open. The seal of the object's key also covers the fields before it, the
 * user's context and the key in the store: nor does an object under another name.
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { ENCRYPTION_MARK, isEncrypted } from "../core/encryption-mark.ts";
import { DecryptError } from "./errors.ts";

/** Bytes of the header. */
export const HEADER_SIZE = 128;

/** Plain bytes of every chunk but the last. */
export const CHUNK_SIZE: number = 64 * 1024;

/** Bytes that a chunk is longer than what it holds. */
export const TAG_SIZE = 16;

/** Bytes of a key, the user's or an object's. */
export const KEY_SIZE = 32;

/** Longest id of a key. */
export const KEY_ID_SIZE = 32;

/** Bytes of the header before the sealed key. */
export const SEALED_OFFSET = 80;

/** Bytes of a whole chunk as it is stored. */
export const SEALED_CHUNK_SIZE: number = CHUNK_SIZE + TAG_SIZE;

const VERSION = 1;
const TIME_OFFSET = 8;
const KEY_ID_OFFSET = 16;
const SALT_OFFSET = 48;
const NO_TIME = -(1n << 63n);

/** A header's fields; byte arrays of a decoded one are views. */
export interface EncryptedHeader {
  /** Milliseconds since the Unix epoch, where a time was put with the object. */
  readonly timeMs: number | undefined;
  /** Which of the user's keys it was written with. */
  readonly keyId: string;
  /** 32 random bytes. */
  readonly salt: Uint8Array<ArrayBuffer>;
}

/** The header, with room for the sealed key. */
export function encodeHeader({ timeMs, keyId, salt }: EncryptedHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_SIZE);
  bytes.set(ENCRYPTION_MARK);
  bytes[ENCRYPTION_MARK.length] = VERSION;
  viewOf(bytes).setBigInt64(TIME_OFFSET, timeMs === undefined ? NO_TIME : BigInt(timeMs));
  for (let i = 0; i < keyId.length; i++) bytes[KEY_ID_OFFSET + i] = keyId.charCodeAt(i);
  bytes.set(salt, SALT_OFFSET);
  return bytes;
}

/** What the header of the object at `key` says; `DecryptError` where it is none. Nothing of it is authenticated yet. */
export function decodeHeader(bytes: Uint8Array<ArrayBuffer>, key: string): EncryptedHeader {
  const fail = (reason: DecryptError["reason"], what: string, next: string): never => {
    throw new DecryptError({ operation: "decrypt", object: key, what, next }, { reason });
  };
  if (!isEncrypted(bytes)) {
    const next = "Find out who put it there; an encrypted replica takes nothing that is not";
    return fail("plain", "it is not encrypted", next);
  }
  if (bytes.length < HEADER_SIZE) {
    return fail("damaged", "it ends within its header", "Look for another copy of it");
  }
  const version = bytes[ENCRYPTION_MARK.length];
  if (version !== VERSION) {
    return fail("version", `its encryption is of version ${version}`, "Use a newer release");
  }
  const time = viewOf(bytes).getBigInt64(TIME_OFFSET);
  const id = bytes.subarray(KEY_ID_OFFSET, KEY_ID_OFFSET + KEY_ID_SIZE);
  return {
    timeMs: time === NO_TIME ? undefined : Number(time),
    keyId: String.fromCharCode(...id).replace(/\0+$/, ""),
    salt: bytes.subarray(SALT_OFFSET, SALT_OFFSET + KEY_SIZE),
  };
}

/** Chunks of an object of `size` plain bytes. */
export function chunkCount(size: number): number {
  return Math.max(1, Math.ceil(size / CHUNK_SIZE));
}

/** Bytes that an object of `size` plain bytes has as it is stored. */
export function sealedSize(size: number): number {
  return HEADER_SIZE + size + chunkCount(size) * TAG_SIZE;
}

/** The plain size of a stored object; undefined for a size that no encrypted object has. */
export function plainSize(stored: number): number | undefined {
  const body = stored - HEADER_SIZE;
  const size = body - Math.ceil(body / SEALED_CHUNK_SIZE) * TAG_SIZE;
  return body >= TAG_SIZE && sealedSize(size) === stored ? size : undefined;
}

/** Where a chunk begins in the stored object. */
export function chunkOffset(index: number): number {
  return HEADER_SIZE + index * SEALED_CHUNK_SIZE;
}

/** The nonce of a chunk. */
export function chunkNonce(index: number, isLast: boolean): Uint8Array<ArrayBuffer> {
  const nonce = new Uint8Array(12);
  const view = viewOf(nonce);
  view.setBigUint64(0, BigInt(index));
  view.setUint32(8, isLast ? 1 : 0);
  return nonce;
}
