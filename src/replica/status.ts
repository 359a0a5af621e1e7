/**
 * How a replica stands, without reading its files.
 *
 * @module
 */
import { ENCRYPTION_MARK, isEncrypted } from "../core/encryption-mark.ts";
import { isPagestreamError } from "../core/errors.ts";
import { NoBackupError } from "./errors.ts";
import { type FileSpan, SNAPSHOT_LEVEL } from "./layout.ts";
import { readLease } from "./lease-object.ts";
import { PointerReader } from "./pointer.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";

/** The files of one level, as a listing tells of them. */
export interface LevelStatus {
  /** From 0 to 9. */
  readonly level: number;
  /** Number of files. */
  readonly files: number;
  /** Bytes of all of them. */
  readonly bytes: number;
  /** First TXID of the first file. */
  readonly minTxid: bigint;
  /** Largest TXID. */
  readonly maxTxid: bigint;
  /** Time of the first file; when the store received it, where its listing tells no more. */
  readonly firstTime: Date;
  /** Time of the file that ends last. */
  readonly lastTime: Date;
}

/** Who may write, by the object that is the lease. */
export interface LeaseStatus {
  /** What the holder calls itself; empty where it does not say. */
  readonly owner: string;
  /** Grows with every new holder. */
  readonly generation: number;
  /** When it ends, or has ended. */
  readonly expiresAt: Date;
}

/** How a replica stands. */
export interface ReplicaStatus {
  /** Its newest state. */
  readonly newest: { readonly txid: bigint; readonly time: Date };
  /** State of the newest snapshot. */
  readonly snapshot: { readonly txid: bigint; readonly time: Date } | undefined;
  /** The levels that have files, lowest first. */
  readonly levels: readonly LevelStatus[];
  /** The lease; `"unreadable"` where its object holds something else, undefined where there is none. */
  readonly lease: LeaseStatus | "unreadable" | undefined;
  /** What the pointer object says is the newest TXID, where one is kept; behind the newest by a few seconds of writing. */
  readonly pointer: bigint | undefined;
  /** Whether the newest file is encrypted. */
  readonly encrypted: boolean;
}

/** Looks at a replica: one listing, lease, pointer and a few bytes of the newest file. `NoBackupError` where there is no file. */
export async function readStatus(
  replica: Replica,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ReplicaStatus> {
  const { signal } = options;
  const levels = await replica.levels({ signal });
  const newest = lastOf(levels.flat());
  if (newest === undefined) {
    const object = replica.description;
    throw new NoBackupError({ operation: "look at", object, what: "it holds no LTX files" });
  }
  const snapshot = lastOf(levels[SNAPSHOT_LEVEL] ?? []);
  const [newestTime, snapshotTime, lease, pointer, encrypted] = await Promise.all([
    exactTime(replica, newest, signal),
    snapshot && exactTime(replica, snapshot, signal),
    leaseOf(replica, signal),
    new PointerReader(replica).read(signal ?? replica.platform.newAborter().signal),
    isFileEncrypted(replica, newest, signal),
  ]);
  return {
    newest: { txid: newest.maxTxid, time: newestTime },
    snapshot: snapshot && { txid: snapshot.maxTxid, time: snapshotTime ?? snapshot.time },
    levels: levels.flatMap(levelOf),
    lease,
    pointer: pointer && lastOf(pointer.heads)?.maxTxid,
    encrypted,
  };
}

/** The file that ends last; of several the one of the lowest level, whose time is not younger than the others'. */
function lastOf<File extends FileSpan>(files: readonly File[]): File | undefined {
  return files.reduce<File | undefined>(
    (last, file) => (last === undefined || file.maxTxid > last.maxTxid ? file : last),
    undefined,
  );
}

function levelOf(files: readonly LtxFileInfo[], level: number): LevelStatus[] {
  const [first] = files;
  const last = lastOf(files);
  if (first === undefined || last === undefined) return [];
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const { maxTxid, time: lastTime } = last;
  const { minTxid, time: firstTime } = first;
  return [{ level, files: files.length, bytes, minTxid, maxTxid, firstTime, lastTime }];
}

async function exactTime(
  replica: Replica,
  file: LtxFileInfo,
  signal: AbortSignal | undefined,
): Promise<Date> {
  if (replica.store.capabilities.metadataInList) return file.time;
  return (await replica.find(file, { signal }))?.time ?? file.time;
}

async function leaseOf(
  replica: Replica,
  signal: AbortSignal | undefined,
): Promise<ReplicaStatus["lease"]> {
  try {
    const found = await readLease(replica, signal);
    if (found === "absent") return undefined;
    const { owner, generation, expiresAt } = found.record;
    return { owner, generation, expiresAt: new Date(expiresAt) };
  } catch (error) {
    if (isPagestreamError(error, "CONFLICT") || isPagestreamError(error, "DECRYPT")) {
      return "unreadable";
    }
    throw error;
  }
}

async function isFileEncrypted(
  replica: Replica,
  file: LtxFileInfo,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (replica.store.encrypted === true) return true;
  const length = Math.min(file.size, ENCRYPTION_MARK.length);
  return isEncrypted(await replica.read(file, { offset: 0, length, signal }));
}
