/**
 * Reads the indexes of files: where their pages lie, and what else came with the answers.
 *
 * A small file is read whole, in one request, and verified by its checksum. Of a larger one its end and its beginning are read
 * side by side. The beginning of the first nearly always holds page 1, which every query needs.
 *
 * That of the others could wait until a page of them is read, but for one thing: nothing at the end of a file says whose it is.
 * A page is served from an older file because no later one has it, so a later file under a wrong name would make an old page
 * pass for a new one, and no page of it would ever be read to show it.
 *
 * @module
 */
import { isPagestreamError, type PagestreamError } from "../core/errors.ts";
import { LtxDecoder } from "../ltx/decoder.ts";
import { formatFileName } from "../ltx/file-name.ts";
import { decodeHeader, LTX_HEADER_SIZE, type LtxHeader } from "../ltx/header.ts";
import { readPageIndex } from "../ltx/page-index.ts";
import { DamagedFileError } from "./errors.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { IndexedFile } from "./view-file.ts";

/**
 * Bytes up to which a file is read whole: at least and at most, and of all files of a plan together. Less than another request
 * takes to be answered.
 */
const WHOLE_MIN = 64 * 1024;
const WHOLE_MAX = 512 * 1024;
const WHOLE_SUM = 2 * 1024 * 1024;

/** Bytes of the beginning of a larger file, and of the first, where the roots of most tables follow page 1. */
const HEAD_BYTES = 16 * 1024;
const FIRST_HEAD_BYTES = 64 * 1024;

/** Least and most bytes that are first asked of the end of a larger file. */
const TAIL_MIN = 32 * 1024;
const TAIL_MAX = 2 * 1024 * 1024;

/** An index takes about nine bytes a page, and a page of 4096 bytes is often compressed to little more than half. */
const TAIL_SHARE = 256;

/** Files that are read side by side. */
const CONCURRENCY = 16;

/** A part of a file in memory. */
export interface FilePart {
  /** Where in the file it begins. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** A file that was read, and the parts of it that are in memory for now. */
export interface LoadedFile {
  readonly file: IndexedFile;
  readonly parts: readonly FilePart[];
}

/** Loads files side by side, and hands them out in their order. */
export async function* inOrder<T>(
  files: readonly LtxFileInfo[],
  load: (info: LtxFileInfo) => Promise<T>,
): AsyncGenerator<T, void, undefined> {
  const ahead: Promise<T>[] = [];
  for (let i = 0; i < files.length; i++) {
    while (ahead.length < CONCURRENCY && i + ahead.length < files.length) {
      const loading = load(files[i + ahead.length] as LtxFileInfo);
      // Whoever leaves before its turn comes must not be told of it.
      loading.catch(() => undefined);
      ahead.push(loading);
    }
    yield await (ahead.shift() as Promise<T>);
  }
}

/** Bytes up to which each of so many files is read whole. What a second request costs, local files do not. */
export function wholeUpTo({ readsNow }: Replica, count: number): number {
  if (readsNow) return WHOLE_MIN;
  return Math.max(WHOLE_MIN, Math.min(WHOLE_MAX, Math.floor(WHOLE_SUM / count)));
}

/**
 * Reads one file. Throws `DamagedFileError` where it is not what its name and its size say.
 *
 * @param whole bytes up to which it is read whole.
 */
export async function loadFile(
  replica: Replica,
  info: LtxFileInfo,
  { whole, signal }: { readonly whole: number; readonly signal: AbortSignal },
): Promise<LoadedFile> {
  if (info.size <= whole) return await indexWhole(info, await replica.read(info, { signal }));
  const length = Math.min(TAIL_MAX, Math.max(TAIL_MIN, Math.ceil(info.size / TAIL_SHARE)));
  const tail = {
    offset: info.size - length,
    bytes: replica.read(info, { offset: info.size - length, length, signal }),
  };
  const headLength = headLengthOf(replica, info);
  const headBytes = replica.read(info, { length: headLength, signal });
  const [head, end] = await Promise.all([headBytes, tail.bytes]);
  try {
    const header = decodeHeader(head, info.key);
    checkName(header, info);
    const index = await readPageIndex({
      name: info.key,
      size: info.size,
      async read(offset, wanted) {
        // The index may begin before what was read of the end: only the bytes before that are still to be had.
        if (offset >= tail.offset)
          return end.subarray(offset - tail.offset, offset - tail.offset + wanted);
        const known = Math.max(0, offset + wanted - tail.offset);
        const rest = await replica.read(info, { offset, length: wanted - known, signal });
        if (known === 0) return rest;
        const all = new Uint8Array(wanted);
        all.set(rest);
        all.set(end.subarray(0, known), wanted - known);
        return all;
      },
    });
    const file = new IndexedFile(info, stateOf(header), index);
    return { file, parts: [{ offset: 0, bytes: head }] };
  } catch (error) {
    throw asDamage(error, info.key);
  }
}

/** How much of the beginning of a file is read. Page 1 of a local file is as soon read when it is wanted. */
function headLengthOf({ readsNow }: Replica, { minTxid }: LtxFileInfo): number {
  if (readsNow) return LTX_HEADER_SIZE;
  return minTxid === 1n ? FIRST_HEAD_BYTES : HEAD_BYTES;
}

/** Verifies a file that was read whole. Throws `DamagedFileError`. */
export async function indexWhole(info: LtxFileInfo, bytes: Uint8Array): Promise<LoadedFile> {
  const name = info.key;
  try {
    const decoder = new LtxDecoder({ name });
    decoder.push(bytes);
    decoder.end();
    // One page at a time: together they may take hundreds of times what the file takes.
    while (decoder.next() === "page");
    checkName(decoder.header, info);
    const index = await readPageIndex({
      name,
      size: bytes.length,
      read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
    });
    const file = new IndexedFile(info, stateOf(decoder.header), index);
    return { file, parts: [{ offset: 0, bytes }] };
  } catch (error) {
    throw asDamage(error, info.key);
  }
}

/** What a decoder says of a file's bytes, said of the file. Other errors pass through. */
export function asDamage(error: unknown, file: string): unknown {
  if (!isDecodingError(error)) return error;
  return new DamagedFileError(
    {
      operation: "read",
      object: file,
      what: `its content cannot be used: ${error.message}`,
      next: "Read an earlier state that needs no such file, or find another copy of it",
      cause: error,
    },
    { file },
  );
}

/** Whether a file is gone, or another lies where it was. */
export function isGone(error: unknown): boolean {
  if (isPagestreamError(error, "NOT_FOUND")) return true;
  return (
    isPagestreamError(error, "DAMAGED_FILE") &&
    isPagestreamError(error.cause, "PRECONDITION_FAILED")
  );
}

function isDecodingError(error: unknown): error is PagestreamError {
  return (
    isPagestreamError(error, "INVALID_LTX") ||
    isPagestreamError(error, "LTX_CHECKSUM") ||
    isPagestreamError(error, "LTX_UNSUPPORTED")
  );
}

function stateOf(header: LtxHeader): IndexedFile["state"] {
  const { pageSize, commit, timestamp } = header;
  return { pageSize, commit, timestamp: Number(timestamp) };
}

/** Plans trust names, so the header must say the same, or other data would be served under a TXID. */
function checkName({ minTxid, maxTxid }: LtxHeader, info: LtxFileInfo): void {
  if (minTxid === info.minTxid && maxTxid === info.maxTxid) return;
  throw new DamagedFileError(
    {
      operation: "read",
      object: info.key,
      what: `its header says ${formatFileName(minTxid, maxTxid)}`,
      next: "Read a state that does not need this file, or give it its right name",
    },
    { file: info.key },
  );
}
