/**
 * Fingerprints of database states: two states are the same when SQLite could not tell them apart.
 *
 * What SQLite promises nothing about is left out: the leaves of the free list, and the journal mode bytes of page 1,
 * which a restore sets.
 *
 * @module
 */
import { freeLeaves } from "../fuzz/free-pages.ts";

/** A database as its pages; a page is never changed, so states may share it. */
export interface PageState {
  readonly pageSize: number;
  readonly pages: readonly Uint8Array[];
}

const hashes = new WeakMap<Uint8Array, number>();

/** The pages of a database file, as many as its header tells: a crash may leave bytes past them. */
export function pagesOf(bytes: Uint8Array): PageState {
  if (bytes.length < 100) return { pageSize: 0, pages: [] };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const pageSize = view.getUint16(16) === 1 ? 65_536 : view.getUint16(16);
  const count = Math.min(view.getUint32(28), Math.floor(bytes.length / pageSize));
  const pages = Array.from({ length: count }, (_, i) =>
    bytes.slice(i * pageSize, (i + 1) * pageSize),
  );
  return { pageSize, pages };
}

/** One string per state. */
export function fingerprint({ pageSize, pages }: PageState): string {
  const first = pages[0];
  if (first === undefined) return "empty";
  const isFree = leavesOf(pages, pageSize);
  let [a, b] = [pageSize, pages.length];
  for (let i = 0; i < pages.length; i++) {
    if (isFree?.has(i + 1) === true) continue;
    const hash = hashOf(pages[i]!, i === 0);
    a = Math.imul(a ^ hash, 0x9e3779b1) ^ (i + 1);
    b = (Math.imul(b, 31) + hash) | 0;
  }
  return `${(a >>> 0).toString(16)}${(b >>> 0).toString(16)}`;
}

/** The bytes of a state, one page after the other. */
export function bytesOf({ pageSize, pages }: PageState): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pageSize * pages.length);
  for (const [i, page] of pages.entries()) bytes.set(page, i * pageSize);
  return bytes;
}

function leavesOf(pages: readonly Uint8Array[], pageSize: number): Set<number> | undefined {
  const first = pages[0]!;
  const isEmpty = first[32] === 0 && first[33] === 0 && first[34] === 0 && first[35] === 0;
  return isEmpty ? undefined : freeLeaves(bytesOf({ pageSize, pages }), pageSize);
}

function hashOf(page: Uint8Array, isFirst: boolean): number {
  const known = hashes.get(page);
  if (known !== undefined) return known;
  const words = new Uint32Array(page.slice().buffer);
  // Bytes 18 and 19.
  if (isFirst) words[4] = words[4]! & 0xffff;
  let hash = words.length;
  for (const word of words) {
    hash = Math.imul(hash ^ word, 0x01000193);
    hash ^= hash >>> 15;
  }
  hashes.set(page, hash);
  return hash;
}
