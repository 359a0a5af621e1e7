/**
 * LTX files from literal descriptions.
 *
 * @module
 */
import { encodeLtx, formatFileName, LTX_NO_CHECKSUM, replicaHeader } from "../ltx/index.ts";
import { FAKE_START } from "./fake-clock.ts";
import { seededRandom } from "./seeded-random.ts";

/** What a page of a test file holds: its bytes, a byte to fill it with, or a seed of random bytes. */
export type PageSpec = Uint8Array | number | { readonly seed: number };

/** A whole LTX file in a few words. */
export interface LtxSpec {
  /** First TXID; a file that begins at 1 is a snapshot. @default 1n */
  readonly minTxid?: bigint | undefined;
  /** Last TXID. @default minTxid */
  readonly maxTxid?: bigint | undefined;
  /** Pages by number. */
  readonly pages: Readonly<Record<number, PageSpec>>;
  /** Database size in pages. @default the largest page number */
  readonly commit?: number | undefined;
  /** Page size in bytes. @default 4096 */
  readonly pageSize?: number | undefined;
  /** Milliseconds since the Unix epoch. @default 2026-01-01T00:00:00Z plus one second per TXID */
  readonly timestamp?: number | undefined;
  /** Zero WAL fields, as a compaction writes them. @default whether the file spans several TXIDs */
  readonly compacted?: boolean | undefined;
}

/** A built file and what a test wants to know of it. */
export interface BuiltLtx {
  /** The encoded file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `0000000000000001-0000000000000001.ltx` */
  readonly name: string;
  /** First TXID of the header. */
  readonly minTxid: bigint;
  /** Last TXID of the header. */
  readonly maxTxid: bigint;
  /** Database size in pages after the file. */
  readonly commit: number;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Header time in milliseconds since the Unix epoch. */
  readonly timestamp: number;
  /** The images by page number. */
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

/**
 * Encodes a description in the dialect of replicas (no checksums). The encoder's own rules apply: a file that begins at
 * TXID 1 must hold every page.
 *
 * @example
 * ```ts
 * import { buildLtx } from "pagestream/testing";
 *
 * const { name, bytes } = buildLtx({ pageSize: 512, pages: { 1: 0xaa, 2: { seed: 7 } } });
 * ```
 */
export function buildLtx(spec: LtxSpec): BuiltLtx {
  const pageSize = spec.pageSize ?? 4096;
  const minTxid = spec.minTxid ?? 1n;
  const maxTxid = spec.maxTxid ?? minTxid;
  const timestamp = spec.timestamp ?? FAKE_START + Number(maxTxid) * 1000;
  const pages = new Map<number, Uint8Array>();
  for (const pgno of Object.keys(spec.pages)
    .map(Number)
    .sort((a, b) => a - b)) {
    pages.set(pgno, pageImage(spec.pages[pgno] as PageSpec, pageSize));
  }
  const commit = spec.commit ?? Math.max(0, ...pages.keys());
  const compacted = spec.compacted ?? minTxid !== maxTxid;
  const fields = { pageSize, commit, minTxid, maxTxid, timestamp: BigInt(timestamp), compacted };
  // The checksum of an empty database has no place in a file without checksums.
  const flags = commit === 0 ? 0 : LTX_NO_CHECKSUM;
  const header = { ...replicaHeader(fields), flags };
  const bytes = encodeLtx(
    header,
    [...pages].map(([pgno, data]) => ({ pgno, data })),
  );
  const name = formatFileName(minTxid, maxTxid);
  return { bytes, name, minTxid, maxTxid, commit, pageSize, timestamp, pages };
}

/** Makes the image that a {@linkcode PageSpec} describes; an array is taken as it is. */
export function pageImage(spec: PageSpec, pageSize: number): Uint8Array {
  if (spec instanceof Uint8Array) return spec;
  if (typeof spec === "number") return new Uint8Array(pageSize).fill(spec);
  return seededRandom(spec.seed).bytes(pageSize);
}
