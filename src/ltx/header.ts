/**
 * The header of an LTX file. Integers are big-endian.
 *
 * | offset | size | field |
 * | ---: | ---: | --- |
 * | 0 | 4 | magic `LTX1` |
 * | 4 | 4 | flags: only bit 1 (no checksum) is legal |
 * | 8 | 4 | page size |
 * | 12 | 4 | commit: database size in pages after this file |
 * | 16, 24 | 8 + 8 | min TXID, max TXID |
 * | 32 | 8 | timestamp, signed, ms since the Unix epoch |
 * | 40 | 8 | pre-apply checksum |
 * | 48, 56 | 8 + 8 | WAL offset, WAL size, signed |
 * | 64, 68 | 4 + 4 | WAL salts |
 * | 72 | 8 | node id |
 * | 80 | 20 | reserved: written as zeros, ignored when read, but hashed |
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { isEncrypted } from "../core/encryption-mark.ts";
import { isValidPageSize } from "../core/database-header.ts";
import { CHECKSUM_FLAG } from "./checksum.ts";
import { LtxFormatError, LtxUnsupportedError } from "./errors.ts";

/** Length of the header in bytes. */
export const LTX_HEADER_SIZE = 100;

/** Header flag: the file carries no pre-apply and post-apply checksum. Litestream sets it on every file. */
export const LTX_NO_CHECKSUM = 2;

/** Flag of the first generation: everything after the header is one compressed stream. */
const V1_COMPRESSED = 1;
const MAGIC = 0x4c545831;
const MAGIC_4 = 0x4c545834;
const U32_MAX = 0xffffffff;
const U64_MAX = 0xffffffffffffffffn;

/** What the first 100 bytes of an LTX file say. */
export interface LtxHeader {
  /** 0 or {@linkcode LTX_NO_CHECKSUM}. */
  readonly flags: number;
  /** Page size in bytes: a power of two from 512 to 65536. */
  readonly pageSize: number;
  /** Database size in pages after this file; 0 for a deleted database. */
  readonly commit: number;
  /** First transaction of the file, from 1; 1 makes the file a snapshot. */
  readonly minTxid: bigint;
  /** Last transaction of the file. */
  readonly maxTxid: bigint;
  /** Milliseconds since the Unix epoch; any signed 64-bit value. */
  readonly timestamp: bigint;
  /** Database checksum before this file: 0 in snapshots and without checksums. */
  readonly preApplyChecksum: bigint;
  /** Where in the WAL the content began, in bytes; 0 when it came from no WAL. */
  readonly walOffset: number;
  /** Bytes of WAL the content covers. */
  readonly walSize: number;
  /** First salt of that WAL. */
  readonly walSalt1: number;
  /** Second salt of that WAL. */
  readonly walSalt2: number;
  /** Writer's id; 0 when unset. */
  readonly nodeId: bigint;
}

/** Tells whether a file holds the whole database by its range: it begins at transaction 1. */
export function isSnapshot(header: Pick<LtxHeader, "minTxid">): boolean {
  return header.minTxid === 1n;
}

/** Tells whether the file has no pre-apply and post-apply checksum. */
export function hasNoChecksum(header: Pick<LtxHeader, "flags">): boolean {
  return (header.flags & LTX_NO_CHECKSUM) !== 0;
}

/** What {@linkcode replicaHeader} needs to know. */
export interface ReplicaHeaderFields {
  /** Page size in bytes: a power of two from 512 to 65536. */
  readonly pageSize: number;
  /** Database size in pages after the file. */
  readonly commit: number;
  /** First TXID; 1 makes the file a snapshot. */
  readonly minTxid: bigint;
  /** Last TXID, at least `minTxid`. */
  readonly maxTxid: bigint;
  /** Milliseconds since the Unix epoch. */
  readonly timestamp: bigint;
  /** True for the output of a compaction, whose WAL fields are all zero. @default false */
  readonly compacted?: boolean;
}

/**
 * The header of a replica file in Litestream's dialect: no checksums, and the WAL offset 32 of a file that covers no
 * frame yet, so that a Litestream that takes over reads its WAL from the start.
 */
export function replicaHeader(fields: ReplicaHeaderFields): LtxHeader {
  return {
    flags: LTX_NO_CHECKSUM,
    pageSize: fields.pageSize,
    commit: fields.commit,
    minTxid: fields.minTxid,
    maxTxid: fields.maxTxid,
    timestamp: fields.timestamp,
    preApplyChecksum: 0n,
    walOffset: fields.compacted === true ? 0 : 32,
    walSize: 0,
    walSalt1: 0,
    walSalt2: 0,
    nodeId: 0n,
  };
}

/**
 * Checks every rule of a header and throws at the first that is broken.
 *
 * @param name what to call the file in errors.
 * @throws {LtxFormatError} naming field and offset.
 * @throws {LtxUnsupportedError} for the compressed files of the first generation.
 */
export function validateHeader(header: LtxHeader, name = "LTX header"): void {
  const fail = (field: keyof LtxHeader, offset: number, what: string): never => {
    throw new LtxFormatError({ name, field, offset, what });
  };
  const { flags, pageSize, commit, minTxid, maxTxid, walOffset, walSize } = header;
  if (flags === V1_COMPRESSED || flags === (V1_COMPRESSED | LTX_NO_CHECKSUM)) {
    throw new LtxUnsupportedError({
      name,
      field: "flags",
      offset: 4,
      what: "the file is a compressed one of the pre-release LTX version 1",
      next: UNSUPPORTED_NEXT,
    });
  }
  if (flags !== 0 && flags !== LTX_NO_CHECKSUM)
    fail("flags", 4, `flags 0x${flags.toString(16)} are not known`);
  if (!isValidPageSize(pageSize)) {
    fail("pageSize", 8, `page size ${pageSize} is no power of two from 512 to 65536`);
  }
  if (!isU32(commit)) fail("commit", 12, `commit ${commit} is no unsigned 32-bit number`);
  if (minTxid === 0n) fail("minTxid", 16, "the first TXID is 0");
  if (maxTxid === 0n) fail("maxTxid", 24, "the last TXID is 0");
  if (minTxid < 0n || minTxid > U64_MAX)
    fail("minTxid", 16, `TXID ${minTxid} does not fit 64 bits`);
  if (maxTxid < 0n || maxTxid > U64_MAX)
    fail("maxTxid", 24, `TXID ${maxTxid} does not fit 64 bits`);
  if (minTxid > maxTxid)
    fail("minTxid", 16, `the first TXID ${minTxid} is after the last, ${maxTxid}`);
  if (BigInt.asIntN(64, header.timestamp) !== header.timestamp) {
    fail("timestamp", 32, `timestamp ${header.timestamp} does not fit 64 bits`);
  }
  if (walOffset < 0) fail("walOffset", 48, `WAL offset ${walOffset} is negative`);
  if (!Number.isSafeInteger(walOffset)) fail("walOffset", 48, "the WAL offset is beyond 2^53");
  if (walSize < 0) fail("walSize", 56, `WAL size ${walSize} is negative`);
  if (!Number.isSafeInteger(walSize)) fail("walSize", 56, "the WAL size is beyond 2^53");
  if (!isU32(header.walSalt1)) fail("walSalt1", 64, "the salt is no unsigned 32-bit number");
  if (!isU32(header.walSalt2)) fail("walSalt2", 68, "the salt is no unsigned 32-bit number");
  if (walOffset === 0) {
    if (header.walSalt1 !== 0) fail("walSalt1", 64, "there is a WAL salt without a WAL offset");
    if (header.walSalt2 !== 0) fail("walSalt2", 68, "there is a WAL salt without a WAL offset");
    if (walSize !== 0) fail("walSize", 56, "there is a WAL size without a WAL offset");
  }
  validatePreApply(header, fail);
  if (header.nodeId < 0n || header.nodeId > U64_MAX)
    fail("nodeId", 72, "the node id does not fit 64 bits");
}

function validatePreApply(
  header: LtxHeader,
  fail: (field: keyof LtxHeader, offset: number, what: string) => never,
): void {
  const checksum = header.preApplyChecksum;
  if (isSnapshot(header)) {
    if (checksum !== 0n) fail("preApplyChecksum", 40, "a snapshot has a pre-apply checksum");
  } else if (hasNoChecksum(header)) {
    if (checksum !== 0n)
      fail("preApplyChecksum", 40, "a file without checksums has a pre-apply checksum");
  } else if (checksum === 0n) {
    fail("preApplyChecksum", 40, "the pre-apply checksum is missing");
  } else if (checksum < CHECKSUM_FLAG || checksum > U64_MAX) {
    fail("preApplyChecksum", 40, "the pre-apply checksum lacks its flag bit");
  }
}

/** Validates a header and returns its 100 bytes. Errors as {@linkcode validateHeader}. */
export function encodeHeader(header: LtxHeader): Uint8Array<ArrayBuffer> {
  validateHeader(header);
  const bytes = new Uint8Array(LTX_HEADER_SIZE);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC);
  view.setUint32(4, header.flags);
  view.setUint32(8, header.pageSize);
  view.setUint32(12, header.commit);
  view.setBigUint64(16, header.minTxid);
  view.setBigUint64(24, header.maxTxid);
  view.setBigInt64(32, header.timestamp);
  view.setBigUint64(40, header.preApplyChecksum);
  view.setBigUint64(48, BigInt(header.walOffset));
  view.setBigUint64(56, BigInt(header.walSize));
  view.setUint32(64, header.walSalt1);
  view.setUint32(68, header.walSalt2);
  view.setBigUint64(72, header.nodeId);
  return bytes;
}

/**
 * Decodes and validates the header at the start of `bytes`; what follows it is not looked at, nothing is kept.
 *
 * @param name what to call the file in errors.
 * @throws {LtxFormatError} naming field and offset.
 * @throws {LtxUnsupportedError} for LTX versions that are not read.
 */
export function decodeHeader(bytes: Uint8Array, name = "LTX header"): LtxHeader {
  if (bytes.length < LTX_HEADER_SIZE) {
    throw new LtxFormatError({
      name,
      field: "header",
      offset: bytes.length,
      what: `${bytes.length} bytes are too few for a header of ${LTX_HEADER_SIZE}`,
    });
  }
  const view = viewOf(bytes);
  const magic = view.getUint32(0);
  if (magic === MAGIC_4) {
    throw new LtxUnsupportedError({
      name,
      field: "magic",
      offset: 0,
      what: "the file has magic LTX4, a version that no release writes",
      next: UNSUPPORTED_NEXT,
    });
  }
  if (isEncrypted(bytes)) {
    throw new LtxUnsupportedError({
      name,
      field: "magic",
      offset: 0,
      what: "the file is encrypted",
      next: "Open the store through encryptedStore, with the key that the file was written with",
    });
  }
  if (magic !== MAGIC) {
    throw new LtxFormatError({
      name,
      field: "magic",
      offset: 0,
      what: "the file does not begin with LTX1",
    });
  }
  const header: LtxHeader = {
    flags: view.getUint32(4),
    pageSize: view.getUint32(8),
    commit: view.getUint32(12),
    minTxid: view.getBigUint64(16),
    maxTxid: view.getBigUint64(24),
    timestamp: view.getBigInt64(32),
    preApplyChecksum: view.getBigUint64(40),
    walOffset: Number(view.getBigInt64(48)),
    walSize: Number(view.getBigInt64(56)),
    walSalt1: view.getUint32(64),
    walSalt2: view.getUint32(68),
    nodeId: view.getBigUint64(72),
  };
  validateHeader(header, name);
  return header;
}

/** Next step for files of generations that are not read. */
export const UNSUPPORTED_NEXT =
  "Restore it with the release that wrote it and start a new replica from the database";

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= U32_MAX;
}
