/**
 * Reads one file of a replica to its end and believes nothing.
 *
 * @module
 */
import { type PagestreamError, isPagestreamError } from "../core/errors.ts";
import type { LtxHeader } from "../ltx/header.ts";
import { LtxMerge } from "../ltx/merge.ts";
import { DamagedFileError } from "./errors.ts";
import { ReadPool } from "./ranged-input.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";

/** What a verified file holds. */
export interface VerifiedFile {
  /** The merged header of this one file: range, page size, commit and time are the file's. */
  readonly header: LtxHeader;
  /** Number of pages within the file's commit. */
  readonly pages: number;
}

/**
 * Verifies a file: header equal to its name, every page, page index and file checksum. Throws `DamagedFileError`, with the
 * decoder's error as cause, where anything is wrong.
 */
export async function verifyFile(
  replica: Replica,
  file: LtxFileInfo,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<VerifiedFile> {
  const pool = new ReadPool(replica, [file], options);
  const merge = new LtxMerge(pool.inputs);
  try {
    const header = await merge.open();
    let pages = 0;
    for (;;) {
      const more = merge.next();
      if (!(typeof more === "boolean" ? more : await more)) break;
      pages++;
    }
    return { header, pages };
  } catch (error) {
    if (!isDecodingError(error)) throw error;
    throw new DamagedFileError(
      {
        operation: "verify",
        object: file.key,
        what: `its content cannot be used: ${error.message}`,
        next: "Replace it by another copy, or let the writer upload a new snapshot",
        cause: error,
      },
      { file: file.key },
    );
  } finally {
    pool.close();
    await merge.close();
  }
}

/** Tells whether an error says that the bytes of an LTX file are wrong. */
export function isDecodingError(error: unknown): error is PagestreamError {
  return (
    isPagestreamError(error, "INVALID_LTX") ||
    isPagestreamError(error, "LTX_CHECKSUM") ||
    isPagestreamError(error, "LTX_UNSUPPORTED")
  );
}
