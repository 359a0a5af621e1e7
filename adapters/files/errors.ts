/**
 * What an errno means, as an error of this library.
 *
 * @module
 */
import { type ErrorDetails, IoError, NotFoundError, PagestreamError, StoreError } from "pagestream";

/** A database whose WAL is to be followed is in another journal mode; code `UNSUPPORTED`. */
export class NotWalError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("UNSUPPORTED", details);
  }
}

/** Another SQLite library of this process has the database open; two drop each other's locks. Code `UNSUPPORTED`. */
export class SecondLibraryError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("UNSUPPORTED", details);
  }
}

/** Somebody keeps a database in exclusive locking mode, and nobody else can read it; code `DATABASE_LOCKED`. */
export class ExclusiveLockError extends PagestreamError {
  /** Makes the error from what its reader is told. */
  constructor(details: ErrorDetails) {
    super("DATABASE_LOCKED", details);
  }
}

/** What {@linkcode errnoOf} gives where Deno's permissions refuse a call, which has no errno. */
export const NOT_PERMITTED = "NotCapable";

/** Conditions that pass by themselves: the same call may succeed later. */
const PASSING: ReadonlySet<string> = new Set([
  "EAGAIN",
  "EBUSY",
  "EINTR",
  "EMFILE",
  "ENFILE",
  "ETXTBSY",
]);

const NEXT_STEP: Readonly<Record<string, string>> = {
  EACCES: "Give this user read and write permission on the directory",
  EDQUOT: "Raise the quota or free space",
  EFBIG: "Keep the files on a file system that holds larger ones",
  EIO: "Check the disk and the system log",
  EISDIR: "Move the directory of that name away",
  EMFILE: "Raise the limit of open files (ulimit -n)",
  ENAMETOOLONG: "Use a shorter path",
  ENFILE: "Raise the limit of open files of the system",
  ENOSPC: "Free space on the disk",
  ENOTDIR: "Move the file away that stands where a directory is needed",
  EPERM: "Give this user read and write permission on the directory",
  [NOT_PERMITTED]: "Start Deno with --allow-read and --allow-write for it, or with --allow-all",
  EROFS: "Mount the file system writable",
};

/** The errno name of a thrown value (`ENOENT`), {@linkcode NOT_PERMITTED}, or an empty string. */
export function errnoOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if (error.name === NOT_PERMITTED) return NOT_PERMITTED;
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" ? code : "";
}

/** What an object store throws for a failed file call. Errors of this library pass unchanged. */
export function storeError(error: unknown, operation: string, object: string): Error {
  if (error instanceof PagestreamError) return error;
  const code = errnoOf(error);
  if (code === "ENOENT") {
    return new NotFoundError({ operation, object, what: "there is no such file", cause: error });
  }
  return new StoreError(
    { operation, object, what: messageOf(error), next: NEXT_STEP[code], cause: error },
    { retryable: PASSING.has(code) },
  );
}

/** What a local file operation throws. Errors of this library pass unchanged. */
export function ioError(error: unknown, operation: string, object: string): Error {
  if (error instanceof PagestreamError) return error;
  return new IoError({
    operation,
    object,
    what: messageOf(error),
    next: NEXT_STEP[errnoOf(error)],
    cause: error,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A file is shorter than it was when it was opened. */
export function ended(object: string, at: number): StoreError {
  return new StoreError({
    operation: "read",
    object,
    what: `the file ended at byte ${at} although it was longer when it was opened`,
    next: "Keep other programs from changing the files of a replica",
  });
}
