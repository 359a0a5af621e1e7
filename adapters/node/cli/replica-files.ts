/**
 * The LTX files that a replica on disk holds.
 *
 * @module
 */
import type { ObjectStore } from "pagestream";
import { parseFileName } from "pagestream/ltx";

/** A file as its name and its directory entry tell. */
export interface ReplicaFile {
  readonly key: string;
  readonly name: string;
  readonly level: number;
  readonly minTxid: bigint;
  readonly maxTxid: bigint;
  /** Size in bytes. */
  readonly size: number;
  readonly time: Date;
}

/** Number of levels, snapshots at the highest. */
export const LEVELS = 10;

/** The LTX files of a level in order of first, then last TXID. Other names are skipped. */
export async function listLevel(store: ObjectStore, level: number): Promise<ReplicaFile[]> {
  const prefix = `ltx/${level}/`;
  const files: ReplicaFile[] = [];
  for await (const { key, size, lastModified } of store.list({ prefix })) {
    const name = key.slice(prefix.length);
    const span = parseFileName(name);
    if (span !== undefined) files.push({ key, name, level, ...span, size, time: lastModified });
  }
  // Names of equal length in order are numbers in order.
  return files.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
