/**
 * Replicas in the layout of Litestream 0.3, made for tests: LZ4 frames, WALs, and what SQLite makes of them.
 *
 * @module
 */
import { concatBytes, viewOf } from "../../src/core/bytes.ts";
import { WalChecksum } from "../../src/core/wal.ts";
import { lz4Compress, lz4CompressBound } from "../../src/ltx/lz4-block.ts";
import { xxh32 } from "../../src/ltx/xxh32.ts";
import { memoryStore } from "../../src/transports/memory.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";

/** How a frame is written. */
export interface FrameOptions {
  /** Bytes of content per block; up to 64 KiB. @default 65536 */
  readonly blockLength?: number;
  /** Blocks as they are, not compressed. @default false */
  readonly stored?: boolean;
  /** A checksum after each block. @default false */
  readonly blockChecksums?: boolean;
  /** The content's size in the header. @default false */
  readonly contentSize?: boolean;
}

/** An LZ4 frame of independent blocks with a content checksum. */
export function lz4Frame(content: Uint8Array, options: FrameOptions = {}): Uint8Array<ArrayBuffer> {
  const { blockLength = 65536, stored = false, blockChecksums = false } = options;
  const flags = 0x64 | (blockChecksums ? 0x10 : 0) | (options.contentSize === true ? 0x08 : 0);
  const descriptor = new Uint8Array(options.contentSize === true ? 10 : 2);
  descriptor.set([flags, 0x40]);
  if (options.contentSize === true) viewOf(descriptor).setUint32(2, content.length, true);
  const parts: Uint8Array[] = [Uint8Array.of(0x04, 0x22, 0x4d, 0x18), descriptor];
  parts.push(Uint8Array.of((xxh32(descriptor) >>> 8) & 0xff));
  for (let at = 0; at < content.length; at += blockLength) {
    const plain = content.subarray(at, at + blockLength);
    const packed = new Uint8Array(lz4CompressBound(plain.length));
    const length = lz4Compress(plain, packed);
    const raw = stored || length >= plain.length;
    const block = raw ? plain : packed.subarray(0, length);
    parts.push(word(block.length + (raw ? 0x80000000 : 0)), block);
    if (blockChecksums) parts.push(word(xxh32(block)));
  }
  return concatBytes([...parts, word(0), word(xxh32(content))]);
}

/** A transaction: pages by number, each filled with one value, and the size of the database after it. */
export interface WalTransaction {
  readonly pages: Readonly<Record<number, number>>;
  /** Database size in pages; 0 leaves the transaction without its end. */
  readonly commit: number;
}

/** A page: the header of a database as page 1, else one value throughout. */
export function pageOf(pgno: number, fill: number, pageSize: number): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(pageSize).fill(fill);
  if (pgno === 1) {
    page.set(Uint8Array.from("SQLite format 3\0", (c) => c.charCodeAt(0)));
    viewOf(page).setUint16(16, pageSize === 65536 ? 1 : pageSize);
    page.set([2, 2], 18);
  }
  return page;
}

/** The bytes of a WAL, and the offset at which each transaction ends. */
export function walOf(
  transactions: readonly WalTransaction[],
  pageSize: number,
  salt = 1,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly ends: readonly number[] } {
  const header = new Uint8Array(32);
  const view = viewOf(header);
  for (const [i, value] of [0x377f0682, 3_007_000, pageSize, 0, salt, ~salt].entries()) {
    view.setUint32(4 * i, value);
  }
  const sums = new WalChecksum(false).update(header.subarray(0, 24));
  view.setUint32(24, sums.s1);
  view.setUint32(28, sums.s2);
  const parts: Uint8Array[] = [header];
  const ends: number[] = [];
  for (const { pages, commit } of transactions) {
    const entries = Object.entries(pages);
    for (const [i, [pgno, fill]] of entries.entries()) {
      const head = new Uint8Array(24);
      const page = pageOf(Number(pgno), fill, pageSize);
      const to = viewOf(head);
      to.setUint32(0, Number(pgno));
      to.setUint32(4, i === entries.length - 1 ? commit : 0);
      to.setUint32(8, salt);
      to.setUint32(12, ~salt);
      sums.update(head.subarray(0, 8)).update(page);
      to.setUint32(16, sums.s1);
      to.setUint32(20, sums.s2);
      parts.push(head, page);
    }
    ends.push(parts.reduce((sum, part) => sum + part.length, 0));
  }
  return { bytes: concatBytes(parts), ends };
}

/** What SQLite makes of a database file when it checkpoints a WAL of these transactions. */
export function checkpointed(
  database: Uint8Array,
  transactions: readonly WalTransaction[],
  pageSize: number,
): Uint8Array<ArrayBuffer> {
  const last = transactions.findLastIndex((t) => t.commit > 0);
  if (last < 0) return database.slice();
  const { commit } = transactions[last] as WalTransaction;
  const result = new Uint8Array(commit * pageSize);
  result.set(database.subarray(0, result.length));
  for (const { pages } of transactions.slice(0, last + 1)) {
    for (const [pgno, fill] of Object.entries(pages)) {
      if (Number(pgno) > commit) continue;
      result.set(pageOf(Number(pgno), fill, pageSize), (Number(pgno) - 1) * pageSize);
    }
  }
  return result;
}

/** Files by key, with their times in milliseconds. */
export type LegacyFiles = Readonly<
  Record<string, { readonly bytes: Uint8Array; readonly time: number }>
>;

/** A store that holds files of these times. */
export async function storeWith(files: LegacyFiles): Promise<ObjectStore> {
  const store = memoryStore();
  for (const [key, { bytes, time }] of Object.entries(files)) {
    const metadata = { "litestream-timestamp": new Date(time).toISOString() };
    await store.put(key, bytes, { metadata });
  }
  return store;
}

/** Key of a snapshot. */
export function snapshotKey(generation: string, index: number): string {
  return `generations/${generation}/snapshots/${hex8(index)}.snapshot.lz4`;
}

/** Key of a WAL segment. */
export function segmentKey(generation: string, index: number, offset: number): string {
  return `generations/${generation}/wal/${hex8(index)}_${hex8(offset)}.wal.lz4`;
}

function hex8(value: number): string {
  return value.toString(16).padStart(8, "0");
}

function word(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}
