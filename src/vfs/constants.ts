/**
 * Numbers of SQLite's C interface.
 *
 * @module
 */

/** Result codes. */
export const SQLITE_OK = 0;
export const SQLITE_ERROR = 1;
export const SQLITE_BUSY = 5;
export const SQLITE_READONLY = 8;
export const SQLITE_INTERRUPT = 9;
export const SQLITE_IOERR = 10;
export const SQLITE_NOTFOUND = 12;
export const SQLITE_CANTOPEN = 14;
export const SQLITE_TOOBIG = 18;
export const SQLITE_AUTH = 23;
export const SQLITE_ROW = 100;
export const SQLITE_DONE = 101;
export const SQLITE_IOERR_READ = 266;
export const SQLITE_IOERR_SHORT_READ = 522;
export const SQLITE_IOERR_WRITE = 778;
export const SQLITE_IOERR_FSYNC = 1034;
export const SQLITE_IOERR_TRUNCATE = 1546;
export const SQLITE_IOERR_FSTAT = 1802;
export const SQLITE_IOERR_UNLOCK = 2058;
export const SQLITE_IOERR_DELETE = 2570;
export const SQLITE_IOERR_ACCESS = 3338;
export const SQLITE_IOERR_CHECKRESERVEDLOCK = 3594;
export const SQLITE_IOERR_LOCK = 3850;
export const SQLITE_IOERR_CLOSE = 4106;
export const SQLITE_IOERR_SHMLOCK = 5130;
export const SQLITE_IOERR_SHMMAP = 5386;
export const SQLITE_IOERR_DELETE_NOENT = 5898;

/** Flags of xOpen. */
export const SQLITE_OPEN_READONLY = 0x1;
export const SQLITE_OPEN_READWRITE = 0x2;
export const SQLITE_OPEN_CREATE = 0x4;
export const SQLITE_OPEN_DELETEONCLOSE = 0x8;
export const SQLITE_OPEN_EXCLUSIVE = 0x10;
export const SQLITE_OPEN_MAIN_DB = 0x100;
export const SQLITE_OPEN_MAIN_JOURNAL = 0x800;
export const SQLITE_OPEN_WAL = 0x80000;

/** Lock levels. */
export const SQLITE_LOCK_NONE = 0;
export const SQLITE_LOCK_SHARED = 1;
export const SQLITE_LOCK_RESERVED = 2;
export const SQLITE_LOCK_PENDING = 3;
export const SQLITE_LOCK_EXCLUSIVE = 4;

/** What xShmLock is asked for, combined with the kind of lock. */
export const SQLITE_SHM_UNLOCK = 1;
export const SQLITE_SHM_EXCLUSIVE = 8;

/** File controls. */
export const SQLITE_FCNTL_FILE_POINTER = 7;
export const SQLITE_FCNTL_PRAGMA = 14;
export const SQLITE_FCNTL_SYNC = 21;
export const SQLITE_FCNTL_COMMIT_PHASETWO = 22;
export const SQLITE_FCNTL_JOURNAL_POINTER = 28;
export const SQLITE_FCNTL_PDB = 30;
export const SQLITE_FCNTL_CKPT_DONE = 37;
export const SQLITE_FCNTL_CKPT_START = 39;

/** Device characteristics. */
export const SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN = 0x800;
export const SQLITE_IOCAP_POWERSAFE_OVERWRITE = 0x1000;

/** State of a transaction as `sqlite3_txn_state` tells it. */
export const SQLITE_TXN_WRITE = 2;

/** The question of xAccess that a hot journal is looked for with. */
export const SQLITE_ACCESS_EXISTS = 0;

/** Type of a text value. */
export const SQLITE_TEXT = 3;

/** Has SQLite copy a text or bytes before the call that is given them returns. */
export const SQLITE_TRANSIENT: number = -1;

/** How a function of SQL takes its texts, and that no view or trigger may call it. */
export const SQLITE_UTF8 = 1;
export const SQLITE_DIRECTONLY = 0x80000;
