/**
 * Which ranges of which files bring a set of pages.
 *
 * @module
 */
import type { Ahead } from "./reader-ahead.ts";
import type { IndexedFile } from "./view-file.ts";
import type { View } from "./view.ts";

/** Bytes between two frames that are rather read than asked around. */
const GAP_BYTES = 16 * 1024;

/**
 * The same between frames of a scan that goes on, the least first: to a store in the network a request takes longer than these
 * bytes.
 */
const SCAN_GAPS = [64 * 1024, 128 * 1024, 256 * 1024];

/** Bytes that are read whole where all of a scan lies within them. */
const WIDE_BYTES = 8 * 1024 * 1024;

/** Requests of one fetch that only read ahead. */
const AHEAD_REQUESTS = 8;

/** Least pages that a request of a long scan has to bring. */
const SCAN_PAGES = 6;

/** Bytes past which one request is no longer widened, at most and at least: a quarter of what may be read ahead. */
const RANGE_BYTES_MAX = 4 * 1024 * 1024;
const RANGE_BYTES_MIN = 256 * 1024;

/** Frames of a file that one request brings. */
export interface FrameRange {
  readonly file: IndexedFile;
  /** Position of the first frame. */
  readonly first: number;
  /** Position of the last frame. */
  readonly last: number;
  /** Positions of the pages that somebody waits for. */
  readonly wanted: ReadonlySet<number>;
  /** Positions of the pages that are read ahead; undefined where whatever lies in the range is welcome. */
  readonly ahead: ReadonlySet<number> | undefined;
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
 * The ranges that bring pages, neighbours together, and with them what a scan comes to next. What lies scattered does not pay,
 * unless the scan has so much before it that neighbours are found; `mostBytes` is how many bytes of pages that may be.
 */
export function planRanges(
  view: View,
  wanted: readonly number[],
  { next, rest }: Ahead,
  mostBytes: number,
): FrameRange[] {
  const length = Math.max(RANGE_BYTES_MIN, Math.min(RANGE_BYTES_MAX, mostBytes / 4));
  const near = cluster(view, wanted, next, { gap: GAP_BYTES, length });
  const isAhead = ({ wanted: waited }: FrameRange): boolean => waited.size === 0;
  if (near.filter(isAhead).length <= AHEAD_REQUESTS) return near;
  const known = rest();
  const most = mostBytes / view.pageSize;
  // In parts of one size: of a small one that is left at the end no two would be neighbours.
  const all = known.slice(0, Math.ceil(known.length / Math.ceil(known.length / most)));
  const everything = [...next, ...all];
  for (const gap of all.length === 0 ? [] : [WIDE_BYTES, ...SCAN_GAPS]) {
    const far = cluster(view, wanted, everything, { gap, length });
    const isWide = gap === WIDE_BYTES;
    const bytes = isWide ? far.reduce((sum, range) => sum + bytesOf(range).length, 0) : 0;
    if (bytes <= WIDE_BYTES && (isWide || far.length * SCAN_PAGES <= all.length)) return far;
  }
  let left = AHEAD_REQUESTS;
  return near.filter((range) => !isAhead(range) || left-- > 0);
}

function cluster(
  view: View,
  wanted: readonly number[],
  ahead: readonly number[],
  { gap, length }: { readonly gap: number; readonly length: number },
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
  for (const [file, positions] of byFile) {
    const sorted = [...positions.keys()].sort((a, b) => a - b);
    for (let i = 0; i < sorted.length;) {
      const first = sorted[i] as number;
      let last = first;
      const waited = new Set<number>();
      const others = new Set<number>();
      const take = (position: number): void => {
        last = position;
        (positions.get(position) === true ? waited : others).add(position);
      };
      take(first);
      for (i++; i < sorted.length; i++) {
        const next = sorted[i] as number;
        if (file.offsets[next]! - file.offsets[last + 1]! > gap) break;
        if (file.offsets[next + 1]! - file.offsets[first]! > length) break;
        take(next);
      }
      const isWelcome = gap === GAP_BYTES;
      ranges.push({ file, first, last, wanted: waited, ahead: isWelcome ? undefined : others });
    }
  }
  return ranges;
}
