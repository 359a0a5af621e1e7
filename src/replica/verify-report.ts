/**
 * What a verification tells.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";

/**
 * Kinds of faults.
 *
 * | code | of | means |
 * | --- | --- | --- |
 * | `INVALID_LTX`, `LTX_CHECKSUM`, `LTX_UNSUPPORTED` | a file | its bytes are not what was written, or of a version that is not read |
 * | `DAMAGED_FILE` | a file | it is not what its name or its listing says |
 * | `DECRYPT` | a file | it is not encrypted as it should be, or the key does not open it |
 * | `NOT_FOUND` | a file | it is listed and cannot be read |
 * | `GAP` | a file | a level lacks it; or the newest state needs it |
 * | `ABOVE_L0` | a file | it ends after the newest file of level 0, where Litestream would number on |
 * | `TIME` | a file | it is older than one with smaller TXIDs: a restore to a time may choose wrongly |
 * | `PAGE_SIZE` | a file | the page size changes with it, and it does not hold the whole database |
 * | `RESTORE` | a file | the newest state does not restore from the files |
 * | `INTEGRITY`, `FOREIGN_KEY`, `PROBE` | the restored database | what SQLite or a probe found |
 */
export const FAULT_CODES = [
  "INVALID_LTX",
  "LTX_CHECKSUM",
  "LTX_UNSUPPORTED",
  "DAMAGED_FILE",
  "DECRYPT",
  "NOT_FOUND",
  "GAP",
  "ABOVE_L0",
  "TIME",
  "PAGE_SIZE",
  "RESTORE",
  "INTEGRITY",
  "FOREIGN_KEY",
  "PROBE",
] as const;

/** A stable kind of fault; see {@linkcode FAULT_CODES}. */
export type FaultCode = (typeof FAULT_CODES)[number];

/** Something that is wrong. */
export interface VerifyFault {
  /** What kind, for programs. */
  readonly code: FaultCode;
  /** Key of the file, or of the one that is missing; undefined for a fault of the restored database. */
  readonly file: string | undefined;
  /** The field that is wrong, where the decoder can tell. */
  readonly field?: string | undefined;
  /** Where it is, in bytes from the start of the file. */
  readonly offset?: number | undefined;
  /** What is wrong, for people. */
  readonly message: string;
}

/** The files of one level. */
export interface VerifiedLevel {
  /** From 0 to 9. */
  readonly level: number;
  /** Number of files. */
  readonly files: number;
  /** Bytes of all of them. */
  readonly bytes: number;
  /** Smallest TXID. */
  readonly minTxid: bigint;
  /** Largest TXID. */
  readonly maxTxid: bigint;
}

/** What came of restoring the newest state. */
export interface DrillResult {
  /** The state that was restored. */
  readonly txid: bigint;
  /** When that state came to be. */
  readonly time: Date;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
  /** Whether SQLite has checked it; false where it was restored nowhere. */
  readonly checked: boolean;
  /** Number of probes that were run. */
  readonly probes: number;
}

/** What was looked at and what is wrong with it. */
export interface VerifyReport {
  /** True where there is no fault. */
  readonly sound: boolean;
  /** What is wrong, files first, in the order of levels and TXIDs. */
  readonly faults: readonly VerifyFault[];
  /** How many of the files that could be read to their first bytes are encrypted. */
  readonly encrypted: "none" | "some" | "all";
  /** Files read. */
  readonly files: number;
  /** Bytes of these files, as they were before encryption. */
  readonly bytes: number;
  /** Pages in them. */
  readonly pages: number;
  /** Page sizes in bytes that occur, ascending: two after a change of the page size. */
  readonly pageSizes: readonly number[];
  /** The levels that have files, lowest first. */
  readonly levels: readonly VerifiedLevel[];
  /** The newest state, where the names of the files lead to it without a gap. */
  readonly newest: { readonly txid: bigint; readonly time: Date } | undefined;
  /** Present where a restore was asked for and succeeded. */
  readonly drill: DrillResult | undefined;
}

/** Errors that are found in a file, rather than on the way to it. */
const FILE_FAULTS: readonly FaultCode[] = [
  "INVALID_LTX",
  "LTX_CHECKSUM",
  "LTX_UNSUPPORTED",
  "DAMAGED_FILE",
  "DECRYPT",
];

/** An error as a fault of a file; undefined for one that says nothing about the file. */
export function faultOf(error: PagestreamError, file: string): VerifyFault | undefined {
  const code = FILE_FAULTS.find((each) => each === error.code);
  if (code === undefined) return undefined;
  const { field, offset } = error as { readonly field?: string; readonly offset?: number };
  return { code, file, field, offset, message: error.message };
}
