/**
 * What lies on this machine of a database and its replication, looked at from outside.
 *
 * @module
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { formatTxid, parseFileName } from "pagestream/ltx";

/** Litestream's columns. */
export interface OfflineStatus {
  readonly database: string;
  /** `ok` once something was replicated from here. */
  readonly status: "ok" | "not initialized" | "no database" | "error";
  /** 16 hex digits, or `-`. */
  readonly local_txid: string;
  /** A size as Litestream writes it. */
  readonly wal_size: string;
}

/** A database and where its local state lies. */
export interface DatabasePlace {
  readonly path: string;
  readonly metaPath: string;
}

/** A file of level 0 that waits for its upload. */
export interface StagedFile {
  readonly maxTxid: bigint;
  readonly size: number;
  /** When it was written, in milliseconds since the epoch. */
  readonly at: number;
}

/** The status that needs no replica. */
export function offlineStatus(place: DatabasePlace): OfflineStatus {
  const { path, metaPath } = place;
  const row = { database: path, local_txid: "-", wal_size: "0 B" };
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return { ...row, status: "no database" };
  if (!stat.isFile()) return { ...row, status: "error" };
  const txids = [metaPath, litestreamDirectory(path)].flatMap(filesOf).map((file) => file.maxTxid);
  const marked = markedTxid(metaPath);
  if (marked !== undefined) txids.push(marked);
  const txid = txids.reduce<bigint | undefined>(
    (max, each) => (max === undefined || each > max ? each : max),
    undefined,
  );
  return {
    database: path,
    status: txid === undefined ? "not initialized" : "ok",
    local_txid: txid === undefined ? "-" : formatTxid(txid),
    wal_size: roundBytes(walBytes(path)),
  };
}

/** Files of level 0 that are kept for the store. */
export function stagedFiles({ metaPath }: DatabasePlace): readonly StagedFile[] {
  return filesOf(metaPath);
}

/** Size of the WAL in bytes; 0 where there is none. */
export function walBytes(path: string): number {
  return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/** When somebody wrote into the database last, in milliseconds since the epoch. */
export function writtenAt(path: string): number {
  const wal = statSync(`${path}-wal`, { throwIfNoEntry: false });
  return (wal ?? statSync(path, { throwIfNoEntry: false }))?.mtimeMs ?? 0;
}

/** A size as Litestream writes it: two digits below ten, no fraction from there on. */
export function roundBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let [value, unit] = [bytes, 0];
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  const tenths = Math.floor(value * 10 + 0.5) / 10;
  return `${bytes < 10 ? bytes : tenths.toFixed(tenths < 10 ? 1 : 0)} ${units[unit]}`;
}

function litestreamDirectory(path: string): string {
  return join(dirname(path), `.${basename(path)}-litestream`);
}

function filesOf(metaPath: string): readonly StagedFile[] {
  const level = join(metaPath, "ltx", "0");
  if (statSync(level, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(level).flatMap((name) => {
    const parsed = parseFileName(name);
    // It may be uploaded and gone since it was listed.
    const stat = statSync(join(level, name), { throwIfNoEntry: false });
    if (parsed === undefined || stat === undefined) return [];
    return [{ maxTxid: parsed.maxTxid, size: stat.size, at: stat.mtimeMs }];
  });
}

/** The last state that a store has confirmed, as its marker says. A record cut short is not told from a whole one here. */
function markedTxid(metaPath: string): bigint | undefined {
  const marker = join(metaPath, "marker");
  if (statSync(marker, { throwIfNoEntry: false }) === undefined) return undefined;
  const found = [...readFileSync(marker, "latin1").matchAll(/"txid":"([0-9a-f]{16})"/g)].at(-1);
  return found === undefined ? undefined : BigInt(`0x${found[1]}`);
}
