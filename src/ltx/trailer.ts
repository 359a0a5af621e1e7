/**
 * The last 16 bytes of an LTX file: post-apply checksum (u64) and file checksum (u64), big-endian.
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { isChecksum } from "./checksum.ts";
import { LtxFormatError } from "./errors.ts";
import { hasNoChecksum, type LtxHeader } from "./header.ts";

/** Length of the trailer in bytes. */
export const LTX_TRAILER_SIZE = 16;

/** The two checksums at the end of a file. */
export interface LtxTrailer {
  /** Database checksum after this file; 0 without checksums. */
  readonly postApplyChecksum: bigint;
  /** Checksum of the file with its pages uncompressed, the last 8 bytes left out. */
  readonly fileChecksum: bigint;
}

/**
 * Checks a trailer against its header.
 *
 * @param options.offset where the trailer begins in the file, for errors. @default 0
 * @throws {LtxFormatError} naming field and offset.
 */
export function validateTrailer(
  trailer: LtxTrailer,
  header: Pick<LtxHeader, "flags">,
  options: { readonly name?: string; readonly offset?: number } = {},
): void {
  const { name = "LTX trailer", offset = 0 } = options;
  const post = trailer.postApplyChecksum;
  const fail = (field: keyof LtxTrailer, at: number, what: string): never => {
    throw new LtxFormatError({ name, field, offset: offset + at, what });
  };
  if (hasNoChecksum(header)) {
    if (post !== 0n)
      fail("postApplyChecksum", 0, "a file without checksums has a post-apply checksum");
  } else if (post === 0n) {
    fail("postApplyChecksum", 0, "the post-apply checksum is missing");
  } else if (!isChecksum(post)) {
    fail("postApplyChecksum", 0, "the post-apply checksum lacks its flag bit");
  }
  if (trailer.fileChecksum === 0n) fail("fileChecksum", 8, "the file checksum is missing");
  if (!isChecksum(trailer.fileChecksum))
    fail("fileChecksum", 8, "the file checksum lacks its flag bit");
}

/** The 16 bytes of a trailer. */
export function encodeTrailer(trailer: LtxTrailer): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(LTX_TRAILER_SIZE);
  const view = viewOf(bytes);
  view.setBigUint64(0, trailer.postApplyChecksum);
  view.setBigUint64(8, trailer.fileChecksum);
  return bytes;
}

/**
 * Decodes the trailer at the start of `bytes`; keeps nothing. Whether it fits its header is for
 * {@linkcode validateTrailer} to say.
 *
 * @throws {LtxFormatError} when the bytes are too few.
 */
export function decodeTrailer(bytes: Uint8Array, name = "LTX trailer"): LtxTrailer {
  if (bytes.length < LTX_TRAILER_SIZE) {
    throw new LtxFormatError({
      name,
      field: "trailer",
      offset: bytes.length,
      what: `${bytes.length} bytes are too few for a trailer of ${LTX_TRAILER_SIZE}`,
    });
  }
  const view = viewOf(bytes);
  return { postApplyChecksum: view.getBigUint64(0), fileChecksum: view.getBigUint64(8) };
}
