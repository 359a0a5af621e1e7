/**
 * Which journal modes can be captured, and how SQLite reads the name of one.
 *
 * @module
 */
import { UnsupportedJournalModeError } from "./errors.ts";

/** In the order in which SQLite compares them. */
const JOURNAL_MODES = ["delete", "persist", "off", "truncate", "memory", "wal"] as const;

/** A journal mode by SQLite's name. */
export type JournalMode = (typeof JOURNAL_MODES)[number];

/**
 * The mode that `PRAGMA journal_mode = value` asks for, or undefined where the value only asks for the present one.
 * SQLite takes any prefix, in any case: `w` is `wal`, `o` is `off` and the empty string is `delete`.
 */
export function parseJournalMode(value: string): JournalMode | undefined {
  const lower = value.toLowerCase();
  return JOURNAL_MODES.find((mode) => mode.startsWith(lower));
}

/** Why a PRAGMA is refused, or undefined where it is not. `value` is undefined for `PRAGMA name`. */
export function refusePragma(
  database: string,
  name: string,
  value: string | undefined,
): UnsupportedJournalModeError | undefined {
  if (value === undefined || name.toLowerCase() !== "journal_mode") return undefined;
  const mode = parseJournalMode(value);
  if (mode === "wal") {
    return new UnsupportedJournalModeError({
      operation: "set journal_mode=WAL on",
      object: database,
      what: "its commits are captured from the rollback journal's modes only",
      next: "Use DELETE, TRUNCATE, PERSIST or MEMORY",
    });
  }
  if (mode === "off") {
    return new UnsupportedJournalModeError({
      operation: "set journal_mode=OFF on",
      object: database,
      what: "a ROLLBACK would leave half a transaction in the file and in the replica",
      next: "Use DELETE, TRUNCATE, PERSIST or MEMORY",
    });
  }
  return undefined;
}

/** The error for a database whose header asks for WAL. */
export function walDatabaseError(database: string): UnsupportedJournalModeError {
  return new UnsupportedJournalModeError({
    operation: "open",
    object: database,
    what: "its header says WAL, which the capture VFS does not take",
    next: 'Restore it with journalHeader "rollback", or run PRAGMA journal_mode=DELETE on it elsewhere first',
  });
}

/** The error for a `-wal` file opened through the capture VFS. */
export function walFileError(path: string): UnsupportedJournalModeError {
  return new UnsupportedJournalModeError({
    operation: "open",
    object: path,
    what: "the capture VFS takes no WAL",
    next: "Use journal_mode DELETE, TRUNCATE, PERSIST or MEMORY",
  });
}
