/**
 * Errors of the LTX format.
 *
 * @module
 */
import { PagestreamError } from "../core/errors.ts";

/** What is wrong with the bytes of an LTX file, and where. */
export interface LtxErrorDetails {
  /** The file's name, or what else to call it. */
  readonly name: string;
  /** The field that is wrong, in the words of the interfaces: `pageSize`, `payload`. */
  readonly field: string;
  /** Offset of the field from the start of the file (or of the bytes given), in bytes. */
  readonly offset: number;
  /** Why it is wrong, without a final period. */
  readonly what: string;
  /** What the reader can do next, without a final period. */
  readonly next?: string | undefined;
}

/** Bytes that are not LTX, or contradict themselves; nothing of the file is to be used. */
export class LtxFormatError extends PagestreamError {
  /** The field that is wrong. */
  readonly field: string;
  /** Where it is, in bytes from the start. */
  readonly offset: number;

  /** Makes the error; its message names field and offset. */
  constructor(details: LtxErrorDetails) {
    const { name, field, offset, what, next } = details;
    super("INVALID_LTX", {
      operation: "decode",
      object: name,
      what: `${what} (${field} at offset ${offset})`,
      next,
    });
    this.field = field;
    this.offset = offset;
  }
}

/** A checksum over the content does not match the stored one: the file is damaged. */
export class LtxChecksumError extends PagestreamError {
  /** Which checksum: `fileChecksum`, `postApplyChecksum` or `contentChecksum`. */
  readonly field: string;
  /** Where it is stored, in bytes from the start. */
  readonly offset: number;
  /** The stored value. */
  readonly expected: bigint;
  /** The value of the bytes read. */
  readonly actual: bigint;

  /** Makes the error; its message gives both values in hex. */
  constructor(
    details: Omit<LtxErrorDetails, "what"> & { readonly expected: bigint; readonly actual: bigint },
  ) {
    const { name, field, offset, expected, actual, next } = details;
    super("LTX_CHECKSUM", {
      operation: "decode",
      object: name,
      what: `the content's checksum is ${hex(actual)}, stored is ${hex(expected)} (${field} at offset ${offset})`,
      next: next ?? "Read the file again; if it stays so, it is damaged and another copy is needed",
    });
    this.field = field;
    this.offset = offset;
    this.expected = expected;
    this.actual = actual;
  }
}

/** An LTX file of a generation this library does not read. */
export class LtxUnsupportedError extends PagestreamError {
  /** The field that tells the generation. */
  readonly field: string;
  /** Where it is, in bytes from the start. */
  readonly offset: number;

  /** Makes the error; its message names field and offset. */
  constructor(details: LtxErrorDetails) {
    const { name, field, offset, what, next } = details;
    super("LTX_UNSUPPORTED", {
      operation: "decode",
      object: name,
      what: `${what} (${field} at offset ${offset})`,
      next,
    });
    this.field = field;
    this.offset = offset;
  }
}

/** What was to be written would be no valid LTX file; nothing of the refused call was written. */
export class LtxEncodeError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: {
    readonly name: string;
    readonly what: string;
    readonly next?: string | undefined;
  }) {
    super("LTX_ENCODE", {
      operation: "encode",
      object: details.name,
      what: details.what,
      next: details.next,
    });
  }
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}
