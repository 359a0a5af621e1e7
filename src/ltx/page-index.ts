/**
 * The page index: where each page's frame lies in the file.
 *
 * It follows the end marker of the page block: for each page the unsigned LEB128 varints page number, offset and size
 * of the frame, then a zero byte, then the length L of all that as a u64. L stands right before the 16 bytes of the
 * trailer, so the index can be found from the end of the file.
 *
 * @module
 */
import { concatBytes, viewOf } from "../core/bytes.ts";
import { LtxFormatError } from "./errors.ts";
import { LTX_HEADER_SIZE } from "./header.ts";
import { FRAME_SIZE_MAX, PAGE_HEADER_SIZE } from "./page-frame.ts";
import { LTX_TRAILER_SIZE } from "./trailer.ts";

/** Length in bytes of L, the index length at its end. */
export const INDEX_LENGTH_SIZE = 8;

/** Length of the shortest file: header, end marker, empty index, trailer. */
export const LTX_SIZE_MIN: number =
  LTX_HEADER_SIZE + PAGE_HEADER_SIZE + 1 + INDEX_LENGTH_SIZE + LTX_TRAILER_SIZE;

/** How much of a file's end {@linkcode readPageIndex} asks for first. */
const TAIL_SIZE = 32 * 1024;
/** The longest varint that is read. */
const VARINT_MAX = 10;
/** A shorter frame cannot hold a page: header, payload length and the shortest block of 512 bytes. */
const FRAME_SIZE_MIN = 10;

/** Where each page of a file is; entry `i` of each array belongs to the same page. */
export interface PageIndex {
  /** Page numbers, ascending. */
  readonly pgnos: Uint32Array;
  /** Offset of the page's frame from the start of the file, in bytes. */
  readonly offsets: Float64Array;
  /** Length of the whole frame in bytes. */
  readonly sizes: Uint32Array;
}

/** A file of known size that is read by ranges. */
export interface PageIndexSource {
  /** What to call the file in errors. */
  readonly name: string;
  /** Length of the file in bytes. */
  readonly size: number;
  /** Reads `length` bytes at `offset`; a shorter answer means that the file ends there. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Appends the varint of a whole number below 2^53 at `at`; returns where the next byte goes. */
export function putVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value % 0x80) + 0x80;
    value = Math.floor(value / 0x80);
  }
  bytes[at] = value;
  return at + 1;
}

/** The bytes of an index: entries, terminator and L. */
export function encodePageIndex(index: PageIndex): Uint8Array<ArrayBuffer> {
  const count = index.pgnos.length;
  const bytes = new Uint8Array(count * 18 + 1 + INDEX_LENGTH_SIZE);
  let at = 0;
  for (let i = 0; i < count; i++) {
    at = putVarint(bytes, at, index.pgnos[i]!);
    at = putVarint(bytes, at, index.offsets[i]!);
    at = putVarint(bytes, at, index.sizes[i]!);
  }
  bytes[at++] = 0;
  viewOf(bytes).setBigUint64(at, BigInt(at));
  return bytes.slice(0, at + INDEX_LENGTH_SIZE);
}

/** How {@linkcode decodePageIndex} names and checks what it reads. */
export interface PageIndexOptions {
  /** What to call the file in errors. */
  readonly name?: string;
  /**
   * Offset of the index in the file. Where it is given, the frames must fill the file from the header to the end
   * marker without gap or overlap.
   */
  readonly offset?: number;
}

/**
 * Decodes exactly the bytes of an index: entries, terminator and L. Entries may come in any order and varints may be
 * longer than needed; the result is sorted. Keeps nothing.
 *
 * @throws {LtxFormatError} on a wrong L, a number out of range, a page listed twice, or frames that do not fit.
 */
export function decodePageIndex(bytes: Uint8Array, options: PageIndexOptions = {}): PageIndex {
  const { name = "LTX page index", offset: base = 0 } = options;
  const fail = (at: number, what: string): never => {
    throw new LtxFormatError({ name, field: "index", offset: base + at, what });
  };
  const end = bytes.length - INDEX_LENGTH_SIZE;
  if (end < 1) fail(bytes.length, "the page index is cut off");
  const stored = viewOf(bytes).getBigUint64(end);
  if (stored !== BigInt(end))
    fail(end, `the index length is ${stored}, the index has ${end} bytes`);
  // Each varint ends with the only byte of it below 0x80, so the entries can be counted before they are stored.
  let varints = 0;
  for (let i = 0; i < end; i++) if (bytes[i]! < 0x80) varints++;
  if (varints % 3 !== 1) fail(0, "the page index does not end after a whole entry");
  const count = (varints - 1) / 3;
  const index = {
    pgnos: new Uint32Array(count),
    offsets: new Float64Array(count),
    sizes: new Uint32Array(count),
  };
  let at = 0;
  const varint = (): number => {
    const start = at;
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      if (at - start === VARINT_MAX) fail(start, "a number has more than ten bytes");
      scale *= 0x80;
    }
    if (value > Number.MAX_SAFE_INTEGER) fail(start, "a number is beyond 2^53");
    return value;
  };
  for (let i = 0; i < count; i++) {
    const start = at;
    const pgno = varint();
    const offset = varint();
    const size = varint();
    if (pgno === 0) fail(start, "the page index ends early");
    if (pgno > 0xffffffff) fail(start, `page number ${pgno} does not fit 32 bits`);
    if (size < FRAME_SIZE_MIN || size > FRAME_SIZE_MAX) {
      fail(start, `page ${pgno} is said to take ${size} bytes, which no page frame does`);
    }
    index.pgnos[i] = pgno;
    index.offsets[i] = offset;
    index.sizes[i] = size;
  }
  if (bytes[end - 1] !== 0 || varint() !== 0) fail(at, "the page index has no terminator");
  const sorted = sortIndex(index);
  const { pgnos } = sorted;
  for (let i = 1; i < count; i++) {
    if (pgnos[i] === pgnos[i - 1]) fail(0, `page ${pgnos[i]} is listed twice`);
  }
  if (options.offset !== undefined) {
    const wrong = misplacedFrame(sorted, base - PAGE_HEADER_SIZE);
    if (wrong !== undefined) fail(0, wrong);
  }
  return sorted;
}

/**
 * Reads the page index of a file: one ranged read of its last 32 KiB, and a second one only where the index is
 * longer.
 *
 * @throws {LtxFormatError} when the file is too short, or as {@linkcode decodePageIndex}.
 */
export async function readPageIndex(source: PageIndexSource): Promise<PageIndex> {
  const { name, size } = source;
  if (!Number.isSafeInteger(size) || size < LTX_SIZE_MIN) {
    const what = `${size} bytes are too few for an LTX file of at least ${LTX_SIZE_MIN}`;
    throw new LtxFormatError({ name, field: "size", offset: 0, what });
  }
  const tailStart = Math.max(0, size - TAIL_SIZE);
  const tail = await readExactly(source, tailStart, size - tailStart);
  const lengthOffset = size - LTX_TRAILER_SIZE - INDEX_LENGTH_SIZE;
  const stored = viewOf(tail).getBigUint64(lengthOffset - tailStart);
  const room = lengthOffset - LTX_HEADER_SIZE - PAGE_HEADER_SIZE;
  if (stored < 1n || stored > BigInt(room)) {
    const what = `the index length is ${stored}, the file has room for 1 to ${room} bytes`;
    throw new LtxFormatError({ name, field: "index", offset: lengthOffset, what });
  }
  const length = Number(stored);
  const offset = lengthOffset - length;
  const tailIndex = tail.subarray(Math.max(0, offset - tailStart), tail.length - LTX_TRAILER_SIZE);
  if (offset >= tailStart) return decodePageIndex(tailIndex, { name, offset });
  // A frame takes ten bytes at least and an entry thirty at most: a longer index is damage, not worth a large read.
  const entries = Math.floor((offset - LTX_HEADER_SIZE - PAGE_HEADER_SIZE) / FRAME_SIZE_MIN);
  if (length > entries * 3 * VARINT_MAX + 1) {
    const what = `an index of ${length} bytes is longer than the ${entries} pages before it can need`;
    throw new LtxFormatError({ name, field: "index", offset: lengthOffset, what });
  }
  const rest = await readExactly(source, offset, tailStart - offset);
  return decodePageIndex(concatBytes([rest, tailIndex]), { name, offset });
}

async function readExactly(
  source: PageIndexSource,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = await source.read(offset, length);
  if (bytes.length === length) return bytes;
  throw new LtxFormatError({
    name: source.name,
    field: "size",
    offset: offset + bytes.length,
    what: `asked for ${length} bytes at offset ${offset}, got ${bytes.length}`,
    next: "Read its size again: the file may have been replaced",
  });
}

/** The same entries in ascending order of page numbers; the index itself where it is in order already. */
function sortIndex(index: PageIndex): PageIndex {
  const { pgnos } = index;
  let ascending = true;
  for (let i = 1; i < pgnos.length && ascending; i++) ascending = pgnos[i - 1]! < pgnos[i]!;
  return ascending ? index : reorder(index, (a, b) => pgnos[a]! - pgnos[b]!);
}

function reorder(index: PageIndex, compare: (a: number, b: number) => number): PageIndex {
  const order = index.pgnos.map((_, i) => i).sort(compare);
  return {
    pgnos: order.map((i) => index.pgnos[i]!),
    offsets: Float64Array.from(order, (i) => index.offsets[i]!),
    sizes: order.map((i) => index.sizes[i]!),
  };
}

/** Says which frame leaves a gap or overlaps, given that they must fill the file from the header to `end`. */
function misplacedFrame(index: PageIndex, end: number): string | undefined {
  const wrong = firstMisplaced(index, end);
  if (wrong === undefined) return undefined;
  // Files whose pages are out of order are no longer written but legal to read: look again in order of offsets.
  const { offsets } = index;
  return firstMisplaced(
    reorder(index, (a, b) => offsets[a]! - offsets[b]!),
    end,
  );
}

function firstMisplaced(index: PageIndex, end: number): string | undefined {
  const { pgnos, offsets, sizes } = index;
  let at = LTX_HEADER_SIZE;
  for (let i = 0; i < pgnos.length; i++) {
    if (offsets[i] !== at) {
      return `page ${pgnos[i]} is said to be at offset ${offsets[i]}, the frame before it ends at ${at}`;
    }
    at += sizes[i]!;
  }
  return at === end ? undefined : `the frames end at offset ${at}, the page block at ${end}`;
}
