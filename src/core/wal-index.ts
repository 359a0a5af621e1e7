/**
 * The index of a WAL in shared memory, as SQLite keeps it in the file `-shm`. Integers are in the host's byte order.
 *
 * | offset | size | field                                                                       |
 * | -----: | ---: | --------------------------------------------------------------------------- |
 * |      0 |   48 | header: version 3007000, 0, change counter, 1 (in use), byte order of        |
 * |        |      | checksums, page size (u16), frames, pages, checksum of the last frame (8),   |
 * |        |      | salts as in the WAL (8), checksum of the 40 bytes before (8)                 |
 * |     48 |   48 | the same again; written first and read last, so that a torn one shows        |
 * |     96 |   40 | frames that are in the database file, and what else checkpoints and readers    |
 * |        |      | keep                                                                        |
 * |    136 |  ... | page numbers of frames 1 to 4062, then a hash table of 8192 u16 at 16384     |
 * |  32768 |  ... | further blocks: page numbers of 4096 frames each, then a hash table          |
 *
 * A hash table holds, from slot `pgno * 383 mod 8192` on, the index of a frame in its block, counted from 1; of two frames
 * of one page the later slot is the newer. Readers pass over frames beyond the number in the header they began with.
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import type { SyncFile } from "./sync-files.ts";
import { WalChecksum } from "./wal.ts";

/** Bytes of a block, the unit in which SQLite maps the file. */
export const WAL_INDEX_BLOCK = 32_768;

const HEADER_SIZE = 48;
/** Where the header's own checksum is. */
const CHECKSUM_AT = 40;
/** Where the page numbers of the first block begin. */
const FIRST_PGNOS = 136;
const HASH_AT = 16_384;
const HASH_SLOTS = 8192;
const HASH_FACTOR = 383;
const BLOCK_FRAMES = 4096;
const FIRST_FRAMES = (HASH_AT - FIRST_PGNOS) / 4;
const VERSION = 3_007_000;
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** What the header says of the WAL. */
export interface WalIndexHeader {
  /** Raised by each commit. */
  readonly change: number;
  /** Byte order of the words that checksums add up. */
  readonly bigEndian: boolean;
  /** 0 where there was no WAL yet. */
  readonly pageSize: number;
  /** Frames that are committed. */
  readonly frames: number;
  /** Database size in pages; 0 where there are no frames. */
  readonly commit: number;
  /** Checksum of the last of the frames. */
  readonly checksum1: number;
  /** Its second half. */
  readonly checksum2: number;
  /** Both salts, 8 bytes as they stand in the WAL. */
  readonly salts: Uint8Array;
}

/** What the index says of the WAL and of how far it was checkpointed. */
export interface WalIndexState extends WalIndexHeader {
  /** Frames that are in the database file. */
  readonly backfilled: number;
}

/** The part of a file that the index needs. */
export interface WalIndexFile {
  read(into: Uint8Array, offset: number): number;
  write(bytes: Uint8Array, offset: number): void;
}

/** What the header is read into, many times a second by a follower. */
const words = new Uint32Array((2 * HEADER_SIZE) / 4 + 1);
const wordBytes = new Uint8Array(words.buffer);

/** Reads the header; `undefined` where its two copies differ or it is damaged, as in the middle of a recovery. */
export function readWalIndexHeader(file: Pick<SyncFile, "read">): WalIndexState | undefined {
  if (file.read(wordBytes, 0) < wordBytes.length) return undefined;
  let s1 = 0;
  let s2 = 0;
  for (let i = 0; i < HEADER_SIZE / 4; i += 2) {
    const a = words[i]!;
    const b = words[i + 1]!;
    if (a !== words[i + HEADER_SIZE / 4] || b !== words[i + HEADER_SIZE / 4 + 1]) return undefined;
    if (i === CHECKSUM_AT / 4) {
      if (a !== s1 || b !== s2) return undefined;
      continue;
    }
    s1 = (s1 + a + s2) >>> 0;
    s2 = (s2 + b + s1) >>> 0;
  }
  if (wordBytes[12] !== 1) return undefined;
  const size = LITTLE_ENDIAN ? words[3]! >>> 16 : words[3]! & 0xffff;
  return {
    change: words[2]!,
    bigEndian: wordBytes[13] === 1,
    pageSize: size === 1 ? 65_536 : size,
    frames: words[4]!,
    commit: words[5]!,
    checksum1: words[6]!,
    checksum2: words[7]!,
    salts: wordBytes.slice(32, CHECKSUM_AT),
    backfilled: words[(2 * HEADER_SIZE) / 4]!,
  };
}

/** Writes both copies of the header, which is what makes frames visible; those must be in the tables already. */
export function writeWalIndexHeader(file: WalIndexFile, header: WalIndexHeader): void {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = viewOf(bytes);
  const put = (at: number, value: number): void => view.setUint32(at, value, LITTLE_ENDIAN);
  put(0, VERSION);
  put(8, header.change);
  bytes[12] = 1;
  bytes[13] = header.bigEndian ? 1 : 0;
  view.setUint16(14, header.pageSize === 65_536 ? 1 : header.pageSize, LITTLE_ENDIAN);
  put(16, header.frames);
  put(20, header.commit);
  put(24, header.checksum1);
  put(28, header.checksum2);
  bytes.set(header.salts, 32);
  const sums = new WalChecksum(!LITTLE_ENDIAN).update(bytes.subarray(0, 40));
  put(40, sums.s1);
  put(44, sums.s2);
  file.write(bytes, HEADER_SIZE);
  file.write(bytes, 0);
}

/** The page numbers of the first `frames` frames, in order. */
export function readFramePages(file: Pick<SyncFile, "read">, frames: number): Uint32Array {
  const pgnos = new Uint32Array(frames);
  for (let done = 0; done < frames;) {
    const block = blockOf(done);
    const part = readBlock(file, block, Math.min(frames - done, capacity(block)));
    pgnos.set(part, done);
    done += part.length;
  }
  return pgnos;
}

/**
 * Enters frames that follow the first `frames`. Blocks that they fall into are built anew from those first frames, so that
 * nothing a crash left behind stays in them; what readers look at keeps its place.
 */
export function appendFramePages(
  file: WalIndexFile,
  frames: number,
  pgnos: readonly number[],
): void {
  for (let done = 0; done < pgnos.length;) {
    const block = blockOf(frames + done);
    const before = frames + done - firstFrame(block);
    const added = pgnos.slice(done, done + capacity(block) - before);
    writeBlock(file, block, { before: readBlock(file, block, before), added });
    done += added.length;
  }
}

/** The block of the frame at an index counted from 0. */
function blockOf(frame: number): number {
  return frame < FIRST_FRAMES ? 0 : 1 + Math.floor((frame - FIRST_FRAMES) / BLOCK_FRAMES);
}

/** Index, counted from 0, of the first frame of a block. */
function firstFrame(block: number): number {
  return block === 0 ? 0 : FIRST_FRAMES + (block - 1) * BLOCK_FRAMES;
}

function capacity(block: number): number {
  return block === 0 ? FIRST_FRAMES : BLOCK_FRAMES;
}

function pgnosAt(block: number): number {
  return block * WAL_INDEX_BLOCK + (block === 0 ? FIRST_PGNOS : 0);
}

function readBlock(file: Pick<SyncFile, "read">, block: number, count: number): Uint32Array {
  const pgnos = new Uint32Array(count);
  file.read(new Uint8Array(pgnos.buffer), pgnosAt(block));
  return pgnos;
}

function writeBlock(
  file: WalIndexFile,
  block: number,
  frames: { readonly before: Uint32Array; readonly added: readonly number[] },
): void {
  const { before, added } = frames;
  const pgnos = new Uint32Array(capacity(block));
  pgnos.set(before);
  pgnos.set(added, before.length);
  const slots = new Uint16Array(HASH_SLOTS);
  for (let i = 0; i < before.length + added.length; i++) {
    let slot = Math.imul(pgnos[i] as number, HASH_FACTOR) & (HASH_SLOTS - 1);
    while (slots[slot] !== 0) slot = (slot + 1) & (HASH_SLOTS - 1);
    slots[slot] = i + 1;
  }
  // SQLite maps whole blocks: the table, which ends the block, also gives a new one its length.
  file.write(new Uint8Array(slots.buffer), block * WAL_INDEX_BLOCK + HASH_AT);
  file.write(new Uint8Array(pgnos.buffer), pgnosAt(block));
}
