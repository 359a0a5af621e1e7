/**
 * The position file beside a followed copy: `<database>-txid`, 16 hex digits and a newline, as Litestream keeps it.
 *
 * @module
 */
import { parentDirectory } from "../core/paths.ts";
import type { SyncFiles } from "../core/sync-files.ts";
import { formatTxid, parseTxid } from "../ltx/file-name.ts";
import { FollowPositionError } from "./errors.ts";

/** What is appended to the path of a copy to name its position file. */
export const POSITION_SUFFIX = "-txid";

/** The same for the position that a step of several TXIDs is about to reach. */
export const INTENT_SUFFIX = "-txid-next";

/** The bytes of a position file. */
export function encodePosition(txid: bigint): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(`${formatTxid(txid)}\n`, (c) => c.charCodeAt(0));
}

/** The TXID in a position file; `undefined` for anything but 16 hex digits that are not 0. */
export function decodePosition(bytes: Uint8Array): bigint | undefined {
  const text = String.fromCharCode(...bytes.subarray(0, 64)).trim();
  if (!/^[0-9a-f]{16}$/i.test(text)) return undefined;
  const txid = parseTxid(text.toLowerCase());
  return txid === 0n ? undefined : txid;
}

/** Reads the position file of the copy at `path`, which exists; an error where there is none or it says nothing. */
export function readPosition(files: SyncFiles, path: string): bigint {
  const bytes = readSmall(files, path + POSITION_SUFFIX);
  if (bytes === undefined) {
    throw new FollowPositionError({
      operation: "follow into",
      object: path,
      what: `the database exists, but ${path}${POSITION_SUFFIX}, which tells its TXID, does not`,
      next: "Follow into a new file, or remove the database with its side files",
    });
  }
  const txid = decodePosition(bytes);
  if (txid !== undefined) return txid;
  throw new FollowPositionError({
    operation: "follow into",
    object: path,
    what: `${path}${POSITION_SUFFIX} has ${bytes.length} bytes and no TXID of 16 hex digits`,
    next: "Remove the database with its side files, and follow anew",
  });
}

/** The TXID that a step was about to reach when it ended; `undefined` where none was under way. */
export function readIntent(files: SyncFiles, path: string): bigint | undefined {
  const bytes = readSmall(files, path + INTENT_SUFFIX);
  return bytes === undefined ? undefined : decodePosition(bytes);
}

/** Writes a position file durably: all of it, or what was there stays. */
export function writePosition(files: SyncFiles, path: string, txid: bigint): void {
  const temporary = `${path}.tmp`;
  const file = files.open(temporary, { mode: "create" });
  try {
    file.truncate(0);
    file.write(encodePosition(txid), 0);
    file.sync();
  } finally {
    file.close();
  }
  files.rename(temporary, path);
  files.syncDirectory(parentDirectory(path));
}

function readSmall(files: SyncFiles, path: string): Uint8Array | undefined {
  if (files.identity(path) === undefined) return undefined;
  const file = files.open(path, { mode: "read" });
  try {
    const bytes = new Uint8Array(64);
    return bytes.slice(0, file.read(bytes, 0));
  } finally {
    file.close();
  }
}
