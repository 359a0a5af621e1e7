/**
 * Which journal modes can be captured, and how SQLite reads the name of one.
 *
 * @module
 */
import type { PrepareMode } from "../core/commit-source.ts";
import { READ_FORMAT_OFFSET, WRITE_FORMAT_OFFSET } from "../core/database-header.ts";
import { UnsupportedJournalModeError } from "./errors.ts";
import type { Changes } from "./live-pages.ts";

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

/** How a database is set up at the moment of a PRAGMA. */
export interface JournalSetup {
  /** Its name in messages. */
  readonly database: string;
  /** The connection's main file: whether it stays locked is noted on it. */
  readonly file: { exclusive: boolean };
  /** How transactions are kept back, if they are. */
  readonly prepare: PrepareMode | undefined;
  /** Whether commits go to a WAL now. */
  readonly inWal: boolean;
}

/** Why a PRAGMA is refused, or undefined where it is not; `value` is what it sets. */
export function refusePragma(
  pragma: { readonly name: string; readonly value: string },
  setup: JournalSetup,
): UnsupportedJournalModeError | undefined {
  const name = pragma.name.toLowerCase();
  if (name === "locking_mode") return refuseLockingMode(pragma.value, setup);
  return name === "journal_mode" ? refuseJournalMode(pragma.value, setup) : undefined;
}

/** Why transactions of a database cannot be kept back as it is set up, or undefined where they can. */
export function refusePreparing(
  mode: {
    readonly prepare: PrepareMode;
    readonly journalMode: string;
    readonly lockingMode: string;
  },
  database: string,
): UnsupportedJournalModeError | undefined {
  const setup = { database, prepare: mode.prepare, inWal: mode.journalMode === "wal" };
  const journal = refuseJournalMode(mode.journalMode, { ...setup, file: { exclusive: false } });
  return journal ?? refuseLockingMode(mode.lockingMode, { ...setup, file: { exclusive: false } });
}

function refuseJournalMode(
  value: string,
  setup: JournalSetup,
): UnsupportedJournalModeError | undefined {
  const { database, prepare, file } = setup;
  const mode = parseJournalMode(value);
  if (mode === undefined) return undefined;
  const refuse = (what: string, next: string): UnsupportedJournalModeError =>
    new UnsupportedJournalModeError({
      operation: `set journal_mode=${mode.toUpperCase()} on`,
      object: database,
      what,
      next,
    });
  if (mode === "off") {
    return refuse(
      "a ROLLBACK would leave half a transaction in the file and in the replica",
      "Use DELETE, TRUNCATE, PERSIST, MEMORY or WAL",
    );
  }
  if (prepare === "retry" && (mode === "wal" || mode === "persist")) {
    return refuse(
      mode === "wal"
        ? "a COMMIT that is repeated leaves a WAL that breaks off at a crash"
        : "a COMMIT that is repeated may revive an older journal",
      "Use DELETE, TRUNCATE or MEMORY with hold-retry, or another durability",
    );
  }
  if (prepare !== undefined && mode !== "wal" && file.exclusive) {
    return refuse(
      "with locking_mode=EXCLUSIVE nothing tells a commit from a rollback before it happens",
      "Set locking_mode=NORMAL first, or use WAL",
    );
  }
  return undefined;
}

function refuseLockingMode(
  value: string,
  setup: JournalSetup,
): UnsupportedJournalModeError | undefined {
  const { database, prepare, inWal, file } = setup;
  const exclusive = value.toLowerCase() === "exclusive";
  if (exclusive && prepare !== undefined && !inWal) {
    return new UnsupportedJournalModeError({
      operation: "set locking_mode=EXCLUSIVE on",
      object: database,
      what: "with a rollback journal nothing then tells a commit from a rollback before it happens",
      next: "Use locking_mode=NORMAL, or set journal_mode=WAL first",
    });
  }
  if (exclusive) file.exclusive = true;
  else if (value.toLowerCase() === "normal") file.exclusive = false;
  return undefined;
}

/** What to say when SQLite cannot open a database because its header asks for a WAL that the parent cannot share. */
export function walDatabaseError(database: string): UnsupportedJournalModeError {
  return new UnsupportedJournalModeError({
    operation: "open",
    object: database,
    what: "its header says WAL, and the VFS below has no shared memory",
    next: 'Run PRAGMA locking_mode=EXCLUSIVE before anything else, or restore it with journalHeader "rollback"',
  });
}

/** What to say when a COMMIT that may be repeated meets a WAL that nobody asked us about. */
export function switchedToWal(database: string): UnsupportedJournalModeError {
  return new UnsupportedJournalModeError({
    operation: "commit to",
    object: database,
    what: "somebody else switched it to WAL, where a COMMIT cannot be repeated",
    next: "Run PRAGMA journal_mode=TRUNCATE, or use another durability",
  });
}

/**
 * Whether a transaction changes nothing but the journal mode: SQLite answers `PRAGMA journal_mode` with an error again
 * and again when that is refused.
 */
export function changesJournalModeOnly(
  { pgnos, read, commit }: Changes,
  before: { readonly commit: number; readonly headerSaysWal: boolean },
): boolean {
  if (pgnos.length !== 1 || pgnos[0] !== 1 || commit !== before.commit) return false;
  const page = read(1);
  const wal = page[WRITE_FORMAT_OFFSET] === 2 && page[READ_FORMAT_OFFSET] === 2;
  return wal !== before.headerSaysWal;
}
