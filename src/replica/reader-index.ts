/**
 * The indexes of a replica's files as bytes, so that a reader need not fetch them again.
 *
 * | part | content |
 * | --- | --- |
 * | magic | `PSINDEX1` |
 * | length | u32: bytes of the next part |
 * | text | JSON in ASCII: the replica's name, and of each file its place in the replica, what its header says, and the length of its index |
 * | indexes | the page index of each file, encoded as in the file itself |
 * | checksum | u64: CRC-64 of all before |
 *
 * A file is only used again where a listing shows the same name, size, version and time.
 *
 * @module
 */
import { asciiBytes, asciiJson, asciiText } from "../core/ascii.ts";
import { concatBytes, equalBytes, viewOf } from "../core/bytes.ts";
import { Crc64 } from "../ltx/crc64.ts";
import { LTX_HEADER_SIZE } from "../ltx/header.ts";
import { PAGE_HEADER_SIZE } from "../ltx/page-frame.ts";
import { decodePageIndex, encodePageIndex } from "../ltx/page-index.ts";
import type { LtxFileInfo } from "./replica.ts";
import { IndexedFile } from "./view-file.ts";

const MAGIC = asciiBytes("PSINDEX1");
const PREFIX_SIZE = MAGIC.length + 4;
const CHECKSUM_SIZE = 8;

interface SavedFile {
  readonly level: number;
  readonly key: string;
  readonly minTxid: string;
  readonly maxTxid: string;
  readonly size: number;
  readonly etag: string;
  readonly time: number;
  readonly pageSize: number;
  readonly commit: number;
  readonly timestamp: number;
  /** Where the frames end. */
  readonly end: number;
  /** Bytes of the index. */
  readonly length: number;
}

/** Whether a listing shows the very file that was read. */
export function isSameFile(a: LtxFileInfo, b: LtxFileInfo): boolean {
  return (
    a.key === b.key &&
    a.size === b.size &&
    a.etag === b.etag &&
    (a.etag !== "" || a.time.getTime() === b.time.getTime())
  );
}

/** The bytes that {@linkcode decodeIndexes} reads again. `replica` says whose files they are. */
export function encodeIndexes(
  replica: string,
  indexed: readonly IndexedFile[],
): Uint8Array<ArrayBuffer> {
  const indexes = indexed.map((file) => encodePageIndex(file.pageIndex()));
  const files = indexed.map(({ info, state, count, offsets }, i): SavedFile => {
    const { level, key, size, etag } = info;
    return {
      level,
      key,
      minTxid: `${info.minTxid}`,
      maxTxid: `${info.maxTxid}`,
      size,
      etag,
      time: info.time.getTime(),
      ...state,
      end: count === 0 ? LTX_HEADER_SIZE : offsets[count]!,
      length: indexes[i]!.length,
    };
  });
  const text = asciiBytes(asciiJson({ replica, files }));
  const bytes = concatBytes([
    MAGIC,
    new Uint8Array(4),
    text,
    ...indexes,
    new Uint8Array(CHECKSUM_SIZE),
  ]);
  const view = viewOf(bytes);
  view.setUint32(MAGIC.length, text.length);
  const { hi, lo } = checksumOf(bytes);
  view.setInt32(bytes.length - CHECKSUM_SIZE, hi);
  view.setInt32(bytes.length - CHECKSUM_SIZE + 4, lo);
  return bytes;
}

/** The files of a replica that were saved; none for bytes that are damaged, of another replica, or of another kind. */
export function decodeIndexes(replica: string, bytes: Uint8Array): IndexedFile[] {
  if (bytes.length < PREFIX_SIZE + CHECKSUM_SIZE) return [];
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) return [];
  const view = viewOf(bytes);
  const { hi, lo } = checksumOf(bytes);
  const end = bytes.length - CHECKSUM_SIZE;
  if (view.getInt32(end) !== hi || view.getInt32(end + 4) !== lo) return [];
  // What has the right checksum was written by `encodeIndexes`.
  let at = PREFIX_SIZE + view.getUint32(MAGIC.length);
  const saved = JSON.parse(asciiText(bytes.subarray(PREFIX_SIZE, at))) as {
    readonly replica: string;
    readonly files: readonly SavedFile[];
  };
  if (saved.replica !== replica) return [];
  return saved.files.map((file) => {
    const { level, key, size, etag, pageSize, commit, timestamp } = file;
    const [minTxid, maxTxid] = [BigInt(file.minTxid), BigInt(file.maxTxid)];
    const index = decodePageIndex(bytes.subarray(at, (at += file.length)), {
      name: key,
      offset: file.end + PAGE_HEADER_SIZE,
    });
    const info = { level, key, minTxid, maxTxid, size, etag, time: new Date(file.time) };
    return new IndexedFile(info, { pageSize, commit, timestamp }, index);
  });
}

function checksumOf(bytes: Uint8Array): Crc64 {
  const crc = new Crc64();
  crc.update(bytes.subarray(0, bytes.length - CHECKSUM_SIZE));
  return crc;
}
