/**
 * Where LTX files lie inside a store: two layouts, both Litestream's.
 *
 * | layout | key of a file | stores |
 * | --- | --- | --- |
 * | `directory` | `ltx/<level, decimal>/<min>-<max>.ltx` | all but the two below |
 * | `hex` | `<level, 4 hex digits>/<min>-<max>.ltx` | S3, OSS |
 *
 * @module
 */
import { formatFileName, parseFileName } from "../ltx/file-name.ts";
import type { ObjectStore } from "../transports/object-store.ts";

/** Highest level; its files are snapshots, which always begin at TXID 1. */
export const SNAPSHOT_LEVEL = 9;

/** Number of levels, from 0. */
export const LEVEL_COUNT = 10;

/** How a store lays out its keys. */
export type Layout = NonNullable<ObjectStore["layout"]>;

/** First TXID, last TXID and level: what a key says of a file. */
export interface FileSpan {
  /** From 0, one commit group per file, to 9, snapshots. */
  readonly level: number;
  /** TXID of the first commit group in the file; 1 for a snapshot. */
  readonly minTxid: bigint;
  /** TXID of the last: the state that applying the file leads to. */
  readonly maxTxid: bigint;
}

/** Prefix, with its final slash, of every key of a level. */
export function levelPrefix(layout: Layout, level: number): string {
  return layout === "hex" ? `${level.toString(16).padStart(4, "0")}/` : `ltx/${level}/`;
}

/** What the keys of all levels, and of few other objects, begin with. */
export function levelsPrefix(layout: Layout): string {
  // A bucket may hold more below the same path: `0000/` to `0009/` are all that this prefix finds in Litestream's.
  return layout === "hex" ? "000" : "ltx/";
}

/** Key of a file. */
export function fileKey(layout: Layout, file: FileSpan): string {
  return levelPrefix(layout, file.level) + formatFileName(file.minTxid, file.maxTxid);
}

/** What a key of a level stands for; undefined for anything but an LTX file directly inside the level. */
export function parseFileKey(layout: Layout, level: number, key: string): FileSpan | undefined {
  const prefix = levelPrefix(layout, level);
  if (!key.startsWith(prefix)) return undefined;
  const name = parseFileName(key.slice(prefix.length));
  return name === undefined ? undefined : { level, minTxid: name.minTxid, maxTxid: name.maxTxid };
}

/** Like {@linkcode parseFileKey} for a key of any level. */
export function parseAnyFileKey(layout: Layout, key: string): FileSpan | undefined {
  const level = layout === "hex" ? key.slice(3, 4) : key.slice(4, 5);
  return /^\d$/.test(level) ? parseFileKey(layout, Number(level), key) : undefined;
}

/** Order of a listing: by first TXID, then by last. */
export function compareSpans(a: FileSpan, b: FileSpan): number {
  if (a.minTxid !== b.minTxid) return a.minTxid < b.minTxid ? -1 : 1;
  return a.maxTxid < b.maxTxid ? -1 : a.maxTxid > b.maxTxid ? 1 : 0;
}
