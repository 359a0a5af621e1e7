/**
 * Comparison of two databases by bytes, free pages excused where nothing promises what they hold.
 *
 * @module
 */

/** How to compare. */
export interface CompareOptions {
  /** Page size of both; 0 where no page is meant. */
  readonly pageSize: number;
  /** Whether leaves of the free list may differ. */
  readonly free: boolean;
}

/** Where two databases differ, in words; undefined where they do not. */
export function firstDifference(
  file: Uint8Array,
  other: Uint8Array,
  options: CompareOptions,
): string | undefined {
  if (file.length !== other.length) {
    return `${file.length} bytes in the file, ${other.length} in the replica`;
  }
  const leaves = options.free ? freeLeaves(file, options.pageSize) : undefined;
  for (let at = differsFrom(file, other, 0); at >= 0; at = differsFrom(file, other, at)) {
    const pgno = Math.floor(at / (options.pageSize || 1)) + 1;
    if (leaves?.has(pgno) !== true) return `page ${pgno} differs at byte ${at}`;
    at = pgno * options.pageSize;
  }
  return undefined;
}

/** The leaves of a database's free list: pages whose content means nothing. */
export function freeLeaves(bytes: Uint8Array, pageSize: number): Set<number> {
  const leaves = new Set<number>();
  if (bytes.length < 100) return leaves;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const pages = bytes.length / pageSize;
  let trunk = view.getUint32(32);
  for (let trunks = 0; trunk > 0 && trunk <= pages && trunks < pages; trunks++) {
    const at = (trunk - 1) * pageSize;
    const count = Math.min(view.getUint32(at + 4), pageSize / 4 - 2);
    for (let i = 0; i < count; i++) leaves.add(view.getUint32(at + 8 + 4 * i));
    trunk = view.getUint32(at);
  }
  return leaves;
}

/** The first byte from `start` on that differs; -1 where none does. */
function differsFrom(a: Uint8Array, b: Uint8Array, start: number): number {
  let at = start;
  while (at < a.length && at % 4 !== 0) if (a[at] !== b[at++]) return at - 1;
  if (a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0) {
    const x = wordsOf(a);
    const y = wordsOf(b);
    let word = at / 4;
    while (word < x.length && x[word] === y[word]) word++;
    at = Math.max(at, word * 4);
  }
  for (; at < a.length; at++) if (a[at] !== b[at]) return at;
  return -1;
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
}
