/**
 * What a restore knows of the state it produced, so that replication can go on from there without a full file.
 *
 * @module
 */
import { PageDigest } from "./page-digest.ts";
import type { PageTable } from "./page-table.ts";

/** A restored state. Plain data: it survives JSON. */
export interface PositionToken {
  /** `description` of the store it was restored from. */
  readonly replica: string;
  /** TXID of the state, 16 hex digits. */
  readonly txid: string;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
  /** Whether the restored file's journal mode bytes were kept or set to rollback; they do not count as content. */
  readonly journalHeader: "keep" | "rollback";
  /** Whether an earlier state than the newest was asked for. */
  readonly chosen: boolean;
  /** Key of the digest, in hex. */
  readonly key: string;
  /** Digest over all page digests of the state, in hex: equal only while the file is what was restored. */
  readonly digest: string;
}

/** One digest over a whole table, in hex. */
export function tableDigest(table: PageTable, key: Uint8Array): string {
  const { values } = table;
  const digest = new PageDigest(key);
  digest.update(0, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return [digest.hi, digest.lo].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
