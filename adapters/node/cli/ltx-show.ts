/**
 * `pagestream ltx show`.
 *
 * @module
 */
import {
  LTX_HEADER_SIZE,
  LTX_TRAILER_SIZE,
  type LtxHeader,
  type LtxTrailer,
  type PageIndex,
  decodeHeader,
  decodeTrailer,
  formatChecksum,
  formatTxid,
  hasNoChecksum,
  isSnapshot,
  readPageIndex,
} from "pagestream/ltx";
import { EXIT, usageError } from "./failure.ts";
import { formatBytes, formatCount, formatTable } from "./format.ts";
import { isRemote, type NamedFile, openLtxFile } from "./location.ts";

/** Flags of `pagestream ltx show`. */
export interface ShowFlags {
  readonly pages?: boolean;
  readonly json?: boolean;
}

/** What a file says of itself. Its pages are not decoded. */
interface Parts {
  readonly size: number;
  readonly header: LtxHeader;
  readonly trailer: LtxTrailer;
  readonly index: PageIndex;
}

/** Shows header, trailer and page index of one LTX file, without decoding its pages. */
export async function runShow(text: string | undefined, flags: ShowFlags): Promise<number> {
  if (text === undefined) {
    throw usageError("LTX file required", "pagestream ltx show /path/to/replica/ltx/0/FILE.ltx");
  }
  const file = await openLtxFile(text, "show");
  if (file === undefined) {
    throw usageError(`${text} is no file`, `pagestream ltx list -level all ${text}`);
  }
  try {
    const name = isRemote(text) ? file.text : text;
    const parts = await readParts(file, name);
    process.stdout.write(
      flags.json === true ? toJson(name, parts, flags) : toText(name, parts, flags),
    );
  } finally {
    await file.close();
  }
  return EXIT.ok;
}

async function readParts(file: NamedFile, name: string): Promise<Parts> {
  const { size } = file;
  const read = (offset: number, length: number): Promise<Uint8Array> => file.read(offset, length);
  const header = decodeHeader(await read(0, LTX_HEADER_SIZE), name);
  const index = await readPageIndex({ name, size, read });
  const trailer = decodeTrailer(await read(size - LTX_TRAILER_SIZE, LTX_TRAILER_SIZE), name);
  return { size, header, trailer, index };
}

function toText(name: string, parts: Parts, flags: ShowFlags): string {
  const { size, header, trailer, index } = parts;
  const flagText = hasNoChecksum(header) ? "no checksum" : "none";
  const rows = [
    ["file", name],
    ["size", `${formatCount(size)} bytes (${formatBytes(size)})`],
    ["min txid", formatTxid(header.minTxid)],
    ["max txid", formatTxid(header.maxTxid)],
    ["snapshot", isSnapshot(header) ? "yes" : "no"],
    ["time", timeOf(header)],
    ["page size", String(header.pageSize)],
    ["commit", `${formatCount(header.commit)} pages`],
    ["pages", formatCount(index.pgnos.length)],
    ["flags", `${header.flags} (${flagText})`],
    ["pre-apply checksum", formatChecksum(header.preApplyChecksum)],
    ["wal offset, size", `${header.walOffset}, ${header.walSize}`],
    ["wal salts", `${hex32(header.walSalt1)} ${hex32(header.walSalt2)}`],
    ["node id", header.nodeId.toString(16).padStart(16, "0")],
    ["post-apply checksum", formatChecksum(trailer.postApplyChecksum)],
    ["file checksum", formatChecksum(trailer.fileChecksum)],
  ];
  if (flags.pages !== true) return formatTable(rows);
  const pages = [["pgno", "offset", "size"]];
  for (const { pgno, offset, size } of entries(index)) {
    pages.push([String(pgno), String(offset), String(size)]);
  }
  return `${formatTable(rows)}\n${formatTable(pages)}`;
}

function toJson(name: string, parts: Parts, flags: ShowFlags): string {
  const { size, header, trailer, index } = parts;
  const shown = {
    file: name,
    size,
    header: {
      flags: header.flags,
      page_size: header.pageSize,
      commit: header.commit,
      min_txid: formatTxid(header.minTxid),
      max_txid: formatTxid(header.maxTxid),
      timestamp: timeOf(header),
      pre_apply_checksum: formatChecksum(header.preApplyChecksum),
      wal_offset: header.walOffset,
      wal_size: header.walSize,
      wal_salt1: header.walSalt1,
      wal_salt2: header.walSalt2,
      node_id: header.nodeId.toString(16).padStart(16, "0"),
    },
    trailer: {
      post_apply_checksum: formatChecksum(trailer.postApplyChecksum),
      file_checksum: formatChecksum(trailer.fileChecksum),
    },
    page_count: index.pgnos.length,
    ...(flags.pages === true ? { pages: entries(index) } : {}),
  };
  return `${JSON.stringify(shown, undefined, 2)}\n`;
}

function entries(index: PageIndex): { pgno: number; offset: number; size: number }[] {
  return Array.from(index.pgnos, (pgno, i) => ({
    pgno,
    offset: index.offsets[i] ?? 0,
    size: index.sizes[i] ?? 0,
  }));
}

/** The header may hold any 64-bit number, of which a `Date` knows only some. */
function timeOf({ timestamp }: LtxHeader): string {
  const date = new Date(Number(timestamp));
  return Number.isNaN(date.getTime()) ? `${timestamp} ms` : date.toISOString();
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}
