/**
 * Errors of the VFS room.
 *
 * @module
 */
import { type ErrorDetails, PagestreamError } from "../core/errors.ts";

/** A VFS could not be installed or could not serve a call. */
export class VfsError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("VFS", details);
  }
}

/** Somebody else moved, deleted or linked a file that SQLite has open here; the COMMIT or checkpoint was refused. */
export class ForeignAccessError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("FOREIGN_ACCESS", details);
  }
}

/** The database is not open through the capture VFS, or no longer. */
export class NotCapturedError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("NOT_CAPTURED", details);
  }
}

/** The journal mode cannot be captured; code `UNSUPPORTED`. */
export class UnsupportedJournalModeError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("UNSUPPORTED", details);
  }
}

/** Another process, or another VFS of this one, holds the database file. Thrown by implementations of `SyncFiles`. */
export class DatabaseLockedError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("DATABASE_LOCKED", details);
  }
}

/** SQLite refused a statement, or it is none that may be run here; the message has SQLite's own words. */
export class QueryError extends PagestreamError {
  /** SQLite's extended result code; 1 where the statement was refused before SQLite saw it. */
  readonly resultCode: number;

  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails, context: { readonly resultCode: number }) {
    super("QUERY", details);
    this.resultCode = context.resultCode;
  }
}

/** A statement gave more rows or bytes than its caller allows, or needs more memory; code `LIMIT`. */
export class QueryLimitError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("LIMIT", details);
  }
}
