/**
 * The replica layout of Litestream 0.3, which is read and never written:
 *
 * | key | content, as one LZ4 frame |
 * | --- | --- |
 * | `generations/<16 hex>/snapshots/<index, 8 hex>.snapshot.lz4` | the database file at some moment while the WAL of this index was written |
 * | `generations/<16 hex>/wal/<index, 8 hex>_<offset, 8 to 16 hex>.wal.lz4` | a part of the WAL of this index, from this offset on |
 *
 * A file has no clock but the time the store received it. Generations are not ordered by their names.
 *
 * @module
 */
import { DamagedFileError } from "./errors.ts";
import type { Replica } from "./replica.ts";
import { TIMESTAMP_METADATA, parseTimestamp } from "../transports/timestamp.ts";

/** Where all keys of the layout begin. */
export const LEGACY_PREFIX = "generations/";

/** A place in the history of Litestream 0.3, which has no TXIDs. */
export interface LegacyPosition {
  /** 16 hex digits: a run of Litestream without a break. */
  readonly generation: string;
  /** Number of the WAL, from 0. */
  readonly index: number;
  /** Where in that WAL a segment begins; undefined for a snapshot. */
  readonly offset: number | undefined;
}

/** A snapshot or a WAL segment, as a listing knows it. */
export interface LegacyFile extends LegacyPosition {
  /** Key inside the store. */
  readonly key: string;
  /** Size in bytes, compressed. */
  readonly size: number;
  /** Version tag; empty where the store has none. */
  readonly etag: string;
  /** When the store received it. */
  readonly time: Date;
}

const KEY =
  /^generations\/([0-9a-f]{16})\/(?:snapshots\/([0-7][0-9a-f]{7})\.snapshot|wal\/([0-7][0-9a-f]{7})_([0-9a-f]{8,16})\.wal)\.lz4$/;

/** What a key stands for; undefined for anything that is not of the layout. */
export function parseLegacyKey(key: string): LegacyPosition | undefined {
  const match = KEY.exec(key);
  if (match === null) return undefined;
  const [, generation = "", snapshot, index, offset = ""] = match;
  if (snapshot !== undefined) {
    return { generation, index: Number.parseInt(snapshot, 16), offset: undefined };
  }
  const position = Number.parseInt(offset, 16);
  if (!Number.isSafeInteger(position)) return undefined;
  return { generation, index: Number.parseInt(index as string, 16), offset: position };
}

/** Every snapshot and segment of a replica, in key order. Objects with other names are skipped. */
export async function legacyFiles(
  replica: Replica,
  signal: AbortSignal | undefined,
): Promise<LegacyFile[]> {
  return await replica.retry({ operation: "list", object: LEGACY_PREFIX, signal }, async () => {
    const files: LegacyFile[] = [];
    for await (const info of replica.store.list({ prefix: LEGACY_PREFIX, signal })) {
      const position = parseLegacyKey(info.key);
      if (position === undefined) continue;
      const { key, size, etag, lastModified } = info;
      const text = info.metadata?.[TIMESTAMP_METADATA];
      const kept = text === undefined ? undefined : parseTimestamp(text);
      files.push({
        ...position,
        key,
        size,
        etag,
        time: kept === undefined ? lastModified : new Date(kept),
      });
    }
    return files;
  });
}

/** A file of the layout that is not what its name says. */
export function damagedLegacy(file: string, what: string): DamagedFileError {
  return new DamagedFileError(
    {
      operation: "restore",
      object: file,
      what,
      next: "Restore an earlier time that needs no such file, or find another copy of it",
    },
    { file },
  );
}

/** Whether a segment can come right after a file; the length of a segment shows only when it is decompressed. */
export function follows(segment: LegacyFile, last: LegacyFile): boolean {
  if (segment.generation !== last.generation) return false;
  if (last.offset === undefined) return segment.index === last.index && segment.offset === 0;
  if (segment.offset === 0) return segment.index === last.index + 1;
  return segment.index === last.index && (segment.offset as number) > last.offset;
}

/** Snapshots and segments of one moment in the order in which Litestream 0.3 writes them. */
export function byTime(a: LegacyFile, b: LegacyFile): number {
  return (
    a.time.getTime() - b.time.getTime() ||
    a.index - b.index ||
    (a.offset ?? -1) - (b.offset ?? -1) ||
    (a.generation < b.generation ? -1 : 1)
  );
}
