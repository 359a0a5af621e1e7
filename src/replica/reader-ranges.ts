/**
 * Which ranges of which files bring a set of pages.
 *
 * @module
 */
import type { IndexedFile } from "./view-file.ts";
import type { View } from "./view.ts";

/** Bytes between two frames that are rather read than asked around. */
const GAP_BYTES = 16 * 1024;

/** Bytes past which one request is no longer widened. */
const RANGE_BYTES = 4 * 1024 * 1024;

/** Frames of a file that one request brings. */
export interface FrameRange {
  readonly file: IndexedFile;
  /** Position of the first frame. */
  readonly first: number;
  /** Position of the last frame. */
  readonly last: number;
  /** Positions of the pages that somebody waits for; the others are read ahead, or lie between. */
  readonly wanted: ReadonlySet<number>;
}

/** Where a range lies in its file. */
export function bytesOf({ file, first, last }: FrameRange): {
  readonly offset: number;
  readonly length: number;
} {
  const offset = file.offsets[first]!;
  return { offset, length: file.offsets[last + 1]! - offset };
}

/**
 * The ranges that bring pages, neighbours together. Of those that nobody waits for at most `most` are added: what lies
 * scattered does not pay.
 */
export function planRanges(
  view: View,
  wanted: readonly number[],
  ahead: readonly number[],
  most: number,
): FrameRange[] {
  const byFile = new Map<IndexedFile, Map<number, boolean>>();
  const add = (pgno: number, isWanted: boolean): void => {
    const file = view.map.file(pgno);
    if (file === undefined) return;
    let positions = byFile.get(file);
    if (positions === undefined) byFile.set(file, (positions = new Map()));
    const position = view.map.position(pgno);
    positions.set(position, isWanted || positions.get(position) === true);
  };
  for (const pgno of ahead) add(pgno, false);
  for (const pgno of wanted) add(pgno, true);
  const ranges: FrameRange[] = [];
  let left = most;
  for (const [file, positions] of byFile) {
    const sorted = [...positions.keys()].sort((a, b) => a - b);
    for (let i = 0; i < sorted.length;) {
      const first = sorted[i] as number;
      let last = first;
      const waited = new Set<number>();
      const take = (position: number): void => {
        last = position;
        if (positions.get(position) === true) waited.add(position);
      };
      take(first);
      for (i++; i < sorted.length; i++) {
        const next = sorted[i] as number;
        if (file.offsets[next]! - file.offsets[last + 1]! > GAP_BYTES) break;
        if (file.offsets[next + 1]! - file.offsets[first]! > RANGE_BYTES) break;
        take(next);
      }
      if (waited.size > 0 || left-- > 0) ranges.push({ file, first, last, wanted: waited });
    }
  }
  return ranges;
}
