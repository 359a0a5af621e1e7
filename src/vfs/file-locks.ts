/**
 * SQLite's lock states of one path, among the handles of one process.
 *
 * Many handles may hold SHARED. One of them may also hold RESERVED, then PENDING, which keeps new readers out, then
 * EXCLUSIVE, once every other SHARED is gone. Playing back a hot journal goes from SHARED to EXCLUSIVE without
 * RESERVED.
 *
 * @module
 */
import {
  SQLITE_LOCK_EXCLUSIVE,
  SQLITE_LOCK_NONE,
  SQLITE_LOCK_PENDING,
  SQLITE_LOCK_RESERVED,
  SQLITE_LOCK_SHARED,
} from "./constants.ts";

/** The lock of one handle. */
export interface HandleLock {
  /** 0 none, 1 shared, 2 reserved, 3 pending, 4 exclusive. */
  readonly level: number;
  /** Raises the lock; false where another handle is in the way (SQLITE_BUSY). */
  lock(level: number): boolean;
  /** Lowers the lock to SHARED or NONE. */
  unlock(level: number): void;
  /** Whether any handle of the path holds RESERVED or more. */
  reserved(): boolean;
}

/** The locks of all handles of one path. */
export class FileLocks {
  #readers = 0;
  #writer: { level: number } | undefined;

  /** A lock for a new handle, held at NONE. */
  handle(): HandleLock {
    const holder = { level: SQLITE_LOCK_NONE as number };
    return {
      get level(): number {
        return holder.level;
      },
      lock: (level: number): boolean => this.#raise(holder, level),
      unlock: (level: number): void => this.#lower(holder, level),
      reserved: (): boolean => this.#writer !== undefined,
    };
  }

  #raise(holder: { level: number }, level: number): boolean {
    if (level <= holder.level) return true;
    const other = this.#writer === holder ? undefined : this.#writer;
    if (level === SQLITE_LOCK_SHARED) {
      if (other !== undefined && other.level >= SQLITE_LOCK_PENDING) return false;
      this.#readers++;
      holder.level = SQLITE_LOCK_SHARED;
      return true;
    }
    if (other !== undefined) return false;
    this.#writer = holder;
    if (level === SQLITE_LOCK_RESERVED) {
      holder.level = SQLITE_LOCK_RESERVED;
      return true;
    }
    // PENDING stays when readers are in the way: no new ones come, and SQLite asks again.
    holder.level = this.#readers > 1 ? SQLITE_LOCK_PENDING : SQLITE_LOCK_EXCLUSIVE;
    return holder.level === SQLITE_LOCK_EXCLUSIVE;
  }

  #lower(holder: { level: number }, level: number): void {
    if (level >= holder.level) return;
    if (this.#writer === holder) this.#writer = undefined;
    if (level === SQLITE_LOCK_NONE) this.#readers--;
    holder.level = level;
  }
}
