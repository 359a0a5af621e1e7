/**
 * LZ4 blocks of up to 64 KiB: one page in, one block out, and back.
 *
 * A block is a run of sequences: a token (literal count, match length - 4, four bits each, 15 means that bytes of 255
 * and a last one below it follow), the literals, then a two-byte little-endian distance. The last sequence has
 * literals only. The compressor keeps the rules of strict decoders: the last five bytes are literals and no match
 * starts in the last twelve. It always yields a block; incompressible input becomes one literal run.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";

/** Largest input of {@linkcode lz4Compress}: a position and a distance then fit 16 bits. */
export const LZ4_BLOCK_MAX = 65536;

/** Shortest input in which a match is allowed. */
const MATCHABLE_MIN = 13;
/** No match starts in so many bytes before the end. */
const LAST_MATCH_START = 12;
/** No match reaches into so many bytes before the end. */
const LAST_LITERALS = 5;
/** From this length on, one call of a bulk method is faster than a loop of 4-byte steps. */
const BULK_MIN = 128;
/** Input that a sequence of at most 14 literals may read beyond its token: four words and the distance. */
const SHORT_SRC_ROOM = 18;
/** Output that such a sequence with a match of at most 18 bytes may write: 14 literals and five words. */
const SHORT_DST_ROOM = 34;

// Position of the last occurrence of each hash. Zero needs no mark for "empty": position 0 is a legal candidate, and
// a candidate counts only after its bytes compared equal.
const positions = new Uint16Array(1 << 14);

/** The most bytes that a block of `length` bytes can take: `length` + `length` / 255 + 16, rounded down. */
export function lz4CompressBound(length: number): number {
  return length + Math.floor(length / 255) + 16;
}

/**
 * Compresses `src` into `dst` and returns the length of the block. Keeps neither; `dst` past the block is scratch.
 *
 * @throws {InvalidArgumentError} when `src` is longer than 64 KiB or `dst` shorter than {@linkcode lz4CompressBound}.
 */
export function lz4Compress(src: Uint8Array, dst: Uint8Array): number {
  const length = src.length;
  if (length > LZ4_BLOCK_MAX || dst.length < lz4CompressBound(length)) refuse(length, dst.length);
  let out = 0;
  let anchor = 0;
  if (length >= MATCHABLE_MIN) {
    const from = new DataView(src.buffer, src.byteOffset, length);
    const to = new DataView(dst.buffer, dst.byteOffset, dst.length);
    // Larger pages pay for a larger table with better matches.
    const hashShift = length > 8192 ? 18 : 20;
    positions.fill(0, 0, 1 << (32 - hashShift));
    const lastStart = length - LAST_MATCH_START;
    const matchLimit = length - LAST_LITERALS;
    let at = 1;
    let sequence = from.getInt32(1, true);
    search: for (;;) {
      // Find four equal bytes; steps grow while nothing is found, so incompressible input costs little.
      let candidate: number;
      let misses = 64;
      for (;;) {
        const hash = Math.imul(sequence, 0x9e3779b1) >>> hashShift;
        candidate = positions[hash]!;
        positions[hash] = at;
        if (from.getInt32(candidate, true) === sequence && candidate < at) break;
        at += misses++ >>> 6;
        if (at > lastStart) break search;
        sequence = from.getInt32(at, true);
      }
      const found = at;
      while (at > anchor && candidate > 0 && src[at - 1] === src[candidate - 1]) {
        at--;
        candidate--;
      }
      // Extend forwards, four bytes at a time; the lowest differing byte of the xor ends the match.
      let end = found + 4;
      let other = candidate + (end - at);
      for (;;) {
        if (end > matchLimit - 4) {
          while (end < matchLimit && src[end] === src[other]) {
            end++;
            other++;
          }
          break;
        }
        const difference = from.getInt32(end, true) ^ from.getInt32(other, true);
        if (difference !== 0) {
          end += (31 - Math.clz32(difference & -difference)) >>> 3;
          break;
        }
        end += 4;
        other += 4;
      }
      const literals = at - anchor;
      const token = out++;
      let high = literals;
      if (literals >= 15) {
        high = 15;
        out = putLength(dst, out, literals - 15);
      }
      if (literals > BULK_MIN) {
        dst.set(src.subarray(anchor, at), out);
      } else {
        // Copies up to three bytes too many: both sides have at least twelve bytes left here.
        for (let i = 0; i < literals; i += 4)
          to.setInt32(out + i, from.getInt32(anchor + i, true), true);
      }
      out += literals;
      to.setUint16(out, at - candidate, true);
      out += 2;
      let low = end - at - 4;
      if (low >= 15) {
        out = putLength(dst, out, low - 15);
        low = 15;
      }
      dst[token] = (high << 4) | low;
      anchor = at = end;
      if (at > lastStart) break;
      positions[Math.imul(from.getInt32(at - 2, true), 0x9e3779b1) >>> hashShift] = at - 2;
      sequence = from.getInt32(at, true);
    }
  }
  const literals = length - anchor;
  if (literals >= 15) {
    dst[out++] = 0xf0;
    out = putLength(dst, out, literals - 15);
  } else {
    dst[out++] = literals << 4;
  }
  if (literals > 32) dst.set(src.subarray(anchor, length), out);
  else for (let i = 0; i < literals; i++) dst[out + i] = src[anchor + i]!;
  return out + literals;
}

/**
 * Decompresses the block `src` into `dst` and returns the bytes written, or -1 on bad input: a sequence that is cut off, a
 * distance of zero or to before the start, or more bytes than `dst` holds. Any valid block is read, also one whose
 * end breaks the rules for compressors. `dst` past the returned length is scratch.
 */
export function lz4Decompress(src: Uint8Array, dst: Uint8Array): number {
  return lz4DecompressAt(src, dst, 0);
}

/**
 * Like {@linkcode lz4Decompress}, but writes from `start` on and lets matches reach back to the beginning of `dst`, as
 * the dependent blocks of a frame do. Returns the end of what was written, or -1.
 */
export function lz4DecompressAt(src: Uint8Array, dst: Uint8Array, start: number): number {
  const srcEnd = src.length;
  const dstEnd = dst.length;
  const from = new DataView(src.buffer, src.byteOffset, srcEnd);
  const to = new DataView(dst.buffer, dst.byteOffset, dstEnd);
  // Up to here a short sequence may be copied with whole words, past its own end, without a look at the bounds.
  const srcFast = srcEnd - SHORT_SRC_ROOM;
  const dstFast = dstEnd - SHORT_DST_ROOM;
  let i = 0;
  let d = start;
  while (i < srcEnd) {
    const token = src[i++]!;
    let literals = token >>> 4;
    let length = (token & 15) + 4;
    if (literals < 15 && i <= srcFast && d <= dstFast) {
      // Most sequences of a page take this way: it copies a little too much rather than count.
      to.setInt32(d, from.getInt32(i, true), true);
      to.setInt32(d + 4, from.getInt32(i + 4, true), true);
      if (literals > 8) {
        to.setInt32(d + 8, from.getInt32(i + 8, true), true);
        to.setInt32(d + 12, from.getInt32(i + 12, true), true);
      }
      i += literals;
      d += literals;
      const distance = from.getUint16(i, true);
      if (length < 19 && distance >= 4 && distance <= d) {
        const m = d - distance;
        to.setInt32(d, to.getInt32(m, true), true);
        to.setInt32(d + 4, to.getInt32(m + 4, true), true);
        if (length > 8) {
          to.setInt32(d + 8, to.getInt32(m + 8, true), true);
          if (length > 12) {
            to.setInt32(d + 12, to.getInt32(m + 12, true), true);
            to.setInt32(d + 16, to.getInt32(m + 16, true), true);
          }
        }
        i += 2;
        d += length;
        continue;
      }
    } else if (literals !== 0) {
      if (literals === 15) {
        let more = 255;
        while (more === 255) {
          if (i >= srcEnd) return -1;
          more = src[i++]!;
          literals += more;
        }
      }
      const end = d + literals;
      const next = i + literals;
      if (next > srcEnd || end > dstEnd) return -1;
      if (literals > BULK_MIN) {
        dst.set(src.subarray(i, next), d);
      } else if (next + 7 <= srcEnd && end + 7 <= dstEnd) {
        for (; d < end; d += 8, i += 8) {
          to.setInt32(d, from.getInt32(i, true), true);
          to.setInt32(d + 4, from.getInt32(i + 4, true), true);
        }
      } else {
        while (d < end) dst[d++] = src[i++]!;
      }
      d = end;
      i = next;
    }
    if (i >= srcEnd) return d;
    if (i + 2 > srcEnd) return -1;
    const distance = from.getUint16(i, true);
    i += 2;
    if (distance === 0 || distance > d) return -1;
    if (length === 19) {
      let more = 255;
      while (more === 255) {
        if (i >= srcEnd) return -1;
        more = src[i++]!;
        length += more;
      }
    }
    const end = d + length;
    if (end > dstEnd) return -1;
    let m = d - distance;
    if (distance >= 4 && end + 7 <= dstEnd) {
      if (length > BULK_MIN && distance >= length) {
        dst.copyWithin(d, m, m + length);
      } else {
        // Word by word is right also where source and target overlap, since they are a word apart at least.
        for (; d < end; d += 8, m += 8) {
          to.setInt32(d, to.getInt32(m, true), true);
          to.setInt32(d + 4, to.getInt32(m + 4, true), true);
        }
      }
    } else if (distance === 1) {
      dst.fill(dst[m]!, d, end);
    } else {
      while (d < end) dst[d++] = dst[m++]!;
    }
    d = end;
  }
  return d;
}

function putLength(dst: Uint8Array, at: number, rest: number): number {
  while (rest >= 255) {
    dst[at++] = 255;
    rest -= 255;
  }
  dst[at] = rest;
  return at + 1;
}

function refuse(length: number, room: number): never {
  const what =
    length > LZ4_BLOCK_MAX
      ? `${length} bytes are more than the ${LZ4_BLOCK_MAX} of one block`
      : `the output has room for ${room} bytes, ${lz4CompressBound(length)} are needed`;
  throw new InvalidArgumentError({ operation: "compress", object: "an LZ4 block", what });
}
