/**
 * Which bytes of a file are read to have some of its pages.
 *
 * @module
 */

/** Where a page lies in its file. */
export interface FramePlace {
  readonly pgno: number;
  /** Offset of its frame in bytes. */
  readonly offset: number;
  /** Length of the frame in bytes. */
  readonly size: number;
}

/** A part of a file, read by one request. */
export interface FrameRange {
  readonly offset: number;
  readonly length: number;
  /** The wanted frames in it, in order of their offsets. */
  readonly frames: readonly FramePlace[];
}

const MIB = 1024 * 1024;
/** Most bytes of a request. */
const WINDOW = 2 * MIB;
/** What is not wanted between two frames is left out from here on, while requests are fewer than mebibytes. */
const GAP_MIN = 64 * 1024;

/**
 * The ranges that hold the wanted frames, in order of their offsets. There are no more of them than mebibytes between the
 * first and the last frame, and one: frames that nobody wants are read with the others where they lie too scattered.
 */
export function* frameRanges(frames: Iterable<FramePlace>): Generator<FrameRange, void> {
  let base: number | undefined;
  let requests = 1;
  let taken: FramePlace[] = [];
  let start = 0;
  let end = 0;
  for (const frame of frames) {
    base ??= frame.offset;
    const isGap = frame.offset - end >= GAP_MIN && requests * MIB <= frame.offset - base;
    const isFull = frame.offset + frame.size - start > WINDOW;
    if (taken.length > 0 && (isGap || isFull)) {
      yield { offset: start, length: end - start, frames: taken };
      requests++;
      taken = [];
    }
    if (taken.length === 0) start = frame.offset;
    taken.push(frame);
    end = frame.offset + frame.size;
  }
  if (taken.length > 0) yield { offset: start, length: end - start, frames: taken };
}
