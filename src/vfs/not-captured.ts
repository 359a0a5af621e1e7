/**
 * What a capture says of databases that it does not, or no longer, see.
 *
 * @module
 */
import { NotCapturedError } from "./errors.ts";

/** The error for a path that has no open connection through the capture. */
export function notOpenError(database: string, operation: string): NotCapturedError {
  return new NotCapturedError({
    operation,
    object: database,
    what: "it is not open through the capture, or no longer",
    next: "Open it through the capture VFS, and do not move it with sqlite3_deserialize",
  });
}

/** What a listener is told when commits can no longer be seen. */
export function lostError(database: string, what: string): NotCapturedError {
  return new NotCapturedError({
    operation: "capture",
    object: database,
    what,
    next: "Open it through the capture again; what is committed until then is not replicated",
  });
}
