/**
 * Text forms: TXIDs, checksums, positions, timestamps and file names.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";

/** 16 lower-case hex digits, zero padded. */
export function formatTxid(txid: bigint): string {
  return formatU64(txid, "TXID");
}

/**
 * The TXID that 16 hex digits (either case) stand for.
 *
 * @throws {InvalidArgumentError} on any other text.
 */
export function parseTxid(text: string): bigint {
  return parseU64(text, "TXID");
}

/** The TXID of a JSON value: the text form, or null for 0. Its JSON form is {@linkcode formatTxid}. */
export function txidFromJson(value: unknown): bigint {
  return fromJson(value, "TXID");
}

/** 16 lower-case hex digits, zero padded. */
export function formatChecksum(checksum: bigint): string {
  return formatU64(checksum, "checksum");
}

/**
 * The checksum that 16 hex digits (either case) stand for.
 *
 * @throws {InvalidArgumentError} on any other text.
 */
export function parseChecksum(text: string): bigint {
  return parseU64(text, "checksum");
}

/** The checksum of a JSON value: the text form, or null for 0. Its JSON form is {@linkcode formatChecksum}. */
export function checksumFromJson(value: unknown): bigint {
  return fromJson(value, "checksum");
}

/** A state of a database: its last transaction and its checksum there, 0 where none is kept. */
export interface LtxPosition {
  /** TXID of the last transaction applied; 0 for no database yet. */
  readonly txid: bigint;
  /** Checksum over all pages of that state. */
  readonly checksum: bigint;
}

/** `<txid>/<checksum>`, 33 characters. */
export function formatPosition(position: LtxPosition): string {
  return `${formatTxid(position.txid)}/${formatChecksum(position.checksum)}`;
}

/**
 * The position that {@linkcode formatPosition} wrote. As in Litestream, the separator may be any character.
 *
 * @throws {InvalidArgumentError} on another length or bad digits.
 */
export function parsePosition(text: string): LtxPosition {
  if (text.length !== 33)
    throw notParsed("position", text, "expected 33 characters, <txid>/<checksum>");
  return { txid: parseTxid(text.slice(0, 16)), checksum: parseChecksum(text.slice(17)) };
}

/** `<min>-<max>.ltx`, the name of a file in a replica. */
export function formatFileName(minTxid: bigint, maxTxid: bigint): string {
  return `${formatTxid(minTxid)}-${formatTxid(maxTxid)}.ltx`;
}

/**
 * The range in a file name, or `undefined` for any other name. Only lower-case digits match: listings skip the rest,
 * as Litestream does.
 */
export function parseFileName(
  name: string,
): { readonly minTxid: bigint; readonly maxTxid: bigint } | undefined {
  const match = /^([0-9a-f]{16})-([0-9a-f]{16})\.ltx$/.exec(name);
  // Without the m flag `$` matches at the very end alone, so a trailing line feed does not pass.
  if (match === null) return undefined;
  return { minTxid: BigInt(`0x${match[1]}`), maxTxid: BigInt(`0x${match[2]}`) };
}

/**
 * Tells whether a file of the given range may follow one that ends at `prevMaxTxid`: it leaves no gap and adds
 * something. Ranges may overlap; a range within what is already there does not count.
 */
export function isContiguous(prevMaxTxid: bigint, minTxid: bigint, maxTxid: bigint): boolean {
  return minTxid <= prevMaxTxid + 1n && maxTxid > prevMaxTxid;
}

/**
 * `YYYY-MM-DDTHH:MM:SS.mmmZ` for milliseconds since the Unix epoch.
 *
 * @throws {InvalidArgumentError} outside the years 0 to 9999, which the form cannot express.
 */
export function formatTimestamp(timestamp: bigint): string {
  const date = new Date(Number(timestamp));
  const year = date.getUTCFullYear();
  if (!(year >= 0 && year <= 9999)) {
    throw new InvalidArgumentError({
      operation: "format",
      object: `timestamp ${timestamp}`,
      what: "it lies outside the years 0 to 9999",
    });
  }
  return date.toISOString();
}

/**
 * Milliseconds since the Unix epoch of an RFC 3339 time with any fraction; what is below a millisecond is cut off.
 *
 * @throws {InvalidArgumentError} on any other text and on dates that do not exist.
 */
export function parseTimestamp(text: string): bigint {
  const match =
    /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))$/.exec(text);
  if (match === null)
    throw notParsed("timestamp", text, "expected a time like 2026-11-20T12:00:00.000Z");
  const [, year, month, day, hour, minute, second, fraction = "", sign, offsetHour, offsetMinute] =
    match;
  const wall = `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.slice(0, 3).padEnd(3, "0")}Z`;
  const date = new Date(wall);
  // Date takes 24:00 and, on some engines, day 31 of a short month: what does not read back was no such time.
  const offset = Number(offsetHour ?? 0) * 60 + Number(offsetMinute ?? 0);
  const legal = !Number.isNaN(date.getTime()) && date.toISOString() === wall;
  if (!legal || Number(offsetHour ?? 0) > 23 || Number(offsetMinute ?? 0) > 59) {
    throw notParsed("timestamp", text, "there is no such date or time");
  }
  return BigInt(date.getTime() - (sign === "-" ? -offset : offset) * 60_000);
}

function formatU64(value: bigint, kind: string): string {
  if (BigInt.asUintN(64, value) !== value) {
    throw new InvalidArgumentError({
      operation: "format",
      object: `${kind} ${value}`,
      what: "it does not fit 64 bits",
    });
  }
  return value.toString(16).padStart(16, "0");
}

function parseU64(text: string, kind: string): bigint {
  if (!/^[0-9a-fA-F]{16}$/.test(text)) throw notParsed(kind, text, "expected 16 hex digits");
  return BigInt(`0x${text}`);
}

function fromJson(value: unknown, kind: string): bigint {
  if (value === null) return 0n;
  if (typeof value !== "string")
    throw notParsed(kind, typeof value, "expected a string of 16 hex digits");
  return parseU64(value, kind);
}

function notParsed(kind: string, text: string, what: string): InvalidArgumentError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  return new InvalidArgumentError({ operation: "parse", object: `${kind} "${shown}"`, what });
}
