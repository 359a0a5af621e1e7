/**
 * Proof that a closed database file still holds what was read of it while it was open: between the two, its lock was free
 * for a moment.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { lockPage } from "../core/lock-page.ts";
import type { Platform } from "../core/platform.ts";
import type { SyncFiles } from "../core/sync-files.ts";
import { readLocalPages } from "../replica/local-pages.ts";
import { DIGEST_KEY_LENGTH, PageDigest } from "../replica/page-digest.ts";
import { PageTable } from "../replica/page-table.ts";
import { tableDigest } from "../replica/position-token.ts";

/** Bytes read at a time; a multiple of every page size. */
const CHUNK = 1 << 20;

/** What a journal begins with as long as it counts. */
const JOURNAL_MAGIC_LENGTH = 8;

/** A digest over every page of a database. */
export interface Fingerprint {
  /** Key of the digest: random bytes. */
  readonly key: Uint8Array;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Size in pages; what a crash left in the file behind them is no part of the database. */
  readonly commit: number;
  /** Over the digests of all pages. */
  readonly digest: string;
}

/** Takes the fingerprint of an open database. */
export async function takeFingerprint(
  source: CommitSource,
  platform: Platform,
): Promise<Fingerprint> {
  const key = platform.randomBytes(DIGEST_KEY_LENGTH);
  const { table, pageSize } = await readLocalPages(source, new PageDigest(key), {
    clock: platform.clock,
    signal: undefined,
  });
  return { key, pageSize, commit: table.size, digest: tableDigest(table, key) };
}

/** Whether the bytes of a database have a fingerprint; `read` fills a part of them from an offset. */
export function hasFingerprint(
  { key, pageSize, commit, digest: expected }: Fingerprint,
  fileSize: number,
  read: (into: Uint8Array, offset: number) => void,
): boolean {
  const size = commit * pageSize;
  if (fileSize < size) return false;
  const table = new PageTable(commit);
  const digest = new PageDigest(key);
  const chunk = new Uint8Array(Math.min(CHUNK, size));
  for (let offset = 0; offset < size; offset += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, size - offset));
    read(part, offset);
    for (let at = 0; at + pageSize <= part.length; at += pageSize) {
      const pgno = (offset + at) / pageSize + 1;
      if (pgno === lockPage(pageSize)) continue;
      digest.update(pgno, part.subarray(at, at + pageSize));
      table.set(pgno, digest.hi, digest.lo);
    }
  }
  return tableDigest(table, key) === expected;
}

/** Whether a closed database file, with nothing beside it that SQLite would replay, has a fingerprint. */
export function fileHasFingerprint(
  files: SyncFiles,
  path: string,
  fingerprint: Fingerprint,
): boolean {
  if (files.identity(path) === undefined) return false;
  if ((files.identity(`${path}-wal`)?.size ?? 0) > 0) return false;
  if (isHotJournal(files, `${path}-journal`)) return false;
  const file = files.open(path, { mode: "read" });
  try {
    return hasFingerprint(fingerprint, file.size(), (into, offset) => void file.read(into, offset));
  } finally {
    file.close();
  }
}

/** Whether SQLite would play a journal back: one that is kept for the next transaction has a header of zeros. */
function isHotJournal(files: SyncFiles, path: string): boolean {
  if ((files.identity(path)?.size ?? 0) === 0) return false;
  const file = files.open(path, { mode: "read" });
  try {
    const magic = new Uint8Array(JOURNAL_MAGIC_LENGTH);
    return file.read(magic, 0) > 0 && magic.some((byte) => byte !== 0);
  } finally {
    file.close();
  }
}
